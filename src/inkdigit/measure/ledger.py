"""The runs that were made, one entry each, and the mean of runs that differ only in their random seed.

In: run directories. Out: `Entry`s, finished or not, and `Group`s of the same recipe with different random seeds.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

import inkdigit.runs as runs
from inkdigit.data.readers.bounded import load_npz
from inkdigit.errors import DataError, MalformedFile, MissingData, UsageError
from inkdigit.files import read_rows
from inkdigit.parsing import parse_json, parse_toml, read_text

MAX_FIGURE = 1e30  # larger figures are damage: no loss is so large, and near 1e300 no axis can be drawn
MAX_BYTES = 2**23  # of a report; with 256 classes it has a megabyte
_MAY_DIFFER = ("seed", "data", "about")  # recipe fields that may differ within a group


Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class _Checked(BaseModel):
    """The fields of a file that the table, the tests and the page read; a file may have more."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _Recipe(_Checked):
    name: str = "–"
    data: str = "–"
    protocol: str = "final"
    seed: Count | None = None


class _Model(_Checked):
    parameters: Count | None = None


class _Data(_Checked):
    sha256: str | None = None
    test: Count | None = None


class _Environment(_Checked):
    data: _Data = _Data()


class _Report(_Checked):
    accuracy: Share
    accuracy_ci95: Annotated[list[Share], Field(min_length=2, max_length=2)]
    n: Annotated[int, Field(ge=1)]
    data: str | None = None
    report_name: str = "test"
    train_seconds: Annotated[float, Field(ge=0, le=1e9)] | None = None
    epochs: Count | None = None
    model: _Model = _Model()
    environment: _Environment = _Environment()


def can_be_drawn(row: Mapping[str, float]) -> bool:
    """Whether the figures of an epoch fit on an axis; NaN and infinity are left out of curves."""
    return not any(MAX_FIGURE < abs(value) < math.inf for value in row.values())


