"""The ONNX graph of a network that `nets` built, written node by node.

In: a network, its temperature, the number of classes. Out: an ONNX model that predicts what that of PyTorch's exporter
does, or None for a network with other layers. The exporter takes any network, and two seconds to be imported and to
look at it; this takes milliseconds. Predictions are the same bit for bit, except where a convolution and the average
pooling after it become one convolution, which rounds in another order (`_add_averaged`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import ArrayLike
from torch import nn

from inkdigit.errors import MissingExtra
from inkdigit.model.card import OUTLIERS_OUTPUT, OUTPUTS
from inkdigit.training.network.nets import (
    ACTIVATIONS,
    Again,
    GlobalAverage,
    GlobalMax,
    Normalize,
    PooledConv2d,
    Residual,
)
from inkdigit.types import SIDE

OPSET, IR_VERSION = 18, 10  # of ONNX: those that PyTorch's exporter writes
PREFIX = "net."  # of the names of the weights: the network's name inside the exported graph
# Layers without weights, as `nets` makes them: what prints otherwise has other settings.
_LAYERS: tuple[nn.Module, ...] = (
    nn.MaxPool2d(2),
    nn.AvgPool2d(2),
    nn.Flatten(),
    nn.Identity(),
    GlobalMax(),
    GlobalAverage(),
)
PLAIN = {type(layer): str(layer) for layer in (*_LAYERS, *(activation() for activation in ACTIVATIONS.values()))}
# Those of them that are one operator, with its attributes.
OPERATORS: dict[type[nn.Module], tuple[str, dict[str, Any]]] = {
    nn.MaxPool2d: ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]}),
    nn.AvgPool2d: ("AveragePool", {"kernel_shape": [2, 2], "strides": [2, 2]}),
    nn.Flatten: ("Flatten", {"axis": 1}),
    nn.ReLU: ("Relu", {}),
    nn.LeakyReLU: ("LeakyRelu", {"alpha": 0.01}),
    nn.ELU: ("Elu", {"alpha": 1.0}),
    nn.Tanh: ("Tanh", {}),
}
NONE: Mapping[str, Any] = {}


def model_of(net: nn.Module, temperature: float, *, classes: int) -> Any | None:
    """The model `image: uint8 [n, 28, 28]` → `probs`, `score` and, where there are any, `outliers`; None if not ours.

    `net` is in evaluation mode on the processor; its outputs after the first `classes` are of outliers.

    Raises:
        MissingExtra: onnx is not installed.
    """
    if type(net) is not nn.Sequential or type(net[-1]) is not nn.Linear or not all(map(_is_ours, net)):
        return None
    try:
        from onnx import TensorProto, helper, numpy_helper
    except ModuleNotFoundError as exc:
        raise MissingExtra("Writing the model file needs onnx", "train") from exc
    graph = _Graph()
    value = graph.add("Cast", [graph.add("Unsqueeze", ["image", graph.constant([1])])], {"to": TensorProto.FLOAT})
    layers = [*net.named_children()]
    while layers:
        name, layer = layers.pop(0)
        if isinstance(layer, Again):
            name, layer = layer.of, layer.layer
        if layers and _can_average(layer, layers[0][1]):
            value = _add_averaged(graph, PREFIX + name, layer, value)
            layers.pop(0)
        else:
            value = _add(graph, PREFIX + name, layer, value)
    logits = graph.add("Div", [value, graph.constant(temperature)])
    widths = [classes, None, net[-1].out_features - classes]  # of the outputs; the last one is of outliers
    names = (*OUTPUTS, OUTLIERS_OUTPUT) if widths[2] else OUTPUTS
    _add_outputs(graph, logits, classes, names)
    weights = {PREFIX + name: weight for name, weight in net.state_dict().items()}
    shapes: list[list[str | int | None]] = [["n"] if width is None else ["n", width] for width in widths]
    proto = helper.make_graph(
        graph.nodes,
        "main_graph",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", SIDE, SIDE])],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in zip(names, shapes, strict=False)],
        [numpy_helper.from_array(w.numpy(), name) for name, w in weights.items() if w.is_floating_point()],
    )
    opset = [helper.make_opsetid("", OPSET)]
    return helper.make_model(proto, opset_imports=opset, ir_version=IR_VERSION, producer_name="inkdigit")


def _is_ours(layer: nn.Module) -> bool:
    """Whether `_add` writes the layer with all of its settings."""
    kind = type(layer)
    if isinstance(layer, Again):
        return _is_ours(layer.layer)
    if isinstance(layer, nn.Conv2d):
        return (
            kind in (nn.Conv2d, PooledConv2d) and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
        )
    if isinstance(layer, nn.BatchNorm2d):
        return kind is nn.BatchNorm2d and layer.affine and layer.track_running_stats
    return kind in (Normalize, nn.Linear, nn.Dropout, Residual) or PLAIN.get(kind) == str(layer)


class _Graph:
    """Nodes one after the other; each has a name, and a value of the same name."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []

    def add(
        self, operator: str, inputs: Sequence[str], attributes: Mapping[str, Any] = NONE, *, output: str | None = None
    ) -> str:
        """Add a node; return the name of its value."""
        from onnx import helper

        output = output or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
        return output

    def constant(self, value: ArrayLike) -> str:
        """Add a constant, float32 or int64; return its name."""
        from onnx import numpy_helper

        array = np.asarray(value)
        array = array.astype(np.int64 if array.dtype.kind == "i" else np.float32)
        return self.add("Constant", [], {"value": numpy_helper.from_array(array)})


