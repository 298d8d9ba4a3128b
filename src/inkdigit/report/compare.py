"""Runs side by side: their figures, tests whether one reads better than another, and a page with their curves.

In: finished runs. Out: a `Comparison`, and an HTML page that needs nothing but itself. Every other run is tested
against the first (McNemar 1947, in its exact form), and the p-values are corrected for their number (Holm 1979).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inkdigit.errors import UsageError
from inkdigit.files import write_atomic
from inkdigit.measure.ledger import Entry, Group, group, read_finished, why_other_pictures
from inkdigit.report import template
from inkdigit.report.canvas import DARK, LIGHT, WIDTH_IN, Theme, drawing, plane, png, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TEMPLATE = "compare.html.j2"
SIGNIFICANT = 0.05
WIDE = 8  # curves that span more than this factor stand on a logarithmic scale
_DASHES = ("solid", (0, (4, 2)), (0, (1, 1.2)), (0, (6, 2, 1, 2)))  # four colours each: sixteen runs look different
_CURVES = {
    "validation_accuracy": "wrong in validation, %",
    "validation_loss": "validation loss",
    "train_accuracy": "wrong in training, %",
    "train_loss": "training loss",
}


@dataclass(frozen=True, slots=True)
class McNemar:
    """One run against another on the same `n` pictures: how many only one of the two reads rightly."""

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
        """What the test says, in words."""
        if self.p_holm >= SIGNIFICANT:
            return "no difference shown"
        return "better" if self.difference > 0 else "worse"

    def to_json(self) -> dict[str, Any]:
        """The fields and what follows from them as JSON types."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return {**fields, "difference": self.difference, "verdict": self.verdict}


@dataclass(frozen=True, eq=False)
class Comparison:
    """Finished runs, the tests of each against the first, and why some have none (name of the run → reason)."""

    entries: tuple[Entry, ...]
    tests: tuple[McNemar, ...]
    untested: dict[str, str]
    groups: tuple[Group, ...]

    def differences(self) -> dict[str, list[Any]]:
        """The recipe fields that are not the same in all runs: field → a value a run."""
        fields = sorted({field for entry in self.entries for field in entry.recipe} - {"name", "about", "data"})
        values = {field: [entry.recipe.get(field) for entry in self.entries] for field in fields}
        return {field: row for field, row in values.items() if any(value != row[0] for value in row)}

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON types."""
        return {
            "runs": [entry.to_json() for entry in self.entries],
            "tests": [test.to_json() for test in self.tests],
            "untested": self.untested,
            "groups": [one.to_json() for one in self.groups],
            "recipe_differences": self.differences(),
        }


def compare(folders: Sequence[Path]) -> Comparison:
    """Compare finished runs, two or more; the first is what the others are tested against.

    Raises:
        UsageError: fewer than two runs, one twice, or one that is unfinished.
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
    reasons = {other.name: why_other_pictures(first, other) for other in others}
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
    p_values = [exact_p(*pair) for pair in counts]
    return [
        McNemar(other.name, first.name, len(right), *pair, p, p_holm)
        for other, pair, p, p_holm in zip(others, counts, p_values, holm(p_values), strict=True)
    ]