@dataclass(frozen=True, eq=False)
class Entry:
    """One run: `recipe` is its recipe.toml, `report` its report.json, empty unless `state` is "finished"."""

    folder: Path
    state: str  # "finished", "unfinished" or "unreadable"
    recipe: dict[str, Any] = field(repr=False)
    report: dict[str, Any] = field(repr=False)

    @property
    def name(self) -> str:
        """Its name for users: the name of its directory under runs/, or the path of another directory (./x, not x).

        So two runs never have the same name.
        """
        if self.folder.parent == runs.ROOT:
            return self.folder.name
        return f"./{self.folder}" if len(self.folder.parts) == 1 else str(self.folder)

    @property
    def recipe_name(self) -> str:
        """The name of the recipe, which is also the name of the model."""
        return str(self.recipe.get("name", "–"))

    @property
    def data(self) -> str:
        """The name of the data set; of an unfinished run as in its recipe."""
        return str(self.report.get("data") or Path(str(self.recipe.get("data", "–"))).name)

    @property
    def part(self) -> str:
        """The split that it reports on: "validation" or "test"."""
        protocol = "validation" if self.recipe.get("protocol") == "select" else "test"
        return str(self.report.get("report_name", protocol))

    @property
    def seed(self) -> int | None:
        """The random seed of its recipe."""
        return self.recipe.get("seed")

    @property
    def data_sha256(self) -> str | None:
        """The SHA-256 of the data that it learned from."""
        sha256: str | None = self.report.get("environment", {}).get("data", {}).get("sha256")
        return sha256

    @property
    def wrong(self) -> int:
        """How many images a finished run reads wrongly, or without an answer."""
        n: int = self.report["n"]
        right: int = round(self.report["accuracy"] * n)
        return n - right

    @property
    def parameters(self) -> int | None:
        """How many parameters its network has."""
        parameters: int | None = self.report.get("model", {}).get("parameters")
        return parameters

    @cached_property
    def history(self) -> list[dict[str, float]]:
        """One row an epoch.

        Raises:
            MalformedFile: they cannot be read, or a row does not name its epoch.
        """
        path = self.folder / runs.METRICS
        rows = read_rows(path)
        if not all(0 < row.get("epoch", 0) < math.inf and can_be_drawn(row) for row in rows):
            raise MalformedFile(path, "These are not the figures of epochs", hint="Train the run again.")
        return rows

    @cached_property
    def right_and_labels(self) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Whether a finished run reads each image rightly, (N,), and the labels (N,); no answer is wrong.

        Raises:
            MissingData: the run has no predictions.npz.
            MalformedFile: it cannot be read.
        """
        path = self.folder / runs.PREDICTIONS
        if not path.is_file():
            raise MissingData(f"{self.folder} has no {runs.PREDICTIONS}", hint="Train the run again.")
        probs, labels = load_npz(path, "probs", "labels")
        numbers = probs.dtype.kind == "f" and labels.dtype.kind in "iu"
        if not (numbers and probs.ndim == 2 and probs.size and labels.shape == probs.shape[:1]):
            received = f"{probs.dtype} {probs.shape} and {labels.dtype} {labels.shape}"
            expected = "probs (N, K) and labels (N,)"
            raise MalformedFile(path, "These are not predictions", expected=expected, received=received)
        right = ~np.isnan(probs[:, 0]) & (probs.argmax(axis=1) == labels)
        return right, labels.astype(np.int64)

    def to_json(self) -> dict[str, Any]:
        """The row of the table as JSON types."""
        report = self.report
        return {
            "run": str(self.folder),
            "name": self.name,
            "state": self.state,
            "recipe": self.recipe_name,
            "data": self.data,
            "part": self.part,
            "seed": self.seed,
            "n": report.get("n"),
            "accuracy": report.get("accuracy"),
            "accuracy_ci95": report.get("accuracy_ci95"),
            "parameters": self.parameters,
            "train_seconds": report.get("train_seconds"),
            "epochs": report.get("epochs"),
        }


@dataclass(frozen=True, slots=True)
class Group:
    """Finished runs that differ only in their random seed, one for each seed."""

    recipe: str
    data: str
    part: str
    seeds: tuple[int, ...]
    mean: float
    sd: float  # of the sample: divided by n − 1
    mean_seconds: float

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON types."""
        return {name: getattr(self, name) for name in self.__slots__}


def read(folder: Path) -> Entry:
    """Read a run directory, finished or not.

    Raises:
        MalformedFile: its recipe or its report cannot be read.
    """
    recipe = _read_recipe(folder / runs.RECIPE)
    if not runs.is_finished(folder):
        return Entry(folder, "unfinished", recipe, {})
    return Entry(folder, "finished", recipe, read_report(folder))


def read_finished(folder: Path) -> Entry:
    """Read a run that must be finished.

    Raises:
        UsageError: it is unfinished; the message names the command that continues it.
        MalformedFile: its recipe or its report cannot be read.
    """
    entry = read(folder)
    if entry.state != "finished":
        raise UsageError(
            f"{folder} is unfinished: it has no figures to compare",
            hint=f"Continue it with: inkdigit train --resume {folder}",
        )
    return entry


def list_runs() -> list[Entry]:
    """Every run under `runs/`, finished or not, the oldest first; the state of each says what it is."""
    return read_all(runs.list_runs())


def read_all(folders: Iterable[Path]) -> list[Entry]:
    """Every run, in the given order; a run whose files cannot be read is "unreadable" and does not stop the others."""
    return [_read_or_not(folder) for folder in folders]


def _read_or_not(folder: Path) -> Entry:
    try:
        return read(folder)
    except DataError:
        return Entry(folder, "unreadable", {}, {})


def group(entries: Sequence[Entry]) -> list[Group]:
    """Group the runs of one recipe, data set and split that differ only in their random seed, in their first order.

    The latest of several runs with the same seed counts: the others are repetitions. A group has two seeds or more.
    """
    by_key: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.state == "finished":
            by_key.setdefault(group_key(entry), []).append(entry)
    return [_grouped(latest) for same in by_key.values() if len(latest := _latest_of_each_seed(same)) > 1]


