"""The figures of `docs/mistakes.md`: confidence and fault of wrong predictions, and the gain of rejection.

In: what `mistakes/measure.py` measured. Out: SVG as bytes, in the colours of the light and the dark page; the same
results give the same bytes.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.common.plots import in_both_themes, svg
from benchmarks.common.results import Record
from benchmarks.mistakes import measure as mistakes
from inkdigit.report.canvas import Theme, drawing, plane

WIDTH_IN, HEIGHT_IN = 5.4, 3.0
FAULTS = {  # their names on the page and in the figure
    "label": "the label's",
    "doubtful": "doubtful",
    "network": "the network's",
    "not judged": "not judged",
}
SHOWN = {
    "confidence": "How confident the networks are of their wrong predictions, and whose fault it is",
    "left-out": "Accuracy on the rest when the least confident images are rejected",
}
BINS = np.linspace(0.2, 1.0, 17)


def in_most(record: Record) -> list[dict[str, Any]]:
    """The images that more than half of the seeds get wrong."""
    return [image for image in record["pictures"] if 2 * image["wrong_in"] > len(record["seeds"])]


def draw(record: Record | None) -> dict[str, bytes]:
    """File name → SVG of both figures in both themes; none without results."""
    if record is None:
        return {}
    return in_both_themes({"confidence": partial(confidence, record), "left-out": partial(left_out, record)})


def confidence(record: Record, theme: Theme) -> bytes:
    """One brick for each image that most networks get wrong, by confidence, coloured by whose fault it is."""
    held = in_most(record)
    colours = dict(zip(FAULTS, (theme.blue, theme.muted, theme.orange, theme.line), strict=True))
    kinds = [kind for kind in FAULTS if any(image["fault"] == kind for image in held)]
    with drawing(theme):
        figure, axes = plane(WIDTH_IN, HEIGHT_IN)
        if kinds:
            axes.hist(
                [[image["confidence"] for image in held if image["fault"] == kind] for kind in kinds],
                bins=BINS,
                stacked=True,
                color=[colours[kind] for kind in kinds],
                label=[FAULTS[kind] for kind in kinds],
                rwidth=0.88,
            )
            figure.legend(loc="outside upper left", ncols=len(kinds))
        axes.set(xlim=(BINS[0], BINS[-1]), xlabel="confidence of the wrong prediction", ylabel="images")
        axes.yaxis.get_major_locator().set_params(integer=True)
        axes.grid(visible=False, axis="x")
        return svg(figure)


def left_out(record: Record, theme: Theme) -> bytes:
    """One thin line a network and their mean, against the rejected share."""
    curve = 100 * np.array(record["curve"])  # (shares, S)
    shares = 100 * np.array(mistakes.CURVE)
    with drawing(theme):
        figure, axes = plane(WIDTH_IN, HEIGHT_IN)
        axes.plot(shares, curve, color=theme.blue, linewidth=0.8, alpha=0.45)
        axes.plot(shares, curve.mean(axis=1), color=theme.blue, linewidth=2)
        axes.set(xlim=(0, shares[-1]), xlabel="rejected, per cent of the images", ylabel="accuracy on the rest, %")
        axes.ticklabel_format(axis="y", useOffset=False)
        return svg(figure)
