"""`ensemble`: several models, or several views, in one model file; errors come before the work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from inkdigit.data.sources import open_data
from inkdigit.model.card import Calibration
from inkdigit.model.recognizer import Recognizer
from inkdigit.training.convert.ensemble import join, write

from ..training.conftest import tiny
from ..training.convert.conftest import relabelled
from ..training.convert.test_ensemble import member_file
from .conftest import Output, assert_one_error, draw


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    """Drawn digits that fit a temperature: an .npz of one part."""
    images, labels = draw(60)
    path = tmp_path_factory.mktemp("data") / "drawn.npz"
    several = np.arange(900) % 60
    np.savez(path, X=images[several], y=labels[several])
    return path


@pytest.fixture(scope="module")
def folder(drawn, tmp_path_factory) -> Path:
    """Two members, a.onnx and b.onnx, that held out the same pictures; and one that held out none."""
    made, data = tmp_path_factory.mktemp("models"), open_data(drawn)
    a = member_file(made / "a.onnx", tiny(name="a", data=str(drawn), validation=510), data, temperature=1.5)
    member_file(made / "b.onnx", tiny(name="b", data=str(drawn), filters=(6,), validation=510), data)
    relabelled(a, made / "all.onnx", validation=0)
    return made


@pytest.fixture(scope="module")
def joined(drawn, folder, tmp_path_factory) -> Path:
    """The two in one file."""
    path, data = tmp_path_factory.mktemp("joined") / "m.onnx", open_data(drawn)
    write(path, join([Recognizer.load(folder / f"{name}.onnx") for name in "ab"], data, name="both"), data)
    return path


@pytest.fixture
def ensemble(inkdigit, folder, monkeypatch):
    """The command among the members, its file in a folder of its own."""
    monkeypatch.chdir(folder)

    def call(*words: object) -> Output:
        return inkdigit("ensemble", *words)

    return call


def test_members_become_a_model_that_is_measured_and_told(ensemble, tmp_path):
    out = tmp_path / "both.onnx"
    output = ensemble("a.onnx", "b.onnx", "--out", out)
    assert output.code == 0, output.err
    first, second, accuracy, model, calibrated = output.out.splitlines()
    assert first.startswith("Member      not measured, ")
    assert first.endswith(" parameters: a.onnx")
    assert second.endswith("b.onnx")
    joined = Recognizer.load(out)
    right = round(joined.card.figures["accuracy"] * 180)
    assert f"% on the test split ({right} of 180; 95 % interval " in accuracy
    assert model == f"Model       {out} ({out.stat().st_size / 1000:,.0f} kB, {joined.card.parameters:,} parameters)"
    temperature = joined.card.calibration.temperature
    assert calibrated == f"Calibrated  temperature {temperature:g}, fitted on 510 held-out training images"
    assert "Joining 2 networks" in output.err
    assert "Predicting the 180 images of the test split." in output.err
    assert f"inkdigit predict picture.png --model {out}" in output.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["both.onnx", "test-openings.csv"]
    assert joined.name == "ensemble"
    again = ensemble(out, "a.onnx", "--out", tmp_path / "more.onnx")
    assert_one_error(again, 2, "no trainable weights")


def test_views_of_one_model_are_a_file_of_their_own_named_so(ensemble, tmp_path):
    out = tmp_path / "views.onnx"
    output = ensemble("all.onnx", "--views", 5, "--out", out)
    assert output.code == 0, output.err
    assert Recognizer.load(out).name == "a-views5"
    assert "It is not calibrated" in output.err
    assert Recognizer.load(out).card.calibration == Calibration()


def test_the_calibration_of_the_select_twins_is_taken_over(ensemble, joined, tmp_path):
    out = tmp_path / "c.onnx"
    output = ensemble("all.onnx", "b.onnx", "--out", out, "--name", "pair", "--calibrated-as", joined)
    assert output.out.splitlines()[-1].endswith("fitted on the twin of this ensemble that held images out")
    assert Recognizer.load(out).name == "pair"


def test_the_file_answers_explains_and_is_no_source_of_int8(inkdigit, joined, picture, tmp_path):
    out, one = joined, picture / "b.png"
    output = inkdigit("predict", one, "--model", out)
    assert output.code == 0
    assert str(one) in output.out
    explained = inkdigit("explain", one, "--model", out, "--out", tmp_path / "page.html")
    assert explained.code == 0, explained.err
    assert "left out" in explained.err
    assert "has no trainable weights" in explained.err
    refused = inkdigit("export", out, "--format", "onnx-int8", "--out", tmp_path / "int8.onnx")
    assert_one_error(refused, 2, "has no trainable weights")


def test_answering_with_it_loads_no_torch(joined):
    code = f"import sys; from inkdigit import load; load({str(joined)!r}); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_is_wrong_is_said_before_the_work(ensemble, source, tmp_path):
    out = tmp_path / "m.onnx"
    assert_one_error(ensemble("a.onnx", "--out", out), 2, "One model is not an ensemble")
    assert_one_error(ensemble("a.onnx", "nope", "--out", out), 2, "There is no model 'nope'")
    assert_one_error(ensemble("a.onnx", "a.onnx", "--out", out), 2, "are the same file")
    assert_one_error(ensemble("a.onnx", "b.onnx", "--views", 3, "--out", out), 2, "Expected: 1, 5, 9")
    assert_one_error(ensemble("a.onnx", "b.onnx", "--out", tmp_path), 2, "a name that ends in .onnx")
    assert_one_error(ensemble("a.onnx", "b.onnx", "--out", "a.onnx"), 9, "is a file that is read")
    twin = ("--calibrated-as", "all.onnx")
    assert_one_error(ensemble("a.onnx", "b.onnx", "--out", "all.onnx", *twin), 9, "is a file that is read")
    assert_one_error(ensemble("a.onnx", "b.onnx", "--out", out, *twin), 2, "not a twin")
    missing = tmp_path / "none" / "m.onnx"
    assert_one_error(ensemble("a.onnx", "b.onnx", "--out", missing), 9, "its folder does not exist")
    assert_one_error(ensemble("a.onnx", "b.onnx", "--data", source, "--out", out), 2, "is not the data that")
    assert_one_error(ensemble("a.onnx", "b.onnx", "--data", "nothing", "--out", out), 2, "'nothing'")
    assert ensemble("a.onnx", "b.onnx").code == 2
    assert not out.exists()
    assert not list(tmp_path.glob("*.csv"))


def test_data_that_the_card_names_may_be_out_of_reach(ensemble, folder, tmp_path):
    for name in ("a", "b"):
        relabelled(Recognizer.load(folder / f"{name}.onnx"), tmp_path / f"{name}.onnx", data="elsewhere")
    output = ensemble(tmp_path / "a.onnx", tmp_path / "b.onnx", "--out", tmp_path / "m.onnx")
    assert_one_error(output, 2, "The data that the model learned from cannot be opened")
    assert output.err.endswith("Use --data.\n")
