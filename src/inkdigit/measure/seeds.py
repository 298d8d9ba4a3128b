"""Runs of one recipe that differ only in their random seed, and their figures together.

In: finished runs, or the text that names them on the command line. Out: `Seeds`; the content of `seeds.json`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

import inkdigit.runs as runs
from inkdigit.errors import UsageError
from inkdigit.measure.ledger import Entry, group_key, read_checked, read_finished, why_other_images
from inkdigit.measure.stats import Spread

MAX_SEEDS = 1_000  # of one `--seeds`: so many runs of half a minute take a night
SEED_DIGITS = 10  # a random seed is below 2**31
NOT_YET = "not trained yet"  # the reason in seeds.json for a seed whose training has not begun


@dataclass(frozen=True, eq=False)
class Seeds:
    """One finished run or more, one for each seed; `missing` says why other seeds have no figures (seed → reason)."""

    name: str
    entries: tuple[Entry, ...]
    missing: Mapping[int, str] = field(default_factory=dict)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that have figures."""
        return tuple(entry.seed or 0 for entry in self.entries)

    @cached_property
    def accuracy(self) -> Spread:
        """The accuracies on the reported split."""
        return Spread(tuple(entry.report["accuracy"] for entry in self.entries))

    @property
    def accuracy_ci95(self) -> tuple[float, float] | None:
        """Student's interval of the mean, cut to 0 to 1; None for one seed, and for equal accuracies."""
        if (limits := self.accuracy.ci95) is None:
            return None
        return max(0.0, limits[0]), min(1.0, limits[1])

    @cached_property
    def train_seconds(self) -> Spread:
        """How long each trained."""
        return Spread(tuple(entry.report.get("train_seconds") or 0.0 for entry in self.entries))

    @cached_property
    def wrong_with(self) -> NDArray[np.int64] | None:
        """With how many of the seeds each image is read wrongly, (N,); None where they report on different images."""
        first, *others = self.entries
        if any(why_other_images(first, other) for other in others):
            return None
        wrong = np.stack([~entry.right_and_labels[0] for entry in self.entries])
        return np.asarray(wrong.sum(axis=0), np.int64)

    def to_json(self, folder: Path) -> dict[str, Any]:
        """All of it as JSON types; the paths of the runs are relative to `folder`."""
        return {
            "recipe": self.entries[0].recipe_name,
            "data": self.entries[0].data,
            "part": self.entries[0].part,
            "runs": [
                {
                    "seed": entry.seed,
                    "run": relative(folder, entry.folder),
                    "state": "finished",
                    "accuracy": entry.report["accuracy"],
                    "n": entry.report["n"],
                    "train_seconds": entry.report.get("train_seconds"),
                    "wrong": entry.wrong,
                }
                for entry in self.entries
            ],
            "accuracy": {**self.accuracy.to_json(), "ci95": self.accuracy_ci95},
            "train_seconds": self.train_seconds.to_json(),
            "errors": self._errors(),
        }

    def _errors(self) -> dict[str, Any] | None:
        """How many images are wrong with 0, 1, 2 … seeds, and which are wrong with all; None as in `wrong_with`."""
        if self.wrong_with is None:
            return None
        return {
            "wrong_with": np.bincount(self.wrong_with, minlength=len(self.seeds) + 1).tolist(),
            "pictures_wrong_with_all": np.flatnonzero(self.wrong_with == len(self.seeds)).tolist(),
        }


def gather(name: str, entries: Sequence[Entry], missing: Mapping[int, str] | None = None) -> Seeds:
    """Put finished runs together, in the order of their seeds.

    Raises:
        UsageError: there are no runs, or two have the same seed.
    """
    if not entries:
        raise UsageError(f"{name} holds no finished run", hint="Train it to the end first.")
    numbers = [entry.seed for entry in entries]
    if len(set(numbers)) < len(numbers):
        raise UsageError(f"{name} has a seed twice", expected="one run for each seed", received=f"seeds {numbers}")
    return Seeds(name, tuple(sorted(entries, key=lambda entry: entry.seed or 0)), dict(missing or {}))


