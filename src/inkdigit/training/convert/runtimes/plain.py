"""From any model file to a plain ONNX graph: float32, batch norm folded, old and common operators only.

In: a recogniser. Out: an ONNX model that is a model file itself, for tools that read ONNX; the other runtimes start
from the same graph, so that single networks, int8 files, ensembles and networks of the user's own all take one path.
ONNX Runtime's optimiser folds batch norm and computes what is constant. Integers become the floats that they stand for:
the ranges of the activations stay, as limits, but no longer round.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from inkdigit.errors import UsageError
from inkdigit.files import writing
from inkdigit.model.card import Card, SelfTest
from inkdigit.model.provenance import ModelFile
from inkdigit.model.recognizer import Recognizer
from inkdigit.training.convert.model_file import drop_zero_biases, run_bytes, set_card
from inkdigit.training.convert.runtimes.compare import compare

OPSET = 13  # of ONNX 1.8, from 2020: phones, browsers and OpenCV have read it for years
NEWEST_OPSET = 18  # of model files; a graph keeps it where it has an operator that OPSET does not have
IR_VERSIONS = {13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8}  # of ONNX, the first with each opset
# Operators that got only more types after OPSET, or attributes that are in ADDED_LATER.
SAME = ("Add", "Sub", "Mul", "Div", "Relu", "Pow", "LeakyRelu", "Identity", "BatchNormalization", "Reshape", "Where")
ADDED_LATER = ("training_mode", "noop_with_empty_axes", "allowzero")  # their default, 0, is what older operators do
# Operators that each format translates alike.
RESHAPES = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")
POOLS = ("MaxPool", "AveragePool")
GLOBAL_POOLS = ("GlobalMaxPool", "GlobalAveragePool")
UNCHANGING = ("Identity", "Dropout")
Array = NDArray[Any]


def onnx_bytes(recognizer: Recognizer) -> bytes:
    """The bytes of the plain ONNX file, with a card that names the model file, after it was compared with that.

    Raises:
        ParityError: the plain file does not predict what the model file does.
    """
    model = plain_model(recognizer)
    data = model.SerializeToString()
    compare(recognizer, lambda images: run_bytes(data, images), what="plain ONNX file")
    set_card(model, card_of(recognizer, data))
    return bytes(model.SerializeToString())


def card_of(recognizer: Recognizer, data: bytes) -> Card:
    """The card of what is made from a model file by way of the plain graph `data`: with its own self test.

    The graph is asked for one image after the other: that of the runtimes takes no more.
    """
    card, images = recognizer.card, recognizer.card.self_test.images
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    probs = np.concatenate([session.run(["probs"], {"image": image[None]})[0] for image in images])
    provenance = replace(card.provenance, made_from=(ModelFile.of(recognizer.path),))
    return replace(
        card,
        numbers="float32",
        self_test=SelfTest(images, probs),
        figures=card.figures if card.numbers == "float32" else {},  # those of integers were measured on integers
        provenance=provenance,
    )


def plain_model(recognizer: Recognizer, *, batch: int | None = None) -> Any:
    """The plain graph as an ONNX model without a card; it takes any number of images, or `batch` of them."""
    model = onnx.load(recognizer.path)
    _dequantize(model.graph)
    drop_zero_biases(model.graph)  # a file of an earlier release has some
    if batch is not None:
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.shape.dim[0].dim_value = batch
    model = _folded(model)
    _cast_constants(model.graph)
    _spell_out(model.graph)
    _lower(model)
    model.producer_name, model.producer_version = "inkdigit", ""
    del model.graph.value_info[:], model.metadata_props[:]
    return model


def _dequantize(graph: Any) -> None:
    """Make floats of all integers: weights are multiplied out, activations are limited to what the integers can say.

    The limits matter: the quantiser leaves a ReLU out where the smallest integer stands for 0.
    """
    values = {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer}
    made_by = {node.output[0]: node for node in graph.node}
    nodes = []
    for node in graph.node:
        if node.op_type == "QuantizeLinear":
            continue
        if node.op_type != "DequantizeLinear":
            nodes.append(node)
            continue
        scale, zero = values[node.input[1]], values[node.input[2]]
        if node.input[0] in values:
            weight = values[node.input[0]]
            axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
            shape = [-1 if i == axis else 1 for i in range(weight.ndim)] if scale.ndim else []
            floats = (weight.astype(np.float32) - zero.astype(np.float32).reshape(shape)) * scale.reshape(shape)
            graph.initializer.append(numpy_helper.from_array(floats, node.output[0]))
            continue
        ends = np.iinfo(zero.dtype)
        limits = [np.float32((end - float(zero)) * float(scale)) for end in (ends.min, ends.max)]
        names = [f"{node.output[0]}.{end}" for end in ("min", "max")]
        graph.initializer.extend(numpy_helper.from_array(np.array(x), n) for x, n in zip(limits, names, strict=True))
        source = made_by[node.input[0]].input[0]
        nodes.append(helper.make_node("Clip", [source, *names], [node.output[0]], node.output[0]))
    del graph.node[:]
    graph.node.extend(nodes)
    _keep_used(graph)


def _folded(model: Any) -> Any:
    """What ONNX Runtime makes of a model before it runs it, with standard operators only."""
    place = Path(tempfile.gettempdir())
    with writing(place), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "folded.onnx"
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(path)
        options.log_severity_level = 3  # it warns that the file is only for this machine: not at this level
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        folded = onnx.load(path)
    for node in folded.graph.node:
        if node.domain in ("", "ai.onnx"):
            continue
        raise UsageError(f"The graph has an operator that is not standard ONNX: {node.domain}.{node.op_type}")
    return folded


def _cast_constants(graph: Any) -> None:
    """Cast constants here: ONNX Runtime leaves the limits that PyTorch's exporter gives a Clip in another type."""
    values = {weight.name: weight for weight in graph.initializer}
    for node in [node for node in graph.node if node.op_type == "Cast" and node.input[0] in values]:
        dtype = helper.tensor_dtype_to_np_dtype(node.attribute[0].i)
        array = numpy_helper.to_array(values[node.input[0]]).astype(dtype)
        graph.initializer.append(numpy_helper.from_array(array, node.output[0]))
        graph.node.remove(node)


