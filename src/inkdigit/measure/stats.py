"""What a few figures of one kind come to: their mean and spread, and whether differences are more than luck.

In: a figure a seed. Out: a `Spread`, an exact p-value. A handful of seeds is too few for the normal distribution:
intervals are Student's.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Spread:
    """One value or more; what needs two is None of one, and equal values have no interval."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Their mean."""
        return statistics.fmean(self.values)

    @property
    def sd(self) -> float | None:
        """The standard deviation of the sample: n − 1 below the line."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    @property
    def standard_error(self) -> float | None:
        """The standard deviation of the mean."""
        return None if self.sd is None else self.sd / math.sqrt(len(self.values))

    @property
    def ci95(self) -> tuple[float, float] | None:
        """Student's 95 % interval of the mean. Equal values tell of no spread, which is not that there is none."""
        if not self.standard_error:
            return None
        half = student_t(len(self.values) - 1) * self.standard_error
        return self.mean - half, self.mean + half

    def to_json(self) -> dict[str, Any]:
        """The values and what they come to as JSON types."""
        return {
            "values": list(self.values),
            "mean": self.mean,
            "sd": self.sd,
            "standard_error": self.standard_error,
            "ci95": None if self.ci95 is None else list(self.ci95),
        }


def student_t(df: int) -> float:
    """How many standard errors to each side of a mean hold it with 95 %, at `df` degrees of freedom from 1 up."""
    low, high = 0.0, 16.0  # at one degree of freedom it is 12.7, then ever less
    for _ in range(60):  # each halves what is left: to the last bit
        middle = (low + high) / 2
        low, high = (middle, high) if _share_within(middle, df) < CONFIDENCE else (low, middle)
    return high


def _share_within(t: float, df: int) -> float:
    """The share of Student's distribution from −t to t (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(df))
    if df == 1:
        return 2 * angle / math.pi
    odd = df % 2
    total = term = math.cos(angle) if odd else 1.0
    for k in range(2 + odd, df, 2):
        term *= math.cos(angle) ** 2 * (k - 1) / k
        total += term
    share = math.sin(angle) * total
    return 2 / math.pi * (angle + share) if odd else share


def flip_p(differences: Sequence[int]) -> float:
    """How often random signs bring whole differences at least so far from 0 in all: two-sided, exact (Fisher 1935)."""
    ways = Counter({0: 1})  # sum → how many choices of signs come to it
    for difference in differences:
        flipped: Counter[int] = Counter()
        for total, count in ways.items():
            flipped[total + difference] += count
            flipped[total - difference] += count
        ways = flipped
    far = abs(sum(differences))
    return sum(count for total, count in ways.items() if abs(total) >= far) / (1 << len(differences))
