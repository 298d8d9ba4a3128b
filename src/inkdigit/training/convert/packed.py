"""Small files: batch norm folded into the convolutions, and each weight one byte with a scale for each channel.

ONNX Runtime makes float32 of the weights when it loads the file.
"""

from __future__ import annotations

import json

import numpy as np
import onnx
from onnx import numpy_helper
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

MIN_PACKED = 512  # weights: smaller tensors stay float32


def fold(net: nn.Module) -> nn.Module:
    """The same network, its batch norms inside its convolutions."""
    for name, child in net.named_children():
        if isinstance(child, nn.Sequential) and len(child) == 3 and isinstance(child[1], nn.BatchNorm2d):
            fused = fuse_conv_bn_eval(child[0], child[1])  # type: ignore[type-var]
            setattr(net, name, nn.Sequential(fused, child[2]))
        else:
            fold(child)
    return net


def pack(model: onnx.ModelProto) -> None:
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


def packed_bytes(model: onnx.ModelProto, *, key: str, version: int, step: int) -> bytes:
    """The bytes of a packed file; under `key` it says its version, and how many steps it was trained for."""
    pack(model)
    model.metadata_props.add(key=key, value=json.dumps({"version": version, "step": step}))
    return bytes(model.SerializeToString())
