"""Two or more runs, or two recipes with several random seeds each: is one better than the other?

In: finished runs, or `Seeds`. Out: a `Comparison`, or a `Paired`. Each run is tested against the first (McNemar 1947,
exact), and the p-values are corrected for their number (Holm 1979). Two recipes are paired by their random seeds, each
pair on the same images, and tested with Student's interval of the differences and exact sign flips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inkdigit.errors import UsageError
from inkdigit.measure.ledger import Entry, Group, group, read_finished, why_other_images
from inkdigit.measure.seeds import Seeds, open_seeds
from inkdigit.measure.stats import Spread, flip_p, holm, mcnemar_p

SIGNIFICANT = 0.05  # a smaller corrected p-value counts as a difference: the usual level
MIN_SEEDS = 6  # with fewer, no p-value of sign flips is below it: 2 of 2**5 are 0.06


@dataclass(frozen=True, slots=True)
class McNemar:
    """One run against another on the same `n` images: how many images only one of the two reads rightly."""

    run: str
    against: str
    n: int
    only_run: int
    only_against: int
    p: float  # two-sided, exact
    p_holm: float  # corrected for the number of tests of the comparison

    @property
    def difference(self) -> float:
        """By how much `run` is more accurate, as a fraction."""
        return (self.only_run - self.only_against) / self.n

    @property
    def verdict(self) -> str:
        """The result of the test in words."""
        if self.p_holm >= SIGNIFICANT:
            return "no difference shown"
        return "better" if self.difference > 0 else "worse"

    def to_json(self) -> dict[str, Any]:
        """The fields and the results as JSON types."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return {**fields, "difference": self.difference, "verdict": self.verdict}


@dataclass(frozen=True, eq=False)
class Comparison:
    """Finished runs, the test of each against the first, and why some have no test (name of the run → reason)."""

    entries: tuple[Entry, ...]
    tests: tuple[McNemar, ...]
    untested: dict[str, str]
    groups: tuple[Group, ...]

    def differences(self) -> dict[str, list[Any]]:
        """The recipe fields that are not the same in all runs: field → one value for each run."""
        fields = sorted({field for entry in self.entries for field in entry.recipe} - {"name", "about", "data"})
        values = {field: [entry.recipe.get(field) for entry in self.entries] for field in fields}
        return {field: row for field, row in values.items() if any(value != row[0] for value in row)}

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON types."""
        return {
            "runs": [entry.to_json() for entry in self.entries],
            "tests": [test.to_json() for test in self.tests],
            "untested": self.untested,
            "groups": [group.to_json() for group in self.groups],
            "recipe_differences": self.differences(),
        }


def compare(folders: Sequence[Path]) -> Comparison:
    """Compare two finished runs or more; the others are tested against the first.

    Raises:
        UsageError: there are fewer than two runs, a run is named twice, or a run is unfinished.
        DataError: files of a run are missing or broken.
    """
    if len({folder.resolve() for folder in folders}) < max(2, len(folders)):
        raise UsageError(
            "There is nothing to compare",
            expected="two or more different runs",
            received=", ".join(map(str, folders)),
            hint="Without arguments `inkdigit compare` lists all runs.",
        )
    first, *others = entries = [read_finished(folder) for folder in folders]
    reasons = {other.name: why_other_images(first, other) for other in others}
    tested = [other for other in others if reasons[other.name] is None]
    return Comparison(
        entries=tuple(entries),
        tests=tuple(_test_all(first, tested)),
        untested={name: reason for name, reason in reasons.items() if reason},
        groups=tuple(group(entries)),
    )


def _test_all(first: Entry, others: Sequence[Entry]) -> list[McNemar]:
    right, _ = first.right_and_labels
    counts = [count_discordant(other.right_and_labels[0], right) for other in others]
    p_values = [mcnemar_p(*pair) for pair in counts]
    return [
        McNemar(other.name, first.name, len(right), *pair, p, p_holm)
        for other, pair, p, p_holm in zip(others, counts, p_values, holm(p_values), strict=True)
    ]


def count_discordant(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> tuple[int, int]:
    """How many images only the first model reads rightly, and how many only the second; both arrays are (N,)."""
    return int((first & ~second).sum()), int((second & ~first).sum())


@dataclass(frozen=True, eq=False)
class Paired:
    """`other` against `first`, for each of the random `seeds` that both have."""

    first: Seeds
    other: Seeds
    seeds: tuple[int, ...]
    more_right: tuple[int, ...]  # for each seed: how many more images `other` reads rightly than `first`
    image_counts: tuple[int, ...]  # for each seed: of how many images

    @property
    def differences(self) -> Spread:
        """By how much `other` is more accurate, for each seed, as a fraction."""
        return Spread(tuple(more / n for more, n in zip(self.more_right, self.image_counts, strict=True)))

    @property
    def p(self) -> float:
        """The exact two-sided p-value: how often randomly swapped pairs differ as much in total (sign flips)."""
        return flip_p(self.more_right)

    @property
    def min_p(self) -> float:
        """The smallest p-value that this number of seeds can give, however large the difference."""
        return 2.0 ** (1 - len(self.seeds))

    @property
    def verdict(self) -> str:
        """The result of the test in words: a difference counts only if its p-value is below 0.05."""
        if self.p >= SIGNIFICANT:
            return "no difference shown"
        return "better" if self.differences.mean > 0 else "worse"

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON types."""
        return {
            "run": self.other.name,
            "against": self.first.name,
            "seeds": list(self.seeds),
            "pictures": list(self.image_counts),
            "more_right": list(self.more_right),
            "difference": self.differences.to_json(),
            "p": self.p,
            "least_p": self.min_p,
            "verdict": self.verdict,
        }


