"""What an adaptation changes: how many images are classified correctly and answered, before and after.

In: the predictions of model files, or of the networks of a cross-validation. Out: an `Adapted`, which the command line
prints.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import inkdigit.runs as runs
from inkdigit.files import write_atomic, writing
from inkdigit.measure.metrics import Metrics, predict_part
from inkdigit.model.recognizer import Recognizer
from inkdigit.training.adapt.rehearse import OldSamples
from inkdigit.training.evaluate import evaluate_reported
from inkdigit.types import NO_ANSWER, Dataset, Part

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """The predictions for N images."""

    best: Indices  # (N,): the most probable class, answered or rejected; -1 if there is no ink
    answered: NDArray[np.bool_]  # (N,)
    folds: int | None = None  # of the cross-validation that they come from; None if they come from one file


@dataclass(frozen=True, slots=True)
class Change:
    """How many of `n` images are classified correctly before and after an adaptation, and how many are answered."""

    n: int
    before: int
    after: int
    answered_before: int
    answered_after: int


@dataclass(frozen=True, slots=True)
class Mistake:
    """A user's image that the adapted model classifies wrongly: the name of its file, its label, the prediction."""

    file: str
    label: str
    predicted: str


@dataclass(frozen=True, slots=True, eq=False)
class Adapted:
    """An adapted model file, and how well it does.

    `own` counts the user's images, each predicted by a network that was not trained on it: by the file on the test
    split of the data or, without one, by the networks of a cross-validation, to which the same `fraction` of the weight
    change is applied as to the file. `trained_on` counts the images that the file was trained on: its figures are too
    high. `old` counts old samples that were not rehearsed.
    """

    path: Path
    image_counts: dict[str, int]  # class → images that the model was adapted to
    own: Change
    folds: int | None  # of the cross-validation; None if the data have a test split
    trained_on: Change
    old: Change
    replay: str  # the data and the split of `old`
    caveat: str | None  # why the figures of `old` are too high, if they are
    fraction: float  # of the distance from the old weights to the new ones: below 1, more would have been forgotten
    mistakes: tuple[Mistake, ...]

    @property
    def model(self) -> Recognizer:
        """The adapted model, loaded from its file."""
        return Recognizer.load(self.path)


def measure(
    before: Recognizer,
    path: Path,
    own: Dataset,
    crossed: Predictions | None,
    old: OldSamples,
    old_change: Change,
    fraction: float,
) -> Adapted:
    """Measure the written file and the model before on the user's images.

    `crossed` are the predictions of the cross-validation, `old_change` the measurement on the old samples.
    """
    after, learned = Recognizer.load(path), own.train
    unseen = learned if own.test is None else own.test
    predictions = predict(after, unseen) if crossed is None else crossed
    learned_before = predict(before, learned)
    return Adapted(
        path=path,
        image_counts=count_by_class(learned, own.classes),
        own=change(unseen, learned_before if own.test is None else predict(before, own.test), predictions),
        folds=predictions.folds,
        trained_on=change(learned, learned_before, predict(after, learned)),
        old=old_change,
        replay=f"{old.dataset.name}, {old.splits.report_name} split",
        caveat=old.caveat,
        fraction=fraction,
        mistakes=mistakes(unseen, predictions, own.classes),
    )


def measure_old(before: Recognizer, file: bytes, old: OldSamples) -> tuple[Metrics, Metrics]:
    """Measure the model before, and the bytes of the new file, on the reported split of the old samples."""
    with writing(Path(tempfile.gettempdir())), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / runs.MODEL
        write_atomic(path, file)
        return (
            evaluate_reported(before, old.dataset, old.splits),
            evaluate_reported(Recognizer.load(path), old.dataset, old.splits),
        )


def predict(model: Recognizer, part: Part) -> Predictions:
    """The predictions of a model file."""
    predictions = predict_part(model, part)
    best = [-1 if prediction.best is None else prediction.best for prediction in predictions]
    answered = [prediction.label is not None for prediction in predictions]
    return Predictions(np.array(best, np.int64), np.array(answered, np.bool_))


def change(part: Part, before: Predictions, after: Predictions) -> Change:
    """Compare two predictions of the same samples."""
    correct_before, correct_after = (int((p.best == part.labels).sum()) for p in (before, after))
    return Change(len(part), correct_before, correct_after, int(before.answered.sum()), int(after.answered.sum()))


def change_of_metrics(before: Metrics, after: Metrics) -> Change:
    """Compare two measurements on the same samples."""
    correct_before, correct_after = (round(metrics.accuracy * metrics.n) for metrics in (before, after))
    return Change(after.n, correct_before, correct_after, before.answered, after.answered)


def mistakes(part: Part, predictions: Predictions, classes: tuple[str, ...]) -> tuple[Mistake, ...]:
    """The samples whose prediction is not their label."""
    best, files = predictions.best, part.files or [f"image {i}" for i in range(len(part))]
    return tuple(
        Mistake(files[i], classes[part.labels[i]], classes[best[i]] if best[i] >= 0 else NO_ANSWER)
        for i in map(int, np.flatnonzero(best != part.labels))
    )


def count_by_class(part: Part, classes: tuple[str, ...]) -> dict[str, int]:
    """The number of samples of each class that has any."""
    return {name: n for name, n in zip(classes, np.bincount(part.labels).tolist(), strict=False) if n}
