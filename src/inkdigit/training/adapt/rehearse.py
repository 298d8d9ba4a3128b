"""The samples of an adaptation: the user's, and old ones that are rehearsed so that the model does not forget them.

In: a model, the user's data, and a source of old samples: the model's training data, other data, or none, in which case
digits are drawn. Out: the user's samples without unusable ones; old samples to rehearse, to watch what is forgotten,
and to report on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from inkdigit.data.sources import NAMES, as_dataset, has
from inkdigit.data.splits import Splits, hold_out, usable_samples
from inkdigit.errors import DataError, UsageError
from inkdigit.model.recognizer import Recognizer
from inkdigit.picture.prepare import prepare
from inkdigit.synth.drawn import digit
from inkdigit.synth.generated import Amounts, extend
from inkdigit.training.convert.calibrate import stressed_copies
from inkdigit.training.data import splits_of
from inkdigit.training.network.loop import Tensors
from inkdigit.training.network.predict import predict
from inkdigit.training.recipe import Recipe
from inkdigit.types import DIGITS, DataLike, Dataset, Log, Part

AUTO, DRAWN = "auto", "drawn"
MIN_OWN = 5  # samples of the user: fewer cannot be split into the folds of the cross-validation and mean something
DRAWN_IMAGES = 2000  # a quarter of those that the model knows is watched: one is 0.2 % of them. Drawing takes seconds.
MAX_WATCHED = 10_000  # enough to see a tenth of a point, which is ten of them
WATCHED_DIVISOR = 6  # at most this part of the training data is watched instead of rehearsed


@dataclass(frozen=True, slots=True, eq=False)
class OldSamples:
    """Old samples with the labels of the model: `splits.train` to rehearse, `splits.report` to report on.

    `watched` samples are not rehearsed: they show what the model forgets.
    """

    dataset: Dataset
    splits: Splits
    watched: Part
    correct: int  # of the watched samples, by the model before it is adapted
    held_out: Part | None = None  # those of the watched samples that the model was never trained on
    stressed: Tensors | None = None  # copies of the held-out samples that look photographed
    drawn: bool = False  # whether they are drawn digits

    @property
    def caveat(self) -> str | None:
        """Why the figures on these samples are too high, if they are."""
        if self.drawn:
            return "only images that were right before, and the weights were chosen on them"
        caveats = {"validation": "the weights were chosen on these images", "train": "they trained the model"}
        return caveats.get(self.splits.report_name)


def open_old(model: Recognizer, net: nn.Module, recipe: Recipe, source: DataLike, *, seed: int, log: Log) -> OldSamples:
    """Open a source of old samples; DRAWN draws digits, AUTO opens the model's training data if possible, else draws.

    Raises:
        UsageError: no such source, other classes or another preprocessing than the model's, or nothing can be drawn.
        DataError: the source cannot be used.
    """
    if source == AUTO:
        source = _training_data(model, log)
    if source == DRAWN:
        return _drawn(model, net, recipe, seed=seed, log=log)
    dataset = as_dataset(source, prepare=model.prepare, log=log)
    dataset = relabel(model, dataset)
    splits = splits_of(dataset, recipe)
    trained_on = model.card.provenance.data
    if trained_on is not None and trained_on.sha256 not in (None, dataset.sha256):
        log(f"{dataset.name} is not the model's training data: what it forgets of those is not measured.")
    held_out = splits.validation
    count = MAX_WATCHED - (0 if held_out is None else len(held_out))
    rest, watched = hold_out(splits.train, max(1, min(count, len(splits.train) // WATCHED_DIVISOR)), seed=seed)
    if held_out is not None:
        watched = concatenate(held_out, watched)
    return OldSamples(
        dataset,
        replace(splits, train=rest),
        watched,
        correct=count_correct(net, watched, len(model.classes)),
        held_out=held_out,
        stressed=None if held_out is None else stressed_copies(held_out, recipe.change({"seed": seed})),
    )


def open_own(model: Recognizer, data: DataLike, *, log: Log) -> Dataset:
    """The user's samples with the labels of the model, without unusable ones in the training split.

    Raises:
        UsageError: no such source, or labels that the model does not know.
        DataError: the data cannot be read, or have too few usable samples.
    """
    dataset = relabel(model, as_dataset(data, prepare=model.prepare, log=log))
    usable = usable_samples(dataset.train)  # no copies: one fold would learn from them and another be measured on them
    if left_out := len(dataset.train) - len(usable):
        log(f"Images left out, because they cannot be read, hold no ink or repeat another: {left_out}.")
    if len(usable) < MIN_OWN:
        raise DataError(
            f"{dataset.name} has too few images to adapt to",
            expected=f"{MIN_OWN} or more different ones that can be read and hold ink; a few of each class are a start",
            received=len(usable),
        )
    return replace(dataset, train=dataset.train.take(usable))


def relabel(model: Recognizer, dataset: Dataset) -> Dataset:
    """The same samples, with the model's classes; a class without samples may be unknown to the model.

    Raises:
        UsageError: the model does not know a class, or its images are prepared in another way.
    """
    if dataset.prepare != model.prepare:
        raise UsageError(
            f"The images of {dataset.name!r} are not prepared as {model.path} expects",
            expected=f"prepare {model.prepare!r}",
            received=f"prepare {dataset.prepare!r}",
        )
    parts = [part for part in (dataset.train, dataset.test) if part is not None]
    used = np.unique(np.concatenate([part.labels for part in parts]))
    unknown = [dataset.classes[k] for k in used if dataset.classes[k] not in model.classes]
    if unknown:
        raise UsageError(
            f"{dataset.name!r} has labels that {model.path} does not know",
            expected=f"labels among {', '.join(model.classes[:20])}",
            received=", ".join(unknown[:5]),
            hint="A model adapts to other writers, not to other classes: train a new one on these.",
        )
    index = [model.classes.index(name) if name in model.classes else 0 for name in dataset.classes]
    train, *test = (replace(part, labels=np.array(index, np.int64)[part.labels]) for part in parts)
    return replace(dataset, classes=model.classes, train=train, test=test[0] if test else None)


def draw(old: OldSamples, recipe: Recipe, count: int, *, seed: int, log: Log) -> Part:
    """Draw about `count` samples to rehearse, with generated ones in the same proportion as in the recipe."""
    part = old.splits.train
    if old.drawn:
        per_sample = (recipe.stressed, 0.0, 0.5 if recipe.outliers else 0.0)  # stressed, drawn, outliers
    else:
        per_sample = (recipe.stressed, recipe.drawn / len(part), recipe.outliers / len(part))
    order = np.random.default_rng(seed).permutation(len(part))
    chosen = part.take(order[: max(1, round(count / (1 + sum(per_sample))))])
    return extend(chosen, Amounts(*(round(share * len(chosen)) for share in per_sample)), seed=seed, log=log)


def mix(own: Part, old: Part, sizes: tuple[int, int], *, seed: int) -> Part:
    """A mixture with `sizes` samples of the two parts; within a part each appears equally often, or once more."""
    rng = np.random.default_rng(seed)
    first, second = (part.take(_repeat(len(part), size, rng)) for part, size in zip((own, old), sizes, strict=True))
    return concatenate(first, second)


def concatenate(first: Part, second: Part) -> Part:
    """The samples of both parts."""
    return Part(np.concatenate([first.images, second.images]), np.concatenate([first.labels, second.labels]))


def _repeat(n: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """`count` indices below `n`: all of them, then all again in another order, and so on."""
    return np.concatenate([rng.permutation(n) for _ in range(-(-count // n))])[:count]


def _training_data(model: Recognizer, log: Log) -> str:
    """The name of the model's training data if they can be opened without the network, else DRAWN."""
    data = model.card.provenance.data
    name = None if data is None else data.name
    if name in NAMES and has(name):
        return str(name)
    log(f"{name or 'The training data'} is not available: drawn digits are rehearsed instead.")
    return DRAWN


