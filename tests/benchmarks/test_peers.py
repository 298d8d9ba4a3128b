from __future__ import annotations

import gzip
import importlib
import json
import struct

import form
import numpy as np
import pytest

from inkdigit.picture.prepare import prepare
from inkdigit.synth.drawn import digit

FORM = {"entrant", "kind", "seed", "parameters", "threads", "device", "accuracy", "n", "peak_mb", "curve", "versions"}
FORM |= {f"{stage}_seconds" for stage in ("import", "load", "train", "answer")}


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny MNIST of drawn digits; the training split packed, the test split not."""
    path, rng = tmp_path_factory.mktemp("mnist"), np.random.default_rng(0)
    for part, n in (("train", 80), ("t10k", 30)):
        labels = (np.arange(n) % 10).astype(np.uint8)
        images = np.stack([prepare(digit(int(k), rng=rng, size_px=28)) for k in labels])
        for stem, array in (("images-idx3", images), ("labels-idx1", labels)):
            name, data = f"{part}-{stem}-ubyte", idx(array)
            (path / (f"{name}.gz" if part == "train" else name)).write_bytes(
                gzip.compress(data) if part == "train" else data
            )
    return path


@pytest.mark.parametrize(
    ("name", "parameters", "epochs"),
    [
        ("pytorch_example", 1_199_882, 2),
        ("zoo_cnn", 5_994, 2),
        ("sklearn_svm", None, None),
        ("sklearn_knn", None, None),
    ],
)
def test_a_peer_tells_the_common_form(folder, capsys, name, parameters, epochs):
    words = ["--epochs", str(epochs)] if epochs else []
    importlib.import_module(name).main([str(folder), "--seed", "7", "--pictures", "70", *words])
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(printed) - {"note"} == FORM
    assert (printed["entrant"], printed["kind"], printed["seed"], printed["parameters"]) == (
        name,
        "peer",
        7,
        parameters,
    )
    assert ("note" in printed) == (parameters is None)
    assert [epoch for epoch, _, _ in printed["curve"]] == list(range(1, (epochs or 1) + 1))
    assert printed["curve"][-1][1:] == [printed["train_seconds"], printed["accuracy"]]
    assert printed["n"] == 30


def test_another_network_than_the_published_one_is_refused():
    form.check_parameters(5_994, published=5_994)
    with pytest.raises(SystemExit, match="5,995 parameters instead of 5,994"):
        form.check_parameters(5_995, published=5_994)


def test_evaluation_is_not_on_the_clock():
    readings = iter([11.0, 13.0, 20.0, 20.5])
    clock = form.Clock(at=10.0, now=lambda: next(readings))
    clock.stop("load")
    clock.stop("train")
    clock.mark(1, 0.5)  # found out between 13 and 20
    clock.stop("train")
    assert clock.seconds == {"load": 1.0, "train": 2.5}
    assert clock.curve == [(1, 2.0, 0.5)]


def test_all_pictures_are_answered_after_a_warm_up():
    calls = []
    images = np.zeros((form.WARM_UP + 5, 28, 28), np.uint8)
    answers, seconds = form.predict_all(lambda some: calls.append(len(some)) or len(some), images)
    assert calls == [form.WARM_UP, len(images)]
    assert answers == len(images)
    assert seconds >= 0


def test_the_peer_on_keras_is_the_published_network(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")  # TensorFlow is not among the libraries of the tests
    pytest.importorskip("keras")
    network = importlib.import_module("keras_convnet").build()
    assert (network.count_params(), network.output_shape) == (34_826, (None, 10))
