"""The page of a search: `study.html`, one file that looks like the other reports.

In: a search and its best trial, made into a `Content` of plain values. Out: HTML that contains its figures, for a light
and a dark theme.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inkdigit.files import write_atomic
from inkdigit.report.canvas import LIGHT, WIDTH_IN, Theme, drawing, plane, png, short
from inkdigit.report.numbers import signed
from inkdigit.report.template import pictures, render
from inkdigit.tuning.search import Search
from inkdigit.tuning.space import Choices, Range, label
from inkdigit.tuning.study import IS_START, REASON, SECONDS, ended_trials, field_importances, start_trial
from inkdigit.tuning.winner import Comparison, spread, trial_size, why_no_comparison, winner_recipe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from optuna.trial import FrozenTrial

TEMPLATE = "study.html.j2"
LINE_CHARACTERS = 52  # of 7.5-point type that fit under an axis of WIDTH_IN
MIN_CHARACTERS = 4  # of a choice among many: fewer cannot be told apart
ROW_IN = 0.49  # the height of an axis of the parallel coordinates: its name above it, its values below
LINE_SHARE = 0.24  # of that height: one more line of values, where their names are too long for one
MAX_LINES = 3
MIN_GAP = 0.2  # percentage points; the scale of the history when the trials are almost equal


@dataclass(frozen=True, slots=True)
class TrialRow:
    """One trial; `value` is its validation accuracy, or the best before it was pruned."""

    number: int
    state: str  # finished, pruned or failed
    value: float | None
    epochs: int
    seconds: float | None
    params: dict[str, Any]
    outside: dict[str, str] = field(default_factory=dict)  # of the start: fields whose value the space does not hold
    is_start: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Content:
    """All that the page shows; `content_of` makes it."""

    name: str
    data: str
    seed: int
    dimensions: dict[str, Range | Choices]
    space: dict[str, str]  # in words
    rows: list[TrialRow]
    best: int  # the number of a trial
    best_value: float
    start_value: float | None
    importances: dict[str, float]
    changes: list[tuple[str, str, str]]  # field, start, winner
    trial_size: str
    images: dict[str, int]
    comparison: Comparison | None
    no_comparison: str  # why there is none


def content_of(search: Search, best: FrozenTrial, comparison: Comparison | None) -> Content:
    """All that the page shows."""
    study, start, division = search.study, search.start, search.division
    first, winner = start_trial(study), winner_recipe(search, best)
    return Content(
        name=start.name,
        data=division.comparison.name,
        seed=start.seed,
        dimensions=search.space.dimensions,
        space=search.space.describe(),
        rows=[_row(trial, search) for trial in ended_trials(study)],
        best=best.number,
        best_value=best.values[0],
        start_value=first.values[0] if first else None,
        importances=field_importances(study),
        changes=[
            (name, _short(getattr(start, name)), _short(getattr(winner, name)))
            for name in search.space.dimensions
            if getattr(start, name) != getattr(winner, name)
        ],
        trial_size=trial_size(search),
        images={
            "a trial trains on": len(division.trial.train),
            "of the available": division.available,
            "a trial is validated on": len(division.trial.report),
            "seen by no trial": len(division.comparison.test or ()),
        },
        comparison=comparison,
        no_comparison=why_no_comparison(search, best),
    )


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else label(value)


def _row(trial: FrozenTrial, search: Search) -> TrialRow:
    is_start = IS_START in trial.user_attrs
    params = search.space.params(search.start) if is_start else trial.params
    outside = {name: label(getattr(search.start, name)) for name in search.space.dimensions if name not in params}
    highest = max(trial.intermediate_values.values(), default=None)
    return TrialRow(
        number=trial.number,
        state={"COMPLETE": "finished", "PRUNED": "pruned"}.get(trial.state.name, "failed"),
        value=trial.values[0] if trial.state.name == "COMPLETE" else highest,
        epochs=len(trial.intermediate_values),
        seconds=trial.user_attrs.get(SECONDS),
        params=dict(params),
        outside=outside if is_start else {},
        is_start=is_start,
        reason=trial.user_attrs.get(REASON, ""),
    )


def write_page(path: Path, content: Content) -> None:
    """Draw the figures and write the page; nothing is written before everything is made.

    Raises:
        MissingExtra: matplotlib or Jinja is not installed.
        OutputError: the page cannot be written.
    """
    counts = {state: sum(row.state == state for row in content.rows) for state in ("finished", "pruned", "failed")}
    values = {
        "content": content,
        "counts": {state: count for state, count in counts.items() if count},
        "names": list(content.dimensions),
        "ranked": sorted(content.rows, key=_rank),
        "values": {row.number: [_cell(row, name) for name in content.dimensions] for row in content.rows},
        "comparison": None if content.comparison is None else _comparison_texts(content.comparison),
        **pictures(draw(content, theme=LIGHT)),
    }
    write_atomic(path, render(TEMPLATE, values))


def draw(content: Content, *, theme: Theme) -> dict[str, bytes]:
    """Every figure that the content has data for, as PNG."""
    figures = {
        "history": history(content.rows, content.best, theme=theme),
        "parallel": parallel(content.rows, content.dimensions, content.best, theme=theme),
    }
    if content.importances:
        figures["importances"] = importances(content.importances, theme=theme)
    if content.comparison is not None:
        figures["comparison"] = seed_by_seed(content.comparison, theme=theme)
    return figures


def _rank(row: TrialRow) -> tuple[bool, float]:
    """Sorts finished trials first, the best on top."""
    return row.state != "finished", -(row.value or 0.0)


def _cell(row: TrialRow, name: str) -> str:
    value: Any = row.params.get(name, row.outside.get(name))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _comparison_texts(comparison: Comparison) -> dict[str, Any]:
    low, high = (100 * end for end in comparison.interval)
    return {
        "rows": [
            (seed, f"{100 * s:.2f}", f"{100 * w:.2f}", signed(100 * (w - s)))
            for seed, s, w in zip(comparison.seeds, comparison.start, comparison.winner, strict=True)
        ],
        "headline": sum(comparison.winner) / len(comparison.winner),
        "start": spread(comparison.start),
        "winner": spread(comparison.winner),
        "gain": signed(100 * comparison.gain),
        "interval": f"{signed(low)} to {signed(high)}",
        "verdict": comparison.verdict,
        "images": comparison.images,
    }


def history(rows: Sequence[TrialRow], best: int, *, theme: Theme) -> bytes:
    """Accuracy of each trial and the best so far; trials far below the others are marked at the lower edge."""
    with drawing(theme):
        from matplotlib.ticker import MaxNLocator

        figure, axes = plane(WIDTH_IN, 2.9)
        finished = [row for row in rows if row.state == "finished"]
        pruned = [row for row in rows if row.state == "pruned" and row.value is not None]
        floor = _floor(finished)
        _scatter(axes, pruned, floor, marker="x", color=theme.muted, label="pruned")
        _scatter(axes, finished, floor, marker="o", color=theme.blue, label="finished")
        _scatter(axes, [row for row in finished if row.is_start], floor, marker="D", color=theme.green, label="start")
        numbers, tops, top = [], [], -math.inf
        for row in finished:
            top = max(top, 100 * (row.value or 0))
            numbers.append(row.number)
            tops.append(max(top, floor))
        axes.step(numbers, tops, where="post", color=theme.orange, linewidth=2, label="best so far", zorder=1)
        axes.annotate(
            f"{tops[-1]:.2f}",
            (numbers[tops.index(tops[-1])], tops[-1]),
            xytext=(0, 5),
            textcoords="offset points",
            color=theme.orange,
            ha="center",
        )
        axes.margins(y=0.12)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel=f"trial (the best is {best})", ylabel="validation accuracy, %")
        figure.legend(loc="outside upper left", ncols=4, labelcolor="linecolor", columnspacing=0.9, handletextpad=0.4)
        return png(figure)


def _floor(finished: Sequence[TrialRow]) -> float:
    """The lower end of the axis, in %: three times as far below the best as the median, to leave failures out."""
    values = sorted(100 * (row.value or 0) for row in finished)
    best, median = values[-1], values[len(values) // 2 if len(values) % 2 else len(values) // 2 - 1]
    return best - 3 * max(best - median, MIN_GAP)


def _scatter(axes: Axes, rows: Sequence[TrialRow], floor: float, *, marker: str, color: str, label: str) -> None:
    """Draw trials at their accuracy, and those below `floor` as triangles at the edge."""
    above = [row for row in rows if 100 * (row.value or 0) >= floor]
    below = [row.number for row in rows if 100 * (row.value or 0) < floor]
    if above or below:
        x, y = [row.number for row in above], [100 * (row.value or 0) for row in above]
        axes.scatter(x, y, marker=marker, s=26, color=color, label=label, zorder=3)
        axes.scatter(below, [floor] * len(below), marker="v", s=20, color=color, alpha=0.6, zorder=3)


def importances(shares: Mapping[str, float], *, theme: Theme) -> bytes:
    """The share of the variance of the accuracy that each field explains, the largest on top."""
    with drawing(theme):
        figure, axes = plane(WIDTH_IN, 0.55 + 0.24 * len(shares))
        names, values = list(shares), [100 * share for share in shares.values()]
        axes.barh(range(len(names)), values, color=theme.blue, height=0.62)
        for i, value in enumerate(values):
            axes.annotate(f"{value:.0f}", (value, i), xytext=(3, 0), textcoords="offset points", va="center")
        axes.set_yticks(range(len(names)), labels=names)
        axes.tick_params(axis="y", length=0, labelcolor=theme.text)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.1)
        axes.set_xlabel("% of the variance of the accuracy")
        return png(figure)


def parallel(rows: Sequence[TrialRow], dimensions: Mapping[str, Range | Choices], best: int, *, theme: Theme) -> bytes:
    """Every trial as a line through its values: an axis for each field from top to bottom, the last for the accuracy.

    The axes are horizontal so that their names can be read. The line of a better trial is stronger.
    """
    with drawing(theme):
        heights = [1 + LINE_SHARE * (_line_count(dimension) - 1) for dimension in dimensions.values()]
        ys = [sum(heights[:i]) for i in range(len(heights) + 1)]  # of each field, then of the accuracy
        figure, axes = plane(WIDTH_IN, ROW_IN * (ys[-1] + 1.6))
        finished = sorted((row for row in rows if row.state == "finished"), key=lambda row: row.value or 0)
        floor = _floor(finished) / 100
        low, high = max(floor, finished[0].value or 0), finished[-1].value or 0
        for y, (name, dimension) in zip(ys, dimensions.items(), strict=False):
            _draw_axis(axes, y, name, dimension, theme)
        ends = [(0.0, f"{100 * low:.2f}", 0), (1.0, f"{100 * high:.2f}", 0)]
        _write_axis(axes, ys[-1], "validation accuracy, %", ends, theme)
        look: dict[str, Any]
        pruned = {"color": theme.muted, "linewidth": 0.7, "linestyle": ":", "alpha": 0.6}
        for row in rows:
            if row.state == "pruned":
                _draw_line(axes, ys, _places(row, dimensions, None), pruned)
        for rank, row in enumerate(finished, 1):
            end = 0.5 if high == low else max(0.0, ((row.value or 0) - low) / (high - low))
            alpha = 0.15 + 0.55 * rank / len(finished)
            look = {"color": theme.blue, "linewidth": 1.2, "alpha": alpha}
            if row.is_start:
                look = {"color": theme.green, "linewidth": 1.8, "zorder": 4}
            if row.number == best:
                look = {"color": theme.orange, "linewidth": 2.4, "zorder": 5}
            _draw_line(axes, ys, _places(row, dimensions, end), look)
        axes.set(xlim=(-0.06, 1.06), ylim=(ys[-1] + 0.55, -0.6))
        axes.axis("off")
        return png(figure)


def position(dimension: Range | Choices, value: Any) -> float:
    """The position of a value between the two ends of its axis, 0 to 1; log ranges have log axes."""
    if isinstance(dimension, Choices):
        labels = [label(choice) for choice in dimension.values]
        return 0.5 if len(labels) == 1 else labels.index(label(value)) / (len(labels) - 1)
    low, high, value = (math.log(v) if dimension.log else v for v in (dimension.low, dimension.high, value))
    return 0.5 if high == low else (value - low) / (high - low)


def _places(row: TrialRow, dimensions: Mapping[str, Range | Choices], end: float | None) -> list[float]:
    """Where a trial is on each axis: nan at a field outside the space, and `end` on that of the accuracy."""
    x = [position(d, row.params[name]) if name in row.params else math.nan for name, d in dimensions.items()]
    return [*x, math.nan if end is None else end]


def _draw_line(axes: Axes, ys: Sequence[float], places: Sequence[float], look: Mapping[str, Any]) -> None:
    axes.plot(places, ys, marker="o" if look.get("linewidth", 0) > 1.5 else "", markersize=3.5, **look)


def _line_count(dimension: Range | Choices) -> int:
    """In how many lines below an axis its values are written, so that long names are neither cut nor overlap."""
    if not isinstance(dimension, Choices):
        return 1
    needed = len(dimension.values) * (2 + max(len(label(value)) for value in dimension.values))
    return min(MAX_LINES, math.ceil(needed / LINE_CHARACTERS))


def _draw_axis(axes: Axes, y: float, name: str, dimension: Range | Choices, theme: Theme) -> None:
    if isinstance(dimension, Choices):
        lines = _line_count(dimension)
        characters = max(MIN_CHARACTERS, lines * LINE_CHARACTERS // len(dimension.values))
        texts = [short(label(value), characters) for value in dimension.values]
        places = [position(dimension, value) for value in dimension.values]
        ticks = [(x, text, i % lines) for i, (x, text) in enumerate(zip(places, texts, strict=True))]
    else:
        name = f"{name} (log)" if dimension.log else name
        ticks = [(0.0, f"{dimension.low:g}", 0), (1.0, f"{dimension.high:g}", 0)]
    _write_axis(axes, y, name, ticks, theme)


def _write_axis(axes: Axes, y: float, name: str, ticks: Sequence[tuple[float, str, int]], theme: Theme) -> None:
    """An axis with its name above it; a tick has its place, its text, and the line below the axis that it stands in."""
    axes.plot([0, 1], [y, y], color=theme.muted, linewidth=0.8, zorder=2)
    box = {"boxstyle": "square,pad=0.15", "facecolor": theme.panel, "edgecolor": "none", "alpha": 0.8}
    axes.annotate(
        name,
        (0, y),
        xytext=(-4, 4),
        textcoords="offset points",
        color=theme.text,
        fontsize=8.5,
        fontweight="bold",
        zorder=6,
        bbox=box,
    )
    for x, text, line in ticks:
        axes.plot([x, x], [y - 0.06, y + 0.06], color=theme.muted, linewidth=0.8, zorder=2)
        side = "left" if x < 0.02 else "right" if x > 0.98 else "center"
        axes.annotate(
            text,
            (x, y),
            xytext=(0, -4 - 72 * LINE_SHARE * ROW_IN * line),
            textcoords="offset points",
            color=theme.muted,
            fontsize=7.5,
            ha=side,
            va="top",
            zorder=6,
            bbox=box,
        )


def seed_by_seed(comparison: Comparison, *, theme: Theme) -> bytes:
    """Start and winner on the held-out images: a line for each seed, and the means."""
    with drawing(theme):
        figure, axes = plane(WIDTH_IN, 2.7)
        for start, winner in zip(comparison.start, comparison.winner, strict=True):
            axes.plot([0, 1], [100 * start, 100 * winner], color=theme.muted, linewidth=1, zorder=1)
        for x, accuracies, color in ((0, comparison.start, theme.green), (1, comparison.winner, theme.orange)):
            points = [100 * accuracy for accuracy in accuracies]
            axes.scatter([x] * len(points), points, color=color, s=28, zorder=3)
            middle = sum(points) / len(points)
            axes.plot([x - 0.12, x + 0.12], [middle, middle], color=color, linewidth=2.5, zorder=2)
            side: dict[str, Any] = {"xytext": (-26 if x == 0 else 26, 0), "textcoords": "offset points", "va": "center"}
            axes.annotate(f"{middle:.2f}", (x, middle), ha="right" if x == 0 else "left", color=color, **side)
        axes.set_xticks([0, 1], labels=["start", "winner"])
        axes.tick_params(axis="x", length=0, labelcolor=theme.text)
        axes.set_xlim(-0.5, 1.6)
        axes.grid(visible=False, axis="x")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.2f}")
        axes.set_ylabel("accuracy, held-out images, %")
        return png(figure)
