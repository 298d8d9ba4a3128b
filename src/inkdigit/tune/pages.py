"""The page of a search: `study.html`, one file in the look of every page here.

In: a search and its best trial, made into a `Story` of plain values. Out: HTML with its figures inside it, in light and
in dark.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inkdigit.files import write_atomic
from inkdigit.report.canvas import DARK, LIGHT, WIDTH_IN, Theme, drawing, plane, png, short
from inkdigit.report.numbers import signed
from inkdigit.report.template import pictures, render
from inkdigit.tune import study as memory
from inkdigit.tune.search import Search, start_trial
from inkdigit.tune.space import Choices, Range, label
from inkdigit.tune.winner import Duel, cost, nothing_to_compare, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from optuna.trial import FrozenTrial

TEMPLATE = "study.html.j2"
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


@dataclass(frozen=True, slots=True)
class Story:
    """All that the page shows; `tell_story` makes it."""

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
    cost: str  # what a trial was
    pictures: dict[str, int]
    duel: Duel | None
    no_duel: str  # why there is none


def tell_story(search: Search, best: FrozenTrial, duel: Duel | None) -> Story:
    """All that the page shows."""
    study, start, first = search.study, search.start, start_trial(search.study)
    winner = search.recipe(best.params) if memory.START not in best.user_attrs else start
    return Story(
        name=start.name,
        data=search.pictures.duel.name,
        seed=start.seed,
        dimensions=search.space.dimensions,
        space=search.space.describe(),
        rows=[_row(trial, search) for trial in memory.over(study)],
        best=best.number,
        best_value=best.values[0],
        start_value=first.values[0] if first else None,
        importances=memory.importances(study),
        changes=[
            (name, _short(getattr(start, name)), _short(getattr(winner, name)))
            for name in search.space.dimensions
            if getattr(start, name) != getattr(winner, name)
        ],
        cost=cost(search),
        pictures={
            "a trial learns from": len(search.pictures.trial.train),
            "of those that it could": search.pictures.learnable,
            "a trial is valued on": len(search.pictures.trial.report),
            "seen by no trial": len(search.pictures.duel.test or ()),
        },
        duel=duel,
        no_duel=nothing_to_compare(search, best),
    )


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else label(value)


def _row(trial: FrozenTrial, search: Search) -> TrialRow:
    is_start = memory.START in trial.user_attrs
    params = search.space.params(search.start) if is_start else trial.params
    outside = {name: label(getattr(search.start, name)) for name in search.space.dimensions if name not in params}
    last = max(trial.intermediate_values.values(), default=None)
    return TrialRow(
        number=trial.number,
        state={"COMPLETE": "finished", "PRUNED": "pruned"}.get(trial.state.name, "failed"),
        value=trial.values[0] if trial.state.name == "COMPLETE" else last,
        epochs=len(trial.intermediate_values),
        seconds=trial.user_attrs.get(memory.SECONDS),
        params=dict(params),
        outside=outside if is_start else {},
        is_start=is_start,
        reason=trial.user_attrs.get(memory.REASON, ""),
    )


def write_page(path: Path, story: Story) -> None:
    """Draw the figures and write the page; everything is made before anything is written.

    Raises:
        MissingExtra: matplotlib or Jinja is not installed.
        OutputError: the page cannot be written.
    """
    figures = {theme.name: draw(story, theme=theme) for theme in (LIGHT, DARK)}
    counts = {state: sum(row.state == state for row in story.rows) for state in ("finished", "pruned", "failed")}
    values = {
        "story": story,
        "counts": {state: count for state, count in counts.items() if count},
        "names": list(story.dimensions),
        "ranked": sorted(story.rows, key=_rank),
        "cells": {row.number: [_cell(row, name) for name in story.dimensions] for row in story.rows},
        "duel": None if story.duel is None else _told(story.duel),
        **pictures(figures),
    }
    write_atomic(path, render(TEMPLATE, values))


def draw(story: Story, *, theme: Theme) -> dict[str, bytes]:
    """Every figure that this story has something for."""
    drawn = {
        "history": history(story.rows, story.best, theme=theme),
        "parallel": parallel(story.rows, story.dimensions, story.best, theme=theme),
    }
    if story.importances:
        drawn["importances"] = importances(story.importances, theme=theme)
    if story.duel is not None:
        drawn["duel"] = duel_figure(story.duel, theme=theme)
    return drawn


def _rank(row: TrialRow) -> tuple[bool, float]:
    """Finished trials first, the best on top."""
    return row.state != "finished", -(row.value or 0.0)


def _cell(row: TrialRow, name: str) -> str:
    value: Any = row.params.get(name, row.outside.get(name))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _told(duel: Duel) -> dict[str, Any]:
    low, high = (100 * end for end in duel.interval)
    return {
        "rows": [
            (seed, f"{100 * s:.2f}", f"{100 * w:.2f}", signed(100 * (w - s)))
            for seed, s, w in zip(duel.seeds, duel.start, duel.winner, strict=True)
        ],
        "headline": sum(duel.winner) / len(duel.winner),
        "start": spread(duel.start),
        "winner": spread(duel.winner),
        "gain": signed(100 * duel.gain),
        "interval": f"{signed(low)} to {signed(high)}",
        "verdict": duel.verdict,
        "pictures": duel.pictures,
    }


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
        look: dict[str, Any]
        pruned = {"color": theme.muted, "linewidth": 0.7, "linestyle": ":", "alpha": 0.6}
        for row in rows:
            if row.state == "pruned":
                _draw_line(axes, row, dimensions, None, pruned)
        for rank, row in enumerate(finished, 1):
            end = 0.5 if high == low else max(0.0, ((row.value or 0) - low) / (high - low))
            alpha = 0.15 + 0.55 * rank / len(finished)
            look = {"color": theme.blue, "linewidth": 1.2, "alpha": alpha}
            if row.is_start:
                look = {"color": theme.green, "linewidth": 1.8, "zorder": 4}
            if row.number == best:
                look = {"color": theme.orange, "linewidth": 2.4, "zorder": 5}
            _draw_line(axes, row, dimensions, end, look)
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
    axes: Axes, row: TrialRow, dimensions: Mapping[str, Range | Choices], end: float | None, look: Mapping[str, Any]
) -> None:
    """A trial through its values, broken at a field outside the space, to `end` on the axis of the accuracy."""
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


def duel_figure(duel: Duel, *, theme: Theme) -> bytes:
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
