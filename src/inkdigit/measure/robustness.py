"""How well a model does on corrupted images, for each kind and level of corruption.

In: a `Recognizer` and a `Dataset`. Out: a `Robustness`. Every corrupted image is prepared like any other image. Kinds
that resemble what training did to its images, and kinds that a step of the preprocessing undoes, are marked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

from inkdigit.measure.corruptions import KINDS, Kind, corrupt
from inkdigit.measure.metrics import Metrics, measure_part, open_split
from inkdigit.model.provenance import Provenance
from inkdigit.model.recognizer import Recognizer
from inkdigit.picture.prepare import prepare_all
from inkdigit.synth.scenes.scene import RESEMBLES as RESEMBLED_BY_SCENES
from inkdigit.synth.stress import RESEMBLES
from inkdigit.types import DataLike, Gray, Log, Part, Split, check_functions, silent

# What `mean_unseen` claims and what it does not claim: shown below the figures.
UNSEEN = """\
Unseen means: no image drawn for training is made like that kind, neither for the model nor for the network that finds
ink, no augmentation does it, and no step of the preprocessing undoes it. It does not mean entirely new: drawn photos
have blur, grain and noise of their own."""
# Kinds that the preprocessing undoes or has learned: a high figure is due to it, not to the model. A test measures
# that no other kind is undone; a change of the preprocessing may change this table.
UNDONE = {  # `evaluate --json` has these texts
    **dict.fromkeys(RESEMBLED_BY_SCENES, "the network that finds ink has learned scenes with it"),
    "scale": "ink is scaled to 20 pixels",
    "translate": "ink is put in the middle",
}
UNDONE_INSIDE = {  # the same for networks whose recipe has `moments`
    "shear": "the network straightens slanted ink first",
    "scale": "the network makes all ink as large first",
    "translate": "the network puts ink in the middle first",
}
# Recipe fields that, above 0, make training do something similar to a kind of corruption to its images.
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
    """One kind: the figures of each of its L levels, and an example image.

    `in_training` is whether training did something similar; None where the card does not say. `undone` says how the
    preprocessing undoes it; None where it does not.
    """

    kind: Kind
    levels: tuple[Metrics, ...]
    in_training: bool | None
    undone: str | None
    before: Gray  # (L, 28, 28): one image, corrupted
    after: Gray  # (L, 28, 28): the same as the network sees it

    @property
    def named(self) -> Metrics:
        """The figures at the level of MNIST-C."""
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
    """A model on corrupted images; accuracy is that of the most probable class, answered or not, as in `Metrics`."""

    clean: Metrics  # of the same images, not corrupted
    split: str
    total: int  # images of that split, of which the first `clean.n` were measured
    rows: tuple[Row, ...]
    warning: str | None = None  # as in `Metrics`

    @property
    def mean(self) -> float:
        """The mean accuracy over the kinds, at the levels of MNIST-C."""
        return fmean(row.named.accuracy for row in self.rows)

    @property
    def deviation(self) -> float:
        """The standard deviation of these accuracies."""
        return stdev(row.named.accuracy for row in self.rows)

    @property
    def answered(self) -> float:
        """The share of these images that is answered."""
        return fmean(row.named.answered / row.named.n for row in self.rows)

    @property
    def lowest(self) -> Row:
        """The kind with the lowest of these accuracies."""
        return min(self.rows, key=lambda row: row.named.accuracy)

    @property
    def unseen(self) -> tuple[Row, ...]:
        """The kinds that are neither similar to training nor undone; empty where the card does not say."""
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
    data: DataLike,
    *,
    split: Split = "test",
    limit: int | None = None,
    log: Log = silent,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Robustness:
    """Measure a model on the first `limit` images of a split (None: all), corrupted in each kind at each level.

    `model`, `data` and the choice of images are as in `metrics.evaluate`. `progress` gets how many pairs of kind and
    level are done, and how many there are.

    Raises:
        UsageError: the model lacks one of the data's classes, or its images were prepared differently.
        DataError: the data cannot be read, or the split has no images.
    """
    check_functions(log=log, progress=progress)
    recognizer, dataset, chosen = open_split(model, data, split, log=log)
    part = chosen.part if limit is None else chosen.part.take(np.arange(min(limit, len(chosen.part))))

    def read(images: Gray) -> Metrics:
        return measure_part(recognizer, dataset, replace(part, images=images), split=chosen.split)

    clean = read(part.images)
    tasks = [(kind, level) for kind in KINDS for level in range(1, len(kind.strengths) + 1)]
    examples = _examples(part, len(dataset.classes))

    def measure(task: tuple[Kind, int]) -> tuple[Metrics, Gray]:
        kind, level = task
        images = corrupt(part.images, kind, level)
        return read(images), images[examples[kind.name]]

    done = []
    pool = ThreadPoolExecutor(recognizer.threads)  # NumPy and ONNX Runtime release Python's lock
    try:
        for measured in pool.map(measure, tasks):
            done.append(measured)
            progress(len(done), len(tasks))
    finally:
        pool.shutdown(cancel_futures=True)  # those that are left after an interruption
    results = dict(zip(tasks, done, strict=True))
    rows = tuple(_row(kind, results, recognizer) for kind in KINDS)
    return Robustness(clean, chosen.split, len(chosen.part), rows, chosen.warning)


def _examples(part: Part, classes: int) -> dict[str, int]:
    """The index of the image that shows a kind: the first image of a class, the next class for the next kind."""
    matches = {kind.name: np.flatnonzero(part.labels == i % classes) for i, kind in enumerate(KINDS)}
    return {name: int(index[0]) if len(index) else 0 for name, index in matches.items()}


def _row(kind: Kind, results: Mapping[tuple[Kind, int], tuple[Metrics, Gray]], model: Recognizer) -> Row:
    levels, before = zip(*(results[kind, level] for level in range(1, len(kind.strengths) + 1)), strict=True)
    examples, trained = np.stack(before), trained_kinds(model.card.provenance)
    in_training = None if trained is None else kind.name in trained
    undone = undone_kinds(model).get(kind.name)
    return Row(kind, levels, in_training, undone, examples, prepare_all(examples, model.prepare))


def trained_kinds(provenance: Provenance) -> frozenset[str] | None:
    """The kinds of corruption that resemble what a model's training did to its images, by the recipes on its card.

    Adapting counts too, and every member of an ensemble. None where the card does not say.
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
