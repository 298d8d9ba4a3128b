"""From a model file to a LiteRT (TensorFlow Lite) file, for Android and small devices.

In: a recogniser. Out: the bytes of a `.tflite` file: `image: uint8 [1, 28, 28]` → `probs: float32 [1, K]`, `score:
float32 [1]` and `outliers: float32 [1, M]` where there are any, by the signature `serving_default`. The card is in a
zip archive at its end, where TensorFlow's metadata put their files too: `zipfile` opens the model file and finds it.

Google's converter (litert-torch) takes a gigabyte of libraries and does not install beside the versions that Inkdigit
is tested with. The format is a documented list of operators, so a plain graph is written node by node, as
`convert/graph` writes ONNX. Images are channels last there: a value (N, C, H, W) is stored as (N, H, W, C).
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from inkdigit.errors import UsageError, requiring
from inkdigit.model.card import METADATA_KEY, Card
from inkdigit.model.recognizer import Recognizer
from inkdigit.training.convert.runtimes import plain
from inkdigit.training.convert.runtimes.compare import compare, output_names
from inkdigit.training.convert.runtimes.flatbuffer import Writer, open_file
from inkdigit.training.convert.runtimes.plain import Step, Steps
from inkdigit.types import Floats, Gray

CARD_FILE = f"{METADATA_KEY}.json"  # in the zip archive
LABELS_FILE = "labels.txt"  # a class a line, as TensorFlow's examples have it
LAST = (0, 2, 3, 1)  # (N, C, H, W) → (N, H, W, C)
FIRST = (0, 3, 1, 2)  # and back
ELEMENTWISE = {  # operators of two values
    "Add": "ADD",
    "Sub": "SUB",
    "Mul": "MUL",
    "Div": "DIV",
    "Pow": "POW",
    "Max": "MAXIMUM",
    "Min": "MINIMUM",
}
OF_ONE = {  # operators of one value
    "Relu": "RELU",
    "Elu": "ELU",
    "Tanh": "TANH",
    "Sigmoid": "LOGISTIC",
    "Exp": "EXP",
    "Log": "LOG",
    "Sqrt": "SQRT",
    "Neg": "NEG",
    "Abs": "ABS",
}
REDUCTIONS = {"ReduceMax": "REDUCE_MAX", "ReduceMin": "REDUCE_MIN", "ReduceMean": "MEAN", "ReduceSum": "SUM"}
# erf(x) ≈ 1 − (((((a5·t + a4)·t + a3)·t + a2)·t + a1)·t) e^(−x²), t = 1 / (1 + p·x), for x ≥ 0: within 1.5e-7
# (Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26).
ERF_P, ERF_A = 0.3275911, (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)


def tflite_bytes(recognizer: Recognizer) -> bytes:
    """The bytes of the `.tflite` file, after LiteRT has opened it and answered as the model file does.

    Raises:
        UsageError: the network has an operator that is not translated.
        ParityError: the file does not predict what the model file does.
        MissingExtra: LiteRT is not installed.
    """
    with requiring("Writing a .tflite file needs", "tflite"):
        steps = Steps.of(recognizer)
        steps.check(frozenset(_WRITERS), recognizer, what="a .tflite file")
        data = _Translation(steps).written()
        run = runner(data)
    compare(recognizer, run, what="LiteRT file")
    return _with_card(data, plain.card_of(recognizer, steps.data))


def runner(data: bytes) -> Callable[[Gray], list[Floats]]:
    """What LiteRT computes with the bytes of a file: uint8 (N, 28, 28) → its outputs in the order of the model file."""
    signature = open_file(data)
    names = output_names(len(signature.get_output_details()))

    def run(images: Gray) -> list[Floats]:
        answers = [signature(image=image[None]) for image in images]
        return [np.concatenate([answer[name] for answer in answers]) for name in names]

    return run


def _with_card(data: bytes, card: Card) -> bytes:
    """The same file with a zip archive at its end, which holds the card and the names of the classes."""
    buffer = io.BytesIO(data)
    with zipfile.ZipFile(buffer, "a") as archive:
        for name, text in ((CARD_FILE, card.to_json()), (LABELS_FILE, "\n".join(card.classes) + "\n")):
            archive.writestr(zipfile.ZipInfo(name), text)  # without the time: the same file every time
    return buffer.getvalue()


class _Translation:
    """A plain graph, step by step, as operators of LiteRT; `values` says where each of its values is now."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.file = Writer()
        self.values: dict[str, int] = {}

    def written(self) -> bytes:
        """The bytes of the file."""
        image = self.file.tensor(self.steps.shapes["image"], np.uint8, name="image")
        self.values["image"] = image
        for step in self.steps.steps:
            self.values[step.output] = _WRITERS[step.operator](self, step)
        outputs = {name: self.values[name] for name in self.steps.outputs}
        return self.file.finish({"image": image}, outputs)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a value as the plain graph has it."""
        return self.steps.shapes[name]

    def stored(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape in which a value is stored."""
        return tuple(shape[axis] for axis in LAST) if len(shape) == 4 else tuple(shape)

    def value(self, name: str, *, like: str | None = None) -> int:
        """The tensor of a value; a constant has as many dimensions as the value it is `like`, and its order."""
        if name not in self.steps.constants:
            return self.values[name]
        array = self.steps.constants[name]
        rank = array.ndim if like is None else len(self.shape(like))
        array = array.reshape((1,) * (rank - array.ndim) + array.shape)
        return self.file.constant(array.transpose(LAST) if array.ndim == 4 else array)

    def add(self, operator: str, inputs: Sequence[int], output: str, options: dict[str, Any] | None = None) -> int:
        """An operator whose result is the value `output` of the plain graph."""
        return self.file.add(operator, inputs, self.stored(self.shape(output)), options)

    def axis(self, axis: int, rank: int) -> int:
        """Where an axis of the plain graph is stored."""
        return LAST.index(axis % rank) if rank == 4 else axis % rank

    def scaled(self, operator: str, x: int, number: float) -> int:
        """A tensor and a number, elementwise."""
        return self.file.add(operator, [x, self.file.constant(np.float32(number))], self.file.shape(x))


