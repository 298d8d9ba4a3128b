"""`train line`: from digits to a reader that `read` and `info` open; it goes on after an interruption."""

from __future__ import annotations

import json

import numpy as np
import pytest

from inkdigit.reading.reader import Reader

from ..conftest import template
from ..training.conftest import compose_little
from .conftest import assert_one_error


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    compose_little(monkeypatch)


@pytest.fixture
def digits(tmp_path):
    path = tmp_path / "digits.npz"
    images = np.stack([template(i) for i in range(20)])
    np.savez(path, X=images, y=np.arange(20) % 10)
    return path


def test_a_reader_is_trained_and_goes_on(inkdigit, digits, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    words = ["train", "line", "--data", digits, "--set", "lines=8", "--set", "epochs=1", "--seed", "3", "--out", folder]

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as stopped:
        stopped.setattr("inkdigit.training.line.run.export", stop)
        assert inkdigit(*words).code == 130
    assert not (folder / "model.onnx").exists()
    output = inkdigit("train", "--resume", folder)
    assert output.code == 0, output.err
    assert "of 8 composed lines that trained nothing" in output.out
    assert json.loads((folder / "line.json").read_text(encoding="utf-8")) == {
        "data": str(digits),
        "lines": 8,
        "epochs": 1,
        "seed": 3,
        "start": None,
    }
    assert "whole numbers" in inkdigit("info", folder).out
    assert_one_error(inkdigit("train", "--resume", folder), 2, "is finished")
    assert inkdigit(*words).code == 9  # the folder is taken
    model = folder / "model.onnx"
    before = model.read_bytes()
    assert inkdigit("read", tmp_path / "none.png", "--show", model).code == 9
    assert model.read_bytes() == before


def test_a_training_begins_with_the_reader_that_is_given(inkdigit, digits, tmp_path):
    words = ["train", "line", "--data", digits, "--set", "lines=8", "--set", "epochs=1"]
    output = inkdigit(*words, "--set", "start=line", "--out", tmp_path / "run")
    assert output.code == 0, output.err
    provenance = Reader.load(tmp_path / "run").card.provenance
    assert [one.file for one in provenance.made_from] == ["readers/line.onnx"]
    assert_one_error(inkdigit(*words, "--set", "start=tiny", "--out", tmp_path / "other"), 2, "reads single digits")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--set", "line=3"], "Did you mean lines"),
        (["--set", "lines=many"], "is not a whole number"),
        (["--set", "lines=0"], "out of range"),
        (["--set", "start=nothing"], "nothing"),
        (["--seeds", "0-2"], "with one seed"),
        (["--device", "cuda"], "with one seed"),
    ],
)
def test_settings_that_cannot_be_are_one_error(inkdigit, words, text):
    assert_one_error(inkdigit("train", "line", *words), 2, text)
