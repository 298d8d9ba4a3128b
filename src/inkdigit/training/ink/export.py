"""From the trained ink network to the file that the package ships: `picture/photo/ink.onnx`.

In: a folder that `training/ink/train` has filled. Out: ONNX, `gray: uint8 [h, w]` → `shares: float32 [4, h, w]`, height
and width multiples of 16. Batch norm is folded; each weight is one byte with a scale for each channel, which ONNX
Runtime turns into float32 when it loads the file. Parity with the network is checked first.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from inkdigit.errors import ParityError
from inkdigit.picture.photo.network import METADATA_KEY, VERSION
from inkdigit.training.convert.model_file import to_onnx
from inkdigit.training.ink.net import InkNet
from inkdigit.training.ink.train import CHECKPOINT
from inkdigit.training.network.steps import read_net

MIN_PACKED = 512  # weights: smaller tensors stay float32
PARITY_MEAN, PARITY_MAX = 0.004, 0.35  # of a share: what one byte a weight may change, on average and at most


class Answering(nn.Module):
    """The network with all steps around it: the exported graph."""

    def __init__(self, net: InkNet) -> None:
        """Wrap `net`."""
        super().__init__()
        self.net = net

    def forward(self, gray: Tensor) -> Tensor:
        """uint8 (H, W) → shares float32 (4, H, W), which sum to one."""
        return torch.softmax(self.net(gray[None, None].float()), 1)[0]


def fold(net: nn.Module) -> nn.Module:
    """The same network, its batch norms inside its convolutions."""
    for name, child in net.named_children():
        if isinstance(child, nn.Sequential) and len(child) == 3 and isinstance(child[1], nn.BatchNorm2d):
            fused = fuse_conv_bn_eval(child[0], child[1])  # type: ignore[type-var]
            setattr(net, name, nn.Sequential(fused, child[2]))
        else:
            fold(child)
    return net


def export(folder: Path) -> bytes:
    """The bytes of the file.

    Raises:
        ParityError: it does not give what the network gives.
    """
    net = InkNet()
    step = read_net(folder / CHECKPOINT, net)
    answering = Answering(fold(net.eval())).eval()  # type: ignore[arg-type]
    example = torch.randint(0, 256, (96, 128), dtype=torch.uint8)
    sides = {0: torch.export.Dim("rows", min=1, max=64) * 16, 1: torch.export.Dim("columns", min=1, max=64) * 16}
    model = to_onnx(answering, example, input_name="gray", outputs=["shares"], shapes=(sides,), optimize=True)
    _pack(model)
    model.metadata_props.add(key=METADATA_KEY, value=json.dumps({"version": VERSION, "step": step}))
    data = bytes(model.SerializeToString())
    _check(data, answering)
    return data


def _pack(model: onnx.ModelProto) -> None:
    """Store large weights as int8 and a scale for each output channel; the graph multiplies them."""
    before = []
    for tensor in list(model.graph.initializer):
        weights = numpy_helper.to_array(tensor)
        if weights.dtype != np.float32 or weights.size < MIN_PACKED:
            continue
        scale = np.abs(weights).max(axis=tuple(range(1, weights.ndim)), keepdims=True) / 127
        packed = np.rint(weights / np.maximum(scale, 1e-12)).astype(np.int8)
        model.graph.initializer.remove(tensor)
        name = tensor.name
        model.graph.initializer.append(numpy_helper.from_array(packed, f"{name}.int8"))
        model.graph.initializer.append(numpy_helper.from_array(scale.astype(np.float32), f"{name}.scale"))
        before.append(onnx.helper.make_node("Cast", [f"{name}.int8"], [f"{name}.cast"], to=onnx.TensorProto.FLOAT))
        before.append(onnx.helper.make_node("Mul", [f"{name}.cast", f"{name}.scale"], [name]))
    nodes = [*before, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _check(data: bytes, answering: Answering) -> None:
    from inkdigit.synth.drawn import digit

    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    for shape in ((128, 128), (64, 256)):
        rng = np.random.default_rng(0)
        gray = np.full(shape, 230, np.uint8) - rng.integers(0, 9, shape).astype(np.uint8)
        gray[:64, :64] -= digit(5, rng=rng, size_px=64) // 2
        with torch.no_grad():
            expected = answering(torch.from_numpy(gray)).numpy()
        away = np.abs(session.run(None, {"gray": gray})[0] - expected)
        if not (away.mean() <= PARITY_MEAN and away.max() <= PARITY_MAX):
            raise ParityError(
                "The exported ink network does not give what the trained one gives",
                expected=f"differences of {PARITY_MEAN} on average and {PARITY_MAX} at most",
                received=f"{away.mean():.4f}, {away.max():.4f}",
            )
