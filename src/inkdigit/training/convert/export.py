"""A model file in other formats: the name of a new file, and how it is written.

In: a recogniser and the name of a format. Out: a file. Large libraries are imported when a file is converted.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from inkdigit.errors import UsageError, requiring
from inkdigit.files import write_atomic
from inkdigit.model.recognizer import Recognizer
from inkdigit.runs import MODEL, RECIPE, check_place
from inkdigit.training.convert.formats import INT8, SUFFIXES, check_format
from inkdigit.types import DataLike, Log, silent

if TYPE_CHECKING:
    from inkdigit.measure.metrics import Metrics
    from inkdigit.training.convert.int8 import Quantized
    from inkdigit.training.own.network import Build


@dataclass(frozen=True, eq=False)
class Exported:
    """A model in another format; an int8 file has the figures of the float file and of itself on the same images."""

    path: Path
    format: str
    bytes: int
    left_out: str | None  # what the file does not have of what the model file has, in one line
    before: Metrics | None = field(default=None, repr=False)
    after: Metrics | None = field(default=None, repr=False)


def export(
    model: Recognizer | str | Path,
    format: str,
    out: str | Path | None = None,
    *,
    data: DataLike | None = None,
    net: Build | None = None,
    log: Log = silent,
) -> Exported:
    """Write a model for Keras or PyTorch, or as a smaller and faster one of 8-bit integers.

    `format` is keras, safetensors, pt2 or onnx-int8. The file is `out`, else a new one here, named after the run or the
    model; a file that is there is replaced. `data` give onnx-int8 its ranges, by default what the model learned from.
    `net` builds the network of a model that is your own.

    Raises:
        UsageError: no such model, format or data, or a file without trainable weights.
        DataError: `data` cannot be used.
        MissingExtra: a library for the format is not installed.
        OutputError: the file cannot be written.
    """
    check_format(format, data=data)
    recognizer = Recognizer.of(model)
    target = choose_target(None if out is None else Path(out), format, model=model, recognizer=recognizer)
    with requiring("Exporting needs"):
        made = _quantize(recognizer, data, log=log) if format == INT8 else None
        written = convert(recognizer, format, net=net) if made is None else made.data
    write_atomic(target, written)
    exported = Exported(target, format, len(written), left_out(recognizer, format))
    return exported if made is None else replace(exported, before=made.before, after=made.after)


def _quantize(recognizer: Recognizer, data: DataLike | None, *, log: Log) -> Quantized:
    """The int8 file, and the figures of both files."""
    from inkdigit.training.convert.int8 import quantize
    from inkdigit.training.convert.source import open_same, source_of_model

    source = source_of_model(recognizer) if data is None else data
    dataset = open_same(source, recognizer, named=data is not None, log=log)
    log(f"Ranges from {dataset.name}; then both files answer the split that the model reports on.")
    return quantize(recognizer, dataset)


def choose_target(out: Path | None, name: str, *, model: Recognizer | str | Path, recognizer: Recognizer) -> Path:
    """Where the file in the format `name` is written: `out`, or a new file here, named after the run or the model.

    `model` is what the user named; a run directory or a file in it is called after the run, any other file after
    itself.

    Raises:
        OutputError: the path cannot or must not be written.
        UsageError: Keras cannot open a file of that name.
    """
    target = out or _new_file(model, recognizer.path, SUFFIXES[name])
    check_place(target, reads=[recognizer.path])
    if name == "keras" and not target.name.endswith(SUFFIXES["keras"]):
        raise UsageError(
            "Keras cannot open a file of that name", expected="a name that ends in .keras", received=target
        )
    return target


def _new_file(model: Recognizer | str | Path, path: Path, suffix: str) -> Path:
    folder = path.parent
    is_folder = isinstance(model, str | Path) and Path(model).is_dir()
    of_run = path.name == MODEL and (is_folder or (folder / RECIPE).is_file())
    return Path(((folder.resolve().name if of_run else path.stem) or "model") + suffix)


def left_out(recognizer: Recognizer, name: str) -> str | None:
    """What the file in a format does not have of what the model file has, in one line; None if it has all."""
    if name != "keras":
        return None
    outputs = "the score" + (
        f" and the outliers ({', '.join(recognizer.card.outliers)})" if recognizer.card.outliers else ""
    )
    return f"Left out: {outputs}. A Keras file has the probabilities alone: it answers every image, and rejects none."


def convert(recognizer: Recognizer, name: str, *, net: Build | None = None) -> bytes:
    """The bytes of a file in a format that needs no data; `net` builds the network of a model that is the user's own.

    Raises:
        UsageError: the model has no trainable weights.
        MissingExtra: a library for it is not installed.
    """
    from inkdigit.training.convert import keras, weights

    if name == "keras":
        return keras.keras_bytes(recognizer)
    to_bytes = weights.pt2_bytes if name == "pt2" else weights.safetensors_bytes
    return to_bytes(recognizer, net=net)
