"""The sheet of paper in a photo: its corners, and the page as seen from straight above.

In: gray uint8 (H, W), a photo of a page on a darker ground, or a scan that shows nothing but the page. Out: the page,
gray uint8 (h, w).

Pixels are divided into bright and dark ones; the largest bright piece is the sheet if it fills the four corners that
are around it, and if what is outside of them is darker.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from inkdigit.page.quad import Points, is_convex, quad_around, side_lengths, view
from inkdigit.picture.components import Mask, components
from inkdigit.types import Gray

SMALL_PX = 256  # the longer side of the photo in which the corners are looked for
LEAST = 0.2  # of the photo: a sheet that is smaller is not what the photo shows
FILLED = 0.8  # of the four corners: so much of them is bright
DARKER = 25  # gray levels: so much darker is what is around a sheet
SAME = 0.03  # of the sides: corners that are so near to those of the photo are those
MAX_SIDE_PX = 4096  # of the page


def flatten(gray: Gray) -> Gray:
    """The page of a photo, as seen from straight above; the photo itself where no sheet lies on something darker."""
    corners = find_sheet(gray)
    if corners is None:
        return gray
    size = corners * gray.shape[::-1]
    width, height = side_lengths(size)
    scale = min(1.0, MAX_SIDE_PX / max(width, height))
    return view(Image.fromarray(gray), size, (max(1, round(width * scale)), max(1, round(height * scale))), fill=255)


def find_sheet(gray: Gray) -> Points | None:
    """The corners of the sheet, float64 (4, 2): x and y in shares of the photo's sides, from the top left clockwise.

    None where the whole photo is the page, or where there is no sheet.
    """
    scale = min(1.0, SMALL_PX / max(gray.shape))
    h, w = (max(4, round(side * scale)) for side in gray.shape)
    small = np.asarray(Image.fromarray(gray).resize((w, h), Image.Resampling.BOX))
    bright = small > _between(small)
    labels, count = components(bright)
    if not count:
        return None
    sheet = labels == 1 + int(np.bincount(labels.ravel(), minlength=count + 1)[1:].argmax())
    corners = quad_around(sheet)
    if corners is None or not is_convex(corners):
        return None
    inside = _inside(corners, (h, w))
    if inside.mean() < LEAST or sheet[inside].mean() < FILLED:
        return None
    shares = corners / (w, h)
    whole = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    is_whole = bool(np.abs(shares - whole).max() < SAME)
    outside = ~inside & ~sheet
    if is_whole or not outside.any() or float(small[sheet].mean()) - float(small[outside].mean()) < DARKER:
        return None
    return np.asarray(shares)


def _between(gray: Gray) -> float:
    """The gray level that divides bright and dark pixels best (Otsu 1979)."""
    count = np.bincount(gray.ravel(), minlength=256).astype(np.float64)
    below = np.cumsum(count)
    mean = np.cumsum(count * np.arange(256))
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = below * above * np.square(mean / below - (mean[-1] - mean) / above)
    return float(np.nan_to_num(apart).argmax())


def _inside(corners: Points, shape: tuple[int, int]) -> Mask:
    """The pixels of an image (H, W) that are between four corners."""
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    sides = np.roll(corners, -1, axis=0) - corners
    to_the_right = [dx * (y - y0) >= dy * (x - x0) for (x0, y0), (dx, dy) in zip(corners, sides, strict=True)]
    return np.asarray(np.all(to_the_right, axis=0))