def _spell_out(graph: Any) -> None:
    """Write ReduceLogSumExp as the operators that it stands for.

    OpenVINO 2026.4 sums over all axes at the opsets before 18, and few other runtimes have it at all.
    """
    nodes = []
    for node in graph.node:
        if node.op_type != "ReduceLogSumExp" or len(node.input) != 2:
            nodes.append(node)
            continue
        (x, axes), y = node.input, node.output[0]
        keep = next((a.i for a in node.attribute if a.name == "keepdims"), 1)
        parts = [
            ("ReduceMax", [x, axes], f"{y}.largest"),
            ("Sub", [x, f"{y}.largest"], f"{y}.below"),
            ("Exp", [f"{y}.below"], f"{y}.exp"),
            ("ReduceSum", [f"{y}.exp", axes], f"{y}.sum"),
            ("Log", [f"{y}.sum"], f"{y}.log"),
            ("Add", [f"{y}.log", f"{y}.largest"], y if keep else f"{y}.kept"),
            *([] if keep else [("Squeeze", [f"{y}.kept", axes], y)]),
        ]
        nodes += [helper.make_node(operator, inputs, [output], output) for operator, inputs, output in parts]
    del graph.node[:]
    graph.node.extend(nodes)


def _lower(model: Any) -> None:
    """State the oldest opset, of OPSET or younger, in which the graph means the same."""
    graph = model.graph
    constants = {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer}
    for node in graph.node:
        whole = node.op_type == "Reshape" and np.all(constants.get(node.input[1], 0))  # no size 0, allowed or not
        kept = [a for a in node.attribute if not (a.name in ADDED_LATER and (whole or not a.i))]
        del node.attribute[:]
        node.attribute.extend(kept)
    opset = max(map(_oldest_opset, graph.node))
    if opset < NEWEST_OPSET:
        for node in filter(_is_reduction, graph.node):
            if len(node.input) == 2:
                node.attribute.append(helper.make_attribute("axes", constants[node.input[1]].tolist()))
                del node.input[1]
    _keep_used(graph)
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", opset))
    model.ir_version = IR_VERSIONS[opset]
    onnx.checker.check_model(model, full_check=True)