def _add(graph: _Graph, name: str, layer: nn.Module, x: str) -> str:
    """Add the layer `name` to the graph, with the value `x` as its input; return the name of its output."""
    match layer:
        case Normalize():
            shifted = graph.add("Sub", [graph.add("Div", [x, graph.constant(255.0)]), f"{name}.mean"])
            return graph.add("Div", [shifted, f"{name}.std"])
        case PooledConv2d():
            return _add_averaged(graph, name, layer, x)
        case nn.Conv2d():
            return graph.add("Conv", [x, *_weights(name, layer)], _of_convolution(layer))
        case nn.BatchNorm2d():
            weights = [f"{name}.{weight}" for weight in ("weight", "bias", "running_mean", "running_var")]
            return graph.add("BatchNormalization", [x, *weights], {"epsilon": layer.eps})
        case nn.Linear():
            return graph.add("Gemm", [x, *_weights(name, layer)], {"transB": 1})
        case Again():
            return _add(graph, PREFIX + layer.of, layer.layer, x)
        case nn.Dropout() | nn.Identity():
            return x
        case GlobalMax():
            return graph.add("ReduceMax", [x, graph.constant([2, 3])], {"keepdims": 0})
        case GlobalAverage():
            return graph.add("ReduceMean", [x, graph.constant([2, 3])], {"keepdims": 0})
        case nn.SiLU():
            return graph.add("Mul", [x, graph.add("Sigmoid", [x])])
        case nn.GELU():
            erf = graph.add("Erf", [graph.add("Div", [x, graph.constant(2**0.5)])])
            return graph.add(
                "Mul", [x, graph.add("Mul", [graph.constant(0.5), graph.add("Add", [erf, graph.constant(1.0)])])]
            )
        case Residual():
            return _add_residual(graph, name, layer, x)
    operator, attributes = OPERATORS[type(layer)]
    return graph.add(operator, [x], attributes)


def _can_average(layer: nn.Module, following: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether a convolution and the average pooling after it, two layers of a recipe's list, can be one convolution."""
    return type(layer) is nn.Conv2d and layer.stride == (1, 1) and isinstance(following, nn.AvgPool2d)


def _add_averaged(graph: _Graph, name: str, layer: nn.Conv2d, x: str) -> str:
    """A convolution and the average pooling after it, as one convolution of stride 2: see `nets.PooledConv2d`.

    The graph computes its kernel from the weights, which keep their shape and name. It does so once: ONNX Runtime
    computes what is constant when it opens the file.
    """
    kernel, *bias = _weights(name, layer)
    pooling = {"kernel_shape": [2, 2], "strides": [1, 1], "pads": [1] * 4, "count_include_pad": 1}
    averaged = graph.add("AveragePool", [kernel], pooling)
    side = {"kernel_shape": [n + 1 for n in layer.kernel_size], "strides": [2, 2]}
    return graph.add("Conv", [x, averaged, *bias], _of_convolution(layer) | side)


def _add_residual(graph: _Graph, name: str, layer: Residual, x: str) -> str:
    """Two convolutions, and a shortcut around them."""

    def through(value: str, *parts: str) -> str:
        for part in parts:
            value = _add(graph, f"{name}.{part}", getattr(layer, part), value)
        return value

    y = through(x, "conv1", "norm1", "activation", "conv2", "norm2")
    return through(graph.add("Add", [y, through(x, "project", "project_norm")]), "activation")


def _add_outputs(graph: _Graph, logits: str, classes: int, names: Sequence[str]) -> None:
    """Probabilities and score, as `network.predict` computes them; a third name is that of the outliers."""
    probs, score, *outliers = names

    def answers(part: str, output: str, sum_output: str | None) -> str:
        graph.add("Softmax", [part], {"axis": 1}, output=output)
        return graph.add("ReduceLogSumExp", [part, graph.constant([1])], {"keepdims": 0}, output=sum_output)

    if not outliers:
        answers(logits, probs, score)
        return
    first, end, last, axis = (graph.constant([at]) for at in (0, classes, np.iinfo(np.int64).max, 1))
    inside = answers(graph.add("Slice", [logits, first, end, axis]), probs, None)
    outside = answers(graph.add("Slice", [logits, end, last, axis]), outliers[0], None)
    graph.add("Sub", [inside, outside], output=score)


def _weights(name: str, layer: nn.Conv2d | nn.Linear) -> list[str]:
    """The names of a layer's weights, and of its biases if it has any."""
    return [f"{name}.weight"] if layer.bias is None else [f"{name}.weight", f"{name}.bias"]


def _of_convolution(layer: nn.Conv2d) -> dict[str, Any]:
    padding = [int(side) for side in layer.padding]  # not a string: see `_is_ours`
    return {
        "kernel_shape": list(layer.kernel_size),
        "strides": list(layer.stride),
        "pads": padding * 2,
        "dilations": list(layer.dilation),
        "group": layer.groups,
    }
