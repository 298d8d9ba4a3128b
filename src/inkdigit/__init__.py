"""Inkdigit reads handwritten digits: train a small network from raw data, and answer with one file.

    import inkdigit
    inkdigit.load().predict("photo.jpg")[0].label

Names are handed on lazily (PEP 562): importing this costs nothing, and answering never loads the training libraries.
"""

from __future__ import annotations

import importlib
import logging
import os
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

# ONNX Runtime's official builds tell their makers that they are used, unless this is set before they are loaded. Here
# nothing leaves the machine; who wants otherwise sets it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# Threads of PyTorch that wait for each other sleep. By default they spin, and where other programs need the cores too,
# those that spin keep off those they wait for: a training took up to 15 times as long. OpenMP reads it when PyTorch is
# loaded, so `import inkdigit` must come first; who has set it keeps what they set.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# A library says nothing by itself: who wants its messages gives "inkdigit" a handler. The command line does.
logging.getLogger("inkdigit").addHandler(logging.NullHandler())

if TYPE_CHECKING:
    from inkdigit.data.readers.arrays import open_arrays
    from inkdigit.data.sources import open_data
    from inkdigit.errors import InkdigitError
    from inkdigit.kaggle import submit
    from inkdigit.measure.metrics import Metrics, evaluate
    from inkdigit.measure.robustness import evaluate_corruptions
    from inkdigit.model.recognizer import Recognizer, load
    from inkdigit.reading.reader import Reader, read
    from inkdigit.training.adapt.adapt import adapt
    from inkdigit.training.audit import audit
    from inkdigit.training.recipe import Recipe
    from inkdigit.training.run import Run, resume, train
    from inkdigit.types import Dataset, Part, Prediction, Reading

_ROOMS = {
    "Dataset": "types",
    "InkdigitError": "errors",
    "Metrics": "measure.metrics",
    "Part": "types",
    "Prediction": "types",
    "Reader": "reading.reader",
    "Reading": "types",
    "Recipe": "training.recipe",
    "Recognizer": "model.recognizer",
    "Run": "training.run",
    "adapt": "training.adapt.adapt",
    "audit": "training.audit",
    "evaluate": "measure.metrics",
    "evaluate_corruptions": "measure.robustness",
    "load": "model.recognizer",
    "open_arrays": "data.readers.arrays",
    "open_data": "data.sources",
    "read": "reading.reader",
    "resume": "training.run",
    "submit": "kaggle",
    "train": "training.run",
}

__all__ = [
    "Dataset",
    "InkdigitError",
    "Metrics",
    "Part",
    "Prediction",
    "Reader",
    "Reading",
    "Recipe",
    "Recognizer",
    "Run",
    "adapt",
    "audit",
    "evaluate",
    "evaluate_corruptions",
    "load",
    "open_arrays",
    "open_data",
    "read",
    "resume",
    "submit",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module 'inkdigit' has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(f"inkdigit.{_ROOMS[name]}"), name)
    except ImportError as exc:
        if (exc.name or "").partition(".")[0] == "inkdigit":
            raise  # a bug of ours, not a missing library
        from inkdigit.__main__ import describe
        from inkdigit.errors import MissingExtra

        if isinstance(exc, ModuleNotFoundError) and _ROOMS[name].startswith("training."):
            raise MissingExtra(f"inkdigit.{name} needs {exc.name}", "train") from exc
        raise describe(exc) from exc


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
