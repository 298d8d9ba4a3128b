"""Restoring: the network and the recipe come back from the model file alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from inkdigit.errors import NotAModelFile, UsageError
from inkdigit.model.recognizer import Recognizer
from inkdigit.training.convert.int8 import int8_bytes
from inkdigit.training.convert.restore import restore
from inkdigit.training.network import checkpoint, nets
from inkdigit.training.recipe import Recipe

from ..conftest import CPU, draw, weights
from ..network.test_layers import SHARING
from .test_keras import fresh


def edited(run: Any, path: Path, edit: Callable[[onnx.ModelProto, dict[str, Any]], None]) -> Recognizer:
    """The model of a run with something changed, loaded."""
    model = onnx.load(run.folder / "model.onnx")
    card = json.loads(model.metadata_props[0].value)
    edit(model, card)
    model.metadata_props[0].value = json.dumps(card)
    path.write_bytes(model.SerializeToString())
    return Recognizer.load(path)


def test_the_network_answers_as_the_file_does(finished):
    net, recipe = restore(finished.model)
    assert recipe == Recipe.load(finished.folder)
    assert not net.training
    images = draw(16, seed=7).images
    with torch.no_grad():
        logits = net(torch.from_numpy(images).unsqueeze(1).float()) / finished.model.card.calibration.temperature
    probs = np.stack([p.probs for p in finished.model.predict(images)])
    assert np.abs(torch.softmax(logits, 1).numpy() - probs).max() < 1e-4


def test_the_weights_are_those_that_training_ended_with(finished):
    net, recipe = restore(finished.model)
    trained = checkpoint.read(finished.folder, nets.build(recipe, 3), recipe, device=CPU).net
    counters = {name for name in weights(net) if name.endswith("num_batches_tracked")}
    assert {k: v for k, v in weights(net).items() if k not in counters} == {
        k: v for k, v in weights(trained).items() if k not in counters
    }
    assert float(net.get_buffer("normalize.std")) != 1  # normalize = standard: the mean and deviation travel too


def test_a_network_that_uses_a_layer_again_comes_back(tmp_path):
    recognizer = fresh(Recipe(layers=SHARING), tmp_path / "m.onnx")
    net, _ = restore(recognizer)
    images = draw(16, seed=7).images
    with torch.no_grad():
        logits = net(torch.from_numpy(images).unsqueeze(1).float()) / recognizer.card.calibration.temperature
    assert np.abs(torch.softmax(logits, 1).numpy() - recognizer.probs_as_prepared(images)).max() < 1e-4
    path = tmp_path / "int8.onnx"
    path.write_bytes(int8_bytes(recognizer, images))
    Recognizer.load(path)  # its self test passes


def test_a_card_without_recipe_is_an_error(finished, tmp_path):
    without = edited(finished, tmp_path / "m.onnx", lambda _, card: card["provenance"].pop("recipe"))
    with pytest.raises(NotAModelFile, match="its card has no recipe"):
        restore(without)


def test_a_file_made_from_others_names_them(finished, tmp_path):
    members = [{"file": f"run{i}/model.onnx", "sha256": f"{i}" * 64} for i in (1, 2)]
    ensemble = edited(finished, tmp_path / "m.onnx", lambda _, card: card["provenance"].update(made_from=members))
    with pytest.raises(
        UsageError, match=r"no trainable weights.*run1/model\.onnx \(SHA-256 1{12}…\), run2/model\.onnx"
    ):
        restore(ensemble)


def test_weights_that_are_not_there_are_named(finished, tmp_path):
    def rename(model: onnx.ModelProto, _: dict[str, Any]) -> None:
        for entry in (*model.graph.initializer, *model.graph.node):
            if getattr(entry, "name", "") == "net.output.weight":
                entry.name = "elsewhere"
            for i, name in enumerate(getattr(entry, "input", ())):
                if name == "net.output.weight":
                    entry.input[i] = "elsewhere"

    with pytest.raises(NotAModelFile, match=r"the weights output\.weight are not in it"):
        restore(edited(finished, tmp_path / "m.onnx", rename))


@pytest.mark.parametrize(
    "recipe",
    [
        'filters = [4, 9]\nhead = "global_max"\n',
        "epochz = 3\n",
        "epochs = \n",
        "epochs = " + "9" * 5000,
        "filters = " + "[" * 60_000,
        "filters = [4096, 4096]\nkernel = 55",
        "x" + ".x" * 30_000 + " = 1",
    ],
)
def test_a_recipe_that_does_not_fit_is_an_error(finished, tmp_path, recipe):
    odd = edited(finished, tmp_path / "m.onnx", lambda _, card: card["provenance"].update(recipe=recipe))
    with pytest.raises(NotAModelFile, match=r"m\.onnx"):
        restore(odd)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda weight: weight.ClearField("raw_data"),
        lambda weight: setattr(weight, "raw_data", weight.raw_data[:-3]),
        lambda weight: setattr(weight, "data_type", 99),
        lambda weight: setattr(weight, "data_type", onnx.TensorProto.STRING),
        lambda weight: weight.dims.append(2**40),
        lambda weight: setattr(weight, "data_location", onnx.TensorProto.EXTERNAL),
    ],
    ids=["no data", "data cut short", "unknown type", "text", "a large shape", "data in another file"],
)
def test_weights_that_changed_after_the_file_was_opened(finished, tmp_path, spoil):
    recognizer = edited(finished, tmp_path / "m.onnx", lambda *_: None)
    model = onnx.load(recognizer.path)
    spoil(next(one for one in model.graph.initializer if one.name == "net.output.weight"))
    recognizer.path.write_bytes(model.SerializeToString())
    with pytest.raises(NotAModelFile):
        restore(recognizer)
    recognizer.path.write_bytes(b"not a model any more")
    with pytest.raises(NotAModelFile):
        restore(recognizer)
