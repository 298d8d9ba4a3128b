"""The splits of a data set: the samples to train on, those to validate on, and those of the report.

In: a `Dataset`. Out: `Splits`. The protocol `select` never touches the test split: it reports on training samples that
are held out, by writer where writers are known, else by class. The protocol `final` reports on the test split. The
protocol `all` holds nothing out, not even where there is no test split: it is for a last training, after one that
measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from inkdigit.errors import UsageError
from inkdigit.types import SIDE, Dataset, Part

Protocol = Literal["select", "final", "all"]

DEFAULT_VALIDATION = 10_000  # samples that `select` holds out by default: as many as the test split of MNIST has
DEFAULT_DIVISOR = 6  # `select` holds out at most a sixth of the training split: 10,000 of MNIST's 60,000
TEST_SEED = 0  # fixed, so that the same samples are set aside as test split in every run


@dataclass(frozen=True, slots=True, eq=False)
class Splits:
    """The samples to train on, those to validate on during training, and those of the report.

    Under `select` the last two are the same, and `report_name` is "validation". Under `all` there is no validation, and
    the report is on the images that were trained on.
    """

    train: Part
    validation: Part | None
    report: Part
    report_name: Literal["validation", "test", "train"]


@dataclass(frozen=True, slots=True)
class SplitRule:
    """How a run splits a data set: the fields of a recipe that decide it, with their defaults."""

    protocol: Protocol = "final"
    validation: float = 0.0
    validation_split: Literal["auto", "stratified"] = "auto"
    test_fraction: float = 0.2
    calibrated_on: str | None = None  # SHA-256 of data that a `final` run need not hold out of: it is calibrated
    seed: int = 0

    @classmethod
    def from_recipe(cls, recipe: Mapping[str, Any]) -> SplitRule:
        """The rule that the fields of a recipe describe; a recipe from a card may hold anything.

        Raises:
            UsageError: a value that its field cannot have.
        """
        rule = cls(**{field: recipe[field] for field in cls.__slots__ if field in recipe})
        for number in (rule.validation, rule.test_fraction, rule.seed):
            if isinstance(number, bool) or not isinstance(number, int | float) or not isfinite(number) or number < 0:
                problem = "These fields do not describe how to split data"
                raise UsageError(problem, expected="a number from 0", received=repr(number))
        if not isinstance(rule.seed, int) or rule.validation_split not in ("auto", "stratified"):
            problem = "These fields do not describe how to split data"
            raise UsageError(problem, received=f"{rule.seed!r}, {rule.validation_split!r}")
        return rule

    def holds_out(self, dataset: Dataset) -> bool:
        """Whether training images of a data set are held out; a `final` run that is calibrated on them needs none."""
        if self.protocol == "final" and self.calibrated_on is not None and self.calibrated_on == dataset.sha256:
            return False
        return self.protocol == "select" or self.validation > 0

    def split(self, dataset: Dataset) -> Splits:
        """The splits of a data set; see `split`."""
        return split(
            dataset,
            protocol=self.protocol,
            validation=self.validation if self.holds_out(dataset) else 0.0,
            seed=self.seed,
            test_fraction=self.test_fraction,
            stratified=self.validation_split == "stratified",
        )


def split(
    dataset: Dataset,
    *,
    protocol: Protocol,
    validation: float,
    seed: int,
    test_fraction: float = 0.2,
    stratified: bool = False,
) -> Splits:
    """Split a data set as a protocol demands.

    `validation` is a number of samples if ≥ 1, else a share of the training split. 0 is the default under `select`
    (10,000, but at most a sixth) and no validation split under `final`. The random `seed` decides which samples it
    holds. A data set without a test split gets one: `test_fraction` of it, always the same samples; `select` does not
    use them at all. `stratified` draws by class even where writers are known, as the notebooks do. Images that
    could not be read are left out of all splits but the test split.

    Raises:
        UsageError: sizes that leave nothing to train on or nothing to report on, or samples of only one class.
    """
    _check_sizes(protocol, validation, test_fraction)
    _check_classes(dataset)
    if protocol == "all":
        everything = _readable(dataset.train)
        return Splits(everything, None, everything, "train")
    dataset = set_aside(dataset, test_fraction)
    rest, test = _readable(dataset.train), dataset.test
    if stratified:
        rest = replace(rest, writers=None)
    if protocol == "select":
        train, held = hold_out(rest, _count(validation or _default(len(rest)), len(rest)), seed=seed)
        return Splits(train, held, held, "validation")
    if test is None:
        raise UsageError(
            f"{dataset.name} has no test split, and none is to be set aside",
            expected="a test_fraction above 0",
            received=test_fraction,
        )
    if not validation:
        return Splits(rest, None, test, "test")
    train, held = hold_out(rest, _count(validation, len(rest)), seed=seed)
    return Splits(train, held, test, "test")


def set_aside(dataset: Dataset, test_fraction: float) -> Dataset:
    """Give a data set a test split, always the same samples, if it has none."""
    if dataset.test is not None or not test_fraction:
        return dataset
    rest, test = hold_out(dataset.train, max(1, round(test_fraction * len(dataset.train))), seed=TEST_SEED)
    return replace(dataset, train=rest, test=test)


def hold_out(part: Part, count: int, *, seed: int) -> tuple[Part, Part]:
    """Split samples into the rest and about `count` that are held out, both in their old order.

    All samples of a writer are held out together, of as many writers as come closest to the count. Where writers are
    not known, every class gives its share (largest remainders), but never its only sample.

    Raises:
        UsageError: one of the two would be empty.
    """
    rng = np.random.default_rng(seed)
    if 0 < count < len(part):
        known = part.writers is not None and len(np.unique(part.writers)) > 1
        held = _by_writer(part, count, rng) if known else _by_class(part.labels, count, rng)
        if 0 < held.sum() < len(part):
            return part.take(np.flatnonzero(~held)), part.take(np.flatnonzero(held))
    raise UsageError(
        "So many samples cannot be held out",
        expected=f"some, but not all of {len(part)}, and one of each class to train on",
        received=count,
    )


def usable_samples(part: Part) -> NDArray[np.int64]:
    """The indices (M,) of samples whose image is readable and not of one colour, each once, in their old order."""
    flat = part.images.reshape(len(part), SIDE * SIDE)
    uneven = flat.max(axis=1, initial=0) > flat.min(axis=1, initial=255)
    first: dict[tuple[bytes, int], int] = {}
    for i in part.readable[uneven[part.readable]].tolist():
        first.setdefault((flat[i].tobytes(), int(part.labels[i])), i)
    return np.array(list(first.values()), np.int64)


def _check_sizes(protocol: str, validation: float, test_fraction: float) -> None:
    if protocol not in ("select", "final", "all"):
        raise UsageError(f"Unknown protocol {protocol!r}", expected="select, final or all")
    if not (validation >= 0 and (validation < 1 or validation == int(validation))):
        raise UsageError("Bad validation size", expected="a whole number, or a share below 1", received=validation)
    if not 0 <= test_fraction < 1:
        raise UsageError("Bad test_fraction", expected="a share from 0 to below 1", received=test_fraction)


def _check_classes(dataset: Dataset) -> None:
    """A data set may name ten classes and hold samples of only one: a model cannot be trained on that."""
    labels = np.unique(dataset.train.labels)
    if len(labels) == 1:
        raise UsageError(
            f"A model cannot be trained on the data set {dataset.name!r}",
            expected="training samples of two classes or more",
            received=f"samples of only {dataset.classes[labels[0]]!r}",
        )


def _default(n: int) -> int:
    return max(1, min(DEFAULT_VALIDATION, n // DEFAULT_DIVISOR))


def _count(validation: float, n: int) -> int:
    return int(validation) if validation >= 1 else max(1, round(validation * n))


def _readable(part: Part) -> Part:
    if not part.faults:
        return part
    return part.take(part.readable)


def _by_writer(part: Part, count: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """A mask (N,) of the samples of the first writers in a random order: as many writers as come closest to `count`."""
    assert part.writers is not None
    writers, written = np.unique(part.writers, return_counts=True)
    order = rng.permutation(len(writers))
    totals = written[order].cumsum()[:-1]  # one writer stays to train on
    chosen = writers[order[: int(np.abs(totals - count).argmin()) + 1]]
    return np.isin(part.writers, chosen)


def _by_class(labels: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """A mask (N,) of the samples to hold out, so that every class keeps its share."""
    held = np.zeros(len(labels), bool)
    classes, sizes = np.unique(labels, return_counts=True)
    for k, quota in zip(classes, _quotas(sizes, count), strict=True):
        held[rng.permutation(np.flatnonzero(labels == k))[:quota]] = True
    return held


def _quotas(sizes: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """How many samples to take from classes of these sizes (K,): largest remainders, but one is left in each class."""
    shares = sizes * (count / sizes.sum())
    quotas: NDArray[np.int64] = np.floor(shares).astype(np.int64)
    largest_first = np.argsort(quotas - shares, kind="stable")
    quotas[largest_first[: count - quotas.sum()]] += 1
    return np.minimum(quotas, sizes - 1)
