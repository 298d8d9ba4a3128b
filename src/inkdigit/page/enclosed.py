"""Cells that lines enclose: where many of about one size are beside each other, there is a grid.

In: the share of each pixel of a photo that is not paper, and the rows and columns that are expected. Out: masks of such
cells, and the boxes around them.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from inkdigit.picture.components import Mask, boxes, components
from inkdigit.types import Floats

FAINT = 0.2  # share of a pixel: with as much on it a pixel may belong to a line
CLOSED = (0.0036, 0.008, 0.014)  # of the longest side: gaps up to twice this length are closed first
BETWEEN = 0.25  # of the side of a cell: cells that are nearer are beside each other
MIN_INSIDE_PX = 3  # the inside of the smallest cell
ENCLOSED = 0.4  # of the cells that there must be: so many are seen as such
ALIKE = 2.0  # times: how much larger the largest of these may be
LONG_CELL = 3.0  # times: how much longer a cell may be than it is broad
CELL_FULL = 0.3  # of its box that a cell fills; there may be a digit in it


def regions(marks: Floats, size: tuple[int, int]) -> list[tuple[Mask, NDArray[np.intp]]]:
    """Where cells of about one size are beside each other, and the boxes of these regions.

    Lines that are broken, or go on beside the grid, hide its outline, but most of its cells are still enclosed.
    """
    enough, found = ENCLOSED * size[0] * size[1], []
    for closed in CLOSED:
        px = max(1, round(closed * max(marks.shape)))
        labels, count = components(~grown(marks >= FAINT, px))
        sides = np.diff(boxes(labels, count)[:, [0, 2, 1, 3]])[:, ::2]
        area = sides.prod(axis=1)
        is_cell = (sides.min(axis=1) >= MIN_INSIDE_PX) & (sides.max(axis=1) <= LONG_CELL * sides.min(axis=1))
        is_cell &= np.bincount(labels.ravel(), minlength=count + 1) >= CELL_FULL * area
        is_cell[0] = False
        for smallest in np.unique(area[is_cell])[::-1].tolist():
            of_size = is_cell & (area >= smallest) & (area <= ALIKE * smallest)
            if of_size.sum() < enough:
                continue
            cells = of_size[labels]
            joined, number = components(grown(cells, px + round(BETWEEN * math.sqrt(smallest))))
            together = np.bincount(joined[cells], minlength=number + 1)
            largest = int(together[1:].argmax()) + 1
            region = (joined == largest) & cells
            if len(np.unique(labels[region])) >= enough:
                found.append((region, boxes(joined, number)[largest]))
                break
    return found


def grown(mask: Mask, px: int) -> Mask:
    """A mask (H, W) and all that is within `px` of it, in both directions."""
    for _ in range(px):
        tall = mask.copy()
        tall[1:] |= mask[:-1]
        tall[:-1] |= mask[1:]
        mask = tall.copy()
        mask[:, 1:] |= tall[:, :-1]
        mask[:, :-1] |= tall[:, 1:]
    return mask
