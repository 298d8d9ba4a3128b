"""From a model file to a Core ML package, for iPhone, iPad and Mac.

In: a recogniser. Out: the files of an `.mlpackage`, which is a folder: an ML program for iOS 15 and macOS 12 or newer,
in float32. `image: float32 [1, 28, 28]`, 0–255 (Core ML has no inputs of bytes) → `probs: float32 [1, K]`, `score:
float32 [1]` and `outliers: float32 [1, M]` where there are any. The card is in its metadata, with the names of the
classes.

coremltools builds it from a plain graph by its own builder, which needs no PyTorch: its reader of PyTorch networks is
tested up to 2.7. Core ML runs only on Apple's systems: here the saved files are read again by coremltools, and
`coreml_run` computes what they say, operator by operator.
"""

from __future__ import annotations

import importlib.util
import io
import json
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import numpy as np

from inkdigit.errors import UsageError, requiring
from inkdigit.files import writing
from inkdigit.model.card import METADATA_KEY, Card
from inkdigit.model.recognizer import Recognizer
from inkdigit.training.convert.runtimes import plain
from inkdigit.training.convert.runtimes.compare import compare
from inkdigit.training.convert.runtimes.plain import Step, Steps

ELEMENTWISE = {
    "Add": "add",
    "Sub": "sub",
    "Mul": "mul",
    "Div": "real_div",
    "Pow": "pow",
    "Max": "maximum",
    "Min": "minimum",
}
OF_ONE = {
    "Relu": "relu",
    "Tanh": "tanh",
    "Sigmoid": "sigmoid",
    "Exp": "exp",
    "Sqrt": "sqrt",
    "Abs": "abs",
    "Erf": "erf",
}
REDUCTIONS = {
    "ReduceMax": "reduce_max",
    "ReduceMin": "reduce_min",
    "ReduceMean": "reduce_mean",
    "ReduceSum": "reduce_sum",
}
LIBRARIES = ("libmilstoragepython", "libmodelpackage")  # of coremltools: they write weights, and the package
WHOLE = "coremltools 9 has them on Linux and macOS, for Python 3.11 to 3.13."
DESCRIPTION = "Recognises handwritten digits and other small drawings. Written by Inkdigit."
INPUT = "One prepared image, 28 × 28, ink 255 on 0: see Inkdigit's specification of preprocessing."
OUTPUTS = {
    "probs": "The probability of each class, in the order of inkdigit.classes.",
    "score": "How much the image looks like any class; below inkdigit.accept_score it is rejected.",
    "outliers": "What the image is if it is rejected, in the order of inkdigit.outliers.",
}


def coreml_files(recognizer: Recognizer) -> dict[str, bytes]:
    """The files of the `.mlpackage`, by their paths in it, after they were read again and compared with the model file.

    Raises:
        UsageError: the network has an operator that is not translated.
        ParityError: what the files say does not predict what the model file does.
        MissingExtra: coremltools is not installed.
    """
    with requiring("Writing an .mlpackage needs", "coreml"), _quiet():
        import coremltools as ct

        if not is_whole():
            raise UsageError("coremltools is here without the native libraries that write an .mlpackage", hint=WHOLE)
        from inkdigit.training.convert.runtimes import coreml_run

        steps = Steps.of(recognizer)
        steps.check(frozenset(_WRITERS), recognizer, what="an .mlpackage")
        card = plain.card_of(recognizer, steps.data)
        place = Path(tempfile.gettempdir())
        with writing(place), tempfile.TemporaryDirectory() as folder:
            package = Path(folder) / "model.mlpackage"
            model = ct.convert(
                _program(steps),
                convert_to="mlprogram",
                minimum_deployment_target=ct.target.iOS15,
                compute_precision=ct.precision.FLOAT32,
                skip_model_load=True,
            )
            _describe(model, card)
            model.save(str(package))
            compare(recognizer, coreml_run.runner(package, steps.outputs), what="Core ML package")
            return {
                path.relative_to(package).as_posix(): path.read_bytes()
                for path in sorted(package.rglob("*"))
                if path.is_file()
            }


