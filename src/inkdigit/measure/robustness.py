"""How a model does on corrupted pictures, kind by kind and level by level.

In: a `Recognizer` and a `Dataset`. Out: a `Robustness`. Every corrupted picture goes through the door, as any picture
does. Kinds that resemble what the model's training did to its pictures, and kinds that a step of the preprocessing
undoes, are told apart from the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

from inkdigit.data.sources import as_dataset
from inkdigit.measure.corruptions import KINDS, Kind, corrupt
from inkdigit.measure.metrics import check_fits, measure_part
from inkdigit.measure.unseen import choose
from inkdigit.model.provenance import Provenance
from inkdigit.model.recognizer import Recognizer
from inkdigit.picture.prepare import prepare_all
from inkdigit.synth.stress import RESEMBLES
from inkdigit.types import Dataset, Gray, Log, Metrics, Part, Split, silent

# What `mean_unseen` claims, and what it does not.
UNSEEN = """\
Unseen means: nothing drawn for training is made like that kind, no augmentation does it, and no step of the
preprocessing undoes it. It does not mean unprepared for: drawn photos have blur, grain and noise of their own."""
# Kinds that a step of the preprocessing undoes: a high figure there is its merit, not the network's. A test measures
# which kinds these are; whoever adds such a step, or takes one away, changes this table.
UNDONE = {
    "impulse_noise": "salt and pepper are taken away by a median",
    "scale": "ink is scaled to 20 pixels",
    "brightness": "paper is taken away, however bright it is",
    "translate": "ink is put in the middle",
    "stripe": "stripes in which black and white have changed places are turned back",
    "fog": "what is as smooth as clouds is taken away",
}
UNDONE_INSIDE = {  # the same for networks whose recipe has `moments`
    "shear": "the network straightens slanted ink first",
    "scale": "the network makes all ink as large first",
    "translate": "the network puts ink in the middle first",
}
# Fields of a recipe that, above 0, have training do something like a kind of corruption to its pictures.
TAUGHT_BY = {
    "drawn": RESEMBLES,
    "outliers": RESEMBLES,
    "rotate_deg": ("rotate",),
    "shear": ("shear",),
    "shift_px": ("translate",),
    "squish": ("scale",),
    "stressed": RESEMBLES,
    "zoom": ("scale",),
}


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One kind: the figures of each of its L levels, and what one picture becomes.

    `in_training` says whether training did something like it; None where the card does not say. `undone` says how the
    preprocessing undoes it; None where it does not.
    """

    kind: Kind
    levels: tuple[Metrics, ...]
    in_training: bool | None
    undone: str | None
    before: Gray  # (L, 28, 28): one picture, corrupted
    after: Gray  # (L, 28, 28): the same as the network sees it

    @property
    def named(self) -> Metrics:
        """The figures at the level that MNIST-C is made of."""
        return self.levels[self.kind.named - 1]

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON types."""
        return {
            "kind": self.kind.name,
            "in_training": self.in_training,
            "undone": self.undone,
            "named_level": self.kind.named,
            "levels": [
                {
                    "strength": strength,
                    "accuracy": metrics.accuracy,
                    "accuracy_ci95": list(metrics.accuracy_ci95),
                    "answered": metrics.answered / metrics.n,
                    "accuracy_answered": metrics.accuracy_answered,
                }
                for strength, metrics in zip(self.kind.strengths, self.levels, strict=True)
            ],
        }


@dataclass(frozen=True, slots=True, eq=False)
class Robustness:
    """A model on corrupted pictures; accuracy is of the most probable class, answered or not, as in `Metrics`."""

    clean: Metrics  # of the same pictures, not corrupted
    split: str
    of: int  # pictures in that part, of which the first `clean.n` were taken
    rows: tuple[Row, ...]
    warning: str | None = None  # as in `Metrics`

    @property
    def mean(self) -> float:
        """The mean accuracy over the kinds, at the levels that MNIST-C is made of."""
        return fmean(row.named.accuracy for row in self.rows)

    @property
    def deviation(self) -> float:
        """How far the kinds lie apart: the standard deviation of these accuracies."""
        return stdev(row.named.accuracy for row in self.rows)

    @property
    def answered(self) -> float:
        """The share of these pictures that is answered."""
        return fmean(row.named.answered / row.named.n for row in self.rows)

    @property
    def lowest(self) -> Row:
        """The kind with the lowest of these accuracies."""
        return min(self.rows, key=lambda row: row.named.accuracy)

    @property
    def unseen(self) -> tuple[Row, ...]:
        """The kinds that neither training resembles nor the preprocessing undoes; empty where the card does not say."""
        return tuple(row for row in self.rows if row.in_training is False and row.undone is None)

    @property
    def mean_unseen(self) -> float | None:
        """The mean over these kinds; see `UNSEEN`."""
        return fmean(row.named.accuracy for row in self.unseen) if self.unseen else None

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON types, in the order `evaluate --corruptions --json` prints them."""
        return {
            "mean": self.mean,
            "standard_deviation": self.deviation,
            "mean_unseen": self.mean_unseen,
            "unseen": len(self.unseen),
            "lowest": self.lowest.kind.name,
            "answered": self.answered,
            "clean": self.clean.accuracy,
            "n": self.clean.n,
            "kinds": [row.to_json() for row in self.rows],
            "model": self.clean.model,
            "data": self.clean.data,
            "split": self.split,
            "warning": self.warning,
        }


