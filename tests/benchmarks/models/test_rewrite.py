"""A bundled model that is written again predicts the same, with the same card."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import onnx
import pytest
from torch import nn

from benchmarks.models import rewrite
from inkdigit.errors import UsageError
from inkdigit.model.recognizer import ZOO, Recognizer
from inkdigit.training.convert import model_file
from inkdigit.training.convert.restore import restore
from inkdigit.training.network import nets


@pytest.fixture
def zoo(tmp_path):
    """A file whose pooling is still a node of its own, as earlier releases wrote it, and an int8 file."""
    model = Recognizer.load("fast")
    layers = OrderedDict[str, nn.Module]()
    for name, layer in restore(model)[0].named_children():
        layers[name] = layer
        if isinstance(layer, nets.PooledConv2d):
            layers[name] = nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel_size, bias=False)
            layers[name].load_state_dict(layer.state_dict())
            layers["pool"] = nn.AvgPool2d(2)
    net = nn.Sequential(layers)
    answering = model_file.Answering(net, model.card.calibration.temperature, classes=10).eval()
    old = model_file._to_onnx(answering)
    model_file.set_card(old, model.card)
    (tmp_path / "fast.onnx").write_bytes(old.SerializeToString())
    (tmp_path / "best.onnx").write_bytes((ZOO / "best.onnx").read_bytes())
    return tmp_path


def pools(path) -> list[str]:
    """What the nodes that pool look at."""
    return [node.input[0] for node in onnx.load(path).graph.node if node.op_type == "AveragePool"]


def test_float_files_are_written_again_with_their_card(zoo, capsys):
    path = zoo / "fast.onnx"
    before, int8 = Recognizer.load(path), (zoo / "best.onnx").read_bytes()
    assert not pools(path)[0].endswith("weight")
    assert rewrite.main([], zoo=zoo) == 0
    after = Recognizer.load(path)
    assert after.card.to_json() == before.card.to_json()
    assert pools(path) == ["net.block2_conv1.weight"]
    images = model_file.drawn_pictures("ink", 50)
    assert np.abs(after.probs_as_prepared(images) - before.probs_as_prepared(images)).max() < 1e-5
    assert all(map(np.array_equal, *(restore(model)[0].state_dict().values() for model in (before, after))))
    assert (zoo / "best.onnx").read_bytes() == int8
    written = path.read_bytes()
    assert rewrite.main(["fast"], zoo=zoo) == 0
    assert capsys.readouterr().out.splitlines() == ["fast: written again", "fast: it is so already"]
    assert path.read_bytes() == written


def test_what_cannot_be_written_again_is_an_error(zoo, capsys):
    assert rewrite.main(["best"], zoo=zoo) == UsageError.exit_code
    assert rewrite.main(["fats"], zoo=zoo) == UsageError.exit_code
    first, second = capsys.readouterr().err.splitlines()
    assert "no trainable weights" in first
    assert "There is no bundled model 'fats'" in second
