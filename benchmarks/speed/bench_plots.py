"""The figures of `docs/benchmarks.md`: test accuracy against training time, and against parameters.

In: the lines of `bench.jsonl`. Out: SVG as bytes, in the colours of the light and the dark page; the same lines give
the same bytes. Accuracy stands on a scale of the logarithm of the error, so that 99.5 and 99.7 % are seen apart; each
entrant is named beside its point.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from statistics import mean, median, stdev
from typing import Any

from benchmarks.common.plots import (
    HEIGHT_IN,
    MIN_ERROR,
    WIDTH_IN,
    Point,
    in_both_themes,
    mark,
    name_points,
    scales,
    shown,
    svg,
)
from benchmarks.common.results import Record
from benchmarks.common.tables import figure
from benchmarks.speed.bench_tables import TITLES, Groups, latest, mean_curve, values
from inkdigit.report.canvas import Theme, drawing, plane

SECONDS = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10000)
PARAMETERS = (3e3, 1e4, 3e4, 1e5, 3e5, 1e6, 3e6)
INSTANT = 0.3  # seconds: a shorter time is not training, and is drawn on the edge
SHOWN = {
    "time": "Test accuracy against training time: each recipe and each peer, epoch by epoch",
    "parameters": "Test accuracy against the number of parameters",
}


def draw(lines: Sequence[Record]) -> dict[str, bytes]:
    """File name → SVG of both figures in both themes; none without lines that count."""
    groups = latest(lines, device="cpu")
    if not groups:
        return {}
    return in_both_themes(
        {"accuracy-time": partial(over_time, groups), "accuracy-parameters": partial(over_parameters, groups)}
    )


def figures(lines: Sequence[Record], *, folder: str) -> list[str]:
    """The Markdown of each figure, light or dark as the reader's page."""
    if not latest(lines, device="cpu"):
        return []
    return [shown(f"{folder}/accuracy-{name}", alt) for name, alt in SHOWN.items()]


def over_time(groups: Groups, theme: Theme) -> bytes:
    """Curves for those with epochs; a bar of ± one deviation at the end of each."""
    points = [_point(name, group, median(values(group, "train_seconds"))) for name, group in groups.items()]
    curves = {name: mean_curve(group) for name, group in groups.items()}
    longer = [point.x for point in points if point.x >= INSTANT] or [1.0]
    first = min([s for curve in curves.values() for s, _ in curve if s >= INSTANT] or longer)
    left, right = first / 1.6, max(longer) * 2.2
    points = [_on_edge(point, left) if point.x < INSTANT else point for point in points]
    with drawing(theme):
        drawn, axes = plane(WIDTH_IN, HEIGHT_IN)
        scales(axes, points, (left, right), ticks=SECONDS, name="training time, seconds")
        paths = []
        for point, curve in zip(points, curves.values(), strict=True):
            xs, errors = [s for s, _ in curve], [max(1 - a, MIN_ERROR) for _, a in curve]
            if len(curve) > 1:
                axes.plot(xs, errors, color=point.colour(theme), linewidth=1.1, alpha=0.55, zorder=2)
                paths.append(list(zip(xs, errors, strict=True)))
        for point in points:
            mark(axes, point, theme)
        return _finish(drawn, axes, points, paths, theme)


def _on_edge(point: Point, left: float) -> Point:
    name = f"{point.name} ({figure(point.x)} s)"
    return Point(left, point.error, point.sd, name, point.recipe)


def over_parameters(groups: Groups, theme: Theme) -> bytes:
    """One point an entrant that has parameters."""
    points = [_point(name, group, group[-1]["parameters"]) for name, group in groups.items() if group[-1]["parameters"]]
    sizes = [point.x for point in points] or [1.0]
    with drawing(theme):
        drawn, axes = plane(WIDTH_IN, HEIGHT_IN)
        scales(axes, points, (min(sizes) / 1.8, max(sizes) * 2.5), ticks=PARAMETERS, name="parameters")
        for point in points:
            mark(axes, point, theme)
        return _finish(drawn, axes, points, [], theme)


def _point(name: str, group: Sequence[Record], x: float) -> Point:
    reached = values(group, "accuracy")
    sd = stdev(reached) if len(reached) > 1 else 0.0
    return Point(x, max(1 - mean(reached), MIN_ERROR), sd, TITLES.get(name, name), group[-1]["kind"] == "recipe")


def _finish(
    figure: Any, axes: Any, points: Sequence[Point], paths: Sequence[Sequence[tuple[float, float]]], theme: Theme
) -> bytes:
    """Name the colours and the points, and write the SVG."""
    axes.text(0, 1.02, "Inkdigit's recipes", color=theme.blue, weight="bold", transform=axes.transAxes)
    axes.text(1, 1.02, "peers", color=theme.orange, weight="bold", ha="right", transform=axes.transAxes)
    name_points(figure, axes, points, paths, theme)
    return svg(figure)
