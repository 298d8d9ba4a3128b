"""A model file in other formats: the name of a new file, and how it is written.

In: a recogniser and the name of a format. Out: a file. Large libraries are imported when a file is converted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from inkdigit.errors import OutputError, UsageError, requiring
from inkdigit.files import check_free, make_atomic, write_atomic, writing
from inkdigit.model.recognizer import Recognizer
from inkdigit.runs import MODEL, RECIPE, check_place
from inkdigit.training.convert import formats
from inkdigit.training.convert.formats import (
    CORE_ML,
    INT8,
    LITERT,
    ONNX,
    OPENVINO,
    PARTICULAR,
    SUFFIXES,
    check_format,
)
from inkdigit.types import DataLike, Log, check_functions, silent

if TYPE_CHECKING:
    from inkdigit.measure.metrics import Metrics
    from inkdigit.training.convert.int8 import Quantized
    from inkdigit.training.own.network import Build


MANIFEST = "Manifest.json"  # of a Core ML package


@dataclass(frozen=True, eq=False)
class Exported:
    """A model in another format; an int8 file has the figures of the float file and of itself on the same images."""

    path: Path
    format: str
    bytes: int
    left_out: str | None  # what the file does not have of what the model file has, in one line
    unchecked: str | None = None  # what could not be checked on this machine, in one line
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
    """Write a model for another runtime, for Keras or PyTorch, or as a smaller and faster one of 8-bit integers.

    `format` is keras, onnx, onnx-int8, tflite, openvino, coreml, safetensors or pt2. The file is `out`, else a new one
    here, named after the run or the model. A file that is there is replaced, and so is the folder of coreml if it is
    such a package; any other must be empty. `data` give onnx-int8 its ranges, by default what the model learned from.
    `net` builds the network of a model that is your own, for safetensors and pt2.

    Raises:
        UsageError: no such model, format or data, or a model that the format cannot hold.
        DataError: `data` cannot be used.
        ParityError: the new file does not predict what the model file does.
        MissingExtra: a library for the format is not installed.
        OutputError: the file cannot be written.
    """
    check_functions(net=net, log=log)
    check_format(format, data=data)
    recognizer = Recognizer.of(model)
    target = choose_target(None if out is None else Path(out), format, model=model, recognizer=recognizer)
    with requiring("Exporting needs"):
        made = _quantize(recognizer, data, log=log) if format == INT8 else None
        files = convert(recognizer, format, net=net) if made is None else {"": made.data}
    _write(target, format, files)
    size = sum(map(len, files.values()))
    exported = Exported(target, format, size, left_out(recognizer, format), UNCHECKED.get(format))
    return exported if made is None else replace(exported, before=made.before, after=made.after)


def _write(target: Path, name: str, files: dict[str, bytes]) -> None:
    """Write what `convert` returns: a folder of files, or a file with others beside it, which come before it."""
    if name == CORE_ML:
        with make_atomic(target, replace=is_package(target)) as aside, writing(target):
            for inside, data in files.items():
                (aside / inside).parent.mkdir(parents=True, exist_ok=True)
                (aside / inside).write_bytes(data)
        return
    for place, data in zip(reversed(places(target, name)), reversed(files.values()), strict=True):
        write_atomic(place, data)


def places(target: Path, name: str) -> list[Path]:
    """The files that are written in a format, `target` first; none of them for the format that is a folder."""
    if name == CORE_ML:
        return []
    return [target, target.with_suffix(".bin")] if name == OPENVINO else [target]


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
        UsageError: the program that the format is for opens no file of that name.
    """
    target = out or _new_file(model, recognizer.path, SUFFIXES[name])
    if name in PARTICULAR and not target.name.endswith(SUFFIXES[name]):
        raise UsageError(
            f"{PARTICULAR[name]} cannot open a file of that name",
            expected=f"a name that ends in {SUFFIXES[name]}",
            received=target,
        )
    for place in places(target, name):
        check_place(place, reads=[recognizer.path])
    if name == CORE_ML:
        _check_folder(target)
    return target


def _check_folder(target: Path) -> None:
    """Check that a package can be made at `target`: one that is there is replaced, and no other folder.

    Raises:
        OutputError: the path is taken, or cannot be written.
    """
    if is_package(target):
        return
    if target.is_dir():
        check_free(target)
    elif target.exists():
        raise OutputError(f"{target} is taken", expected="a new name, or an empty directory", received="a file")
    else:
        check_place(target)


def is_package(folder: Path) -> bool:
    """Whether a folder is a Core ML package, by its manifest: then it may be replaced by another one."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and {"itemInfoEntries", "rootModelIdentifier"} <= manifest.keys()


def _new_file(model: Recognizer | str | Path, path: Path, suffix: str) -> Path:
    folder = path.parent
    is_folder = isinstance(model, str | Path) and Path(model).is_dir()
    of_run = path.name == MODEL and (is_folder or (folder / RECIPE).is_file())
    return Path(((folder.resolve().name if of_run else path.stem) or "model") + suffix)


def left_out(recognizer: Recognizer, name: str) -> str | None:
    """What the file in a format does not have of what the model file has, in one line; None if it has all."""
    if name == formats.KERAS:
        outputs = "the score" + (
            f" and the outliers ({', '.join(recognizer.card.outliers)})" if recognizer.card.outliers else ""
        )
        return (
            f"Left out: {outputs}. A Keras file has the probabilities alone: it answers every image, and rejects none."
        )
    if name in (ONNX, LITERT, OPENVINO, CORE_ML) and recognizer.card.numbers != "float32":
        return f"Left out: the {recognizer.card.numbers} numbers. The file has floats, four times as large."
    return None


# What cannot be checked on any machine but Apple's.
UNCHECKED = {
    CORE_ML: "Core ML itself was not run: Apple's systems alone have it. The written files were read again and "
    "computed operator by operator, and predict what the model file does."
}


def convert(recognizer: Recognizer, name: str, *, net: Build | None = None) -> dict[str, bytes]:
    """The files in a format that needs no data, by the ends of their names, or by their paths where it is a folder.

    `net` builds the network of a model that is the user's own.

    Raises:
        UsageError: the format cannot hold the model.
        ParityError: the new file does not predict what the model file does.
        MissingExtra: a library for it is not installed.
    """
    from inkdigit.training.convert import keras, weights
    from inkdigit.training.convert.runtimes import coreml, openvino, plain, tflite

    match name:
        case formats.ONNX:
            return {"": plain.onnx_bytes(recognizer)}
        case formats.LITERT:
            return {"": tflite.tflite_bytes(recognizer)}
        case formats.OPENVINO:
            return openvino.openvino_files(recognizer)
        case formats.CORE_ML:
            return coreml.coreml_files(recognizer)
        case formats.KERAS:
            return {"": keras.keras_bytes(recognizer)}
        case formats.PT2:
            return {"": weights.pt2_bytes(recognizer, net=net)}
    return {"": weights.safetensors_bytes(recognizer, net=net)}
