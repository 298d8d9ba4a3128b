"""`inkdigit export`: a model file in a format of other programs, or a smaller and faster one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inkdigit.cli import talk
from inkdigit.cli.outputs import Force, check_new
from inkdigit.cli.own import Net, build_of
from inkdigit.files import write_atomic
from inkdigit.training.convert.export import INT8, SUFFIXES, check_format, choose_target, convert, left_out

if TYPE_CHECKING:
    from inkdigit.measure.metrics import Metrics
    from inkdigit.model.recognizer import Recognizer


def export(
    model: Annotated[str, typer.Argument(help="A bundled model, a run or its name, or an .onnx file.")],
    format_: Annotated[str, typer.Option("--format", metavar="FORMAT", help=f"{', '.join(SUFFIXES)}.")],
    out: Annotated[
        Path | None, typer.Option(help="The file to write; by default a new one here, named after the run or model.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="SOURCE for the ranges of onnx-int8; by default what the model learned from.")
    ] = None,
    net: Net = None,
    force: Force = False,
) -> None:
    """Write a model for Keras or PyTorch, or as a smaller and faster one of 8-bit integers.

    Example: inkdigit export fast --format keras --out fast.keras
    """
    check_format(format_, data=data)
    from inkdigit.model.recognizer import Recognizer

    recognizer = Recognizer.load(model)
    target = choose_target(out, format_, model=model, recognizer=recognizer)
    check_new(target, force=force)
    with talk.interruptible():
        with talk.requiring("Exporting needs"):
            import inkdigit.training.convert.restore  # noqa: F401  with PyTorch, before a file of the user's needs it

            is_int8 = format_ == INT8
            written = _quantize(recognizer, data) if is_int8 else convert(recognizer, format_, net=build_of(net))
        write_atomic(target, written)
    talk.say(f"Written     {target} ({len(written) / 1000:,.0f} kB)")
    if (line := left_out(recognizer, format_)) is not None:
        talk.note(line)
    _next(target, format_)


def _quantize(recognizer: Recognizer, data: str | None) -> bytes:
    """The bytes of the int8 file; the figures of both files are printed."""
    from inkdigit.training.convert.int8 import quantize
    from inkdigit.training.convert.source import open_same, source_of_model

    source = data or source_of_model(recognizer)
    talk.note(f"Ranges from {source}; then both files answer the split that the model reports on.")
    made = quantize(recognizer, open_same(source, recognizer, named=data is not None, log=talk.note))
    talk.say(f"{made.after.data} ({made.after.split}), {made.after.n:,} images")
    for name, metrics, size in (
        ("float32", made.before, recognizer.path.stat().st_size),
        ("int8", made.after, len(made.data)),
    ):
        talk.say(f"{name:<12}{_figures(metrics)}, {size / 1000:,.0f} kB")
    if len(made.data) >= recognizer.path.stat().st_size:
        talk.note("The int8 file is not smaller: in so small a network the descriptions of the integers outweigh them.")
    return made.data


def _figures(metrics: Metrics) -> str:
    limits = talk.interval(metrics.accuracy_ci95)
    return f"{talk.percent(metrics.accuracy)} ({limits}), {metrics.answered:,} answered"


def _next(target: Path, format_: str) -> None:
    file = json.dumps(str(target), ensure_ascii=False)  # in double quotes, since the shell's are single
    code = {
        "keras": f"import keras; keras.models.load_model({file}).summary()",
        "safetensors": f"from safetensors.torch import load_file; print(load_file({file}).keys())",
        "pt2": f"import torch; print(torch.export.load({file}))",
    }
    if format_ == INT8:
        talk.next_steps(["inkdigit", "predict", "picture.png", "--model", str(target)])
    else:
        backend = ["KERAS_BACKEND=torch"] if format_ == "keras" else []  # by default Keras looks for TensorFlow
        talk.next_steps([*backend, "python", "-c", code[format_]])
