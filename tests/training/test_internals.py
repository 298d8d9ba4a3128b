"""Filters, feature maps of plain and residual networks, gradients; and the insight of a run."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from inkdigit.errors import MissingExtra, UsageError
from inkdigit.model.explain import explain as explain_picture
from inkdigit.training import internals
from inkdigit.training.convert.restore import restore
from inkdigit.training.network import nets
from inkdigit.training.recipe import Recipe
from inkdigit.types import Part, Prediction

from .conftest import draw, tiny
from .network.test_layers import SHARING


def built(classes: int = 3, **fields: object) -> torch.nn.Sequential:
    torch.manual_seed(0)
    return nets.build(tiny(**fields), classes).eval()


def evidence(net: torch.nn.Module, images: np.ndarray, chosen: int) -> np.ndarray:
    """The log-odds of one class, from its definition."""
    with torch.no_grad():
        probs = torch.softmax(net(torch.from_numpy(images).unsqueeze(1).float()).double(), 1)[:, chosen].numpy()
    return np.log(probs / (1 - probs))


def test_filters_are_the_first_convolution():
    net = built(kernel=(5, 3))
    result = internals.filters(net)
    assert (result.shape, result.dtype) == ((4, 5, 5), np.float32)
    assert np.array_equal(result, net.get_submodule("block1_conv1").weight.detach().numpy()[:, 0])


def test_a_network_without_convolutions_has_neither_filters_nor_maps():
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 4), torch.nn.ReLU(), torch.nn.Linear(4, 3))
    assert len(internals.filters(net)) == 0
    assert internals.feature_maps(net, draw(2).images) == {}
    assert internals.gradients(net, draw(2).images, [0, 1]).shape == (2, 28, 28)


@pytest.mark.parametrize("activation", sorted(nets.ACTIVATIONS))
def test_feature_maps_are_what_leaves_the_activation(activation):
    net, images = built(convs_per_block=2, activation=activation, dense=(5,)), draw(2).images
    maps = internals.feature_maps(net, images)
    assert list(maps) == ["block1_conv1", "block1_conv2", "block2_conv1", "block2_conv2"]
    x = torch.from_numpy(images).unsqueeze(1).float()
    with torch.no_grad():
        for name, layer in net.named_children():
            x = layer(x)
            if name.removesuffix(f"_{activation}") in maps and name.endswith(activation):
                assert np.array_equal(maps[name.removesuffix(f"_{activation}")], x.numpy())
    before = {name: values.copy() for name, values in maps.items()}
    net(torch.zeros(1, 1, 28, 28))  # nothing listens any more
    assert all(np.array_equal(maps[name], values) for name, values in before.items())


def test_feature_maps_look_inside_residual_units():
    net = built(block="residual", convs_per_block=2, padding="same")
    images = draw(2).images
    maps = internals.feature_maps(net, images)
    units = [f"block{b}_residual1.conv{c}" for b in (1, 2) for c in (1, 2)]
    assert list(maps) == ["stem_conv", *units]
    x = torch.from_numpy(images).unsqueeze(1).float()
    with torch.no_grad():
        for name, layer in net.named_children():
            x = layer(x)
            if isinstance(layer, nets.Residual):
                assert np.array_equal(maps[f"{name}.conv2"], x.numpy())  # after the sum


def test_each_use_of_a_layer_has_its_feature_maps():
    net, images = nets.build(Recipe(layers=SHARING), 3).eval(), draw(2).images
    maps = internals.feature_maps(net, images)
    assert {name: values.shape[1:] for name, values in maps.items()} == {
        "layer1_conv": (6, 26, 26),
        "layer5_conv": (6, 13, 13),  # the depthwise one before it has no activation
        "layer9_again": (6, 7, 7),
    }


class Odd(torch.nn.Module):
    """Convolutions of the images, of its own weights and of four patches an image."""

    def __init__(self) -> None:
        super().__init__()
        self.own = torch.nn.Parameter(torch.randn(1, 1, 8, 8))
        self.whole, self.of_own, self.of_patches = (torch.nn.Conv2d(1, 2, 3) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        patches = x.unfold(2, 14, 14).unfold(3, 14, 14).reshape(-1, 1, 14, 14)
        weight = self.of_own(self.own).mean() + self.of_patches(patches).mean()
        return weight * self.whole(x).mean((2, 3))


@pytest.mark.parametrize("count", [1, 3])
def test_only_what_a_convolution_sees_of_each_image_is_a_map(count):
    images = draw(count).images
    net = Odd()
    maps = internals.feature_maps(net, images, activated=False)
    seen = net.whole(torch.from_numpy(images).unsqueeze(1).float()).detach().numpy()
    assert list(maps) == ["whole"]
    assert maps["whole"] == pytest.approx(seen, rel=1e-4, abs=1e-3)


class Hard(torch.nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward((x > 99).float().flatten(1))


def test_a_network_without_derivative_is_an_error():
    with pytest.raises(UsageError, match="has no gradients for an image"):
        internals.gradients(Hard(784, 3), draw(1).images, [0])


@pytest.mark.parametrize("fields", [{"dense": (8,)}, {"block": "residual", "convs_per_block": 2, "padding": "same"}])
def test_gradients_share_out_the_evidence(fields):
    net, part = built(activation="gelu", **fields), draw(3)
    net.train()
    result = internals.gradients(net, part.images, [2, 2, 2])
    assert net.training
    net.eval()
    assert (result.shape, result.dtype) == ((3, 28, 28), np.float32)
    assert not result[part.images == 0].any()
    blank = np.zeros((1, 28, 28), np.uint8)
    gained = evidence(net, part.images, 2) - evidence(net, blank, 2)
    assert np.abs(gained).max() > 0.01
    assert result.sum((1, 2)) == pytest.approx(gained, rel=0.1, abs=0.02)


def test_an_image_may_have_a_class_of_its_own_explained():
    net, images = built(), draw(1).images
    both = internals.gradients(net, np.repeat(images, 2, axis=0), [0, 1])
    assert np.array_equal(both[1], internals.gradients(net, images, [1])[0])
    assert not np.array_equal(both[0], both[1])


def test_gradients_without_captum_are_an_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(MissingExtra, match=r"captum.*\[train\]") as caught:
        internals.gradients(built(), draw(1).images, [0])
    assert caught.value.exit_code == 7


def test_the_weights_add_gradients_to_explanations(finished):
    images = draw(2).images
    before = [explain_picture(finished.model, image) for image in images]
    after, inside = internals.explain_weights(finished.model, before)
    net, _ = restore(finished.model)
    assert np.array_equal(inside.filters, internals.filters(net))
    assert list(inside.maps) == ["block1_conv1", "block2_conv1"]
    classes = [one.class_index for one in before]
    assert np.array_equal(np.stack([one.gradients for one in after]), internals.gradients(net, images, classes))
    assert [one.occlusion.tobytes() for one in after] == [one.occlusion.tobytes() for one in before]
    assert inside.left_out is None


def predictions(predicted: list[int], scores: list[float]) -> list[Prediction]:
    names = ("0", "1", "2")
    return [
        Prediction(names[k], 0.9, np.roll(np.array([0.9, 0.05, 0.05], np.float32), k), score)
        for k, score in zip(predicted, scores, strict=True)
    ]


def test_the_insight_of_a_run_takes_clear_examples_and_the_worst_mistakes(finished):
    part = draw(9)  # 0 1 2 0 1 2 0 1 2
    predicted = predictions([0, 1, 2, 0, 1, 2, 0, 1, 0], [1, 1, 1, 3, 1, 1, 2, 4, 9])
    result = internals.insight(finished.model, part, predicted)
    pictures = [example.explanation.image for example in result.examples]
    assert all(np.array_equal(a, b) for a, b in zip(pictures, part.images[[3, 7, 2]], strict=True))
    assert [example.title for example in (*result.examples, *result.mistakes)] == ["0", "1", "2", "2 → 0"]
    assert all(maps.shape[0] == 3 for maps in result.maps.values())
    for example in (*result.examples, *result.mistakes):
        assert example.explanation.occlusion.any()
        assert example.explanation.gradients.any()
    assert result.left_out is None


def test_examples_are_spread_over_the_classes_that_were_read_right():
    classes = tuple(f"class {i}" for i in range(256))
    labels = np.arange(256, dtype=np.int64)
    predicted = [Prediction(classes[i], 0.9, np.eye(256, dtype=np.float32)[i], 1.0) for i in range(256)]
    predicted[255] = Prediction(None, reason="no ink")
    assert internals.clear_examples(predicted, labels, classes).tolist() == [0, 127, 254]
    assert internals.clear_examples(predicted[:2], labels[1::-1], classes).tolist() == []


def test_a_model_that_never_answered_has_no_insight(finished):
    result = internals.insight(finished.model, draw(3), [Prediction(None, reason="no ink")] * 3)
    assert (result.examples, result.mistakes, result.filters) == ((), (), None)


def test_a_library_that_is_missing_does_not_cost_the_training(finished, monkeypatch):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    result = internals.insight(finished.model, draw(3), predictions([0, 1, 2], [1, 1, 1]))
    assert "Gradients need captum" in (result.left_out or "")
    assert len(result.filters) == 4  # these need PyTorch alone
    assert list(result.maps) == ["block1_conv1", "block2_conv1"]
    assert [example.explanation.gradients for example in result.examples] == [None] * 3
    assert result.examples[0].explanation.occlusion.any()


def test_the_report_of_a_run_shows_it(finished):
    html = (finished.folder / "report.html").read_text(encoding="utf-8")
    assert '<section id="insight">' in html
    plots = {path.stem for path in (finished.folder / "plots").iterdir()}
    assert {"filters", "maps-block1_conv1", "maps-block2_conv1", "saliency-1"} <= plots


def test_splits_of_one_image_are_enough(finished):
    part: Part = draw(1)
    result = internals.insight(finished.model, part, predictions([1], [1.0]))
    assert (len(result.examples), [example.title for example in result.mistakes]) == (0, ["0 → 1"])
