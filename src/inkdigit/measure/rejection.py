"""How well a score tells digits from what is none.

In: scores of pictures that should be answered and of pictures that should be refused, higher for digits. Out: the area
under the ROC curve and the shares at a threshold. A picture without a score (no ink) is refused by itself: −inf.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inkdigit.types import Prediction

Scores = NDArray[np.float64]  # (N,)


def scores_of(predictions: Sequence[Prediction]) -> Scores:
    """The score of each prediction (N,)."""
    return np.array([-np.inf if p.score is None else p.score for p in predictions], np.float64)


def auroc(inside: Scores, outside: Scores) -> float:
    """The chance that a digit's score is above an outlier's, ties counting half (Mann and Whitney 1947).

    `inside` is (N,), `outside` (M,).
    """
    ordered = np.sort(outside)
    below = np.searchsorted(ordered, inside, "left")
    level = np.searchsorted(ordered, inside, "right") - below
    return float((below + 0.5 * level).sum() / (inside.size * outside.size))


def threshold_that_keeps(inside: Scores, share: float) -> float:
    """The highest threshold at which at least `share` of the digits (N,) are kept: their score is not below it."""
    dropped = int((1 - share) * inside.size + 1e-9)
    return float(np.sort(inside)[dropped])


def refused_at(inside: Scores, outside: Scores, share: float) -> float:
    """The share of outliers (M,) that is refused where `share` of the digits (N,) is kept."""
    return float((outside < threshold_that_keeps(inside, share)).mean())