def count_discordant(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> tuple[int, int]:
    """Of pictures (N,) read rightly by two models: how many by `one` alone, and how many by `other` alone."""
    return int((one & ~other).sum()), int((other & ~one).sum())


def exact_p(only_one: int, only_other: int) -> float:
    """McNemar's two-sided p-value: how often a fair coin lands at least so unevenly (McNemar 1947, binomial form)."""
    tosses = only_one + only_other
    ways = term = 1  # of 0 heads
    for heads in range(1, min(only_one, only_other) + 1):
        term = term * (tosses - heads + 1) // heads
        ways += term
    return min(1.0, 2 * ways / (1 << tosses))  # whole numbers of any size divide exactly


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for their number, in the given order (Holm 1979, step-down)."""
    corrected, floor, m = [0.0] * len(p_values), 0.0, len(p_values)
    for rank, i in enumerate(np.argsort(p_values, kind="stable").tolist()):
        floor = max(floor, min(1.0, (m - rank) * p_values[i]))
        corrected[i] = floor
    return corrected


def write_page(path: Path, comparison: Comparison) -> None:
    """Draw the page of a comparison and write it to `path`.

    Raises:
        MissingExtra: matplotlib or Jinja is not installed.
        OutputError: the page cannot be written.
    """
    figures = {theme.name: draw(comparison, theme=theme) for theme in (LIGHT, DARK)}
    values = {
        "comparison": comparison,
        "rows": [entry.to_json() for entry in comparison.entries],
        "differences": comparison.differences(),
        "numbers": {entry.name: number for number, entry in enumerate(comparison.entries, 1)},
        **template.pictures(figures),
        "curves": _CURVES,
    }
    write_atomic(path, template.render(TEMPLATE, values))


def draw(comparison: Comparison, *, theme: Theme) -> dict[str, bytes]:
    """Every figure that these runs have something for: name → PNG bytes."""
    drawn = {"intervals": _draw_intervals(comparison.entries, theme)}
    histories = [entry.history for entry in comparison.entries]
    for key, title in _CURVES.items():
        if any(_curve(rows, key)[0] for rows in histories):
            drawn[key] = _draw_curves(comparison.entries, histories, key, title, theme)
    return drawn


def _draw_intervals(entries: Sequence[Entry], theme: Theme) -> bytes:
    """Each run's accuracy as a point on its 95 % interval, the first on top."""
    with drawing(theme):
        figure, axes = plane(WIDTH_IN, 0.7 + 0.27 * len(entries))
        for i, entry in enumerate(entries):
            low, high = (100 * limit for limit in entry.report["accuracy_ci95"])
            colour, _ = _look(i, theme)
            axes.plot([low, high], [i, i], color=colour, linewidth=2.4)
            axes.plot(100 * entry.report["accuracy"], i, "o", color=colour, markersize=7, markeredgecolor=theme.panel)
        axes.set_yticks(range(len(entries)), labels=_labels(entries))
        axes.set(ylim=(len(entries) - 0.4, -0.6), xlabel="accuracy, %")
        axes.tick_params(axis="y", length=0, labelcolor=theme.text)
        axes.grid(visible=False, axis="y")
        return png(figure)


def _draw_curves(
    entries: Sequence[Entry], histories: Sequence[list[dict[str, float]]], key: str, title: str, theme: Theme
) -> bytes:
    """One curve a run; of an accuracy what is wrong, so that the last tenths can be seen on a logarithmic scale."""
    with drawing(theme):
        figure, axes = plane(WIDTH_IN, 3.0 + 0.16 * math.ceil(len(entries) / 2))
        curves = [_curve(rows, key) for rows in histories]
        values = [value for _, y in curves for value in y]
        least = min((value for value in values if value > 0), default=1.0)
        logarithmic = max(values) > WIDE * least
        for i, (label, (x, y)) in enumerate(zip(_labels(entries), curves, strict=True)):
            if x:
                colour, dashes = _look(i, theme)
                heights = [max(value, least / 2) for value in y] if logarithmic else y  # a logarithm has no 0
                marker = "o" if len(x) == 1 else ""
                axes.plot(x, heights, color=colour, linestyle=dashes, linewidth=1.8, marker=marker, label=label)
        _finish(axes, title, logarithmic=logarithmic)
        figure.legend(loc="outside upper left", ncols=2, labelcolor=theme.text)
        return png(figure)


def _finish(axes: Axes, title: str, *, logarithmic: bool) -> None:
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    if logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="epoch", ylabel=title)


def _curve(rows: Sequence[dict[str, float]], key: str) -> tuple[list[float], list[float]]:
    """Epochs and values; an accuracy as the per cent that are wrong."""
    pairs = [(row["epoch"], row[key]) for row in rows if math.isfinite(row.get(key, math.nan))]
    wrong = key.endswith("accuracy")
    return [epoch for epoch, _ in pairs], [100 * (1 - value) if wrong else value for _, value in pairs]


def _look(i: int, theme: Theme) -> tuple[str, Any]:
    colours = (theme.blue, theme.orange, theme.green, theme.red)
    return colours[i % 4], _DASHES[i // 4 % 4]


def _labels(entries: Sequence[Entry]) -> list[str]:
    """A run's place in the table with its recipe and seed, or with its own name where these repeat."""
    called = [f"{short(entry.recipe_name, 16)}, seed {entry.seed}" for entry in entries]
    return [
        f"{number}  {_end(entry.name) if called.count(text) > 1 else text}"
        for number, (text, entry) in enumerate(zip(called, entries, strict=True), 1)
    ]


def _end(name: str, most: int = 26) -> str:
    """The end of a path, which is what tells runs apart."""
    return name if len(name) <= most else f"…{name[1 - most :]}"