def group_key(entry: Entry) -> str:
    """What runs that differ only in their random seed have in common.

    A field that is off counts as missing: a later version may have added it between two seeds.
    """
    fields = {key: value for key, value in entry.recipe.items() if value and key not in _MAY_DIFFER}
    fields["teacher"] = entry.recipe.get("teacher") is not None  # each seed may have its own teacher
    return json.dumps([fields, entry.data_sha256, entry.part], sort_keys=True)


def _latest_of_each_seed(entries: Sequence[Entry]) -> list[Entry]:
    oldest_first = sorted(entries, key=lambda entry: (entry.folder / runs.RECIPE).stat().st_mtime_ns)
    latest = {entry.seed: entry for entry in oldest_first}
    return [entry for entry in entries if entry is latest[entry.seed]]


def _grouped(entries: Sequence[Entry]) -> Group:
    accuracies = [entry.report["accuracy"] for entry in entries]
    first = entries[0]
    return Group(
        recipe=first.recipe_name,
        data=first.data,
        part=first.part,
        seeds=tuple(entry.seed or 0 for entry in entries),
        mean=statistics.fmean(accuracies),
        sd=statistics.stdev(accuracies),
        mean_seconds=statistics.fmean(entry.report.get("train_seconds") or 0.0 for entry in entries),
    )


def why_other_images(first: Entry, other: Entry) -> str | None:
    """The reason, in words, why two finished runs report on different images; None if they report on the same.

    Equal labels are not enough: a folder sorted by class gives every stratified split the same ones.
    """
    if first.data_sha256 != other.data_sha256:
        same_name = first.data == other.data
        return "other images in the data" if same_name else f"other data ({other.data}, not {first.data})"
    if first.part != other.part:
        return f"another split ({other.part}, not {first.part})"
    drawn_by: dict[str, object] = {}  # key → its default
    if first.part == "validation":
        drawn_by |= {"seed": 0, "validation": 0.0, "validation_split": "auto"}
    if first.report.get("environment", {}).get("data", {}).get("test") is None:  # the recipe set the test split aside
        drawn_by["test_fraction"] = 0.2
    for key, default in drawn_by.items():
        ours, theirs = (entry.recipe.get(key, default) for entry in (first, other))
        if ours != theirs:
            return f"another {first.part} split ({key} {theirs}, not {ours})"
    if not np.array_equal(_labels(first), _labels(other)):
        return "other labels in predictions.npz"
    return None


def _labels(entry: Entry) -> NDArray[np.int64]:
    """The labels (N,) of the images that a run reports on.

    Raises:
        MalformedFile: their number is not that of the report.
    """
    labels, n = entry.right_and_labels[1], entry.report["n"]
    if len(labels) != n:
        received = f"{len(labels):,} of {n:,} images"
        raise MalformedFile(entry.folder / runs.PREDICTIONS, "It does not fit the report", received=received)
    return labels


def read_report(folder: Path) -> dict[str, Any]:
    """Read the report.json of a finished run.

    Raises:
        MalformedFile: it cannot be read, or lacks a figure that every run has.
    """
    return read_checked(folder / runs.REPORT, _Report, "This is not a report of a run", hint="Train the run again.")


def read_checked(path: Path, model: type[BaseModel], problem: str, *, hint: str) -> dict[str, Any]:
    """Read a JSON file that `model` describes; the object may have more keys.

    Raises:
        MalformedFile: it cannot be read, or is not like that: `problem` says so.
    """
    try:
        content: dict[str, Any] = parse_json(read_text(path, max_bytes=MAX_BYTES))
        model.model_validate(content)
    except (OSError, ValueError) as exc:
        raise MalformedFile(path, problem, hint=hint) from exc
    return content


def _read_recipe(path: Path) -> dict[str, Any]:
    try:
        recipe = parse_toml(read_text(path))
        _Recipe.model_validate(recipe)
        json.dumps(recipe)  # a recipe has no dates, which `group_key` could not write
    except (OSError, ValueError, TypeError) as exc:
        raise MalformedFile(path, "This is not a recipe", expected="TOML", hint="Train the run again.") from exc
    return recipe