def _same(to: _Translation, step: Step) -> int:
    return to.value(step.inputs[0])


def _cast(to: _Translation, step: Step) -> int:
    plain.check_cast(step)
    return to.add("CAST", [to.value(step.inputs[0])], step.output)


def _one(to: _Translation, step: Step) -> int:
    return to.add(OF_ONE[step.operator], [to.value(step.inputs[0])], step.output)


def _two(to: _Translation, step: Step) -> int:
    ranks = {len(to.shape(name)) for name in step.inputs if name not in to.steps.constants}
    if len(step.inputs) != 2 or len(ranks) != 1:
        raise UsageError(f"{step.operator} of values with different dimensions cannot be translated")
    return to.add(ELEMENTWISE[step.operator], [to.value(name, like=step.output) for name in step.inputs], step.output)


def _leaky_relu(to: _Translation, step: Step) -> int:
    alpha = step.attributes.get("alpha", 0.01)
    return to.add("LEAKY_RELU", [to.value(step.inputs[0])], step.output, {"alpha": alpha})


def _clip(to: _Translation, step: Step) -> int:
    x = to.value(step.inputs[0])
    for index, operator in ((1, "MAXIMUM"), (2, "MINIMUM")):
        if len(step.inputs) > index and step.inputs[index]:
            x = to.scaled(operator, x, float(to.steps.told(step, index)))
    return x


def _erf(to: _Translation, step: Step) -> int:
    """Its polynomial: LiteRT has no operator for it."""
    x = to.value(step.inputs[0])
    shape = to.file.shape(x)
    size = to.file.add("ABS", [x], shape)
    t = to.file.add("DIV", [to.file.constant(np.float32(1)), to.scaled("ADD", to.scaled("MUL", size, ERF_P), 1)], shape)
    sum_ = to.scaled("MUL", t, ERF_A[0])
    for a in ERF_A[1:]:
        sum_ = to.file.add("MUL", [to.scaled("ADD", sum_, a), t], shape)
    falls = to.file.add("EXP", [to.file.add("NEG", [to.file.add("MUL", [x, x], shape)], shape)], shape)
    rest = to.file.add("MUL", [sum_, falls], shape)
    positive = to.file.add("SUB", [to.file.constant(np.float32(1)), rest], shape)
    return to.file.add("MUL", [to.file.add("SIGN", [x], shape), positive], shape)


