"""Keras files: stock Keras opens them, and they predict what the model file does."""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from inkdigit.errors import MissingExtra, ParityError, UsageError
from inkdigit.training.convert.keras import keras_bytes
from inkdigit.training.network import nets
from inkdigit.training.recipe import Recipe

from ..conftest import draw
from ..network.test_layers import SHARING
from .conftest import SHAPES, SMALL, fresh

pytestmark = pytest.mark.skipif(importlib.util.find_spec("keras") is None, reason="Keras is not installed")

OPEN = """\
import warnings, sys, numpy as np
warnings.simplefilter("ignore")
import keras
images = np.load(sys.argv[1])[..., None].astype("float32")
for path in sys.argv[2:]:
    model = keras.models.load_model(path)
    np.save(path + ".npy", model.predict(images, verbose=0))
    print(type(model).__name__, *(layer.name for layer in model.layers))
print(*(name for name in sys.modules if name.startswith("inkdigit")))
"""


def opened(images: np.ndarray, *paths: Path) -> list[tuple[np.ndarray, str]]:
    """What plain Keras in a fresh process makes of files: probabilities of each, and what it says of the model."""
    given = paths[0].with_suffix(".given.npy")
    np.save(given, images)
    env = {**os.environ, "KERAS_BACKEND": "torch", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", OPEN, str(given), *map(str, paths)]
    done = subprocess.run(command, env=env, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    *about, ours = done.stdout.removesuffix("\n").split("\n")
    assert ours == ""  # opened without a line of ours
    return [(np.load(f"{path}.npy"), line) for path, line in zip(paths, about, strict=True)]


@pytest.mark.parametrize("fields", SHAPES, ids=lambda fields: " ".join(map(str, fields.values())))
def test_every_kind_of_layer_answers_as_the_model_file_does(fields, tmp_path):
    recognizer = fresh(Recipe.from_fields({**SMALL, **fields}), tmp_path / "m.onnx")
    assert keras_bytes(recognizer)  # it compares the two itself: see the next tests


def test_a_layer_that_is_used_again_is_one_layer_of_keras(tmp_path):
    recognizer = fresh(Recipe(layers=SHARING), tmp_path / "m.onnx")
    path = tmp_path / "m.keras"
    path.write_bytes(keras_bytes(recognizer))  # it compares the two itself
    config = json.loads(zipfile.ZipFile(path).read("config.json"))["config"]["layers"]
    uses = {layer["config"]["name"]: len(layer["inbound_nodes"]) for layer in config}
    assert (uses["layer4_depthwise"], uses["layer5_conv"]) == (2, 2)


@pytest.mark.slow
def test_stock_keras_opens_the_files_in_a_fresh_process(tmp_path):
    recognizers, images = {}, draw(30, seed=8).images
    for block in ("plain", "residual"):
        recipe = Recipe.from_fields({**SMALL, "block": block, "convs_per_block": 2, "pooling": "stride"})
        recognizers[block] = fresh(recipe, tmp_path / f"{block}.onnx")
        (tmp_path / f"{block}.keras").write_bytes(keras_bytes(recognizers[block]))
    results = opened(images, tmp_path / "plain.keras", tmp_path / "residual.keras")
    for (block, recognizer), (probs, about) in zip(recognizers.items(), results, strict=True):
        expected = np.stack([p.probs for p in recognizer.predict(images)])
        assert np.abs(probs - expected).max() <= 1e-4, block
        kind, *names = about.split()
        assert kind == ("Sequential" if block == "plain" else "Functional")
        assert names[-3:] == ["output", "temperature", "probs"]
        assert ("block1_conv1" if block == "plain" else "block1_residual1_conv1") in names


def test_layers_are_stock_and_called_as_those_of_the_network(finished, tmp_path):
    path = tmp_path / "m.keras"
    path.write_bytes(keras_bytes(finished.model))
    config = json.loads(zipfile.ZipFile(path).read("config.json"))["config"]["layers"]
    assert {layer["registered_name"] for layer in config} == {None}
    assert {layer["module"] for layer in config} == {"keras.layers"}
    names = [layer["config"]["name"] for layer in config]
    expected = [name for name, _ in nets.build(Recipe.load(finished.folder), 3).named_children()]
    assert [name for name in names if name in expected] == expected


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Keras on NumPy 2.4
def test_the_real_digits(mnist, default_model, tmp_path):
    path = tmp_path / "m.keras"
    path.write_bytes(keras_bytes(default_model))
    raw = gzip.decompress((mnist / "t10k-images-idx3-ubyte.gz").read_bytes())
    pictures = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 28, 28)[:1000]  # the door leaves them as they are
    import keras  # on PyTorch now

    probs = keras.models.load_model(path).predict(pictures[..., None].astype(np.float32), verbose=0)
    assert np.abs(probs - np.stack([p.probs for p in default_model.predict(pictures)])).max() <= 1e-4


def test_a_layer_that_keras_does_not_have_is_an_error(tmp_path):
    with pytest.raises(UsageError, match=r"m\.onnx normalises moments.*Use the model file as it is"):
        keras_bytes(fresh(Recipe(filters=(4,), moments=True), tmp_path / "m.onnx"))


def test_a_file_that_answers_otherwise_is_not_handed_out(contradicted):
    with pytest.raises(ParityError, match=r"Keras file does not predict what .* at most 0\.0001"):
        keras_bytes(contradicted)


def test_what_is_set_for_keras_stays_set(finished, monkeypatch):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    keras_bytes(finished.model)  # Keras is imported, on PyTorch
    import keras

    keras.config.set_image_data_format("channels_first")
    try:
        keras_bytes(finished.model)
        assert keras.config.image_data_format() == "channels_first"
        assert keras.config.dtype_policy().name == "float32"
        assert "KERAS_BACKEND" not in os.environ
    finally:
        keras.config.set_image_data_format("channels_last")


def test_without_keras_the_error_names_what_to_install(finished, monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(MissingExtra, match=r"needs keras.*\[train\]"):
        keras_bytes(finished.model)
