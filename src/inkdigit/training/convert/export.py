"""The formats in which a model file can be exported: their names, the name of a new file, and its bytes.

In: a recogniser and the name of a format. Out: a path, bytes. Large libraries are imported when a file is converted.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from inkdigit.errors import UsageError, did_you_mean
from inkdigit.runs import MODEL, RECIPE, check_place

if TYPE_CHECKING:
    from inkdigit.model.recognizer import Recognizer
    from inkdigit.training.own.network import Build

INT8 = "onnx-int8"  # the only format that needs data, see `int8.py`
# Format → the end of the name of its file.
SUFFIXES = {"keras": ".keras", INT8: "-int8.onnx", "safetensors": ".safetensors", "pt2": ".pt2"}


def check_format(name: str, *, data: str | None) -> None:
    """Check the name of a format, and that the format uses data if the user names some.

    Raises:
        UsageError: the format is unknown, or uses no data.
    """
    if name not in SUFFIXES:
        hint = did_you_mean(name, SUFFIXES)
        raise UsageError(f"Unknown format {name!r}", expected=", ".join(SUFFIXES), hint=hint)
    if data is not None and name != INT8:
        raise UsageError(f"--data has no meaning for {name}", expected=f"--data only with {INT8}")


def choose_target(out: Path | None, name: str, *, model: str, recognizer: Recognizer) -> Path:
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


def _new_file(model: str, path: Path, suffix: str) -> Path:
    folder = path.parent
    of_run = path.name == MODEL and (Path(model).is_dir() or (folder / RECIPE).is_file())
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
