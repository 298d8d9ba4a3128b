"""The figures of `docs/mistakes.md`: how sure wrong answers are and whose fault they are, and what leaving out brings.

In: what `mistakes/measure.py` found. Out: SVG as bytes, in the colours of the light and the dark page; the same results
give the same bytes.
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
FAULTS = {  # how the page and the figure call them
    "label": "the label's",
    "doubtful": "doubtful",
    "network": "the network's",
    "not judged": "not judged",
}
SHOWN = {
    "confidence": "How sure the networks are of the answers that are wrong, and whose fault it is",
    "left-out": "Accuracy on what is left when the least sure pictures are not answered",
}
BINS = np.linspace(0.2, 1.0, 17)


def in_most(record: Record) -> list[dict[str, Any]]:
    """The pictures that more than half of the seeds read wrongly."""
    return [one for one in record["pictures"] if 2 * one["wrong_in"] > len(record["seeds"])]


def draw(record: Record | None) -> dict[str, bytes]:
    """File name → SVG of both figures in both themes; none without results."""
    if record is None:
        return {}
    return in_both_themes({"confidence": partial(_confidence, record), "left-out": partial(_left_out, record)})


def _confidence(record: Record, theme: Theme) -> bytes:
    """One brick a picture that most networks read wrongly, by confidence, coloured by whose fault it is."""
    held = in_most(record)
    colours = dict(zip(FAULTS, (theme.blue, theme.muted, theme.orange, theme.line), strict=True))
    kinds = [kind for kind in FAULTS if any(one["fault"] == kind for one in held)]
    with drawing(theme):
        figure, axes = plane(WIDTH_IN, HEIGHT_IN)
        if kinds:
            axes.hist(
                [[one["confidence"] for one in held if one["fault"] == kind] for kind in kinds],
                bins=BINS,
                stacked=True,
                color=[colours[kind] for kind in kinds],
                label=[FAULTS[kind] for kind in kinds],
                rwidth=0.88,
            )
            figure.legend(loc="outside upper left", ncols=len(kinds))
        axes.set(xlim=(BINS[0], BINS[-1]), xlabel="confidence of the wrong answer", ylabel="pictures")
        axes.yaxis.get_major_locator().set_params(integer=True)
        axes.grid(visible=False, axis="x")
        return svg(figure)


def _left_out(record: Record, theme: Theme) -> bytes:
    """One thin line a network and their mean, against the share that is left out."""
    curve = 100 * np.array(record["curve"])  # (shares, S)
    shares = 100 * np.array(mistakes.CURVE)
    with drawing(theme):
        figure, axes = plane(WIDTH_IN, HEIGHT_IN)
        axes.plot(shares, curve, color=theme.blue, linewidth=0.8, alpha=0.45)
        axes.plot(shares, curve.mean(axis=1), color=theme.blue, linewidth=2)
        axes.set(xlim=(0, shares[-1]), xlabel="left out, per cent of the pictures", ylabel="accuracy on the rest, %")
        axes.ticklabel_format(axis="y", useOffset=False)
        return svg(figure)
