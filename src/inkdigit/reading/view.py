"""What the line readers see: a number's picture, brought to 48 or 32 pixels high, and the ink in it.

In: gray uint8 (H, W), cut around a line. Out: a view, uint8 (2, 48, w): the gray levels, ink bright, and the shares of
ink that the ink network gives. w is a multiple of 16. The second reader sees a low view, uint8 (2, 32, w).
"""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inkdigit.picture.photo.groups import ink_of
from inkdigit.picture.photo.network import fit, look
from inkdigit.types import Floats, Gray

VERSION = 2  # rises when the view of a line changes
HEIGHT_PX = 48
STRIDE_PX = 4  # of a step of the reader along the line
LEANS = (-0.35, -0.2, 0.2, 0.35)  # of the views in which a line is read again: as far to the right a height lower
EXTREME = 2.0  # percent of the pixels that are darker, or lighter, than the range of gray levels that is kept
MIN_SPAN = 12  # gray levels: less contrast is noise
LOW_PX = 32  # the height of a low view
BESIDE = 0.01  # of all ink: so much is above, and so much is below the rows of a low view
LEAST_ROWS = 20  # of a view become a low one: a dash is not enlarged to a digit


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


def low(seen: Gray) -> Gray:
    """The rows of a view (2, 48, w) that have ink, brought to 32 pixels high: (2, 32, w')."""
    _, height, width = seen.shape
    below = np.cumsum(seen[1].sum(axis=1, dtype=np.int64))
    top, bottom = 0, height
    if below[-1]:
        top = max(0, int(np.searchsorted(below, BESIDE * below[-1])) - 1)
        bottom = min(height, int(np.searchsorted(below, (1 - BESIDE) * below[-1])) + 2)
        missing = max(0, LEAST_ROWS - (bottom - top))
        top = max(0, top - (missing + 1) // 2)
        bottom = min(height, max(bottom + missing // 2, top + LEAST_ROWS))
    wide = max(16, 16 * round(width * LOW_PX / (bottom - top) / 16))
    box = (0, top, width, bottom)
    channels = (Image.fromarray(channel).resize((wide, LOW_PX), Image.Resampling.BILINEAR, box) for channel in seen)
    return np.stack([np.asarray(channel) for channel in channels])


def leaning(seen: Gray) -> Gray:
    """A view (2, h, w) leaning more to the left and to the right, as far as `LEANS` say: (4, 2, h, w')."""
    _, height, width = seen.shape
    room = max(LEANS) * height / 2  # on each side
    middle = (np.arange(height) + 0.5 - height / 2)[:, None]
    columns = np.arange(-(-round(width + 2 * room) // 16) * 16) - room
    at = np.rint(columns + np.multiply.outer(LEANS, middle)).astype(np.intp)  # (4, 48, w')
    moved = seen[:, np.arange(height)[:, None], np.clip(at, 0, width - 1)]
    beside = (at < 0) | (at >= width)
    moved[1, beside], moved[0, beside] = 0, np.median(seen[0])
    return np.ascontiguousarray(moved.swapaxes(0, 1))
