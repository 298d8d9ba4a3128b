"""Two recipes seed by seed: by how much one is better, and whether that is more than the luck of the seeds.

In: two `Seeds`. Out: `Paired`. A seed that both have is one pair, on the same pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from inkdigit.errors import UsageError
from inkdigit.measure.ledger import why_other_pictures
from inkdigit.measure.stats import Spread, flip_p
from inkdigit.report.seeds import Seeds
from inkdigit.report.template import percent, signed


@dataclass(frozen=True, eq=False)
class Paired:
    """`other` against `first`, for each of the `seeds` that both have."""

    first: Seeds
    other: Seeds
    seeds: tuple[int, ...]
    more_right: tuple[int, ...]  # a seed: how many more pictures `other` reads rightly
    pictures: tuple[int, ...]  # a seed: of how many

    @property
    def differences(self) -> Spread:
        """By how much `other` is more accurate, a seed, as a fraction."""
        return Spread(tuple(more / n for more, n in zip(self.more_right, self.pictures, strict=True)))

    @property
    def p(self) -> float:
        """Two-sided, exact: how often pairs that are swapped at random differ so much in all (sign flips)."""
        return flip_p(self.more_right)

    @property
    def least_p(self) -> float:
        """The least that so many seeds can give, however large the difference."""
        return 2.0 ** (1 - len(self.seeds))

    @property
    def verdict(self) -> str:
        """What the interval says, in words."""
        if (interval := self.differences.ci95) is None or interval[0] <= 0 <= interval[1]:
            return "no difference shown"
        return "better" if interval[0] > 0 else "worse"

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON types."""
        return {
            "run": self.other.name,
            "against": self.first.name,
            "seeds": list(self.seeds),
            "pictures": list(self.pictures),
            "more_right": list(self.more_right),
            "difference": self.differences.to_json(),
            "p": self.p,
            "least_p": self.least_p,
            "verdict": self.verdict,
        }


def pair(first: Seeds, other: Seeds) -> Paired:
    """Pair two recipes by their seeds.

    Raises:
        UsageError: they have no seed in common, are the same runs, or report on other pictures.
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
        if reason := why_other_pictures(ours[seed], theirs[seed]):
            raise UsageError(
                f"{first.name} and {other.name} report on other pictures", received=f"with seed {seed}, {reason}"
            )
    right = [(theirs[seed].right_and_labels[0], ours[seed].right_and_labels[0]) for seed in common]
    return Paired(
        first,
        other,
        seeds=tuple(common),
        more_right=tuple(int(that.sum()) - int(this.sum()) for that, this in right),
        pictures=tuple(len(this) for _, this in right),
    )


def table(paired: Paired) -> list[tuple[str, ...]]:
    """A header, and a row of text a seed."""
    first, other = (_accuracies(seeds, paired.seeds) for seeds in (paired.first, paired.other))
    points = (signed(100 * difference) for difference in paired.differences.values)
    counts = (f"{n:,}" for n in paired.pictures)
    rows = zip(map(str, paired.seeds), first, other, points, counts, strict=True)
    return [("seed", paired.first.name, paired.other.name, "points", "pictures"), *rows]


def sentences(paired: Paired) -> list[str]:
    """What the pairs come to, and what they cannot say."""
    spread, count = paired.differences, len(paired.seeds)
    part = paired.first.entries[0].part
    same = f"on the same pictures of the {part} part, {count} seed{'' if count == 1 else 's'}"
    said = [f"{paired.other.name} against {paired.first.name}, {same}: {paired.verdict}."]
    if spread.sd is None:
        return [*said, f"Difference {signed(100 * spread.mean, 3)} points; one seed has no spread."]
    interval = "all the very same, which makes no interval"
    if spread.ci95 is not None:
        low, high = (signed(100 * limit, 3) for limit in spread.ci95)
        interval = f"95 % interval {low} to {high} (Student's t)"
    said.append(f"Difference {signed(100 * spread.mean, 3)} ± {percent(spread.sd, 3)} points; {interval}.")
    least = f"the least that {count} seeds can give: {paired.least_p:.3g}"
    said.append(f"Sign flips, exact, two-sided: p = {paired.p:.3g} ({least}).")
    return said


def _accuracies(seeds: Seeds, wanted: Sequence[int]) -> list[str]:
    by_seed = dict(zip(seeds.seeds, seeds.accuracy.values, strict=True))
    return [f"{percent(by_seed[seed])} %" for seed in wanted]
