"""What is learnt from, what is held out, what the report is about.

In: a `Dataset`. Out: `Splits`. Protocol `select` never touches the test pictures: it reports on training pictures held
out by whole writers where these are known, else by class. Protocol `final` reports on the test pictures.
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

Protocol = Literal["select", "final"]

DEFAULT_VALIDATION = 10_000  # pictures that `select` holds out unless told otherwise
DEFAULT_DIVISOR = 6  # but never a larger share of the training part than MNIST's 10,000 of 60,000
TEST_SEED = 0  # the same pictures are set aside as test part in every run


@dataclass(frozen=True, slots=True, eq=False)
class Splits:
    """The pictures to learn from, those to validate on while learning, and those that the report is about.

    Under `select` the last two are the same part and `report_name` is "validation".
    """

    train: Part
    validation: Part | None
    report: Part
    report_name: Literal["validation", "test"]


@dataclass(frozen=True, slots=True)
class SplitRule:
    """How a run divides a data set: what a recipe says of it, with a recipe's defaults."""

    protocol: Protocol = "final"
    validation: float = 0.0
    validation_split: Literal["auto", "stratified"] = "auto"
    test_fraction: float = 0.2
    seed: int = 0

    @classmethod
    def from_recipe(cls, recipe: Mapping[str, Any]) -> SplitRule:
        """The division of a recipe that was written by whomever.

        Raises:
            UsageError: a value that none of its fields can have.
        """
        found = cls(**{field: recipe[field] for field in cls.__slots__ if field in recipe})
        for number in (found.validation, found.test_fraction, found.seed):
            if isinstance(number, bool) or not isinstance(number, int | float) or not isfinite(number) or number < 0:
                raise UsageError("This is not a division", expected="a number from 0", received=repr(number))
        if not isinstance(found.seed, int) or found.validation_split not in ("auto", "stratified"):
            raise UsageError("This is not a division", received=f"{found.seed!r}, {found.validation_split!r}")
        return found

    def split(self, dataset: Dataset) -> Splits:
        """The splits of a data set; see `split`."""
        return split(
            dataset,
            protocol=self.protocol,
            validation=self.validation,
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

    `validation` is a number of pictures if ≥ 1, else a share of the training part; 0 is the default under `select`
    (10,000, but at most a sixth) and none under `final`. `seed` draws the validation part. Of a set of one part,
    `test_fraction` is set aside as test part, always the same pictures; under `select` it is not used at all.
    `stratified` draws by class also where writers are known, as the notebooks do.
    Pictures that could not be read stay in the test part alone.

    Raises:
        UsageError: sizes that leave nothing to learn from or nothing to report on, or pictures of one class alone.
    """
    _check(protocol, validation, test_fraction)
    _check_classes(dataset)
    dataset = set_aside(dataset, test_fraction)
    rest, test = _readable(dataset.train), dataset.test
    if stratified:
        rest = replace(rest, writers=None)
    if protocol == "select":
        train, held = hold_out(rest, _count(validation or _default(len(rest)), len(rest)), seed=seed)
        return Splits(train, held, held, "validation")
    if test is None:
        raise UsageError(
            f"{dataset.name} has no test pictures, and none are to be set aside",
            expected="a test_fraction above 0",
            received=test_fraction,
        )
    if not validation:
        return Splits(rest, None, test, "test")
    train, held = hold_out(rest, _count(validation, len(rest)), seed=seed)
    return Splits(train, held, test, "test")


def set_aside(dataset: Dataset, test_fraction: float) -> Dataset:
    """Give a data set of one part a test part, always the same pictures; any other stays as it is."""
    if dataset.test is not None or not test_fraction:
        return dataset
    rest, test = hold_out(dataset.train, max(1, round(test_fraction * len(dataset.train))), seed=TEST_SEED)
    return replace(dataset, train=rest, test=test)


def hold_out(part: Part, count: int, *, seed: int) -> tuple[Part, Part]:
    """Divide a part into the rest and about `count` pictures held out, both in their old order.

    Whole writers are drawn until the count is met as closely as they allow; where writers are not known, every class
    gives its share (largest remainders), but never its only picture.

    Raises:
        UsageError: nothing would be left on one of the two sides.
    """
    rng = np.random.default_rng(seed)
    if 0 < count < len(part):
        known = part.writers is not None and len(np.unique(part.writers)) > 1
        held = _by_writer(part, count, rng) if known else _by_class(part.labels, count, rng)
        if 0 < held.sum() < len(part):
            return part.take(np.flatnonzero(~held)), part.take(np.flatnonzero(held))
    raise UsageError(
        "So many pictures cannot be held out",
        expected=f"some, but not all of {len(part)}, and one of each class to learn from",
        received=count,
    )


def usable_samples(part: Part) -> NDArray[np.int64]:
    """The indices (M,) of pictures that can be read and are not even, each of them once, in their old order."""
    flat = part.images.reshape(len(part), SIDE * SIDE)
    uneven = flat.max(axis=1, initial=0) > flat.min(axis=1, initial=255)
    kept: dict[tuple[bytes, int], int] = {}
    for i in part.readable[uneven[part.readable]].tolist():
        kept.setdefault((flat[i].tobytes(), int(part.labels[i])), i)
    return np.array(list(kept.values()), np.int64)


def _check(protocol: str, validation: float, test_fraction: float) -> None:
    if protocol not in ("select", "final"):
        raise UsageError(f"Unknown protocol {protocol!r}", expected="select or final")
    if not (validation >= 0 and (validation < 1 or validation == int(validation))):
        raise UsageError("Bad validation size", expected="a whole number, or a share below 1", received=validation)
    if not 0 <= test_fraction < 1:
        raise UsageError("Bad test_fraction", expected="a share from 0 to below 1", received=test_fraction)


def _check_classes(dataset: Dataset) -> None:
    """A set may name ten classes and hold pictures of one: nothing is learnt from that."""
    found = np.unique(dataset.train.labels)
    if len(found) == 1:
        raise UsageError(
            f"The data set {dataset.name!r} cannot be learnt from",
            expected="training pictures of two classes or more",
            received=f"pictures of {dataset.classes[found[0]]!r} alone",
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
    """Which pictures (N,) the first writers of a random order wrote, as many writers as come closest to `count`."""
    assert part.writers is not None
    writers, written = np.unique(part.writers, return_counts=True)
    order = rng.permutation(len(writers))
    totals = written[order].cumsum()[:-1]  # somebody stays to be learnt from
    chosen = writers[order[: int(np.abs(totals - count).argmin()) + 1]]
    return np.isin(part.writers, chosen)


def _by_class(labels: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which of the pictures (N,) to hold out so that every class keeps its share."""
    held = np.zeros(len(labels), bool)
    classes, sizes = np.unique(labels, return_counts=True)
    for k, quota in zip(classes, _quotas(sizes, count), strict=True):
        held[rng.permutation(np.flatnonzero(labels == k))[:quota]] = True
    return held


def _quotas(sizes: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """How many to take from classes of these sizes (K,): largest remainders, and one is left in each class."""
    shares = sizes * (count / sizes.sum())
    quotas: NDArray[np.int64] = np.floor(shares).astype(np.int64)
    largest_first = np.argsort(quotas - shares, kind="stable")
    quotas[largest_first[: count - quotas.sum()]] += 1
    return np.minimum(quotas, sizes - 1)
