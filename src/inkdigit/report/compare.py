"""The page of `inkdigit compare`, its curves, and two recipes seed by seed as a table and sentences.

In: a `Comparison`, or a `Paired`. Out: an HTML page that needs nothing but itself; text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inkdigit.files import write_atomic
from inkdigit.measure.compare import Comparison, Paired
from inkdigit.measure.ledger import Entry
from inkdigit.measure.seeds import Seeds
from inkdigit.report import template
from inkdigit.report.canvas import DARK, LIGHT, WIDTH_IN, Theme, drawing, log_axis, plane, png, short
from inkdigit.report.numbers import percent, plural, signed

TEMPLATE = "compare.html.j2"
WIDE = 8  # curves that span more than this factor stand on a logarithmic scale: the ends of several must be told apart
_DASHES = ("solid", (0, (4, 2)), (0, (1, 1.2)), (0, (6, 2, 1, 2)))  # four colours each: sixteen runs look different
_CURVES = {
    "validation_accuracy": "wrong in validation, %",
    "validation_loss": "validation loss",
    "train_accuracy": "wrong in training, %",
    "train_loss": "training loss",
}


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
        from matplotlib.ticker import MaxNLocator

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
        if logarithmic:
            log_axis(axes)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="epoch", ylabel=title)
        figure.legend(loc="outside upper left", ncols=2, labelcolor=theme.text)
        return png(figure)


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
    same = f"on the same pictures of the {part} part, {plural(count, 'seed')}"
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
