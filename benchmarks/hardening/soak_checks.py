"""Whether files are complete, and whether a run is the expected one.

In: paths that a killed, a refused or a second command may have written. Out: a problem for each that is wrong.
A file is checked by its purpose: a model by its self test, an archive by its checksums.
"""

from __future__ import annotations

import csv
import json
import sqlite3
import tomllib
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import load_file

from inkdigit import runs
from inkdigit.errors import InkdigitError
from inkdigit.model.recognizer import Recognizer

CHECKPOINT = Path("checkpoint/state.safetensors")
PLOTS = "plots"
GROWING = {
    runs.METRICS,
    runs.STEPS,
    "test-openings.csv",
}  # rows are added: the last one may be cut off until the next command reads them
TIMES = {"seconds", "images_per_second"}  # columns that differ in every run
BROKEN = (  # what the readers raise for a file that is cut off
    *(OSError, ValueError, KeyError, EOFError, SyntaxError, MemoryError),
    *(InkdigitError, SafetensorError, sqlite3.Error, zipfile.BadZipFile, zlib.error),
)
OF_A_RUN = (
    runs.RECIPE,
    runs.ENVIRONMENT,
    runs.METRICS,
    runs.STEPS,
    runs.MODEL,
    runs.PREDICTIONS,
    runs.REPORT,
    runs.PAGE,
    runs.DONE,
)


def broken(path: Path) -> str | None:
    """Why a file is not complete, or None."""
    if path.stat().st_size == 0 and path.suffix != ".db":  # a new database is empty
        return f"{path.name} is empty"
    try:
        problem = READERS.get(path.suffix, lambda _: None)(path)
    except BROKEN as exc:
        problem = f"{type(exc).__name__}: {str(exc)[:200]}"
    return problem and f"{path.name} is half-written ({problem})"


def half_written(folder: Path) -> list[str]:
    """The incomplete files under a folder, without growing tables, temporary and lock files."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    checked = [path for path in files if path.name not in GROWING and not path.name.startswith(".")]
    return [problem for path in checked if (problem := broken(path))]


def can_be_resumed(run: Path) -> bool:
    """Whether a run has a checkpoint."""
    return any(run.glob(f"{CHECKPOINT.parent}/*{CHECKPOINT.suffix}"))


def left_aside(folder: Path) -> list[Path]:
    """The files under temporary names that killed commands left."""
    return sorted(folder.rglob(".*.part"))


def _ends(end: str) -> Callable[[Path], str | None]:
    def read(path: Path) -> str | None:
        return None if path.read_text(encoding="utf-8").rstrip().endswith(end) else f"it does not end in {end}"

    return read


def _archive(path: Path) -> str | None:
    with zipfile.ZipFile(path) as archive:
        return archive.testzip()


def _array(path: Path) -> str | None:
    with (
        path.open("rb") as file,
        np.load(file, allow_pickle=False) as arrays,
    ):  # np.load leaves a file open that it cannot read
        for name in arrays.files:
            _ = arrays[name]
    return None


def _picture(path: Path) -> str | None:
    with Image.open(path) as picture:
        picture.load()
    return None


def _table(path: Path) -> str | None:
    text = path.read_text(encoding="utf-8")
    widths = {len(row) for row in csv.reader(text.splitlines())}
    return None if text.endswith("\n") and len(widths) == 1 else "its last row is cut off"


def _tensors(path: Path) -> str | None:
    return None if tensors(path) else "it holds no tensors"


def _database(path: Path) -> str | None:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        (report,) = connection.execute("PRAGMA integrity_check").fetchone()
    return None if report == "ok" else str(report)


def _model(path: Path) -> str | None:
    Recognizer.load(path)  # it runs the self test
    return None


def _json(path: Path) -> str | None:
    json.loads(path.read_text(encoding="utf-8"))
    return None


def _toml(path: Path) -> str | None:
    tomllib.loads(path.read_text(encoding="utf-8"))
    return None


READERS: dict[str, Callable[[Path], str | None]] = {
    ".onnx": _model,
    ".keras": _archive,
    ".pt2": _archive,
    ".npz": _array,
    ".safetensors": _tensors,
    ".db": _database,
    ".json": _json,
    ".toml": _toml,
    ".csv": _table,
    ".png": _picture,
    ".html": _ends("</html>"),
    ".md": _ends(""),
}


def tensors(path: Path) -> dict[str, bytes]:
    """The tensors of a safetensors file, as bytes."""
    return {name: value.tobytes() for name, value in load_file(path).items()}


def initialisers(model: Path) -> dict[str, bytes]:
    """The weights of a model file, as bytes."""
    import onnx

    return {entry.name: entry.SerializeToString() for entry in onnx.load(model).graph.initializer}


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV without the columns of times."""
    with path.open(encoding="utf-8", newline="") as file:
        return [{key: cell for key, cell in row.items() if key not in TIMES} for row in csv.DictReader(file)]


def compare_runs(run: Path, reference: Path) -> list[str]:
    """The differences of a finished run from `reference`: the same recipe and seed, trained undisturbed."""
    if absent := [name for name in (*OF_A_RUN, str(CHECKPOINT)) if not (run / name).is_file()]:
        return [f"{run.name} lacks {', '.join(absent)}"]
    if problems := half_written(run):
        return problems
    return [f"{run.name}: {problem}" for problem in _differences(run, reference)]


def _differences(run: Path, reference: Path) -> Iterator[str]:
    if (run / runs.RECIPE).read_bytes() != (reference / runs.RECIPE).read_bytes():
        yield "its recipe.toml is of another run"
    if initialisers(run / runs.MODEL) != initialisers(reference / runs.MODEL):
        yield "the weights of model.onnx are not bit for bit those of the undisturbed run"
    if tensors(run / CHECKPOINT) != tensors(reference / CHECKPOINT):
        yield "the checkpoint is not bit for bit that of the undisturbed run"
    for name in (runs.METRICS, runs.STEPS):
        if rows(run / name) != rows(reference / name):
            yield f"the rows of {name} are not those of the undisturbed run"
    with np.load(run / runs.PREDICTIONS) as ours, np.load(reference / runs.PREDICTIONS) as theirs:
        if any(ours[key].tobytes() != theirs[key].tobytes() for key in theirs.files):
            yield "predictions.npz is not that of the undisturbed run"
    ours, theirs = (json.loads((folder / runs.REPORT).read_text(encoding="utf-8")) for folder in (run, reference))
    if any(ours.get(key) != theirs.get(key) for key in ("accuracy", "n", "title")):
        yield "report.json is of another run"
    if {path.name for path in (run / PLOTS).iterdir()} != {path.name for path in (reference / PLOTS).iterdir()}:
        yield "it lacks plots, or has others"
