"""Which images of a data set a model is measured on: those that it did not learn from, wherever that can be told.

In: a recogniser and a data set. Out: a `Choice`. Data are recognised by the SHA-256 of their prepared images and
labels. Where they trained the model, the images that its run held out and reported on are measured; where there are
none, or it cannot be told which they are, all are measured and a warning says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from inkdigit.data.splits import SplitRule, Splits, usable_samples
from inkdigit.errors import UsageError
from inkdigit.model.card import Card
from inkdigit.model.provenance import ADAPTED_TO, TRAINED, Source
from inkdigit.model.recognizer import Recognizer
from inkdigit.picture.prepare import prepare_all
from inkdigit.types import Dataset, Log, Part, Split


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The images that a model is measured on, the name of their split, and why the figures may be too good."""

    part: Part
    split: str  # test, train, all, or validation
    warning: str | None = None


def choose(model: Recognizer, dataset: Dataset, split: Split, *, log: Log) -> Choice:
    """Choose what `model` is measured on when `split` of a data set is asked for.

    Images that it learned from are left out where the others are known, unless `split` is "train"; `log` is told.
    """
    part, name = dataset.part(split), split if dataset.test is not None else "all"
    measured = replace(dataset, train=part, test=None)
    sources = list(model.card.provenance.sources())
    source = learned_from(model, measured, sources)
    held = held_out(model.card, measured) if source is not None and source.how == TRAINED else None
    if held is not None and split == "test":
        count, total = f"{len(held.report):,}", f"{len(part):,}"
        log(f"{dataset.name} trained the model. Measured: the {count} of its {total} images that were held out.")
        return Choice(held.report, held.report_name)
    warning = _doubt(dataset, sources) if part is not dataset.test else None
    if source is not None:
        warning = _warning(dataset, source, held)
    if warning is not None:
        log(f"Warning: {warning}")
    return Choice(part, name, warning)


def held_out(card: Card, dataset: Dataset) -> Splits | None:
    """The splits that a model's run made of its data, whose training split `dataset` is; None if it cannot be told.

    It cannot be told of a model that was adapted; nor where the run reported on a test split that `dataset` lacks.
    """
    recipes, data = card.provenance.recipe_fields(), card.provenance.data
    if recipes is None or card.provenance.every_adaptation:
        return None
    had_test = data is not None and data.test is not None
    try:
        division = SplitRule.from_recipe(recipes[0])
        if division.protocol == "all":
            return None  # nothing was
        parts = (replace(division, test_fraction=0.0) if had_test else division).split(dataset)
    except UsageError:
        return None  # the run reported on a test split of its own, or this is not a recipe of ours
    same = (card.figures.get("part"), card.figures.get("n")) == (parts.report_name, len(parts.report))
    return parts if same else None  # else the data had writers then, or faults, that they do not have now


def _as_learned(model: Recognizer, dataset: Dataset) -> Dataset:
    """A data set of one split as a training of `model` would have seen it: prepared, with the model's classes."""
    part, index = dataset.train, {name: k for k, name in enumerate(model.classes)}
    labels = np.array([index.get(name, 0) for name in dataset.classes], np.int64)[part.labels]
    prepared = replace(part, images=prepare_all(part.images, dataset.prepare), labels=labels)
    return replace(dataset, classes=model.classes, train=prepared)


def learned_from(model: Recognizer, dataset: Dataset, sources: list[Source]) -> Source | None:
    """The first of the sources of a model that the training split is; adapting takes each different image once."""
    as_many = [source for source in sources if source.data.train in (None, len(dataset.train))]
    if not as_many:
        return None  # without the time that hashing takes
    dataset = distinct = _as_learned(model, dataset)
    adapted_to = [source for source in as_many if source.how == ADAPTED_TO]
    if adapted_to:
        distinct = replace(dataset, train=dataset.train.take(usable_samples(dataset.train)))
    pairs = chain(((dataset, source) for source in as_many), ((distinct, source) for source in adapted_to))
    return next((source for data, source in pairs if source.data.sha256 == data.sha256), None)


def _warning(dataset: Dataset, source: Source, held: Splits | None) -> str:
    """The warning for figures on images that the model learned from."""
    where = f"{dataset.name}, SHA-256 {str(source.data.sha256)[:12]}… on its card"
    warning = f"These images {source.how} ({where}). The figures do not say how well it reads others."
    if held is None:
        return warning
    instead = "" if dataset.test is not None else ": split test measures only these"
    return f"{warning} {len(held.report):,} of them were held out{instead}."


def _doubt(dataset: Dataset, sources: list[Source]) -> str | None:
    """The warning for data that have the name of some that the model learned from, and are not the same."""
    if dataset.name not in [source.data.name for source in sources]:
        return None
    return f"Some of these images may have trained the model: it learned from other data called {dataset.name}."