def open_pair(names: Sequence[str]) -> Paired | None:
    """Pair two recipes if `names` are of runs with several random seeds; None if all are names of single runs.

    Raises:
        UsageError: some names are of several seeds and some are not, there are not two, or they cannot be paired.
        DataError: files of a run are missing or broken.
    """
    several = [seeds for seeds in map(open_seeds, names) if seeds is not None]
    if not several:
        return None
    if len(several) < len(names) or len(several) != 2:
        raise UsageError(
            "These cannot be compared seed by seed",
            expected="two folders of seeds, or two lists of runs as in A,B C,D",
            received=f"{len(several)} of them among {len(names)} names",
        )
    return pair(*several)


def pair(first: Seeds, other: Seeds) -> Paired:
    """Pair two recipes by their seeds.

    Raises:
        UsageError: they have no seed in common, are the same runs, or report on different images.
        DataError: files of a run are missing or broken.
    """
    ours, theirs = (dict(zip(seeds.seeds, seeds.entries, strict=True)) for seeds in (first, other))
    common = sorted(set(ours) & set(theirs))
    if not common:
        raise UsageError(
            f"{first.name} and {other.name} have no seed in common",
            expected="runs of the same seeds",
            received=f"seeds {list(first.seeds)} and {list(other.seeds)}",
        )
    for seed in common:
        if ours[seed].folder.resolve() == theirs[seed].folder.resolve():
            raise UsageError("There is nothing to compare", expected="different runs", received=ours[seed].name)
        if reason := why_other_images(ours[seed], theirs[seed]):
            raise UsageError(
                f"{first.name} and {other.name} report on different images", received=f"with seed {seed}, {reason}"
            )
    right = [(theirs[seed].right_and_labels[0], ours[seed].right_and_labels[0]) for seed in common]
    return Paired(
        first,
        other,
        seeds=tuple(common),
        more_right=tuple(int(other_right.sum()) - int(first_right.sum()) for other_right, first_right in right),
        image_counts=tuple(len(first_right) for _, first_right in right),
    )