def _reshape(to: _Translation, step: Step) -> int:
    """Any operator that only changes the shape; the order of the numbers is that of the plain graph meanwhile."""
    before, after = to.shape(step.inputs[0]), to.shape(step.output)
    x = to.value(step.inputs[0])
    if len(before) == 4 and before[1] > 1 and before[2] * before[3] > 1:
        x = to.file.transpose(x, FIRST)
    if len(after) == 4 and after[1] > 1 and after[2] * after[3] > 1:
        return to.file.transpose(to.file.reshape(x, after), LAST)
    return to.file.reshape(x, to.stored(after))


def _transpose(to: _Translation, step: Step) -> int:
    order = tuple(step.attributes["perm"])
    if len(order) == 4:
        order = tuple(FIRST[order[axis]] for axis in LAST)
    return to.file.transpose(to.value(step.inputs[0]), order)


def _padded(to: _Translation, x: int, pads: Sequence[int], value: float = 0.0) -> int:
    """A stored image with `pads` (top, left, bottom, right) around it."""
    top, left, bottom, right = pads
    if not any(pads):
        return x
    n, h, w, c = to.file.shape(x)
    around = to.file.constant(np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32))
    shape = (n, h + top + bottom, w + left + right, c)
    if value == 0:
        return to.file.add("PAD", [x, around], shape)
    return to.file.add("PADV2", [x, around, to.file.constant(np.float32(value))], shape)