def open_seeds(text: str) -> Seeds | None:
    """The runs that `text` names: a folder with a seeds.json, or runs joined by commas; None if it is neither.

    Raises:
        UsageError: runs that do not belong together, or that are unfinished.
        DataError: their files cannot be read.
    """
    if (folder := runs.find_seeds(text)) is not None:
        rows = read_summary(folder)["runs"]
        finished = [row for row in rows if row["state"] == "finished"]
        missing = {row["seed"]: row["reason"] for row in rows if row["state"] != "finished"}
        return gather(str(folder), [read_finished(resolve(folder, row["run"])) for row in finished], missing)
    if "," in text and not Path(text).exists():
        entries = [read_finished(runs.find(name, finished=True)) for name in text.split(",") if name]
        _check_together(entries)
        return gather(text, entries)
    return None


def _check_together(entries: Sequence[Entry]) -> None:
    """Check that runs which a user lists belong together; those of a folder were made so."""
    if odd := next((entry for entry in entries if group_key(entry) != group_key(entries[0])), None):
        raise UsageError(
            f"{entries[0].name} and {odd.name} differ in more than their random seed",
            expected="one recipe, one data set, one split",
            hint="Compare them as single runs.",
        )


class _Row(BaseModel):
    """One seed of a summary; it may have more fields."""

    model_config = ConfigDict(strict=True)

    seed: int = Field(ge=0)
    state: Literal["finished", "unfinished"]
    run: str | None  # the path of its directory, from the summary's folder
    reason: str | None = None  # why it has no figures

    @model_validator(mode="after")
    def _has_run_or_reason(self) -> Self:
        if (self.run if self.state == "finished" else self.reason) is None:
            raise ValueError("a finished seed has a run, another seed a reason")
        return self


class _Summary(BaseModel):
    """The fields of a seeds.json that are read."""

    runs: list[_Row]


def read_summary(folder: Path) -> dict[str, Any]:
    """Read the seeds.json of a folder.

    Raises:
        MalformedFile: it is not a summary of seeds.
    """
    hint = "Train them again, or name the runs."
    return read_checked(folder / runs.SEEDS, _Summary, "This is not a summary of seeds", hint=hint)


def relative(folder: Path, run: Path) -> str:
    """The path of a run from the folder of its summary, so that both can be moved together; or from its drive."""
    try:
        return Path(os.path.relpath(run, folder)).as_posix()
    except ValueError:  # on Windows: another drive
        return run.absolute().as_posix()


def resolve(folder: Path, path: str) -> Path:
    """The run at a `relative` path."""
    return Path(os.path.normpath(folder / path))


def format_seeds(seeds: Sequence[int]) -> str:
    """Random seeds as `--seeds` takes them: (0, 1, 2, 5) → "0-2,5"."""
    starts = [seeds[0], *(after for before, after in pairwise(seeds) if after != before + 1)]
    ends = [*(before for before, after in pairwise(seeds) if after != before + 1), seeds[-1]]
    return ",".join(f"{start}" if start == end else f"{start}-{end}" for start, end in zip(starts, ends, strict=True))


def parse_seeds(text: str) -> list[int]:
    """Read the random seeds of "0-4", "0,2,5" or "7".

    Raises:
        UsageError: anything else, or more than a thousand.
    """
    seeds: list[int] = []
    for piece in text.split(","):
        low, dash, high = (word.strip() for word in piece.partition("-"))
        numbers = all(word.isdecimal() and len(word) <= SEED_DIGITS for word in ((low, high) if dash else (low,)))
        if not numbers or int(high or low) < int(low):
            expected = "numbers from 0 up, as in 0-4 or 0,2,5"
            raise UsageError(f"--seeds {text[:80]!r} does not name random seeds", expected=expected)
        if int(high or low) - int(low) + len(seeds) >= MAX_SEEDS:
            raise UsageError("These are too many random seeds", expected=f"{MAX_SEEDS:,} at most", received=text[:80])
        seeds += range(int(low), int(high or low) + 1)
    return seeds
