"""Runs side by side: the comparison with its page of curves, and the text about two recipes paired by their seeds.

In: runs, a `Comparison`, or a `Paired`. Out: the comparison, an HTML page that needs no other file; text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from inkdigit.errors import UsageError
from inkdigit.files import write_atomic
from inkdigit.measure.compare import MIN_SEEDS, SIGNIFICANT, Comparison, Paired, open_pair
from inkdigit.measure.compare import compare as compare_folders
from inkdigit.measure.ledger import Entry
from inkdigit.measure.seeds import Seeds
from inkdigit.report import template
from inkdigit.report.canvas import LIGHT, WIDTH_IN, Theme, drawing, log_axis, plane, png, points, short
from inkdigit.report.numbers import percent, plural, signed
from inkdigit.runs import OWN, check_place, find

TEMPLATE = "compare.html.j2"
WIDE = 8  # curves that span more than this factor get a logarithmic axis, so that their ends can be distinguished
_DASHES = (
    "solid",
    (0, (4, 2)),
    (0, (1, 1.2)),
    (0, (6, 2, 1, 2)),
)  # with four colours each, sixteen runs look different
_CURVES = {
    "validation_accuracy": "wrong in validation, %",
    "validation_loss": "validation loss",
    "train_accuracy": "wrong in training, %",
    "train_loss": "training loss",
}


class HasFolder(Protocol):
    """A run, or the runs of several seeds, as training returns them."""

    @property
    def folder(self) -> Path:
        """Its directory."""


RunLike = str | Path | HasFolder


def compare(runs: Sequence[RunLike] | RunLike, *, out: str | Path | None = None) -> Comparison | Paired:
    """Compare two or more runs, or two folders of seeds, and test whether one is more accurate.

    `runs` are the results of `train` or `train_seeds`, their directories, or names as the command line takes them. Each
    run is tested against the first one; two recipes with several seeds are paired by their seeds. A page with the
    curves of runs is written to `out` if that is given; a file that is there is replaced.

    Raises:
        UsageError: there are fewer than two runs, a run is unfinished or not there, seeds that cannot be paired, or
            `out` for two folders of seeds.
        DataError: files of a run are missing or broken.
        MissingExtra: a library for the page is not installed.
        OutputError: the page cannot be written.
    """
    several = runs if isinstance(runs, Sequence) and not isinstance(runs, str) else [runs]
    names = [str(run if isinstance(run, str | Path) else run.folder) for run in several]
    if (paired := open_pair(names)) is not None:
        if out is not None:
            raise UsageError("There is no page of two folders of seeds", hint="Name single runs, or no page.")
        return paired
    folders = [find(name, finished=True) for name in names]
    if out is not None:
        check_place(Path(out), reads=[folder / name for folder in folders for name in OWN])
    comparison = compare_folders(folders)
    if out is not None:
        write_page(Path(out), comparison)
    return comparison


def write_page(path: Path, comparison: Comparison) -> None:
    """Draw the page of a comparison and write it to `path`.

    Raises:
        MissingExtra: matplotlib or Jinja is not installed.
        OutputError: the page cannot be written.
    """
    values = {
        "comparison": comparison,
        "rows": [entry.to_json() for entry in comparison.entries],
        "differences": comparison.differences(),
        "numbers": {entry.name: number for number, entry in enumerate(comparison.entries, 1)},
        **template.pictures(draw(comparison, theme=LIGHT)),
        "curves": _CURVES,
    }
    write_atomic(path, template.render(TEMPLATE, values))


def draw(comparison: Comparison, *, theme: Theme) -> dict[str, bytes]:
    """Every figure that these runs have data for: name → PNG bytes."""
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
        axes.set_yticks(range(len(entries)), labels=labels(entries))
        axes.set(ylim=(len(entries) - 0.4, -0.6), xlabel="accuracy, %")
        axes.tick_params(axis="y", length=0, labelcolor=theme.text)
        axes.grid(visible=False, axis="y")
        return png(figure)


def _draw_curves(
    entries: Sequence[Entry], histories: Sequence[list[dict[str, float]]], key: str, title: str, theme: Theme
) -> bytes:
    """One curve for each run; an accuracy as its error, so that the last tenths show on a logarithmic axis."""
    with drawing(theme):
        from matplotlib.ticker import MaxNLocator

        figure, axes = plane(WIDTH_IN, 3.0 + 0.16 * math.ceil(len(entries) / 2))
        curves = [_curve(rows, key) for rows in histories]
        heights, logarithmic = scaled([y for _, y in curves])
        for i, (label, (x, _), y) in enumerate(zip(labels(entries), curves, heights, strict=True)):
            if x:
                colour, dashes = _look(i, theme)
                marker = "o" if len(x) == 1 else ""
                axes.plot(x, y, color=colour, linestyle=dashes, linewidth=1.8, marker=marker, label=label)
        if logarithmic:
            log_axis(axes)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="epoch", ylabel=title)
        figure.legend(loc="outside upper left", ncols=2, labelcolor=theme.text)
        return png(figure)


def _curve(rows: Sequence[dict[str, float]], key: str) -> tuple[list[float], list[float]]:
    """Epochs and values; an accuracy as its error in %."""
    epochs, values = points(rows, key)
    return epochs, [100 * (1 - value) for value in values] if key.endswith("accuracy") else values


def scaled(curves: Sequence[list[float]]) -> tuple[list[list[float]], bool]:
    """The heights of curves on their axis, and whether it is logarithmic: a 0 has no logarithm, and is then raised."""
    values = [value for curve in curves for value in curve]
    lowest = min((value for value in values if value > 0), default=1.0)
    if max(values) <= WIDE * lowest:
        return list(curves), False
    return [[max(value, lowest / 2) for value in curve] for curve in curves], True


def _look(i: int, theme: Theme) -> tuple[str, Any]:
    colours = (theme.blue, theme.orange, theme.green, theme.red)
    return colours[i % 4], _DASHES[i // 4 % 4]


def labels(entries: Sequence[Entry]) -> list[str]:
    """The number of each run in the table with its recipe and seed, or with its own name if these are not unique."""
    names = [f"{short(entry.recipe_name, 16)}, seed {entry.seed}" for entry in entries]
    return [
        f"{number}  {_end(entry.name) if names.count(text) > 1 else text}"
        for number, (text, entry) in enumerate(zip(names, entries, strict=True), 1)
    ]


def _end(name: str, max_length: int = 26) -> str:
    """The end of a path, in which names of runs differ."""
    return name if len(name) <= max_length else f"…{name[1 - max_length :]}"


def table(paired: Paired) -> list[tuple[str, ...]]:
    """A header, and a row of text for each seed."""
    first, other = (_accuracies(seeds, paired.seeds) for seeds in (paired.first, paired.other))
    points = (signed(100 * difference) for difference in paired.differences.values)
    counts = (f"{n:,}" for n in paired.image_counts)
    rows = zip(map(str, paired.seeds), first, other, points, counts, strict=True)
    return [("seed", paired.first.name, paired.other.name, "points", "images"), *rows]


def sentences(paired: Paired) -> list[str]:
    """The results of the pairs, and what they do not show."""
    spread, count = paired.differences, len(paired.seeds)
    part = paired.first.entries[0].part
    same = f"on the same images of the {part} split, {plural(count, 'seed')}"
    lines = [f"{paired.other.name} against {paired.first.name}, {same}: {paired.verdict}."]
    if spread.sd is None:
        return [*lines, f"Difference {signed(100 * spread.mean, 3)} points; one seed has no spread."]
    interval = "all are exactly equal, which gives no interval"
    if spread.ci95 is not None:
        low, high = (signed(100 * limit, 3) for limit in spread.ci95)
        interval = f"95 % interval {low} to {high} (Student's t)"
    lines.append(f"Difference {signed(100 * spread.mean, 3)} ± {percent(spread.sd, 3)} points; {interval}.")
    smallest = f"the smallest that {count} seeds can give: {paired.min_p:.3g}"
    if paired.min_p >= SIGNIFICANT:
        smallest += f"; to show a difference, by p below {SIGNIFICANT:g}, takes {MIN_SEEDS} seeds"
    lines.append(f"Sign flips, exact, two-sided: p = {paired.p:.3g} ({smallest}).")
    return lines


def _accuracies(seeds: Seeds, common: Sequence[int]) -> list[str]:
    by_seed = dict(zip(seeds.seeds, seeds.accuracy.values, strict=True))
    return [f"{percent(by_seed[seed])} %" for seed in common]
