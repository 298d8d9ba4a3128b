"""The results of a run: its predictions are enough for every plot, and its report has all of its parts."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from inkdigit import runs
from inkdigit.data.splits import split
from inkdigit.errors import OutputError
from inkdigit.training import environment, results
from inkdigit.training.network import loop, nets
from inkdigit.training.results import Job
from inkdigit.types import Dataset, Prediction

from .conftest import CLASSES, CPU, tensors, tiny


def job(dataset: Dataset, folder: Path, **fields: object) -> Job:
    recipe = tiny(**fields)
    parts = split(dataset, protocol=recipe.protocol, validation=recipe.validation, seed=recipe.seed)
    return Job(folder, recipe, dataset, parts, {}, CPU)


@pytest.fixture(scope="module")
def net() -> torch.nn.Sequential:
    torch.manual_seed(0)
    return nets.build(tiny(), 3).eval()


def test_the_predictions_are_enough_to_draw_every_figure_again(finished, drawn):
    with np.load(finished.folder / runs.PREDICTIONS) as stored:
        probs, logits, labels = stored["probs"], stored["logits"], stored["labels"]
    assert (probs.shape, logits.shape, labels.shape) == ((40, 3), (40, 3), (40,))
    assert np.array_equal(labels, drawn.test.labels)
    exponents = np.exp(logits - logits.max(1, keepdims=True))
    assert np.abs(exponents / exponents.sum(1, keepdims=True) - probs).max() < 1e-5
    assert np.mean(probs.argmax(1) == labels) == finished.report["accuracy"]


def test_an_image_without_a_prediction_has_nan(drawn, tmp_path):
    answers = [Prediction("0", 0.7, np.array([0.7, 0.3, 0.0], np.float32), 2.0), Prediction(None, reason="no ink")]
    small = Dataset("small", CLASSES, drawn.train, drawn.test.take(np.arange(2)))
    results.write_predictions(job(small, tmp_path), answers, 3)
    with np.load(tmp_path / runs.PREDICTIONS) as stored:
        assert np.isnan(stored["probs"][1]).all()
        assert np.isnan(stored["logits"][1]).all()
        assert stored["logits"][0, 2] == -np.inf  # a probability of 0


def test_the_report_has_model_data_and_stages(finished):
    report = finished.report
    assert set(report["seconds"]) == {"load", "train", "export", "evaluate", "report"}
    assert report["model"]["bytes"] == (finished.folder / "model.onnx").stat().st_size
    assert report["model"]["parameters"] == finished.model.card.parameters
    assert (report["model"]["layers"][-1]["name"], report["model"]["layers"][-1]["output"]) == ("output", "3")
    assert report["check"]["train"]["n"] == 120
    assert report["check"]["test"]["n"] == 40
    assert report["environment"]["data"]["name"] == "drawn"
    assert report["recipe"]["seed"] == 3


def test_a_set_with_one_split_reports_on_the_fifth_that_was_set_aside(drawn, tmp_path):
    one = job(Dataset("one", CLASSES, drawn.train), tmp_path)
    result = results.check_data(one)
    assert (result.train.n, result.test and result.test.n) == (96, 24)
    assert result.shared == 0


def test_glimpses_are_augmented_as_training_does_it(drawn, tmp_path):
    changed = results.augmented_glimpses(job(drawn, tmp_path, rotate_deg=20))
    assert (changed.shape, changed.dtype) == ((1, 28, 28), np.uint8)
    assert not np.array_equal(changed[0], drawn.glimpses[0][1])
    assert np.array_equal(results.augmented_glimpses(job(drawn, tmp_path))[0], drawn.glimpses[0][1])
    none = Dataset("none", CLASSES, drawn.train, drawn.test)
    assert results.augmented_glimpses(job(none, tmp_path)).shape == (0, 28, 28)


def test_a_full_disk_is_an_error_and_leaves_no_incomplete_model(drawn, net, tmp_path, monkeypatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr(results.model_file, "model_bytes", lambda *_, **__: b"model")
    about = environment.describe(drawn, source="drawn", device=CPU)
    state = loop.start(net, tiny())
    with pytest.raises(OutputError, match=r"model\.onnx cannot be written: the disk is full") as caught:
        results.write_model(replace(job(drawn, tmp_path), about=about), state)
    assert caught.value.exit_code == 9
    assert list(tmp_path.iterdir()) == []


def test_a_report_does_not_depend_on_its_folder(finished):
    html = (finished.folder / "report.html").read_text(encoding="utf-8")
    assert str(finished.folder) not in html
    assert json.dumps(finished.report, allow_nan=False)


def test_data_is_copied_to_the_device_once(drawn):
    copied = tensors(drawn.train)
    assert copied.images.dtype == torch.uint8
    assert (copied.images.shape, copied.labels.dtype) == ((120, 28, 28), torch.int64)