def _is_reduction(node: Any) -> bool:
    operator: str = node.op_type
    return operator.startswith("Reduce") and operator != "ReduceSum"


def _oldest_opset(node: Any) -> int:
    """The oldest opset, of OPSET or younger, that has this node."""
    younger = any(attribute.name in ADDED_LATER for attribute in node.attribute)
    if (node.op_type in SAME and not younger) or _is_reduction(node):
        return OPSET
    if node.op_type == "Pad" and len(node.input) < 4:  # without axes
        return OPSET
    schema = onnx.defs.get_schema(node.op_type, max_inclusive_version=NEWEST_OPSET)
    return max(OPSET, schema.since_version)


def _keep_used(graph: Any) -> None:
    """Remove weights that no node uses."""
    used = {name for node in graph.node for name in node.input}
    kept = [weight for weight in graph.initializer if weight.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


@dataclass(frozen=True, slots=True)
class Step:
    """One node of a plain graph."""

    operator: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Steps:
    """A plain graph for one image as Python sees it: nodes in their order, weights, the shape of each value; `data`
    are its bytes as ONNX."""

    data: bytes
    steps: tuple[Step, ...]
    constants: dict[str, Array]
    shapes: dict[str, tuple[int, ...]]
    outputs: tuple[str, ...]

    @classmethod
    def of(cls, recognizer: Recognizer) -> Steps:
        """The plain graph of a model for one image at a time: then all shapes are known."""
        model = plain_model(recognizer, batch=1)
        graph = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
        shapes = {
            value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
            for value in (*graph.input, *graph.value_info, *graph.output)
        }
        constants = {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer}
        shapes |= {name: array.shape for name, array in constants.items()}
        steps = [
            Step(
                node.op_type,
                tuple(node.input),
                node.output[0],
                {a.name: helper.get_attribute_value(a) for a in node.attribute},
            )
            for node in graph.node
        ]
        outputs = tuple(output.name for output in graph.output)
        return cls(model.SerializeToString(), tuple(steps), constants, shapes, outputs)

    def told(self, step: Step, index: int) -> Array:
        """An input that says what a step does, or its weights: it must be a constant.

        Raises:
            UsageError: the network computes it.
        """
        if step.inputs[index] not in self.constants:
            raise UsageError(f"{step.operator} cannot be translated where the network computes how it is done")
        return self.constants[step.inputs[index]]

    def check(self, known: frozenset[str], recognizer: Recognizer, *, what: str) -> None:
        """Check that all operators are known, and all shapes fixed.

        Raises:
            UsageError: the network has an operator that the format cannot be given.
        """
        unknown = sorted({step.operator for step in self.steps} - known)
        if unknown:
            raise UsageError(
                f"{recognizer.path} cannot become {what}: its network has operators that Inkdigit does not translate",
                expected=f"among {', '.join(sorted(known))}",
                received=", ".join(unknown),
                hint="The formats onnx and openvino take any network.",
            )


def check_cast(step: Step) -> None:
    """Check that a Cast makes float32: the only one that a network for images needs.

    Raises:
        UsageError: it makes something else.
    """
    if step.attributes["to"] != TensorProto.FLOAT:
        raise UsageError("A network that computes with integers cannot be translated")


def around(step: Step) -> list[int]:
    """How much a convolution or a pooling adds at the (top, left, bottom, right) of its images.

    Raises:
        UsageError: it says so in another way than with numbers.
    """
    if step.attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID") or step.attributes.get("ceil_mode"):
        raise UsageError(f"{step.operator} with auto_pad or ceil_mode cannot be translated")
    return list(step.attributes.get("pads", [0, 0, 0, 0]))


def strides(step: Step) -> tuple[list[int], list[int]]:
    """The strides and the dilations of a convolution or a pooling."""
    return list(step.attributes.get("strides", [1, 1])), list(step.attributes.get("dilations", [1, 1]))


def filters(step: Step, graph: Steps) -> Array:
    """The weights of a convolution, (O, I, H, W).

    Raises:
        UsageError: the network computes them, or they are not those of images.
    """
    weight = graph.told(step, 1)
    if weight.ndim != 4:
        raise UsageError("A convolution of other than two dimensions cannot be translated")
    return weight


def linear(step: Step, graph: Steps) -> tuple[Array, Array]:
    """The weights (O, I) and the bias (O,) of a Gemm, or of a MatMul with weights.

    Raises:
        UsageError: it transposes or scales, or the network computes the weights.
    """
    if step.attributes.get("transA") or {step.attributes.get(name, 1.0) for name in ("alpha", "beta")} != {1.0}:
        raise UsageError("Gemm with transA, alpha or beta cannot be translated")
    weight = graph.told(step, 1)
    weight = np.ascontiguousarray(weight if step.attributes.get("transB") else weight.T)
    bias = graph.told(step, 2).reshape(-1) if len(step.inputs) > 2 else np.zeros(1, np.float32)
    return weight, np.ascontiguousarray(np.broadcast_to(bias, len(weight)))


def reduced(step: Step, graph: Steps) -> tuple[list[int], bool]:
    """The axes over which a step reduces, and whether it keeps them with one entry.

    Raises:
        UsageError: the network computes the axes.
    """
    rank = len(graph.shapes[step.inputs[0]])
    axes = graph.told(step, 1).tolist() if len(step.inputs) > 1 else step.attributes.get("axes", range(rank))
    return list(axes), bool(step.attributes.get("keepdims", 1))


def sliced(step: Step, graph: Steps) -> tuple[list[int], list[int], list[int]]:
    """Where a Slice begins and ends along each axis, and its step; counted from 0, and within the value.

    Raises:
        UsageError: it goes backwards, or other values say where it begins.
    """
    shape = graph.shapes[step.inputs[0]]
    told = [graph.told(step, i).tolist() for i in range(1, len(step.inputs))]
    starts, ends = told[:2]
    axes = told[2] if len(told) > 2 else list(range(len(starts)))
    strides = told[3] if len(told) > 3 else [1] * len(starts)
    parts = [(0, size, 1) for size in shape]
    for axis, start, end, stride in zip(axes, starts, ends, strides, strict=True):
        parts[axis % len(shape)] = slice(start, end, stride).indices(shape[axis % len(shape)])
    if any(stride < 1 for _, _, stride in parts):
        raise UsageError("A Slice that goes backwards cannot be translated")
    begin, end, by = ([part[i] for part in parts] for i in range(3))
    return begin, end, by


def padded(step: Step, graph: Steps) -> tuple[list[int], list[int]]:
    """What a Pad adds before all axes and after them, and what it cuts off there instead.

    Raises:
        UsageError: it adds other than one number.
    """
    if step.attributes.get("mode", b"constant") != b"constant" or len(step.inputs) > 3:
        raise UsageError("A Pad that adds other than one number cannot be translated")
    amounts = graph.told(step, 1).tolist()
    return [max(0, amount) for amount in amounts], [max(0, -amount) for amount in amounts]
