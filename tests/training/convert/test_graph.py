"""Our own graph of a network: the exporter's numbers, bit for bit, and its names; other layers are left to it."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import nn

from inkdigit.training.convert import graph, model_file
from inkdigit.training.network import nets
from inkdigit.training.recipe import Recipe

from ..conftest import tiny
from ..network.test_layers import SHARING

SMALL = {"filters": [4, 6], "kernel": 3, "precision": "float32"}
ROUNDING = {"plain": 0, "outliers": 1e-5, "residual": 0}  # average pooling inside a convolution rounds otherwise
# Between them every layer that `nets` makes, but the moments.
RECIPES = {
    "plain": {"pooling": "max", "head": "flatten", "dense": [8], "dense_dropout": 0.2, "activation": "gelu"},
    "outliers": {"pooling": "average", "head": "global_max", "outliers": 1, "dropout": 0.1},
    "residual": {
        "block": "residual",
        "padding": "same",
        "convs_per_block": 2,
        "pooling": "stride",
        "head": "global_average",
    },
}


def built(**changes: object) -> nn.Sequential:
    """A network whose batch norms and biases are drawn too: none has the values with which it begins."""
    torch.manual_seed(1)
    net = nets.build(tiny(**{**SMALL, **changes}), 3, mean=0.13, std=0.3).eval()
    for value in net.state_dict().values():
        if value.is_floating_point() and value.ndim == 1:
            value.uniform_(0.2, 0.9)
    return net


def outputs(model: onnx.ModelProto) -> list[np.ndarray]:
    return model_file.run_bytes(model.SerializeToString(), model_file.drawn_pictures("ink", 20))


@pytest.mark.parametrize(
    "name", ["outliers", *(pytest.param(name, marks=pytest.mark.slow) for name in ("plain", "residual"))]
)
def test_it_is_what_the_exporter_writes(name):
    net = built(**RECIPES[name])
    ours = graph.model_of(net, 1.7, classes=3)
    theirs = model_file._to_onnx(model_file.Answering(net, 1.7, classes=3).eval())
    onnx.checker.check_model(ours, full_check=True)
    assert [o.name for o in ours.graph.output] == [o.name for o in theirs.graph.output]
    assert all(
        np.allclose(*pair, rtol=0, atol=ROUNDING[name]) for pair in zip(outputs(ours), outputs(theirs), strict=True)
    )
    weights, expected = ({w.name: (w.dims, w.raw_data) for w in m.graph.initializer} for m in (ours, theirs))
    assert weights == expected


def test_a_layer_that_is_used_again_is_in_the_file_once():
    torch.manual_seed(1)
    recipe = Recipe(layers=SHARING)
    net = nets.build(recipe, 3).eval()
    ours = graph.model_of(net, 1.0, classes=3)
    theirs = model_file._to_onnx(model_file.Answering(net, 1.0, classes=3).eval())
    assert all(np.allclose(*pair, atol=1e-5) for pair in zip(outputs(ours), outputs(theirs), strict=True))
    assert {w.name for w in ours.graph.initializer} == {w.name for w in theirs.graph.initializer}
    assert sum(node.op_type == "Conv" for node in ours.graph.node) == 6


@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("padding", [0, 1])
def test_average_pooling_is_inside_the_convolution_before_it(kernel, padding, tmp_path):
    """The weights keep their shape; the runtime computes the kernel when it opens the file."""
    torch.manual_seed(1)
    convolution = nn.Conv2d(1, 3, kernel, padding=padding)
    net = nn.Sequential(convolution, nn.AvgPool2d(2), nn.ReLU(), nets.GlobalMax(), nn.Linear(3, 3)).eval()
    model = graph.model_of(net, 1.0, classes=3)
    onnx.checker.check_model(model, full_check=True)
    with torch.no_grad():
        expected = net(torch.from_numpy(model_file.drawn_pictures("ink", 20)).unsqueeze(1).float()).softmax(1)
    assert np.abs(outputs(model)[0] - expected.numpy()).max() < 1e-4
    assert {tuple(w.dims) for w in model.graph.initializer if w.name == "net.0.weight"} == {(3, 1, kernel, kernel)}
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "o.onnx")
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    optimized = onnx.load(tmp_path / "o.onnx").graph
    assert "AveragePool" not in [node.op_type for node in optimized.node]  # it is computed once


def test_average_pooling_stays_where_the_convolution_strides():
    net = nn.Sequential(nn.Conv2d(1, 3, 3, stride=2), nn.AvgPool2d(2), nets.GlobalMax(), nn.Linear(3, 3)).eval()
    nodes = [node.op_type for node in graph.model_of(net, 1.0, classes=3).graph.node]
    assert nodes.index("AveragePool") > nodes.index("Conv")


@pytest.mark.parametrize("activation", nets.ACTIVATIONS)
def test_it_predicts_what_the_network_does(activation):
    net = built(activation=activation)
    probs, score = outputs(graph.model_of(net, 1.7, classes=3))
    with torch.no_grad():
        logits = net(torch.from_numpy(model_file.drawn_pictures("ink", 20)).unsqueeze(1).float()) / 1.7
    assert np.abs(probs - logits.softmax(1).numpy()).max() < 1e-5
    assert np.abs(score - logits.logsumexp(1).numpy()).max() < 1e-4


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(1, 1, 3, padding="same"),
        nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"),
        nn.BatchNorm2d(1, affine=False),
        nn.MaxPool2d(3),
        nn.LeakyReLU(0.2),
        nn.Softplus(),
        nets.MomentNormalize(),
    ],
    ids=str,
)
def test_other_layers_are_left_to_the_exporter(layer):
    assert graph.model_of(nn.Sequential(layer, nn.Flatten(), nn.Linear(784, 3)), 1.0, classes=3) is None
