"""The model file: it predicts what the network does, any ONNX tool opens it, nothing of the exporter is left."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from inkdigit.errors import ParityError
from inkdigit.model.card import METADATA_KEY, Calibration
from inkdigit.model.provenance import Provenance
from inkdigit.model.recognizer import Recognizer
from inkdigit.picture.photo import network
from inkdigit.picture.prepare import VERSION
from inkdigit.training.convert import model_file
from inkdigit.training.convert.restore import restore
from inkdigit.training.network import checkpoint, nets
from inkdigit.training.recipe import Recipe, bundled
from inkdigit.types import OUTLIERS, Gray

from ..conftest import CLASSES, CPU, FINISHED, draw, fit, tiny

CALIBRATION = Calibration(1.7, -3.0, 0.999, "somewhere")


def model_bytes(net: nn.Sequential, recipe: Recipe, *, samples: Gray) -> bytes:
    return model_file.model_bytes(
        net,
        recipe.name,
        classes=CLASSES,
        kind="ink",
        calibration=CALIBRATION,
        samples=samples,
        provenance=Provenance(recipe=recipe.to_toml()),
    )


@pytest.fixture(scope="module")
def net(finished) -> nn.Sequential:
    """The network that the finished run ended with."""
    return checkpoint.read(finished.folder, nets.build(FINISHED, 3), FINISHED, device=CPU).net.eval()


@pytest.fixture(scope="module")
def data(finished) -> bytes:
    """The model file of the finished run."""
    return (finished.folder / "model.onnx").read_bytes()


@pytest.fixture(scope="module")
def graph(data) -> onnx.ModelProto:
    return onnx.load_from_string(data)


@pytest.mark.parametrize("n", [1, 2, 7])
def test_the_file_answers_as_the_network_does_for_any_number_of_images(net, data, n):
    images = draw(n, seed=4).images
    probs, score = ort.InferenceSession(data).run(None, {"image": images})
    with torch.no_grad():
        logits = net(torch.from_numpy(images).unsqueeze(1).float())
    assert probs.shape == (n, 3)
    assert score.shape == (n,)
    assert (probs.dtype, score.dtype) == (np.float32, np.float32)
    assert np.abs(probs - torch.softmax(logits, 1).numpy()).max() < 1e-4
    assert np.abs(score - torch.logsumexp(logits, 1).numpy()).max() < 1e-3


def test_a_network_that_learned_from_outliers_scores_the_odds_against_them(tmp_path):
    recipe = tiny(outliers=1)
    torch.manual_seed(2)
    net = nets.build(recipe, 3).eval()
    images = draw(6, seed=4).images
    (tmp_path / "model.onnx").write_bytes(model_bytes(net, recipe, samples=images))
    probs, score, outliers = ort.InferenceSession(tmp_path / "model.onnx").run(None, {"image": images})
    with torch.no_grad():
        logits = net(torch.from_numpy(images).unsqueeze(1).float()) / CALIBRATION.temperature
    assert np.abs(probs - torch.softmax(logits[:, :3], 1).numpy()).max() < 1e-4
    assert np.abs(score - (logits[:, :3].logsumexp(1) - logits[:, 3:].logsumexp(1)).numpy()).max() < 1e-4
    assert np.abs(outliers - torch.softmax(logits[:, 3:], 1).numpy()).max() < 1e-4
    model = Recognizer.load(tmp_path / "model.onnx")
    assert model.card.outliers == OUTLIERS
    restored, again = restore(model)
    assert again.outliers == 1
    with torch.no_grad():
        pixels = torch.from_numpy(images).unsqueeze(1).float()
        assert torch.equal(restored(pixels), net(pixels))
        assert torch.allclose(nets.only_classes(restored, 3)(pixels), net(pixels)[:, :3], atol=1e-6)


def test_what_goes_in_and_out_is_named(graph):
    assert [i.name for i in graph.graph.input] == ["image"]
    assert [o.name for o in graph.graph.output] == ["probs", "score"]
    onnx.checker.check_model(graph, full_check=True)


def test_the_initialisers_keep_the_names_of_the_weights(net, graph):
    arrays = {i.name: numpy_helper.to_array(i) for i in graph.graph.initializer}
    expected = {k: v for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}
    assert {f"net.{name}" for name in expected} <= set(arrays)  # batch norm is not folded
    assert all(np.array_equal(arrays[f"net.{name}"], value.numpy()) for name, value in expected.items())


def test_onnx_runtime_can_fold_the_batch_norms(data, graph, tmp_path):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(tmp_path / "folded.onnx")
    ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    assert "BatchNormalization" in [node.op_type for node in graph.graph.node]
    assert "BatchNormalization" not in [node.op_type for node in onnx.load(tmp_path / "folded.onnx").graph.node]


def test_nothing_of_the_exporter_is_left(graph, net, data):
    assert [entry.key for entry in graph.metadata_props] == [METADATA_KEY]
    parts = (*graph.graph.node, *graph.graph.initializer, *graph.graph.input, *graph.graph.output)
    assert not [part.name for part in parts if part.metadata_props or part.doc_string]
    assert not graph.graph.value_info
    assert (graph.producer_name, graph.doc_string) == ("inkdigit", "")
    assert not graph.functions
    assert len(data) < 4 * nets.parameters(net) + 12_000
    assert str(Path.home()).encode() not in data


def test_the_card_states_what_the_model_is(graph, drawn):
    card = json.loads(graph.metadata_props[0].value)
    assert card["name"] == "tiny"
    assert card["classes"] == list(CLASSES)
    ink = {"version": network.VERSION, "sha256": network.sha256()}
    assert card["prepare"] == {"kind": "ink", "version": VERSION, "ink": ink}
    assert card["calibration"]["temperature"] == 1  # thirty pictures are too few to fit one
    assert card["figures"]["n"] == 40
    assert tomllib.loads(card["provenance"]["recipe"])["normalize"] == "standard"
    assert card["provenance"]["data"]["sha256"] == drawn.sha256
    assert len(card["self_test"]["probs"]) == model_file.SELF_TEST_IMAGES


def test_figures_are_added_and_change_nothing_else(data):
    with_figures = model_file.with_figures(data, {"accuracy": 0.5})
    before, after = onnx.load_from_string(data), onnx.load_from_string(with_figures)
    card = json.loads(after.metadata_props[0].value)
    assert card.pop("figures") == {"accuracy": 0.5}
    assert card == {k: v for k, v in json.loads(before.metadata_props[0].value).items() if k != "figures"}
    assert after.graph == before.graph
    assert [entry.key for entry in after.metadata_props] == [METADATA_KEY]


def test_the_images_of_the_self_test_are_always_the_same():
    first = model_file.drawn_pictures("ink")
    assert first.shape == (10, 28, 28)
    assert first.any((1, 2)).all()
    assert np.array_equal(first, model_file.drawn_pictures("ink"))


class Other(nn.Sequential):
    """A network that is another one when it is exported."""

    def __init__(self, off: float) -> None:
        super().__init__(nn.Flatten(), nn.Linear(28 * 28, len(CLASSES)))
        self.off = off

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = super().forward(x)
        return logits + self.off if torch.compiler.is_exporting() else logits


@pytest.mark.parametrize("off", [0.01, float("nan")])
def test_a_file_that_answers_otherwise_is_not_written(off):
    with pytest.raises(ParityError, match=r"does not predict what the network .* at most 0\.0001") as caught:
        model_bytes(Other(off), FINISHED, samples=draw(4).images)
    assert caught.value.exit_code == 6


def shrunk(recipe: Recipe) -> Recipe:
    """The same recipe with few filters, unless it lists its layers, and two steps."""
    small = (
        {}
        if recipe.layers
        else {"filters": [min(n, 4) for n in recipe.filters], "dense": [min(n, 6) for n in recipe.dense]}
    )
    return recipe.change({**small, "epochs": 1, "min_steps": 0, "batch": 16, "precision": "float32"})


@pytest.mark.parametrize(
    ("name", "changes"), [*((name, {}) for name in bundled()), ("fast", {"moments": True})], ids=str
)
def test_every_bundled_recipe_trains_exports_loads_and_restores(name, changes, tmp_path):
    recipe, data = shrunk(Recipe.load(name, changes)), draw(32)
    state, rows = fit(recipe, data, validation=draw(6) if recipe.needs_validation else None)
    assert rows[-1].step == 2
    path = tmp_path / "m.onnx"
    path.write_bytes(model_bytes(state.net, recipe, samples=data.images))
    recognizer = Recognizer.load(path)  # the self test passes
    back, recipe_back = restore(recognizer)
    assert recipe_back == recipe
    with torch.no_grad():
        x = torch.from_numpy(data.images).unsqueeze(1).float()
        expected, logits = state.net.eval()(x), back(x)
    assert torch.allclose(logits, expected, atol=1e-4)
    probs = torch.softmax(logits[:, : len(CLASSES)] / CALIBRATION.temperature, 1).numpy()
    answers = recognizer.predict(data.images)
    assert np.abs(np.stack([a.probs for a in answers if a.probs is not None]) - probs).max() < 1e-4
