"""What the line reader sees: a number's picture, brought to 48 pixels high, and the ink in it.

In: gray uint8 (H, W), cut around a line. Out: a view, uint8 (2, 48, w): the gray levels, ink bright, and the shares of
ink that the ink network gives. w is a multiple of 16.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.typing import NDArray

from inkdigit.picture.photo.groups import ink_of
from inkdigit.picture.photo.network import fit, look
from inkdigit.types import Floats, Gray

VERSION = 2  # rises when the view of a line changes
HEIGHT_PX = 48
STRIDE_PX = 4  # of a step of the reader along the line
LEANS = (-0.35, -0.2, 0.2, 0.35)  # of the views in which a line is read again: as far to the right a height lower
EXTREME = 2.0  # percent of the pixels that are darker, or lighter, than the range of gray levels that is kept
MIN_SPAN = 12  # gray levels: less contrast is noise


def view(gray: Gray) -> Gray:
    """The view (2, 48, w) of a line (H, W)."""
    h, w = gray.shape
    side_px = HEIGHT_PX * sqrt(w / h)
    ink = np.clip(ink_of(look(gray, side_px=side_px)), 0, 1)
    seen = fit(gray, side_px=side_px).astype(np.float32)
    low, high = _percentiles(seen, EXTREME, 100 - EXTREME)
    level = np.clip((seen - (low + high) / 2) / max(float(high - low), MIN_SPAN) + 0.5, 0, 1)
    if float((ink * (level - level.mean())).sum()) < 0:  # dark ink
        level = 1 - level
    return np.asarray(np.rint(255 * np.stack([level, ink])), np.uint8)


def _percentiles(values: Floats, *percent: float) -> NDArray[np.float64]:
    """As `np.percentile`, which would load numpy.ma: 13 ms of a cold start."""
    ordered = np.sort(values, axis=None)
    return np.interp(np.array(percent) / 100 * (ordered.size - 1), np.arange(ordered.size), ordered)


def leaning(seen: Gray) -> Gray:
    """A view (2, 48, w) leaning more to the left and to the right, as far as `LEANS` say: (4, 2, 48, w')."""
    _, height, width = seen.shape
    room = max(LEANS) * height / 2  # on each side
    middle = (np.arange(height) + 0.5 - height / 2)[:, None]
    columns = np.arange(-(-round(width + 2 * room) // 16) * 16) - room
    at = np.rint(columns + np.multiply.outer(LEANS, middle)).astype(np.intp)  # (4, 48, w')
    moved = seen[:, np.arange(height)[:, None], np.clip(at, 0, width - 1)]
    beside = (at < 0) | (at >= width)
    moved[1, beside], moved[0, beside] = 0, np.median(seen[0])
    return np.ascontiguousarray(moved.swapaxes(0, 1))
