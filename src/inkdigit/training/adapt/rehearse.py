"""The pictures that a model adapts to, and those by which it keeps what it knows.

In: a model, a user's pictures, and a source of old ones: what the model learnt from, other data, or none, and then
digits are drawn. Out: the user's, cleared; old ones to rehearse, to see what is forgotten, and to report on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

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
from inkdigit.types import DIGITS, Dataset, Log, Part

AUTO, DRAWN = "auto", "drawn"
LEAST = 5  # pictures of the user's
DRAWN_PICTURES = 2000  # a quarter of them is kept from the rehearsal
WATCHED = 10_000  # a tenth of a point is ten of them; at most a sixth of what the model learnt from


@dataclass(frozen=True, slots=True, eq=False)
class Old:
    """Old pictures, labelled by the model's classes: `splits.train` to rehearse, `splits.report` to report on.

    `watched` are kept from the rehearsal, to see what is forgotten; of these the model never learnt from `unlearnt`.
    """

    dataset: Dataset
    splits: Splits
    watched: Part
    right: int  # of the watched, by the model before it is adapted
    unlearnt: Part | None = None
    stressed: Tensors | None = None  # copies of those, as photographed
    drawn: bool = False  # whether we drew them

    @property
    def flatters(self) -> str | None:
        """Why what is reported of them flatters, where it does."""
        if self.drawn:
            return "all of these were read before, and they chose how far it goes"
        return "they chose how far it goes" if self.splits.report_name == "validation" else None


def open_old(
    model: Recognizer, net: nn.Module, recipe: Recipe, source: Dataset | str | Path, *, seed: int, log: Log
) -> Old:
    """Open a source of old pictures, DRAWN ones, or, by AUTO, those that the model learnt from if they are at hand.

    Raises:
        UsageError: no such source, classes or a door that are not the model's, or nothing can be drawn for it.
        DataError: the source cannot be used.
    """
    if source == AUTO:
        source = _learnt_from(model, log)
    if source == DRAWN:
        return _drawn(model, net, recipe, seed=seed, log=log)
    dataset = as_dataset(source, prepare=model.prepare, log=log)
    dataset = as_known(model, dataset)
    splits = splits_of(dataset, recipe)
    if learnt_sha256(model) not in (None, dataset.sha256):
        log(f"{dataset.name} is not what the model learnt from: what it forgets of that is not measured.")
    unlearnt = splits.validation
    more = max(1, min(WATCHED - (0 if unlearnt is None else len(unlearnt)), len(splits.train) // 6))
    rest, watched = hold_out(splits.train, more, seed=seed)
    if unlearnt is not None:
        watched = join(unlearnt, watched)
    return Old(
        dataset,
        replace(splits, train=rest),
        watched,
        right=count_right(net, watched, len(model.classes)),
        unlearnt=unlearnt,
        stressed=None if unlearnt is None else stressed_copies(unlearnt, recipe.change({"seed": seed})),
    )


def open_own(model: Recognizer, data: Dataset | str | Path, *, log: Log) -> Dataset:
    """The user's pictures, labelled by the model's classes, without those that say nothing or say it twice.

    Raises:
        UsageError: no such source, or labels that the model does not know.
        DataError: the data cannot be read, or leave too few pictures.
    """
    dataset = as_dataset(data, prepare=model.prepare, log=log)
    dataset = as_known(model, dataset)
    train = _worth_learning(dataset.train, log)
    if len(train) < LEAST:
        raise DataError(
            f"{dataset.name} has too few pictures to adapt to",
            expected=f"{LEAST} different ones or more that can be read and hold ink; a few of each class are a start",
            received=len(train),
        )
    return replace(dataset, train=train)


def _worth_learning(part: Part, log: Log) -> Part:
    """Each readable picture with ink once, for copies would be learnt from and measured by at the same time."""
    kept = usable_samples(part)
    if len(kept) < len(part):
        log(f"Left out: {len(part) - len(kept)} pictures that cannot be read, hold no ink or repeat another.")
    return part.take(kept)


def learnt_sha256(model: Recognizer) -> str | None:
    """What the model learnt from, by SHA-256."""
    data = model.card.provenance.data
    return None if data is None else data.sha256


def as_known(model: Recognizer, dataset: Dataset) -> Dataset:
    """The same pictures, labelled by the model's classes; a class of which there is no picture may be unknown to it.

    Raises:
        UsageError: the model does not know a class, or its pictures went through another door.
    """
    if dataset.prepare != model.prepare:
        raise UsageError(
            f"The pictures of {dataset.name!r} are not prepared as {model.path} learnt them",
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
            hint="A model adapts to other hands, not to other classes: train one on these.",
        )
    known = [model.classes.index(name) if name in model.classes else 0 for name in dataset.classes]
    train, *test = (replace(part, labels=np.array(known, np.int64)[part.labels]) for part in parts)
    return replace(dataset, classes=model.classes, train=train, test=test[0] if test else None)


def draw(old: Old, recipe: Recipe, count: int, *, seed: int, log: Log) -> Part:
    """About `count` pictures to rehearse, outliers and whatever else was made for the recipe in their share."""
    part = old.splits.train
    if old.drawn:
        of_each = (recipe.stressed, 0.0, 0.5 if recipe.outliers else 0.0)  # stressed, drawn, outliers a picture
    else:
        of_each = (recipe.stressed, recipe.drawn / len(part), recipe.outliers / len(part))
    order = np.random.default_rng(seed).permutation(len(part))
    taken = part.take(order[: max(1, round(count / (1 + sum(of_each))))])
    return extend(taken, Amounts(*(round(share * len(taken)) for share in of_each)), seed=seed, log=log)


def mix(own: Part, old: Part, sizes: tuple[int, int], *, seed: int) -> Part:
    """So many pictures of each of the two, every one as often as the others of its part, or once more."""
    rng = np.random.default_rng(seed)
    first, second = (part.take(_again(len(part), size, rng)) for part, size in zip((own, old), sizes, strict=True))
    return join(first, second)


def join(first: Part, second: Part) -> Part:
    """The pictures of both."""
    return Part(np.concatenate([first.images, second.images]), np.concatenate([first.labels, second.labels]))


def _again(n: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """`count` indices below `n`: all of them in turn, each time in another order."""
    return np.concatenate([rng.permutation(n) for _ in range(-(-count // n))])[:count]


def _learnt_from(model: Recognizer, log: Log) -> str:
    """The name of what the model learnt from if that can be opened without the network, else DRAWN."""
    data = model.card.provenance.data
    name = None if data is None else data.name
    if name in NAMES and has(name):
        return str(name)
    log(f"{name or 'What the model learnt from'} is not at hand: digits that we draw are rehearsed instead.")
    return DRAWN


def _drawn(model: Recognizer, net: nn.Module, recipe: Recipe, *, seed: int, log: Log) -> Old:
    """Drawn digits that the model reads right: it shall not learn them, but keep what it knows.

    Where it learnt from stressed copies, such copies of those that are kept from the rehearsal are watched too.

    Raises:
        UsageError: the model does not read digits.
    """
    if model.classes != DIGITS or model.prepare != "ink":
        raise UsageError(
            f"Nothing can be drawn that is like what {model.path} learnt from",
            expected="a model of the digits 0 to 9",
            received=f"one of {', '.join(model.classes[:12])}",
            hint="Say with --replay which pictures it shall go on to read.",
        )
    log(f"Drawing {DRAWN_PICTURES:,} digits.")
    known = _read_right(net, _strokes(DRAWN_PICTURES, seed))
    rest, clean = hold_out(known, len(known) // 4, seed=seed)
    copies = Amounts(stressed=round(recipe.stressed * len(clean)))
    held = _read_right(net, extend(clean, copies, seed=seed + 1, log=log))  # stressed otherwise than the rehearsed
    dataset, splits = Dataset(DRAWN, DIGITS, rest, held), Splits(rest, held, held, "validation")
    return Old(dataset, splits, held, right=len(held), drawn=True)


def _read_right(net: nn.Module, part: Part) -> Part:
    return part.take(np.flatnonzero(is_right(net, part, len(DIGITS))))


def _strokes(count: int, seed: int) -> Part:
    """Digits as several hands and pens would write them, on clean paper."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % len(DIGITS)
    images = [
        digit(
            int(k),
            rng=rng,
            size_px=48,
            thickness=float(rng.uniform(0.06, 0.14)),
            jitter=float(rng.uniform(0.015, 0.05)),
        )
        for k in labels
    ]
    return Part(np.stack([prepare(image) for image in images]), labels)


def is_right(net: nn.Module, part: Part, classes: int) -> NDArray[np.bool_]:
    """Of which pictures (N,) the most probable class is the label, by a network."""
    right: NDArray[np.bool_] = predict(net, torch.from_numpy(part.images), classes=classes).best.numpy() == part.labels
    return right


def count_right(net: nn.Module, part: Part, classes: int) -> int:
    """How many pictures a network reads right."""
    return int(is_right(net, part, classes).sum())
