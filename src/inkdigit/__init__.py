"""Inkdigit reads handwritten digits: train a small network from raw data, and answer with one file.

    import inkdigit
    inkdigit.predict("photo.jpg")[0].label

    answers     predict, predict_proba, read, read_grid, read_form, explain, batch; load, Recognizer, Reader, Client
    trainings   train, resume, train_seeds, tune, kaggle, adapt; Recipe, list_recipes, Run; InkdigitClassifier
    figures     evaluate, evaluate_corruptions, compare, list_runs, benchmark; Metrics
    data        open_data, open_arrays, fetch, check, audit; Dataset, Part
    files       export, ensemble, submit; list_models
    results     Prediction, Reading; errors: InkdigitError

`help(inkdigit.train)` says what a function takes, returns and raises. Each command of the command line is one of them.
Names are handed on lazily (PEP 562): importing this costs nothing, and answering never loads the training libraries.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from typing import TYPE_CHECKING, Any

__version__ = "1.0.0"

# ONNX Runtime's official builds tell their makers that they are used, unless this is set before they are loaded. Here
# nothing leaves the machine; who wants otherwise sets it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# Threads of PyTorch that wait for each other spin for some microseconds, and then sleep. By default they spin for
# milliseconds, and where other programs need the cores too, those that spin keep off those they wait for: a training
# took up to 15 times as long. If they never spin, one alone takes 1.4 times as long. OpenMP reads it when PyTorch is
# loaded, so `import inkdigit` must come first (else a training warns); who has set either variable keeps what they set.
if "torch" not in sys.modules and "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "300")

# A library says nothing by itself: who wants its messages gives "inkdigit" a handler. The command line does.
logging.getLogger("inkdigit").addHandler(logging.NullHandler())

if TYPE_CHECKING:
    from inkdigit.client import Client
    from inkdigit.data.checks import check
    from inkdigit.data.mirrors import fetch
    from inkdigit.data.readers.arrays import open_arrays
    from inkdigit.data.sources import open_data
    from inkdigit.errors import InkdigitError
    from inkdigit.measure.ledger import list_runs
    from inkdigit.measure.metrics import Metrics, evaluate
    from inkdigit.measure.robustness import evaluate_corruptions
    from inkdigit.measure.speed import benchmark
    from inkdigit.model.recognizer import Recognizer, list_models, load, predict, predict_proba
    from inkdigit.reading.cells import read_grid
    from inkdigit.reading.fields import read_form
    from inkdigit.reading.reader import Reader, read
    from inkdigit.report.compare import compare
    from inkdigit.report.submission import submit
    from inkdigit.scale.batch import batch
    from inkdigit.training.adapt.adapt import adapt
    from inkdigit.training.audit import audit
    from inkdigit.training.convert.ensemble import ensemble
    from inkdigit.training.convert.export import export
    from inkdigit.training.estimator import InkdigitClassifier
    from inkdigit.training.explain import explain
    from inkdigit.training.kaggle import kaggle
    from inkdigit.training.recipe import Recipe, list_recipes
    from inkdigit.training.run import Run, resume, train
    from inkdigit.training.seeds import train_seeds
    from inkdigit.tuning.tune import tune
    from inkdigit.types import Dataset, Part, Prediction, Reading

_ROOMS = {
    "Client": "client",
    "Dataset": "types",
    "InkdigitClassifier": "training.estimator",
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
    "batch": "scale.batch",
    "benchmark": "measure.speed",
    "check": "data.checks",
    "compare": "report.compare",
    "ensemble": "training.convert.ensemble",
    "evaluate": "measure.metrics",
    "evaluate_corruptions": "measure.robustness",
    "explain": "training.explain",
    "export": "training.convert.export",
    "fetch": "data.mirrors",
    "kaggle": "training.kaggle",
    "list_models": "model.recognizer",
    "list_recipes": "training.recipe",
    "list_runs": "measure.ledger",
    "load": "model.recognizer",
    "open_arrays": "data.readers.arrays",
    "open_data": "data.sources",
    "predict": "model.recognizer",
    "predict_proba": "model.recognizer",
    "read": "reading.reader",
    "read_form": "reading.fields",
    "read_grid": "reading.cells",
    "resume": "training.run",
    "submit": "report.submission",
    "train": "training.run",
    "train_seeds": "training.seeds",
    "tune": "tuning.tune",
}

__all__ = [
    "Client",
    "Dataset",
    "InkdigitClassifier",
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
    "batch",
    "benchmark",
    "check",
    "compare",
    "ensemble",
    "evaluate",
    "evaluate_corruptions",
    "explain",
    "export",
    "fetch",
    "kaggle",
    "list_models",
    "list_recipes",
    "list_runs",
    "load",
    "open_arrays",
    "open_data",
    "predict",
    "predict_proba",
    "read",
    "read_form",
    "read_grid",
    "resume",
    "submit",
    "train",
    "train_seeds",
    "tune",
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
