"""Lines that are not ink: of squared and ruled paper, of boxes and frames around a digit.

In: a mask (H, W) of everything that stands out from the paper. Out: the mask of such lines, without the pixels where a
stroke crosses one.

A line is a chain of short runs (directional single-connected chains: Zheng, Liu, Ding, Pan 2001), so it may be slanted,
bent or drawn freehand. It is not part of a digit if each of its ends meets the image's border or another such line:
the strokes of a digit have a free end somewhere, and if all of it were lines it would be the digit.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inkdigit.picture.photo.paper import Mask

LONG = 0.06  # of the image's longest side: the shortest piece of a line
LONG_PX = 10  # pixels, minimum
THICK = 0.06  # of the image's longest side: the thickest line
THICK_PX = 2  # pixels, minimum
FLAT = 2.5  # times as long as high: the runs along a line and across it
BEND = 0.3  # of its length: how far a line may rise
EDGE = 0.012  # of the image's longest side: how near its end must be to the border
MEET = 0.05  # of the image's longest side: how near its end must be to another line
CROSSED = 0.25  # of the image's longest side: how much of a line a stroke may hide
ASIDE = 0.02  # of the image's longest side: how far beside its direction a line may go on behind it
SMALL = 64  # pixels: in smaller images a line cannot be recognised by its width
FINE = 0.4  # of the strokes' width: a line that is no broader is of another pen
SWELL = 1.6  # of a line's thickness: where it is thicker, a stroke crosses it or runs along
INSIDE = 0.9  # of what remains: so much of it is inside a frame
REMAINS = 0.3  # of the box of what is removed: what remains must be this long, or it was not a frame
HEART = 0.7  # of what remains inside a frame: so much is the digit; inside the arcs of a "0" there are its other arcs

Runs = NDArray[np.int32]  # (H, W): how long the run of ink is that holds each pixel; 0 off the ink


@dataclass(frozen=True, slots=True)
class Line:
    """A chain of runs from left to right: its pixels (M,), and the height of its two ends."""

    ys: NDArray[np.int64]
    xs: NDArray[np.int64]
    heights: tuple[float, float]
    thickness: float

    @property
    def ends(self) -> tuple[float, float]:
        """Where it begins and where it ends."""
        return float(self.xs.min()), float(self.xs.max())

    def goes_on(self, other: Line, *, gap: float, aside: float) -> bool:
        """Whether `other` begins where this line would be, had it not stopped."""
        (begin, end), (start, _) = self.ends, other.ends
        slope = (self.heights[1] - self.heights[0]) / max(1.0, end - begin)
        return -2 <= start - end <= gap and abs(self.heights[1] + slope * (start - end) - other.heights[0]) <= aside


def find_lines(mask: Mask) -> Mask:
    """The pixels (H, W) of ruled lines and frames in `mask`, without those where a stroke covers them."""
    across, along = _runs(mask), _runs(mask.T)  # `along` is turned
    flat, upright = _chains(across, along.T), _chains(along, across.T)
    if not flat and not upright:
        return np.zeros(mask.shape, bool)
    # Lines that are clearly finer than the pen are looked for first: a "1" between two of them is not a third one. In a
    # small image all strokes are fine.
    limits = (FINE * stroke_width(mask), np.inf) if max(mask.shape) > SMALL else (np.inf,)
    lines = np.zeros(mask.shape, bool)
    for limit in limits:
        lines = _held_lines(_finer(flat, limit), _finer(upright, limit), across, along, limit)
        if (lines := _around_a_digit(mask, lines)).any():
            break
    return lines


def _finer(lines: list[Line], limit: float) -> list[Line]:
    return [line for line in lines if line.thickness <= limit]


def stroke_width(mask: Mask) -> float:
    """The width of the broadest stroke of a mask, in pixels."""
    return 2 * float(cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3).max())


def _held_lines(flat: list[Line], upright: list[Line], across: Runs, along: Runs, fine: float) -> Mask:
    """The pixels of the lines that are held at each end; a line that is not held cannot hold another."""
    while True:
        held_flat = _held(flat, _draw(upright, along.shape).T, across, fine)
        held_upright = _held(upright, _draw(held_flat, across.shape).T, along, fine)
        if len(held_flat) == len(flat) and len(held_upright) == len(upright):
            return _thin(flat, across) | _thin(upright, along).T
        flat, upright = held_flat, held_upright


def _runs(mask: Mask) -> Runs:
    """The length of the vertical run of each pixel."""
    h = mask.shape[0]
    rows = np.arange(1, h + 1, dtype=np.int32)[:, None]
    above = np.maximum.accumulate(np.where(mask, 0, rows), axis=0)
    below = np.minimum.accumulate(np.where(mask, h + 1, rows)[::-1], axis=0)[::-1]
    return np.where(mask, below - above - 1, 0).astype(np.int32)


def _chains(across: Runs, along: Runs) -> list[Line]:
    """The chains that lead from left to right: long, flat, and never thick."""
    longest = max(across.shape)
    thick, long = max(THICK_PX, THICK * longest), max(LONG_PX, LONG * longest)
    thin = (across > 0) & (across <= thick) & (along >= FLAT * across)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(thin.astype(np.uint8), connectivity=8)
    lines = []
    for i in range(1, count):
        left, top, width, height, _ = stats[i].tolist()
        if width < long or height > BEND * width + thick:
            continue
        ys, xs = np.nonzero(labels[top : top + height, left : left + width] == i)
        heights = (float(ys[xs <= 2].mean()) + top, float(ys[xs >= width - 3].mean()) + top)
        lines.append(Line(ys + top, xs + left, heights, float(np.median(across[ys + top, xs + left]))))
    return lines


def _held(lines: list[Line], others: Mask, across: Runs, fine: float) -> list[Line]:
    """The lines of which each end meets the image's border, one of the `others` (H, W), or its own continuation.

    One that is `fine` may also run into a stroke.
    """
    if not lines:
        return []
    h, w = others.shape
    longest = max(h, w)
    edge, reach = max(1, round(EDGE * longest)), max(2, round(MEET * longest))
    near = cv2.dilate(others.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    gap, aside = CROSSED * longest, max(2.0, ASIDE * longest)

    def meets(x: float, y: float, step: int) -> bool:
        if min(x, y, w - 1 - x, h - 1 - y) <= edge or near[round(y), round(x)]:
            return True
        row, beyond = round(y), sorted((round(x) + step, round(x) + 4 * step))
        return bool(across[max(0, row - 2) : row + 3, beyond[0] : beyond[1] + 1].max(initial=0) > fine)

    return [
        line
        for line in lines
        if (meets(line.ends[0], line.heights[0], -1) or any(o.goes_on(line, gap=gap, aside=aside) for o in lines))
        and (meets(line.ends[1], line.heights[1], 1) or any(line.goes_on(o, gap=gap, aside=aside) for o in lines))
    ]


def _draw(lines: list[Line], shape: tuple[int, ...]) -> Mask:
    out = np.zeros(shape, bool)
    for line in lines:
        out[line.ys, line.xs] = True
    return out


def _thin(lines: list[Line], across: Runs) -> Mask:
    """The pixels of lines where no stroke covers them."""
    out = np.zeros(across.shape, bool)
    for line in lines:
        thin = across[line.ys, line.xs] <= SWELL * line.thickness + 1
        out[line.ys[thin], line.xs[thin]] = True
    return out


def _around_a_digit(mask: Mask, lines: Mask) -> Mask:
    """The lines (H, W) that lead to the image's border or that go around what remains: the others are strokes."""
    if not lines.any():
        return lines
    rest = (mask & ~lines).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(rest, connectivity=8)
    if count < 2:
        return np.zeros(mask.shape, bool)
    biggest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    ys, xs = np.nonzero(labels == biggest)
    reach = max(2, round(MEET * max(mask.shape)))
    grown = cv2.dilate(lines.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(grown, connectivity=8)
    edge = max(1, round(EDGE * max(mask.shape)))
    border = np.ones(mask.shape, bool)
    border[edge + 1 : -edge - 1, edge + 1 : -edge - 1] = False
    outer = set(labels[lines & border].tolist())
    keep = np.zeros(count, bool)
    for i in range(1, count):
        left, top, width, height, _ = stats[i].tolist()
        touching = i in outer
        inside = (xs >= left) & (xs < left + width) & (ys >= top) & (ys < top + height)
        size = max(np.ptp(ys), np.ptp(xs)) + 1
        framed = np.count_nonzero(rest[top : top + height, left : left + width])
        around = inside.mean() >= INSIDE and len(ys) >= HEART * framed
        keep[i] = size >= REMAINS * min(width, height) and (touching or around)
    return np.asarray(keep[labels] & lines, bool)