def _drawn(model: Recognizer, net: nn.Module, recipe: Recipe, *, seed: int, log: Log) -> OldSamples:
    """Drawn digits that the model classifies correctly: it shall not learn new ones, but remember what it knows.

    If the model was trained on stressed copies, such copies of the watched digits are watched too.

    Raises:
        UsageError: the model does not classify digits.
    """
    if model.classes != DIGITS or model.prepare != "ink":
        raise UsageError(
            f"No images like the training data of {model.path} can be drawn",
            expected="a model of the digits 0 to 9",
            received=f"classes {', '.join(model.classes[:12])}",
            hint="Name data to rehearse with --replay.",
        )
    log(f"Drawing {DRAWN_IMAGES:,} digits.")
    known = _correct_ones(net, _draw_digits(DRAWN_IMAGES, seed))
    rest, clean = hold_out(known, len(known) // 4, seed=seed)
    copies = Amounts(stressed=round(recipe.stressed * len(clean)))
    watched = _correct_ones(net, extend(clean, copies, seed=seed + 1, log=log))  # not the copies that are rehearsed
    dataset, splits = Dataset(DRAWN, DIGITS, rest, watched), Splits(rest, watched, watched, "validation")
    return OldSamples(dataset, splits, watched, correct=len(watched), drawn=True)


def _correct_ones(net: nn.Module, part: Part) -> Part:
    return part.take(np.flatnonzero(is_correct(net, part, len(DIGITS))))


def _draw_digits(count: int, seed: int) -> Part:
    """Digits with strokes of many widths and shapes, on clean paper."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % len(DIGITS)
    images = [
        digit(
            int(k),
            rng=rng,
            size_px=48,  # above the 20 px of a prepared digit, so that it is scaled down as a user's image is
            thickness=float(rng.uniform(0.06, 0.14)),  # of the height: a fine pen to a felt pen
            jitter=float(rng.uniform(0.015, 0.05)),  # of the height: a steady to a hasty writer
        )
        for k in labels
    ]
    return Part(np.stack([prepare(image) for image in images]), labels)


def is_correct(net: nn.Module, part: Part, classes: int) -> NDArray[np.bool_]:
    """Which samples (N,) a network classifies correctly."""
    best = predict(net, torch.from_numpy(part.images), classes=classes).best.numpy()
    correct: NDArray[np.bool_] = best == part.labels
    return correct


def count_correct(net: nn.Module, part: Part, classes: int) -> int:
    """How many samples a network classifies correctly."""
    return int(is_correct(net, part, classes).sum())
