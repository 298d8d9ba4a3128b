"""The small-model curve of `docs/accuracy.md`: test accuracy against parameters, from 1 k to 600 k.

In: a line a seed, by entry. Out: tables, and its figure as SVG, light and dark. Accuracy stands on a
scale of the logarithm of the error. Other people's networks are marked by how their figure was chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.accuracy.entries import CURVE, CURVE_BASE, entries
from benchmarks.accuracy.tables import CELLS, Groups, cells, command, spread
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
from benchmarks.common.tables import fields, row, table
from inkdigit.report.canvas import Theme, drawing, plane

NAMES = tuple(f"curve-{size}" for size in CURVE)
OWN = ("micro", "tiny", "best")  # drawn beside the family
PARAMETERS = (1e3, 3e3, 1e4, 3e4, 1e5, 3e5, 1e6)  # the ticks
SHOWN = "Test accuracy against the number of parameters: one family of networks, and what others published"


@dataclass(frozen=True, slots=True)
class Other:
    """A network that somebody published: its accuracy, and how that was chosen."""

    name: str
    link: str
    parameters: int
    accuracy: float
    how: str
    honest: bool = False  # chosen without the test set


OTHERS = (
    Other(
        "JoshWarn",
        "https://github.com/JoshWarn/Parameter-Efficient-MNIST",
        697,
        0.9903,
        "best epoch on the test set, best of 700 trainings",
    ),
    Other(
        "ruslangrimov",
        "https://github.com/ruslangrimov/mnist-minimal-model",
        4_862,
        0.9907,
        "one of 50 stored epochs; it is not stated how it was picked",
    ),
    Other("uday96", "https://github.com/uday96/EVA4-TSAI/tree/master/S5", 8_500, 0.9949, "best epoch on the test set"),
    Other(
        "cdeotte",
        "https://github.com/cdeotte/MNIST-CNN-99.75",
        327_000,
        0.9965,
        "fixed length, last weights; mean of many",
        honest=True,
    ),
)


def section(groups: Groups, *, folder: str) -> dict[str, Any]:
    """The section: what the family is, its figure and table, and what others published."""
    base, changes = CURVE_BASE
    rows = [row(_filters(name), *cells(groups[name]), command(name)) for name in NAMES if name in groups]
    others = [
        row(f"[{other.name}]({other.link})", f"{other.parameters:,}", f"{100 * other.accuracy:.2f} %", other.how)
        for other in OTHERS
    ]
    return {
        "smallest": next(iter(CURVE)),
        "largest": list(CURVE)[-1],
        "base": base,
        "changes": fields(changes),
        "figure": shown(f"{folder}/curve", SHOWN),
        "table": table(["filters", *CELLS, "command"], rows) if rows else "",
        "missing": ", ".join(f"`{name}`" for name in NAMES if name not in groups),
        "others": table(["who", "parameters", "test accuracy", "how it was chosen"], others),
    }


def _filters(name: str) -> str:
    return "-".join(map(str, entries()[name].changes["filters"]))


def draw(groups: Groups) -> dict[str, bytes]:
    """File name → SVG in both themes; none without a measured size."""
    if not any(name in groups for name in NAMES):
        return {}
    return in_both_themes({"curve": partial(plot, groups)})


def plot(groups: Groups, theme: Theme) -> bytes:
    """The family as a line with a bar of ± one deviation a size; others as dots, hollow if the test set chose them."""
    family = [_point(groups, name, "") for name in NAMES if name in groups]
    own = [_point(groups, name, name) for name in OWN if name in groups]
    others = [Point(other.parameters, 1 - other.accuracy, 0.0, other.name, False) for other in OTHERS]
    points = [*family, *own, *others]
    sizes = [point.x for point in points]
    path = [(point.x, point.error) for point in family]
    with drawing(theme):
        drawn, axes = plane(WIDTH_IN, HEIGHT_IN)
        scales(axes, points, (min(sizes) / 1.6, max(sizes) * 1.8), ticks=PARAMETERS, name="parameters")
        axes.plot(*zip(*path, strict=True), color=theme.blue, linewidth=1.1, alpha=0.55, zorder=2)
        for point in (*family, *own):
            mark(axes, point, theme, "D" if point.name else "o")
        for point, other in zip(others, OTHERS, strict=True):
            mark(axes, point, theme, "s", hollow=not other.honest)
        axes.text(0, 1.02, "Inkdigit", color=theme.blue, weight="bold", transform=axes.transAxes)
        axes.text(1, 1.02, "others", color=theme.orange, weight="bold", ha="right", transform=axes.transAxes)
        name_points(drawn, axes, [*own, *others], [path], theme)
        return svg(drawn)


def _point(groups: Groups, name: str, title: str) -> Point:
    accuracies, line = spread(groups[name]), groups[name][-1]
    return Point(line["parameters"], max(1 - accuracies.mean, MIN_ERROR), accuracies.sd or 0.0, title, True)
