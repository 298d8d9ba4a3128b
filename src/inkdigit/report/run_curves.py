"""The curves of a run as a notebook shows them: small in its output, and as a figure of matplotlib to go on with.

In: the rows of a run, by epoch and by step. Out: markup, or a figure in the style that the caller has set.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING

import inkdigit.markup as markup
from inkdigit.errors import MissingExtra

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Rows = Sequence[Mapping[str, float]]
Points = list[tuple[float, float]]

SIZE_IN = (8.4, 3.0)  # of the figure: as wide as the output of a notebook
DPI = 110
COLOURS = {"training": markup.BLUE, "validation": markup.ORANGE}


def series(history: Rows, steps: Rows) -> dict[str, dict[str, Points]]:
    """Loss and accuracy in % by epoch: of training by step where steps are stored, of validation where it was held out.

    `history` has a row for each epoch, `steps` one for each few steps.
    """
    training, prefix = (steps, "") if steps else (history, "train_")
    return {
        title: {
            "training": _points(training, f"{prefix}{name}", times),
            "validation": _points(history, f"validation_{name}", times),
        }
        for title, name, times in (("loss", "loss", 1), ("accuracy, %", "accuracy", 100))
    }


def _points(rows: Rows, key: str, times: float) -> Points:
    """The points of a curve; what is not a number is left out."""
    pairs = [(row.get("epoch", math.nan), times * row.get(key, math.nan)) for row in rows]
    return [(x, y) for x, y in pairs if math.isfinite(x) and math.isfinite(y)]


def html(history: Rows, steps: Rows) -> markup.Html:
    """The curves side by side."""
    drawn = series(history, steps).items()
    return markup.beside(*(markup.curves(title, COLOURS, named) for title, named in drawn))


def figure(history: Rows, steps: Rows) -> Figure:
    """A figure with two axes, loss and accuracy. Pyplot need not know it: a notebook shows it all the same.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ModuleNotFoundError as exc:
        raise MissingExtra("Drawing curves needs matplotlib", "report") from exc

    class Curves(Figure):
        """A figure that shows itself in a notebook."""

        def _repr_png_(self) -> bytes:
            written = BytesIO()
            self.savefig(written, format="png")
            return written.getvalue()

    drawn = Curves(figsize=SIZE_IN, dpi=DPI, layout="constrained")
    for axes, (title, named) in zip(drawn.subplots(1, 2), series(history, steps).items(), strict=True):
        for name, points in named.items():
            if points:
                x, y = zip(*points, strict=True)
                axes.plot(x, y, color=COLOURS[name], label=name, marker="o" if len(points) == 1 else "")
        axes.set(xlabel="epoch", ylabel=title)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend()
    if all(y > 0 for points in series(history, steps)["loss"].values() for _, y in points):
        drawn.axes[0].set_yscale("log")
    return drawn