def is_whole() -> bool:
    """Whether coremltools is here with its native libraries: where it has no wheel, pip installs it without them."""
    found = importlib.util.find_spec("coremltools")
    places = [] if found is None else [Path(folder) for folder in found.submodule_search_locations or ()]
    return any(all([*place.glob(f"{name}.*")] for name in LIBRARIES) for place in places)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide what coremltools says of versions and of the runtime that is not here, and its progress bars."""
    logger = logging.getLogger("coremltools")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _describe(model: Any, card: Card) -> None:
    """Write the card into the metadata, and what an app needs of it one by one."""
    model.short_description, model.author = DESCRIPTION, "Inkdigit"
    model.input_description["image"] = INPUT
    for name in (feature.name for feature in model.get_spec().description.output):
        model.output_description[name] = OUTPUTS[name]
    accept = card.calibration.accept_score
    model.user_defined_metadata.update(
        {
            METADATA_KEY: card.to_json(),
            "inkdigit.classes": json.dumps(card.classes, ensure_ascii=False),
            "inkdigit.outliers": json.dumps(card.outliers),
            "inkdigit.accept_score": "" if accept is None else repr(accept),
            "inkdigit.min_confidence": repr(card.calibration.min_confidence),
            "inkdigit.prepare": f"{card.prepare} {card.prepare_version}",
        }
    )


def _program(steps: Steps) -> Any:
    """The ML program of a plain graph."""
    import coremltools as ct
    from coremltools.converters.mil import Builder
    from coremltools.converters.mil.mil import types

    def main(image: Any) -> Any:
        translation = _Translation(Builder, steps, image)
        for step in steps.steps:
            translation.values[step.output] = _WRITERS[step.operator](translation, step)
        return tuple(Builder.identity(x=translation.values[name], name=name) for name in steps.outputs)

    image = Builder.TensorSpec(shape=steps.shapes["image"], dtype=types.fp32)
    program: Any = Builder.program(input_specs=[image], opset_version=ct.target.iOS15)(main)
    return program


class _Translation:
    """A plain graph as an ML program: `values` are those of the program by their names in the graph."""

    def __init__(self, builder: Any, steps: Steps, image: Any) -> None:
        self.mb = builder
        self.steps = steps
        self.values: dict[str, Any] = {"image": image}

    def value(self, name: str) -> Any:
        """A value of the program, or a constant."""
        return self.steps.constants[name] if name in self.steps.constants else self.values[name]


def _same(to: _Translation, step: Step) -> Any:
    return to.value(step.inputs[0])


def _cast(to: _Translation, step: Step) -> Any:
    plain.check_cast(step)
    return to.value(step.inputs[0])  # the image is floats already


def _one(to: _Translation, step: Step) -> Any:
    return getattr(to.mb, OF_ONE[step.operator])(x=to.value(step.inputs[0]))


def _two(to: _Translation, step: Step) -> Any:
    if len(step.inputs) != 2:
        raise UsageError(f"{step.operator} of other than two values cannot be translated")
    x, y = map(to.value, step.inputs)
    return getattr(to.mb, ELEMENTWISE[step.operator])(x=x, y=y)


def _log(to: _Translation, step: Step) -> Any:
    return to.mb.log(x=to.value(step.inputs[0]), epsilon=1e-45)  # which is added: the smallest float above 0


def _neg(to: _Translation, step: Step) -> Any:
    return to.mb.mul(x=to.value(step.inputs[0]), y=np.float32(-1))


def _with_alpha(to: _Translation, step: Step) -> Any:
    write, alpha = (to.mb.elu, 1.0) if step.operator == "Elu" else (to.mb.leaky_relu, 0.01)
    return write(x=to.value(step.inputs[0]), alpha=np.float32(step.attributes.get("alpha", alpha)))


def _clip(to: _Translation, step: Step) -> Any:
    ends = [np.float32(end) for end in (np.finfo(np.float32).min, np.finfo(np.float32).max)]
    for i in (1, 2):
        if len(step.inputs) > i and step.inputs[i]:
            ends[i - 1] = np.float32(to.steps.told(step, i))
    return to.mb.clip(x=to.value(step.inputs[0]), alpha=ends[0], beta=ends[1])


def _reshape(to: _Translation, step: Step) -> Any:
    return to.mb.reshape(x=to.value(step.inputs[0]), shape=np.array(to.steps.shapes[step.output], np.int32))


def _transpose(to: _Translation, step: Step) -> Any:
    return to.mb.transpose(x=to.value(step.inputs[0]), perm=list(step.attributes["perm"]))


def _pads(step: Step) -> list[int]:
    """(top, bottom, left, right) of the sides (top, left, bottom, right)."""
    top, left, bottom, right = plain.around(step)
    return [top, bottom, left, right]


def _conv(to: _Translation, step: Step) -> Any:
    strides, dilations = plain.strides(step)
    bias = {"bias": to.steps.told(step, 2)} if len(step.inputs) > 2 else {}
    return to.mb.conv(
        x=to.value(step.inputs[0]),
        weight=plain.filters(step, to.steps),
        strides=strides,
        dilations=dilations,
        groups=step.attributes.get("group", 1),
        pad_type="custom",
        pad=_pads(step),
        **bias,
    )


def _pool(to: _Translation, step: Step) -> Any:
    largest, (strides, dilations) = step.operator == "MaxPool", plain.strides(step)
    if dilations != [1, 1]:
        raise UsageError(f"{step.operator} with dilations cannot be translated")
    rest = {} if largest else {"exclude_padding_from_average": not step.attributes.get("count_include_pad", 0)}
    return (to.mb.max_pool if largest else to.mb.avg_pool)(
        x=to.value(step.inputs[0]),
        kernel_sizes=list(step.attributes["kernel_shape"]),
        strides=strides,
        pad_type="custom",
        pad=_pads(step),
        **rest,
    )


def _global_pool(to: _Translation, step: Step) -> Any:
    write = to.mb.reduce_max if step.operator == "GlobalMaxPool" else to.mb.reduce_mean
    return write(x=to.value(step.inputs[0]), axes=[2, 3], keep_dims=True)


def _batch_norm(to: _Translation, step: Step) -> Any:
    if len(to.steps.shapes[step.output]) != 4:
        raise UsageError("BatchNormalization of other than four dimensions cannot be translated")
    gamma, beta, mean, variance = (to.steps.told(step, i) for i in range(1, 5))
    return to.mb.batch_norm(
        x=to.value(step.inputs[0]),
        mean=mean,
        variance=variance,
        gamma=gamma,
        beta=beta,
        epsilon=np.float32(step.attributes.get("epsilon", 1e-5)),
    )


def _gemm(to: _Translation, step: Step) -> Any:
    weight, bias = plain.linear(step, to.steps)
    return to.mb.linear(x=to.value(step.inputs[0]), weight=weight, bias=bias)


def _matmul(to: _Translation, step: Step) -> Any:
    x, y = map(to.value, step.inputs)
    return to.mb.matmul(x=x, y=y)


def _reduce(to: _Translation, step: Step) -> Any:
    axes, keep = plain.reduced(step, to.steps)
    return getattr(to.mb, REDUCTIONS[step.operator])(x=to.value(step.inputs[0]), axes=axes, keep_dims=keep)


def _softmax(to: _Translation, step: Step) -> Any:
    return to.mb.softmax(x=to.value(step.inputs[0]), axis=step.attributes.get("axis", -1))


def _slice(to: _Translation, step: Step) -> Any:
    begin, end, stride = plain.sliced(step, to.steps)
    return to.mb.slice_by_index(x=to.value(step.inputs[0]), begin=begin, end=end, stride=stride)


def _concat(to: _Translation, step: Step) -> Any:
    return to.mb.concat(values=[to.value(name) for name in step.inputs], axis=step.attributes["axis"])


def _pad(to: _Translation, step: Step) -> Any:
    pads, cut = plain.padded(step, to.steps)
    x = to.value(step.inputs[0])
    if any(cut):
        begin, end = cut[: len(cut) // 2], cut[len(cut) // 2 :]
        shape = to.steps.shapes[step.inputs[0]]
        ends = [size - away for size, away in zip(shape, end, strict=True)]
        x = to.mb.slice_by_index(x=x, begin=begin, end=ends)
    if not any(pads):
        return x
    before, after = pads[: len(pads) // 2], pads[len(pads) // 2 :]
    amounts = [amount for pair in zip(before, after, strict=True) for amount in pair]
    value = float(to.steps.told(step, 2)) if len(step.inputs) > 2 and step.inputs[2] else 0.0
    return to.mb.pad(x=x, pad=amounts, mode="constant", constant_val=np.float32(value))


_WRITERS: dict[str, Callable[[_Translation, Step], Any]] = {
    **dict.fromkeys(OF_ONE, _one),
    **dict.fromkeys(ELEMENTWISE, _two),
    **dict.fromkeys(REDUCTIONS, _reduce),
    **dict.fromkeys(plain.RESHAPES, _reshape),
    **dict.fromkeys(plain.POOLS, _pool),
    **dict.fromkeys(plain.GLOBAL_POOLS, _global_pool),
    **dict.fromkeys(plain.UNCHANGING, _same),
    **dict.fromkeys(("Elu", "LeakyRelu"), _with_alpha),
    "Cast": _cast,
    "Log": _log,
    "Neg": _neg,
    "Clip": _clip,
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
