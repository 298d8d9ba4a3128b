"""What an adaptation comes to: how many pictures are read right and answered, before and after.

In: readings of pictures, by files or by networks. Out: an `Adapted`, which the command prints.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import inkdigit.runs as runs
from inkdigit.files import write_atomic, writing
from inkdigit.measure.metrics import predict_part
from inkdigit.model.recognizer import Recognizer
from inkdigit.training.adapt.rehearse import Old
from inkdigit.training.evaluate import evaluate_reported
from inkdigit.types import NO_ANSWER, Dataset, Metrics, Part

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What is read of N pictures, and of which of them it is given as the answer."""

    best: Indices  # (N,): the most probable class, answered or not; -1 where there is nothing to read
    answered: NDArray[np.bool_]  # (N,)
    folds: int | None = None  # of a cross-validation; None where one file read them


@dataclass(frozen=True, slots=True)
class Change:
    """How many of `n` pictures were read right before, and how many after; how many were answered."""

    n: int
    before: int
    after: int
    answered_before: int
    answered_after: int


@dataclass(frozen=True, slots=True)
class Misread:
    """A user's picture that is read wrong even so: where it comes from, its label, and what is read."""

    where: str
    label: str
    read: str


@dataclass(frozen=True, slots=True, eq=False)
class Adapted:
    """An adapted model file, and what it reads.

    `own` are the user's pictures, each read by a network that did not learn from it: those of the data's test part, or
    else each by that one of `folds` networks that was adapted without it. `learnt` are those that the file learnt from:
    that figure flatters. `old` are the pictures of `replay` that were kept from it.
    """

    path: Path
    pictures: dict[str, int]  # of each class that was learnt from
    own: Change
    folds: int | None  # None where the data have a test part
    learnt: Change
    old: Change
    replay: str  # data and part that `old` counts
    flatters: str | None  # why `old` flatters, where it does
    way: float  # from the old weights to the new ones: less than 1 where more would have been forgotten
    misread: tuple[Misread, ...]

    @property
    def model(self) -> Recognizer:
        """The adapted model, loaded from its file."""
        return Recognizer.load(self.path)


def result(
    before: Recognizer,
    path: Path,
    own: Dataset,
    crossed: Reading | None,
    old: Old,
    changed: Change,
    fraction: float,
) -> Adapted:
    """What the written file reads, and `before`; `crossed` is the reading of a cross-validation, if there was one."""
    after, learnt = Recognizer.load(path), own.train
    unseen = learnt if own.test is None else own.test
    reading = read(after, unseen) if crossed is None else crossed
    return Adapted(
        path=path,
        pictures=count_by_class(learnt, own.classes),
        own=change(unseen, read(before, unseen), reading),
        folds=reading.folds,
        learnt=change(learnt, read(before, learnt), read(after, learnt)),
        old=changed,
        replay=f"{old.dataset.name}, {old.splits.report_name} part",
        flatters=old.flatters,
        way=fraction,
        misread=misread(unseen, reading, own.classes),
    )


def measure_old(before: Recognizer, file: bytes, old: Old) -> tuple[Metrics, Metrics]:
    """How the model before and the new file, not written yet, do on the reported part of the old pictures."""
    with writing(Path(tempfile.gettempdir())), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / runs.MODEL
        write_atomic(path, file)
        return (
            evaluate_reported(before, old.dataset, old.splits),
            evaluate_reported(Recognizer.load(path), old.dataset, old.splits),
        )


def read(model: Recognizer, part: Part) -> Reading:
    """What a file reads of pictures."""
    predictions = predict_part(model, part)
    best = [-1 if prediction.best is None else prediction.best for prediction in predictions]
    answered = [prediction.label is not None for prediction in predictions]
    return Reading(np.array(best, np.int64), np.array(answered, np.bool_))


def change(part: Part, before: Reading, after: Reading) -> Change:
    """Two readings of the same labelled pictures."""
    was, now = (int((reading.best == part.labels).sum()) for reading in (before, after))
    return Change(len(part), was, now, int(before.answered.sum()), int(after.answered.sum()))


def change_of(before: Metrics, after: Metrics) -> Change:
    """Two measurements of the same pictures."""
    was, now = (round(metrics.accuracy * metrics.n) for metrics in (before, after))
    return Change(after.n, was, now, before.answered, after.answered)


def misread(part: Part, reading: Reading, classes: tuple[str, ...]) -> tuple[Misread, ...]:
    """The pictures that are read wrong."""
    best, where = reading.best, part.files or [f"picture {i}" for i in range(len(part))]
    return tuple(
        Misread(where[i], classes[part.labels[i]], classes[best[i]] if best[i] >= 0 else NO_ANSWER)
        for i in map(int, np.flatnonzero(best != part.labels))
    )


def count_by_class(part: Part, classes: tuple[str, ...]) -> dict[str, int]:
    """How many pictures of each class there are, where there are any."""
    return {name: n for name, n in zip(classes, np.bincount(part.labels).tolist(), strict=False) if n}
