"""How well a score separates digits from images that are not digits.

In: scores of images that should be answered and of images that should be rejected, higher for digits. Out: the area
under the ROC curve, a threshold, and the share that it rejects. An image without a score (no ink) is always rejected:
its score is −inf.
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


def threshold_for_coverage(inside: Scores, coverage: float) -> float:
    """The highest threshold that accepts at least the share `coverage` of the digits (N,): scores not below it."""
    rejected = int((1 - coverage) * inside.size + 1e-9)  # 1 − 0.9 is a little below 0.1
    return float(np.sort(inside)[rejected])


def rejected_at(inside: Scores, outside: Scores, coverage: float) -> float:
    """The share of outliers (M,) that is rejected at the threshold that accepts `coverage` of the digits (N,)."""
    return float((outside < threshold_for_coverage(inside, coverage)).mean())
