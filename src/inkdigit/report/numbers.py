"""Numbers as people write them: per cent, points, ranges, sizes and times.

In: a number. Out: its text. Pages, tables and the command line share them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

MAX_PLAIN_S = 100  # a shorter time is written without minutes


def percent(fraction: float, digits: int = 2) -> str:
    """A fraction without its sign: 0.99034 → "99.03"."""
    return f"{100 * fraction:.{digits}f}"


def percent_down(fraction: float, digits: int = 1) -> str:
    """The same rounded down, so that only certainty is written 100: 0.99996 → "99.9"."""
    return f"{math.floor(fraction * 10 ** (digits + 2)) / 10**digits:.{digits}f}"


def percent_range(limits: Sequence[float], digits: int = 2) -> str:
    """The two ends of an interval of fractions: (0.9883, 0.9921) → "98.83–99.21"."""
    low, high = limits
    return f"{percent(low, digits)}–{percent(high, digits)}"


def mean_sd(mean: float, sd: float, digits: int = 3) -> str:
    """A mean of fractions with its standard deviation, in per cent: 0.99712, 0.00041 → "99.712 ± 0.041"."""
    return f"{percent(mean, digits)} ± {percent(sd, digits)}"


def signed(points: float, digits: int = 2) -> str:
    """0.123 → "+0.12"; a negative number has a true minus sign."""
    return f"{points:+.{digits}f}".replace("-", "−")


def byte_count(count: float) -> str:
    """A size with its unit: 97 kB, 1.18 MB."""
    return f"{count / 1e6:.2f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def duration(seconds: float) -> str:
    """A time with its units: 0.42 s, 41.3 s, 6 min 12 s, 2 h 5 min."""
    if seconds < MAX_PLAIN_S:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def number(value: Any) -> str:
    """A number in short: thousands separated, five significant digits; other values as their text."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "–" if value is None else str(value)
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e12):
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.5g}"


def plural(count: int, noun: str) -> str:
    """1 → "1 seed", 2 → "2 seeds"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
