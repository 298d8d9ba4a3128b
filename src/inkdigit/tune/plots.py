"""The figures of a search, one function a figure: plain values in, PNG bytes out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from inkdigit.report.canvas import WIDTH_IN, Theme, drawing, plane, png, short
from inkdigit.tune.space import Choices, Range, label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from inkdigit.tune.comparison import Duel

LINE_CHARACTERS = 52  # so many fit under an axis
ROW_IN = 0.49  # the height of one field among the parallel coordinates


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


def history(rows: Sequence[TrialRow], best: int, *, theme: Theme) -> bytes:
    """Accuracy by trial and the best so far; what lies far below the others is marked at the lower edge."""
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
    """Below this the axis would be spent on failures: thrice as far under the best as the median is."""
    values = sorted(100 * (row.value or 0) for row in finished)
    best, median = values[-1], values[len(values) // 2 if len(values) % 2 else len(values) // 2 - 1]
    return best - 3 * max(best - median, 0.2)


def _scatter(axes: Axes, rows: Sequence[TrialRow], floor: float, *, marker: str, color: str, label: str) -> None:
    seen = [row for row in rows if 100 * (row.value or 0) >= floor]
    below = [row.number for row in rows if 100 * (row.value or 0) < floor]
    if seen or below:
        x, y = [row.number for row in seen], [100 * (row.value or 0) for row in seen]
        axes.scatter(x, y, marker=marker, s=26, color=color, label=label, zorder=3)
        axes.scatter(below, [floor] * len(below), marker="v", s=20, color=color, alpha=0.6, zorder=3)


def importances(shares: Mapping[str, float], *, theme: Theme) -> bytes:
    """How much of the variance of the accuracy each field explains, the largest on top."""
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
    """Every trial as a line through its values, one axis a field, from top to bottom; accuracy is the last axis.

    The axes lie, so that their names can be read. The better a finished trial, the stronger its line.
    """
    with drawing(theme):
        figure, axes = plane(WIDTH_IN, ROW_IN * (len(dimensions) + 1.6))
        finished = sorted((row for row in rows if row.state == "finished"), key=lambda row: row.value or 0)
        floor = _floor(finished) / 100
        low, high = max(floor, finished[0].value or 0), finished[-1].value or 0
        for y, (name, dimension) in enumerate(dimensions.items()):
            _draw_axis(axes, y, name, dimension, theme)
        last = len(dimensions)
        _write_axis(axes, last, "validation accuracy, %", [(0, f"{100 * low:.2f}"), (1, f"{100 * high:.2f}")], theme)
        for row in rows:
            if row.state == "pruned":
                _draw_line(axes, row, dimensions, None, color=theme.muted, linewidth=0.7, linestyle=":", alpha=0.6)
        for rank, row in enumerate(finished, 1):
            end = 0.5 if high == low else max(0.0, ((row.value or 0) - low) / (high - low))
            alpha = 0.15 + 0.55 * rank / len(finished)
            look: dict[str, Any] = {"color": theme.blue, "linewidth": 1.2, "alpha": alpha}
            if row.is_start:
                look = {"color": theme.green, "linewidth": 1.8, "zorder": 4}
            if row.number == best:
                look = {"color": theme.orange, "linewidth": 2.4, "zorder": 5}
            _draw_line(axes, row, dimensions, end, **look)
        axes.set(xlim=(-0.06, 1.06), ylim=(last + 0.55, -0.6))
        axes.axis("off")
        return png(figure)


def place(dimension: Range | Choices, value: Any) -> float:
    """Where a value lies between the two ends of its axis, 0 to 1; log ranges are log axes."""
    if isinstance(dimension, Choices):
        labels = [label(choice) for choice in dimension.values]
        return 0.5 if len(labels) == 1 else labels.index(label(value)) / (len(labels) - 1)
    low, high, value = (math.log(v) if dimension.log else v for v in (dimension.low, dimension.high, value))
    return 0.5 if high == low else (value - low) / (high - low)


def _draw_line(
    axes: Axes, row: TrialRow, dimensions: Mapping[str, Range | Choices], end: float | None, **look: Any
) -> None:
    x = [place(d, row.params[name]) if name in row.params else math.nan for name, d in dimensions.items()]
    x.append(math.nan if end is None else end)
    marker = "o" if look.get("linewidth", 0) > 1.5 else ""
    axes.plot(x, range(len(x)), marker=marker, markersize=3.5, **look)


def _draw_axis(axes: Axes, y: int, name: str, dimension: Range | Choices, theme: Theme) -> None:
    if isinstance(dimension, Choices):
        most = max(4, LINE_CHARACTERS // len(dimension.values))
        ticks = [(place(dimension, value), short(label(value), most)) for value in dimension.values]
    else:
        name = f"{name} (log)" if dimension.log else name
        ticks = [(0.0, f"{dimension.low:g}"), (1.0, f"{dimension.high:g}")]
    _write_axis(axes, y, name, ticks, theme)


def _write_axis(axes: Axes, y: int, name: str, ticks: Sequence[tuple[float, str]], theme: Theme) -> None:
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
    for x, text in ticks:
        axes.plot([x, x], [y - 0.06, y + 0.06], color=theme.muted, linewidth=0.8, zorder=2)
        side = "left" if x < 0.02 else "right" if x > 0.98 else "center"
        axes.annotate(
            text,
            (x, y),
            xytext=(0, -4),
            textcoords="offset points",
            color=theme.muted,
            fontsize=7.5,
            ha=side,
            va="top",
            zorder=6,
            bbox=box,
        )


def duel(duel: Duel, *, theme: Theme) -> bytes:
    """Start and winner on the unseen pictures: a line a seed, and the means."""
    with drawing(theme):
        figure, axes = plane(WIDTH_IN, 2.7)
        for start, winner in zip(duel.start, duel.winner, strict=True):
            axes.plot([0, 1], [100 * start, 100 * winner], color=theme.muted, linewidth=1, zorder=1)
        for x, accuracies, color in ((0, duel.start, theme.green), (1, duel.winner, theme.orange)):
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
        axes.set_ylabel("accuracy, unseen part, %")
        return png(figure)
