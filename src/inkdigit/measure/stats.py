"""Statistics of a few figures: mean, spread and interval, and whether a difference is more than chance.

In: one figure for each random seed, or counts of images. Out: a `Spread`, an interval, an exact p-value. It needs
only the standard library, so that `inkdigit evaluate` and `inkdigit compare` run without the training libraries.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

CONFIDENCE = 0.95  # of every interval here: what the field reports
Z95 = 1.959963984540054  # the normal quantile of a two-sided 95 % interval
MAX_T = 16.0  # above every quantile of Student's t at 95 %: the highest is 12.7, at one degree of freedom
HALVINGS = 60  # of the range that holds the quantile: 16 / 2^60 is below the last bit of a float


@dataclass(frozen=True, slots=True)
class Spread:
    """One value or more. What needs two values is None for one, and equal values have no interval."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean of the values."""
        return statistics.fmean(self.values)

    @property
    def sd(self) -> float | None:
        """The standard deviation of the sample: divided by n − 1."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    @property
    def standard_error(self) -> float | None:
        """The standard deviation of the mean."""
        return None if self.sd is None else self.sd / math.sqrt(len(self.values))

    @property
    def ci95(self) -> tuple[float, float] | None:
        """Student's 95 % interval of the mean; None for equal values, whose true spread is unknown and not 0."""
        if not self.standard_error:
            return None
        half = student_t(len(self.values) - 1) * self.standard_error
        return self.mean - half, self.mean + half

    def to_json(self) -> dict[str, Any]:
        """The values and their statistics as JSON types."""
        return {
            "values": list(self.values),
            "mean": self.mean,
            "sd": self.sd,
            "standard_error": self.standard_error,
            "ci95": None if self.ci95 is None else list(self.ci95),
        }


def student_t(df: int) -> float:
    """The half width of a 95 % interval of a mean, in standard errors, at `df` ≥ 1 degrees of freedom.

    A handful of seeds is too few for the normal distribution. A test compares this with
    `scipy.stats.t.ppf(0.975, df)`. SciPy is not called here because only the extra `train` installs it: `inkdigit
    compare` runs without it, and its output must not depend on what is installed.
    """
    low, high = 0.0, MAX_T
    for _ in range(HALVINGS):
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


def wilson(successes: int, n: int) -> tuple[float, float]:
    """The 95 % score interval of a proportion (Wilson 1927): right near 0 and 1 too, unlike ±2 standard errors."""
    if not n:
        return 0.0, 1.0
    p, z2 = successes / n, Z95 * Z95
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, min(p, middle - half)), min(1.0, max(p, middle + half))  # rounding must not leave p outside


def flip_p(differences: Sequence[int]) -> float:
    """The exact two-sided p-value of integer differences under random signs (Fisher 1935).

    It is the share of all choices of signs whose sum is at least as far from 0 as the observed sum.
    """
    counts = Counter({0: 1})  # sum → how many choices of signs have it
    for difference in differences:
        flipped: Counter[int] = Counter()
        for total, count in counts.items():
            flipped[total + difference] += count
            flipped[total - difference] += count
        counts = flipped
    observed = abs(sum(differences))
    return sum(count for total, count in counts.items() if abs(total) >= observed) / (1 << len(differences))


def mcnemar_p(only_one: int, only_other: int) -> float:
    """McNemar's exact two-sided p-value: how often a fair coin lands at least as unevenly (McNemar 1947).

    The counts are of images that only one of two models reads rightly.
    """
    tosses = only_one + only_other
    outcomes = term = 1  # with 0 heads
    for heads in range(1, min(only_one, only_other) + 1):
        term = term * (tosses - heads + 1) // heads
        outcomes += term
    return min(1.0, 2 * outcomes / (1 << tosses))  # integers of any size divide exactly


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for their number, in the given order (Holm 1979, step-down)."""
    corrected, floor, m = [0.0] * len(p_values), 0.0, len(p_values)
    for rank, i in enumerate(sorted(range(m), key=p_values.__getitem__)):
        floor = max(floor, min(1.0, (m - rank) * p_values[i]))
        corrected[i] = floor
    return corrected
