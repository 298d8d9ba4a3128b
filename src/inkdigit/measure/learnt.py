"""What a model learnt from, as its card tells; and which pictures of a data set it is measured on.

In: a recogniser and a data set. Out: a `Choice`. Data are known by the SHA-256 of their prepared pictures and labels.
Where they are those that trained the model, the part that its run held out and reported on is measured; where there is
none, or it cannot be told, all are measured and a warning says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from inkdigit.data.splits import Division, Parts, worth_learning
from inkdigit.errors import UsageError
from inkdigit.model.card import Card
from inkdigit.model.recognizer import Recognizer
from inkdigit.parsing import parse_toml
from inkdigit.picture.prepare import prepare_all
from inkdigit.types import Dataset, Part, Split

# Keys of a card's provenance, as the rooms of training/ write them.
DATA, RECIPE, MEMBERS, ADAPTED, REPLAY, TEACHER = "data", "recipe", "members", "adapted", "replay", "teacher"

TRAINED, ADAPTED_TO = "trained the model", "are what the model was adapted to"


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The pictures that a model is measured on, what they are called, and why the figures may flatter."""

    part: Part
    split: str  # test, train, all, or validation
    warning: str | None = None


def choose(model: Recognizer, dataset: Dataset, split: Split, *, log: Callable[[str], None]) -> Choice:
    """Choose what `model` is measured on when the part `split` of a data set is asked for.

    Pictures that it learnt from are left out where the rest is known, unless `split` is "train"; `log` is told.
    """
    part, name = dataset.part(split), split if dataset.test is not None else "all"
    alone = replace(dataset, train=part, test=None)
    known = list(sources(model.card.provenance))
    found = _find(model, alone, known)
    held = held_out(model.card, alone) if found and found.how == TRAINED else None
    if held is not None and split == "test":
        count, of = f"{len(held.report):,}", f"{len(part):,}"
        log(f"{dataset.name} trained the model. Measured: the {count} of its {of} pictures that were held out.")
        return Choice(held.report, held.report_name)
    warning = _doubt(dataset, known) if part is not dataset.test else None
    if found is not None:
        warning = _warning(dataset, found, held)
    if warning is not None:
        log(f"Warning: {warning}")
    return Choice(part, name, warning)


@dataclass(frozen=True, slots=True)
class Source:
    """Data that a model learnt from; None is what the card does not say."""

    how: str  # it took part
    name: str | None
    sha256: str | None
    count: int | None  # pictures of its training part


def sources(provenance: Mapping[str, Any]) -> Iterator[Source]:
    """Every data set that the weights learnt from, be it by a teacher, a member, or when they were adapted."""
    yield from _source(provenance.get(DATA), TRAINED)
    teacher = provenance.get(TEACHER)
    if isinstance(teacher, dict):
        yield from _source(teacher.get(DATA), "trained the model's teacher")
    for step in _adapted(provenance):
        yield from _source(step.get(DATA), ADAPTED_TO)
        yield from _source(step.get(REPLAY), "were rehearsed when the model was adapted")


def recipes(provenance: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The recipes that the weights were trained with, one a member of an ensemble; None where the card has none."""
    found = []
    for told in _members(provenance):
        if not isinstance(told.get(RECIPE), str):
            return None
        try:
            found.append(parse_toml(told[RECIPE]))
        except ValueError:
            return None
    return found or None


def augmentations(provenance: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """How pictures were changed whenever the weights, or those of a member, were adapted; None if it is not said."""
    told = [step.get("augmentation") for step in _adapted(provenance)]
    known = [one for one in told if isinstance(one, dict)]
    return known if len(known) == len(told) else None


def held_out(card: Card, dataset: Dataset) -> Parts | None:
    """The parts into which a model's run divided its data, whose training part `dataset` is; None if it cannot be told.

    It cannot be told of a model that was adapted; nor where the run reported on a test part that `dataset` lacks.
    """
    told, data = recipes(card.provenance), card.provenance.get(DATA)
    if told is None or list(_adapted(card.provenance)):
        return None
    had_test = isinstance(data, dict) and data.get("test") is not None
    try:
        division = Division.of(told[0])
        parts = (replace(division, test_fraction=0.0) if had_test else division).parts(dataset)
    except UsageError:
        return None  # the run reported on a test part of its own, or this is not a recipe of ours
    same = (card.figures.get("part"), card.figures.get("n")) == (parts.report_name, len(parts.report))
    return parts if same else None  # else the data had writers then, or faults, that they do not have now


def _members(provenance: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The members of an ensemble, or the model itself; nothing where they cannot be read."""
    members = _listed(provenance.get(MEMBERS, [provenance]))
    return members if all(members) else []


def _adapted(provenance: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Each time that the weights, or those of a member, were adapted; an empty one where it cannot be read."""
    for one in _members(provenance):
        yield from _listed(one.get(ADAPTED) or [])


def _listed(told: object) -> list[Mapping[str, Any]]:
    """A list of objects as a card should have it; what is not an object is an empty one."""
    return [one if isinstance(one, Mapping) else {} for one in (told if isinstance(told, list) else [None])]


def _source(told: object, how: str) -> Iterator[Source]:
    if isinstance(told, Mapping):
        name, sha256, count = (told.get(key) for key in ("name", "sha256", "train"))
        yield Source(
            how,
            name if isinstance(name, str) else None,
            sha256 if isinstance(sha256, str) else None,
            count if isinstance(count, int) else None,
        )


def _as_learnt(model: Recognizer, dataset: Dataset) -> Dataset:
    """A data set of one part as a training of `model` would have seen it: prepared, labelled by the model's classes."""
    part, known = dataset.train, {name: k for k, name in enumerate(model.classes)}
    labels = np.array([known.get(name, 0) for name in dataset.classes], np.int64)[part.labels]
    prepared = replace(part, images=prepare_all(part.images, dataset.prepare), labels=labels)
    return replace(dataset, classes=model.classes, train=prepared)


def _find(model: Recognizer, dataset: Dataset, known: list[Source]) -> Source | None:
    """The first of the sources that these very pictures are; adapting takes each of them once."""
    whole = [source for source in known if source.count in (None, len(dataset.train))]
    if not whole:
        return None  # which costs no time
    dataset = distinct = _as_learnt(model, dataset)
    if adapted_to := [source for source in whole if source.how == ADAPTED_TO]:
        distinct = replace(dataset, train=dataset.train.take(worth_learning(dataset.train)))
    pairs = ((dataset, source) for source in whole), ((distinct, source) for source in adapted_to)
    return next((source for data, source in chain(*pairs) if source.sha256 == data.sha256), None)


def _warning(dataset: Dataset, source: Source, held: Parts | None) -> str:
    """What is said of figures on pictures that the model learnt from."""
    where = f"{dataset.name}, SHA-256 {str(source.sha256)[:12]}… on its card"
    said = f"These pictures {source.how} ({where}). The figures do not say how well it reads others."
    if held is None:
        return said
    instead = "" if dataset.test is not None else ": split test measures these alone"
    return f"{said} {len(held.report):,} of them were held out{instead}."


def _doubt(dataset: Dataset, known: list[Source]) -> str | None:
    """What is said of data that are called as some that the model learnt from, and are not the same."""
    if dataset.name not in [source.name for source in known]:
        return None
    return f"Some of these pictures may have trained the model: it learnt from other data called {dataset.name}."
