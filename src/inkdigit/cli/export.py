"""`inkdigit export`: a model file as other programs want it, or smaller and faster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inkdigit.cli import talk
from inkdigit.errors import DataError, MissingExtra, OutputError, UsageError, did_you_mean
from inkdigit.files import write_atomic
from inkdigit.runs import MODEL, RECIPE, check_place

if TYPE_CHECKING:
    from inkdigit.model.recognizer import Recognizer
    from inkdigit.types import Dataset, Metrics

FORMATS = {"keras": ".keras", "onnx-int8": "-int8.onnx", "safetensors": ".safetensors", "pt2": ".pt2"}


def export(
    model: Annotated[str, typer.Argument(help="A bundled model, a run directory or an .onnx file.")],
    format_: Annotated[str, typer.Option("--format", metavar="FORMAT", help=f"{', '.join(FORMATS)}.")],
    out: Annotated[
        Path | None, typer.Option(help="The file to write; else a new one here, named after the run or model.")
    ] = None,
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
    target = out or _default(model, recognizer, format_)
    check_place(target, reads=[recognizer.path])
    if format_ == "keras" and not target.name.endswith(FORMATS["keras"]):
        raise UsageError("Keras opens no file of that name", expected="a name that ends in .keras", received=target)
    with talk.interruptible():
        try:
            written = _quantize(recognizer, data) if format_ == "onnx-int8" else _convert(recognizer, format_)
        except ModuleNotFoundError as exc:
            raise MissingExtra(f"Exporting needs {exc.name}", "train") from exc
        write_atomic(target, written)
    talk.say(f"Written     {target} ({len(written) / 1000:,.0f} kB)")
    _next(target, format_)


def _default(model: str, recognizer: Recognizer, format_: str) -> Path:
    """A new file here, named after the run; a model file that belongs to none gives its own name.

    Raises:
        OutputError: that name is taken.
    """
    path, folder = recognizer.path, recognizer.path.parent
    of_run = path.name == MODEL and (Path(model).is_dir() or (folder / RECIPE).is_file())
    target = Path(((folder.resolve().name if of_run else path.stem) or "model") + FORMATS[format_])
    if target.exists():
        raise OutputError(f"{target} exists already", expected="a new name", hint="Say --out; it may be replaced then.")
    return target


def _convert(recognizer: Recognizer, format_: str) -> bytes:
    from inkdigit.training.convert import keras, weights

    if format_ == "keras":
        return keras.keras_bytes(recognizer)
    return weights.pt2_bytes(recognizer) if format_ == "pt2" else weights.safetensors_bytes(recognizer)


def _quantize(recognizer: Recognizer, data: str | None) -> bytes:
    from inkdigit.training.convert.int8 import quantize

    source = data or learnt_from(recognizer)
    talk.note(f"Ranges from {source}, then both files answer the part that the model reports on.")
    made = quantize(recognizer, _open(source, recognizer, named=data is not None))
    talk.say(f"{made.after.data} ({made.after.split}), {made.after.n:,} pictures")
    for name, metrics, size in (
        ("float32", made.before, recognizer.path.stat().st_size),
        ("int8", made.after, len(made.data)),
    ):
        talk.say(f"{name:<12}{_figures(metrics)}, {size / 1000:,.0f} kB")
    if len(made.data) >= recognizer.path.stat().st_size:
        talk.note("The int8 file is no smaller: in a network this small, what describes the integers outweighs them.")
    return made.data


def _figures(metrics: Metrics) -> str:
    limits = talk.interval(metrics.accuracy_ci95)
    return f"{talk.percent(metrics.accuracy)} ({limits}), {metrics.answered:,} answered"


def learnt_from(recognizer: Recognizer) -> str:
    """The data that the model learnt from: its own run knows where they lie, its card what they are called."""
    from inkdigit.training.convert.restore import recipe_of
    from inkdigit.training.recipe import Recipe

    recipe, beside = recipe_of(recognizer), recognizer.path.parent / RECIPE
    try:
        found = Recipe.load(beside)
    except UsageError:  # none, or none that can be read
        return recipe.data
    return found.data if found.change({"data": recipe.data, "teacher": recipe.teacher}) == recipe else recipe.data


def open_source(source: str, recognizer: Recognizer, *, named: bool) -> Dataset:
    """Open data as the model prepares pictures; `named` says that the user named them.

    Raises:
        UsageError: no such data.
        DataError: those that the user named cannot be used.
    """
    from inkdigit.data.sources import open_data

    try:
        return open_data(source, prepare=recognizer.prepare, log=talk.note)
    except (UsageError, DataError) as exc:
        if named:
            raise
        raise UsageError(f"The data that the model learnt from cannot be opened: {exc}", hint="Say --data.") from exc


def _open(source: str, recognizer: Recognizer, *, named: bool) -> Dataset:
    dataset = open_source(source, recognizer, named=named)
    learnt = recognizer.card.provenance.get("data")
    sha256 = learnt.get("sha256") if isinstance(learnt, dict) else None
    if sha256 in (None, dataset.sha256):
        return dataset
    if named:
        talk.note(f"{dataset.name} is not what the model learnt from: ranges and figures are those of {dataset.name}.")
        return dataset
    raise UsageError(
        f"{source} is not the data that the model learnt from",
        expected=f"SHA-256 {str(sha256)[:12]}…",
        received=f"{dataset.sha256[:12]}…",
        hint="Say --data.",
    )


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