def _conv(to: _Translation, step: Step) -> int:
    x, pads, weight = to.value(step.inputs[0]), plain.around(step), plain.filters(step, to.steps)
    group, (strides, dilations) = step.attributes.get("group", 1), plain.strides(step)
    size = [(k - 1) * d for k, d in zip(weight.shape[2:], dilations, strict=True)]
    same = pads == [size[0] // 2, size[1] // 2, size[0] - size[0] // 2, size[1] - size[1] // 2] and strides == [1, 1]
    if not same:
        x = _padded(to, x, pads)
    bias = to.steps.told(step, 2) if len(step.inputs) > 2 else np.zeros(len(weight), np.float32)
    options = {
        "padding": 0 if same else 1,
        "strideH": strides[0],
        "strideW": strides[1],
        "dilationHFactor": dilations[0],
        "dilationWFactor": dilations[1],
    }
    if group > 1 and weight.shape[1] == 1:  # depthwise: (O, 1, H, W) → (1, H, W, O)
        filters = to.file.constant(weight.transpose(1, 2, 3, 0))
        options["depthMultiplier"] = len(weight) // group
        return to.add("DEPTHWISE_CONV_2D", [x, filters, to.file.constant(bias)], step.output, options)
    filters = to.file.constant(weight.transpose(0, 2, 3, 1))
    return to.add("CONV_2D", [x, filters, to.file.constant(bias)], step.output, options)


def _pool(to: _Translation, step: Step) -> int:
    x, pads, (strides, dilations) = to.value(step.inputs[0]), plain.around(step), plain.strides(step)
    largest = step.operator == "MaxPool"
    if dilations != [1, 1] or (any(pads) and not largest and not step.attributes.get("count_include_pad")):
        raise UsageError(f"{step.operator} with dilations, or a mean that leaves out the padding, cannot be translated")
    height, width = step.attributes["kernel_shape"]
    options = {"padding": 1, "strideH": strides[0], "strideW": strides[1]}
    options |= {"filterHeight": height, "filterWidth": width}
    x = _padded(to, x, pads, value=float(np.finfo(np.float32).min) if largest else 0.0)
    return to.add("MAX_POOL_2D" if largest else "AVERAGE_POOL_2D", [x], step.output, options)


def _global_pool(to: _Translation, step: Step) -> int:
    axes = to.file.constant(np.array([1, 2], np.int32))
    operator = "REDUCE_MAX" if step.operator == "GlobalMaxPool" else "MEAN"
    return to.add(operator, [to.value(step.inputs[0]), axes], step.output, {"keepDims": True})


def _batch_norm(to: _Translation, step: Step) -> int:
    weight, bias, mean, var = (to.steps.told(step, i).astype(np.float64) for i in range(1, 5))
    scale = weight / np.sqrt(var + step.attributes.get("epsilon", 1e-5))
    shape = (1, 1, 1, -1) if len(to.shape(step.output)) == 4 else (1, -1)
    if len(to.shape(step.output)) not in (2, 4):
        raise UsageError("BatchNormalization of other than two or four dimensions cannot be translated")
    factors = to.file.constant(scale.astype(np.float32).reshape(shape))
    offsets = to.file.constant((bias - mean * scale).astype(np.float32).reshape(shape))
    return to.add("ADD", [to.add("MUL", [to.value(step.inputs[0]), factors], step.output), offsets], step.output)


def _gemm(to: _Translation, step: Step) -> int:
    weight, bias = plain.linear(step, to.steps)
    return to.add(
        "FULLY_CONNECTED",
        [to.value(step.inputs[0]), to.file.constant(weight), to.file.constant(bias)],
        step.output,
        {"keepNumDims": len(to.shape(step.output)) > 2},
    )


def _matmul(to: _Translation, step: Step) -> int:
    if step.inputs[1] in to.steps.constants and len(to.shape(step.output)) < 4 and to.steps.told(step, 1).ndim == 2:
        return _gemm(to, step)
    raise UsageError("MatMul of two computed values cannot be translated")


def _reduce(to: _Translation, step: Step) -> int:
    x, rank, (axes, keep) = to.value(step.inputs[0]), len(to.shape(step.inputs[0])), plain.reduced(step, to.steps)
    if rank == 4 and not keep and len(axes) < 2:
        raise UsageError(f"{step.operator} that makes three dimensions of four cannot be translated")
    where = to.file.constant(np.array([to.axis(axis, rank) for axis in axes], np.int32))
    return to.add(REDUCTIONS[step.operator], [x, where], step.output, {"keepDims": keep})


def _softmax(to: _Translation, step: Step) -> int:
    rank = len(to.shape(step.output))
    if to.axis(step.attributes.get("axis", -1), rank) != rank - 1:
        raise UsageError("Softmax over other than classes or channels cannot be translated")
    return to.add("SOFTMAX", [to.value(step.inputs[0])], step.output, {"beta": 1.0})


def _slice(to: _Translation, step: Step) -> int:
    parts = [to.stored(part) for part in plain.sliced(step, to.steps)]
    return _cut(to, to.value(step.inputs[0]), *parts)


def _cut(to: _Translation, x: int, begin: Sequence[int], end: Sequence[int], by: Sequence[int]) -> int:
    shape = tuple(len(range(*part)) for part in zip(begin, end, by, strict=True))
    arrays = [to.file.constant(np.array(part, np.int32)) for part in (begin, end, by)]
    return to.file.add("STRIDED_SLICE", [x, *arrays], shape)


def _concat(to: _Translation, step: Step) -> int:
    axis = to.axis(step.attributes["axis"], len(to.shape(step.output)))
    values = [to.value(name, like=step.output) for name in step.inputs]
    return to.add("CONCATENATION", values, step.output, {"axis": axis})


def _pad(to: _Translation, step: Step) -> int:
    pads, cut = plain.padded(step, to.steps)
    rank = len(to.shape(step.output))
    value = float(to.steps.told(step, 2)) if len(step.inputs) > 2 and step.inputs[2] else 0.0
    if rank != 4 or any(pads[:2] + pads[4:6] + cut[:2] + cut[4:6]):
        raise UsageError("A Pad other than around images cannot be translated")
    x = to.value(step.inputs[0])
    if any(cut):
        ends = [size - away for size, away in zip(to.shape(step.inputs[0]), cut[4:], strict=True)]
        x = _cut(to, x, to.stored(cut[:4]), to.stored(ends), (1, 1, 1, 1))
    return _padded(to, x, (*pads[2:4], *pads[6:8]), value)


_WRITERS: dict[str, Callable[[_Translation, Step], int]] = {
    **dict.fromkeys(OF_ONE, _one),
    **dict.fromkeys(ELEMENTWISE, _two),
    **dict.fromkeys(REDUCTIONS, _reduce),
    **dict.fromkeys(plain.RESHAPES, _reshape),
    **dict.fromkeys(plain.POOLS, _pool),
    **dict.fromkeys(plain.GLOBAL_POOLS, _global_pool),
    **dict.fromkeys(plain.UNCHANGING, _same),
    "Cast": _cast,
    "LeakyRelu": _leaky_relu,
    "Clip": _clip,
    "Erf": _erf,
    "Transpose": _transpose,
    "Conv": _conv,
    "BatchNormalization": _batch_norm,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Softmax": _softmax,
    "Slice": _slice,
    "Concat": _concat,
    "Pad": _pad,
}
