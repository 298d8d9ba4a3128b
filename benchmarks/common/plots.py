"""What several figures share: a plane of accuracy on a logarithm of the error, its points and their names, the SVG.

In: points. Out: SVG as bytes, in the colours of the light and the dark page; the same points give the same bytes.
Accuracy stands on a scale of the logarithm of the error, so that 99.5 and 99.7 % are seen apart.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from inkdigit.report.canvas import DARK, LIGHT, Theme

WIDTH_IN, HEIGHT_IN = 5.4, 5.2
TARGETS = (80, 90, 95, 97, 98, 98.5, 99, 99.3, 99.5, 99.6, 99.7, 99.8)  # per cent, the ticks of accuracy
MARGIN = 1.3  # the worst end of training stands this far from the edge, as a factor of its error
MIN_ERROR = 1e-5  # a network without a mistake stands here: a logarithm has no zero


@dataclass(frozen=True, slots=True)
class Point:
    """Where an entrant ends: x, mean error and its deviation over seeds, name, and whether it is a recipe."""

    x: float
    error: float
    sd: float
    name: str
    recipe: bool

    def ends(self) -> list[float]:
        """The error minus and plus one deviation."""
        return [max(self.error - self.sd, MIN_ERROR), self.error + self.sd]

    def colour(self, theme: Theme) -> str:
        """Blue for our recipes, orange for peers."""
        return theme.blue if self.recipe else theme.orange


def in_both_themes(plots: Mapping[str, Callable[[Theme], bytes]]) -> dict[str, bytes]:
    """File name → SVG of each plot, light and dark."""
    return {f"{name}-{theme.name}.svg": plot(theme) for name, plot in plots.items() for theme in (LIGHT, DARK)}


def shown(path: str, alt: str) -> str:
    """The Markdown that shows `path`-light.svg, or -dark.svg where the page is dark."""
    return (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="{path}-dark.svg">'
        f'<img alt="{alt}" src="{path}-light.svg"></picture>'
    )


def scales(
    axes: Any, points: Sequence[Point], limits: tuple[float, float], *, ticks: Sequence[float], name: str
) -> None:
    """Logarithms on both axes, the better the higher, with ticks that say accuracy."""
    from matplotlib.ticker import FixedLocator, NullLocator

    errors = [min(point.error + point.sd, 0.5) for point in points] or [0.1]
    best = min(max(point.error - point.sd, point.error / 3) for point in points) if points else 0.01
    axes.set(xscale="log", yscale="log", xlim=limits, ylim=(max(errors) * MARGIN, best / MARGIN))
    axes.set_xlabel(f"{name} (logarithm)")
    axes.set_ylabel("test accuracy (logarithm of the error)")
    shown = [tick for tick in ticks if limits[0] <= tick <= limits[1]]
    axes.set_xticks(shown, labels=[f"{tick:,.0f}" if tick >= 1 else f"{tick:g}" for tick in shown])
    low, high = axes.get_ylim()
    held = [target for target in TARGETS if high <= 1 - target / 100 <= low]
    axes.set_yticks([1 - target / 100 for target in held], labels=[f"{target:g} %" for target in held])
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
        axis.set_major_locator(FixedLocator(axis.get_majorticklocs()))


def mark(axes: Any, point: Point, theme: Theme, marker: str = "o", *, hollow: bool = False) -> None:
    """Draw a point, and a bar of ± one deviation."""
    colour = point.colour(theme)
    if point.sd:
        axes.plot([point.x] * 2, point.ends(), color=colour, linewidth=1.6, zorder=3)
    fill = theme.panel if hollow else colour
    # A point on the edge belongs further left, so it must not be cut in half there.
    look = {"color": colour, "markerfacecolor": fill, "markersize": 5.5}
    axes.plot([point.x], [point.error], marker, **look, zorder=4, clip_on=False)


def svg(figure: Any) -> bytes:
    """The figure as an SVG without date and writer."""
    from matplotlib import rc_context

    written = io.BytesIO()
    with rc_context({"svg.hashsalt": "inkdigit"}):
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    return b"\n".join(line.rstrip() for line in written.getvalue().splitlines()) + b"\n"


def name_points(
    figure: Any, axes: Any, points: Sequence[Point], paths: Sequence[Sequence[tuple[float, float]]], theme: Theme
) -> None:
    """Write each name where it hides as little as possible: beside its point, else further away with a line to it."""
    from matplotlib.patheffects import withStroke
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    scale = figure.dpi / 72  # pixels a point of type
    share = axes.transAxes.inverted().transform  # pixels → shares of the frame: an SVG has pixels of its own
    origin = axes.transAxes.transform((0, 0))[1]
    at = [axes.transData.transform((point.x, point.error)) for point in points]
    frame = axes.get_window_extent()
    taken = [Bbox.from_bounds(x - 4 * scale, y - 4 * scale, 8 * scale, 8 * scale) for x, y in at]
    for point, (x, _) in zip(points, at, strict=True):
        ends = [axes.transData.transform((point.x, max(point.error + s * point.sd, MIN_ERROR)))[1] for s in (1, -1)]
        taken.append(Bbox([(x - scale, min(ends)), (x + scale, max(ends))]))
    dots = [dot for path in paths for dot in _dots(axes.transData.transform(path), step=4 * scale)]
    for i in sorted(range(len(points)), key=lambda i: (-at[i][1], at[i][0])):
        point = points[i]
        words = axes.text(0, 0, point.name, fontsize=8, color=point.colour(theme), transform=axes.transAxes, zorder=5)
        words.set_path_effects([withStroke(linewidth=2.2, foreground=theme.panel)])
        size = words.get_window_extent()
        places = [
            (_cost(box, taken, dots, frame) + far, j, box) for j, (box, far) in enumerate(_places(at[i], size, scale))
        ]
        _, _, best = min(places, key=lambda place: place[:2])
        words.set_position(share((best.x0, best.y0 - (size.y0 - origin))))
        taken.append(best)
        end = (min(max(at[i][0], best.x0), best.x1), min(max(at[i][1], best.y0), best.y1))
        if max(abs(end[0] - at[i][0]), abs(end[1] - at[i][1])) > 9 * scale:
            xs, ys = share([at[i], end]).T
            axes.plot(xs, ys, color=point.colour(theme), linewidth=0.6, alpha=0.8, transform=axes.transAxes, zorder=3)


def _dots(path: Any, *, step: float) -> list[Any]:
    """Points along a line from corner to corner, `step` pixels apart."""
    dots = []
    for begin, end in pairwise(path):
        count = max(1, int(np.hypot(*(end - begin)) / step))
        dots += [begin + (end - begin) * i / count for i in range(count + 1)]
    return dots


def _places(at: Any, size: Any, scale: float) -> list[tuple[Any, float]]:
    """Boxes around a point where its name may stand, each with what its distance costs."""
    from matplotlib.transforms import Bbox

    w, h, (x, y) = size.width, size.height, at
    places = []
    for distance, far in ((6, 0.0), (12, 40.0), (20, 80.0), (32, 140.0), (48, 220.0)):
        d = distance * scale
        corners = [(x + d, y - h / 2), (x - d - w, y - h / 2), (x - w / 2, y + d), (x - w / 2, y - d - h)]
        corners += [(x + d, y + d), (x - d - w, y + d), (x + d, y - d - h), (x - d - w, y - d - h)]
        places += [(Bbox.from_bounds(*corner, w, h), far + j) for j, corner in enumerate(corners)]
    return places


def _cost(box: Any, taken: Sequence[Any], dots: Any, frame: Any) -> float:
    """What a name hides if it is written in `box`: names weigh most, then the area outside the frame, then curves."""
    from matplotlib.transforms import Bbox

    hidden = sum(100.0 + _area(Bbox.intersection(box, other)) for other in taken if box.overlaps(other))
    outside = box.width * box.height - _area(Bbox.intersection(box, frame))
    return 10 * hidden + 10 * outside + 30 * sum(bool(box.contains(*dot)) for dot in dots)


def _area(box: Any) -> float:
    return 0.0 if box is None else box.width * box.height
