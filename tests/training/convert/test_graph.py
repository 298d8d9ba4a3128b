"""Our own graph of a network: the exporter's numbers, bit for bit, and its names; other layers are left to it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from inkdigit.training.convert import graph, model_file
from inkdigit.training.network import nets

from ..conftest import tiny

SMALL = {"filters": [4, 6], "kernel": 3, "precision": "float32"}
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
    assert all(map(np.array_equal, outputs(ours), outputs(theirs)))
    weights, expected = ({w.name: (w.dims, w.raw_data) for w in m.graph.initializer} for m in (ours, theirs))
    assert weights == expected


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
