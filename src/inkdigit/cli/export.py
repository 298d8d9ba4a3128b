"""`inkdigit export`: a model file as other programs want it, or smaller and faster."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inkdigit.cli import talk
from inkdigit.errors import DataError, MissingExtra, OutputError, UsageError, did_you_mean
from inkdigit.runs import RECIPE, looking_up, write_aside

if TYPE_CHECKING:
    from inkdigit.model.recognizer import Recognizer
    from inkdigit.types import Dataset, Metrics

FORMATS = {"keras": ".keras", "onnx-int8": "-int8.onnx", "safetensors": ".safetensors", "pt2": ".pt2"}


def export(
    model: Annotated[str, typer.Argument(help="A bundled model, a run directory or an .onnx file.")],
    format_: Annotated[str, typer.Option("--format", metavar="FORMAT", help=f"{', '.join(FORMATS)}.")],
    out: Annotated[Path | None, typer.Option(help="The file to write; else the model's name, here.")] = None,
    data: Annotated[
        str | None, typer.Option(help="SOURCE for the ranges of onnx-int8; else what the model learnt from.")
    ] = None,
) -> None:
    """Write a model for Keras or PyTorch, or as a smaller and faster one of 8-bit integers.

    Example: inkdigit export fast --format keras --out fast.keras
    """
    if format_ not in FORMATS:
        hint = did_you_mean(format_, FORMATS)
        raise UsageError(f"Unknown format {format_!r}", expected=", ".join(FORMATS), hint=hint)
    if data is not None and format_ != "onnx-int8":
        raise UsageError(f"--data has no meaning for {format_}", expected="--data with onnx-int8 alone")
    from inkdigit.model.recognizer import Recognizer

    recognizer = Recognizer.load(model)
    target = out or Path(re.sub(r"[^\w.-]+", "-", recognizer.name) + FORMATS[format_])
    _check(target, format_, recognizer)
    with talk.interruptible():
        try:
            written = _quantize(recognizer, data) if format_ == "onnx-int8" else _convert(recognizer, format_)
        except ModuleNotFoundError as exc:
            raise MissingExtra(f"Exporting needs {exc.name}", "train") from exc
        write_aside(target, written)
    talk.say(f"Written     {target} ({len(written) / 1000:,.0f} kB)")
    _next(target, format_)


def _check(target: Path, format_: str, recognizer: Recognizer) -> None:
    """What would fail after the work fails before it."""
    with looking_up(target):
        if target.is_dir() or not target.parent.is_dir():
            raise OutputError(f"{target} cannot be written", expected="a file in a folder that exists")
        if target.exists() and target.samefile(recognizer.path):
            raise OutputError(f"{target} is the model itself", expected="another name: nothing is overwritten")
    if format_ == "keras" and target.suffix != FORMATS["keras"]:
        raise UsageError("Keras opens no file of that name", expected="a name that ends in .keras", received=target)


def _convert(recognizer: Recognizer, format_: str) -> bytes:
    from inkdigit.training import keras, weights

    if format_ == "keras":
        return keras.keras_bytes(recognizer)
    return weights.pt2_bytes(recognizer) if format_ == "pt2" else weights.safetensors_bytes(recognizer)


def _quantize(recognizer: Recognizer, data: str | None) -> bytes:
    from inkdigit.training.quantize import quantize

    source = data or _source(recognizer)
    talk.note(f"Ranges from {source}, then both files answer the part that the model reports on.")
    made = quantize(recognizer, _open(source, recognizer, named=data is not None))
    talk.say(f"{made.after.data} ({made.after.split}), {made.after.n:,} pictures")
    for name, metrics, size in (
        ("float32", made.before, recognizer.path.stat().st_size),
        ("int8", made.after, len(made.data)),
    ):
        talk.say(f"{name:<12}{_figures(metrics)}, {size / 1000:,.0f} kB")
    return made.data


def _figures(metrics: Metrics) -> str:
    limits = talk.interval(metrics.accuracy_ci95)
    return f"{talk.percent(metrics.accuracy)} ({limits}), {metrics.answered:,} answered"


def _source(recognizer: Recognizer) -> str:
    """The data that the model learnt from: a run knows where they lie, a card what they are called."""
    from inkdigit.training.recipe import Recipe
    from inkdigit.training.restore import recipe_of

    recipe, beside = recipe_of(recognizer), recognizer.path.parent / RECIPE
    return Recipe.load(beside).data if beside.is_file() else recipe.data


def _open(source: str, recognizer: Recognizer, *, named: bool) -> Dataset:
    from inkdigit.data.sources import open_data

    try:
        return open_data(source, prepare=recognizer.prepare, log=talk.note)
    except (UsageError, DataError) as exc:
        if named:
            raise
        raise UsageError(f"The data that the model learnt from cannot be opened: {exc}", hint="Say --data.") from exc


def _next(target: Path, format_: str) -> None:
    file = json.dumps(str(target), ensure_ascii=False)  # in double quotes: the shell's are single
    code = {
        "keras": f"import keras; keras.models.load_model({file}).summary()",
        "safetensors": f"from safetensors.torch import load_file; print(load_file({file}).keys())",
        "pt2": f"import torch; print(torch.export.load({file}))",
    }
    if format_ == "onnx-int8":
        talk.next_steps(["inkdigit", "predict", "picture.png", "--model", str(target)])
    else:
        backend = ["KERAS_BACKEND=torch"] if format_ == "keras" else []  # it would look for TensorFlow
        talk.next_steps([*backend, "python", "-c", code[format_]])