def evaluate_corruptions(
    model: Recognizer | str | Path,
    data: Dataset | str | Path,
    *,
    split: Split = "test",
    limit: int | None = None,
    log: Log = silent,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Robustness:
    """Measure a model on the first `limit` pictures of a part (None: all), corrupted in each kind at each level.

    `model` and `data` are what `metrics.evaluate` takes, and so is the choice of pictures; `progress` is told how many
    of how many tables are done.

    Raises:
        UsageError: the model lacks one of the data's classes, or its pictures went through another kind of door.
        DataError: the data cannot be read, or the part holds no picture.
    """
    recognizer = Recognizer.of(model)
    dataset = as_dataset(data, prepare=recognizer.prepare, log=log)
    check_fits(recognizer, dataset)
    chosen = choose(recognizer, dataset, split, log=log)
    part = chosen.part if limit is None else chosen.part.take(np.arange(min(limit, len(chosen.part))))

    def read(images: Gray) -> Metrics:
        return measure_part(recognizer, dataset, replace(part, images=images), split=chosen.split)

    clean = read(part.images)
    tasks = [(kind, level) for kind in KINDS for level in range(1, len(kind.strengths) + 1)]
    shown = _examples(part, len(dataset.classes))

    def measure(task: tuple[Kind, int]) -> tuple[Metrics, Gray]:
        kind, level = task
        images = corrupt(part.images, kind, level)
        return read(images), images[shown[kind.name]]

    done = []
    pool = ThreadPoolExecutor(recognizer.threads)  # NumPy, OpenCV and ONNX Runtime let go of Python's lock
    try:
        for found in pool.map(measure, tasks):
            done.append(found)
            progress(len(done), len(tasks))
    finally:
        pool.shutdown(cancel_futures=True)  # those that an interruption left over
    results = dict(zip(tasks, done, strict=True))
    rows = tuple(_row(kind, results, recognizer) for kind in KINDS)
    return Robustness(clean, chosen.split, len(chosen.part), rows, chosen.warning)


def _examples(part: Part, classes: int) -> dict[str, int]:
    """Which picture shows a kind: the first of a class, another class for the next kind."""
    places = {kind.name: np.flatnonzero(part.labels == i % classes) for i, kind in enumerate(KINDS)}
    return {name: int(found[0]) if len(found) else 0 for name, found in places.items()}


def _row(kind: Kind, results: Mapping[tuple[Kind, int], tuple[Metrics, Gray]], model: Recognizer) -> Row:
    levels, before = zip(*(results[kind, level] for level in range(1, len(kind.strengths) + 1)), strict=True)
    pictures, taught = np.stack(before), trained_kinds(model.card.provenance)
    in_training, undone = None if taught is None else kind.name in taught, undone_kinds(model).get(kind.name)
    return Row(kind, levels, in_training, undone, pictures, prepare_all(pictures, model.prepare))


def trained_kinds(provenance: Provenance) -> frozenset[str] | None:
    """The kinds of corruption that resemble what a model's training did to its pictures, by the recipes on its card.

    What adapting it did counts too; of an ensemble, the kinds of any member. None where the card does not say.
    """
    trained, adapted = provenance.recipe_fields(), provenance.augmentations()
    if trained is None or adapted is None:
        return None
    used = {field for recipe in (*trained, *adapted) for field in TAUGHT_BY if recipe.get(field)}
    return frozenset(name for field in used for name in TAUGHT_BY[field])


def undone_kinds(model: Recognizer) -> dict[str, str]:
    """The kinds of corruption that the preprocessing, or the first step of the network, undoes, and how."""
    moments = any(recipe.get("moments") for recipe in model.card.provenance.recipe_fields() or [])
    return {**(UNDONE_INSIDE if moments else {}), **(UNDONE if model.prepare == "ink" else {})}
