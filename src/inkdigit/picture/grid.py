"""The grid of a table or a sudoku in a photo: where its lines are, and its cells, seen from straight above.

In: the share of each pixel that is a ruled line, as the ink network tells it. Out: the corners of the grid, its rows and
columns, and cells cut from the photo, which may be larger than what the network saw.

The largest connected piece of ruling is taken, its four sides roughly straightened, and then its two families of lines:
the lines of one family meet in one point, so that two numbers tell the slopes of all of them. Once both families are
straight, the lines are peaks in the sums along rows and columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inkdigit.picture.components import boxes, components
from inkdigit.picture.quad import UNIT, Points, homography, project, quad_around, side_lengths, view
from inkdigit.types import Floats, Gray

LINE = 0.35  # share of a pixel: with as much ruling it belongs to a line
TRIED = 3  # pieces of ruling, the largest first: what is smaller than three others is not what the photo shows
MIN_SIDE_PX = 16  # of the piece: two cells of the smallest kind
MIN_CELL_PX = 5  # in the map: the network does not see finer grids
MARGIN = 0.06  # of the sides: how far beyond the rough corners lines are looked for
REACHES = (0.15, 0.05)  # of half the side, in both directions: how wrong the slopes may be, at first and once straightened
STRIPS = 16  # in which a line is taken as level while its slope is looked for
SLOPES = 9  # tried in each direction at each step; each step looks closer by a factor of four
STEPS = 3
ALONG = 0.05  # of the side: what is longer is a line and not the stroke of a digit, which is some 0.07 high at the most
PEAK = 0.2  # of the strongest line: the weakest one
INKED = 0.25  # share of a pixel: enough of a line, where one is expected
SUPPORT = 0.5  # of a line's length that has ruling: less than that is not a line of this grid
EVEN = 0.12  # of the mean: spacings that differ less are equal ones, not quite seen


class _Family(NamedTuple):
    """The slopes of lines that meet in one point: a line at height y0 of the middle is at y0 + (a + b·y0)·x.

    All four numbers are in half sides of the rectangle that is looked at, from -1 to 1.
    """

    a: float
    b: float


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """The lines of a grid in a photo.

    `corners` are float64 (4, 2), x and y of the outermost crossings: top left, top right, bottom right, bottom left, in
    shares of the photo's width and height, so that they hold for the photo at any size. `across` are the heights of
    the rows + 1 lines, from 0 to 1, and `down` are the places of the columns + 1 lines from left to right, in the
    rectangle that the perspective makes of the corners.
    """

    corners: Points
    across: tuple[float, ...]
    down: tuple[float, ...]

    @property
    def rows(self) -> int:
        return len(self.across) - 1

    @property
    def columns(self) -> int:
        return len(self.down) - 1

    def cut(
        self, image: Image.Image | Gray, row: int, column: int, *, size_px: int, margin: float = 0.0
    ) -> Gray:
        """One cell of the photo, uint8 (h, w), as if seen from straight above.

        `size_px` is the mean height of a row. All cells of a grid with equal rows and columns have the same size.
        `margin` is added on all sides, in shares of the cell's height; a negative one leaves the lines out.
        """
        photo = _as_photo(image, self._zoom(image, size_px))
        return self._cut(photo, row, column, size_px=size_px, margin=margin)

    def cells(self, image: Image.Image | Gray, *, size_px: int, margin: float = 0.0) -> list[list[Gray]]:
        """All cells of the photo, by rows: the same as those of `cut`, but the photo is reduced only once."""
        photo = _as_photo(image, self._zoom(image, size_px))
        return [
            [self._cut(photo, row, column, size_px=size_px, margin=margin) for column in range(self.columns)]
            for row in range(self.rows)
        ]

    def _zoom(self, image: Image.Image | Gray, size_px: int) -> float:
        """How many pixels of the photo become one of a cell."""
        return self._sides(image)[1] / (size_px * self.rows)

    def _sides(self, image: Image.Image | Gray) -> tuple[float, float]:
        """The grid's width and height in the photo, in its pixels."""
        width, height = image.size if isinstance(image, Image.Image) else image.shape[::-1]
        return side_lengths(self.corners * (width, height))

    def _cut(self, photo: _Photo, row: int, column: int, *, size_px: int, margin: float) -> Gray:
        width, height = side_lengths(self.corners * photo.full_size)
        high = size_px * self.rows  # the whole grid, from straight above
        wide = high * width / height
        top, bottom = _cell(self.across, row)
        left, right = _cell(self.down, column)
        extra = margin * (bottom - top) * high
        ends = np.array([[left, top], [right, bottom]]) * (wide, high) + [[-extra, -extra], [extra, extra]]
        (x0, y0), (x1, y1) = ends / (wide, high)
        box = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
        corners = project(homography(UNIT, self.corners), box) * photo.full_size
        size = np.maximum(1, np.rint(ends[1] - ends[0])).astype(int).tolist()
        return view(photo.image, corners, (size[0], size[1]), fill=photo.fill)


class _Photo(NamedTuple):
    image: Image.Image  # gray
    full_size: tuple[float, float]  # in its pixels: the last ones may be partly beyond the border
    fill: int  # gray level beyond the border


def find_grid(ruling: Floats) -> Grid | None:
    """Find the largest grid of lines in a photo, given the share of each pixel that is a ruled line, (H, W) from 0 to 1.

    A grid has at least two rows and two columns of lines that cross, from frame to frame; they may be of unequal size.
    Pieces of lines may be missing. A photo may be taken from the side and turned by up to 45°: the grid's top is what is
    nearest to the top of the photo. Whether a page lies on its side or is upside down cannot be told from lines. Paper
    with squares is a grid, too. Cells that are merged are told as if all lines went through. A grid that the border of
    the photo cuts ends with its last line that is visible.

    None if there is none.
    """
    labels, count = components(_grown(ruling >= LINE))
    found = boxes(labels, count)[1:]
    sides = found[:, 2:] - found[:, :2]
    for index in np.argsort(-sides.prod(axis=1), kind="stable")[:TRIED]:
        if sides[index].min() < MIN_SIDE_PX:
            continue
        piece = np.asarray(np.where(labels == index + 1, np.rint(255 * np.clip(ruling, 0, 1)), 0), np.uint8)
        if (grid := _grid_of(piece)) is not None:
            return grid
    return None


def _grid_of(piece: Gray) -> Grid | None:
    """The grid of a piece of ruling (H, W), 255 where a pixel is all line."""
    corners = quad_around(piece >= 255 * LINE)
    if corners is None or min(side_lengths(corners)) < MIN_SIDE_PX:
        return None
    image = Image.fromarray(piece)
    corners = _beyond(corners, MARGIN)
    for reach in REACHES:
        corners = _straightened(image, corners, reach)
    flat = view(image, corners, _size(corners))
    lengthwise, crosswise = _directions(flat)
    lines = _supported(flat, _peaks(lengthwise.mean(axis=1)), _peaks(crosswise.mean(axis=0)))
    if lines is None:
        return None
    across, down = lines
    refined = _refined(lengthwise, crosswise, across, down)
    height, width = flat.shape
    corners = project(homography(UNIT * (width, height), corners), refined)
    relative = corners / piece.shape[::-1]
    return Grid(relative, _shares(across), _shares(down))


def _straightened(image: Image.Image, corners: Points, reach: float) -> Points:
    """Corners between which both families of lines are straight, given some between which they nearly are."""
    lengthwise, crosswise = _directions(view(image, corners, _size(corners)))
    one, other = _slopes(lengthwise, reach), _slopes(crosswise.T, reach)
    points = []
    for x0, y0 in 2 * UNIT - 1:  # the lines along the border, if they are turned as the grid's are
        slope, slant = one.a + one.b * y0, other.a + other.b * x0
        x = (x0 + slant * y0) / (1 - slant * slope)
        points.append(((x + 1) / 2, (y0 + slope * x + 1) / 2))
    return project(homography(UNIT, corners), np.array(points))


def _slopes(lines: Floats, reach: float) -> _Family:
    """The slopes of the lines in a map (H, W) of what runs about from left to right: those that make sums sharpest."""
    height, width = lines.shape
    edges = np.linspace(0, width, STRIPS + 1).astype(int)
    strips = np.add.reduceat(lines, edges[:-1], axis=1) / np.diff(edges)  # (H, STRIPS)
    x = (edges[:-1] + edges[1:]) / width - 1
    best = _Family(0, 0)
    step = 2 * reach / (SLOPES - 1)
    tries = np.arange(SLOPES) - SLOPES // 2
    for reduce in (4, 2, 1)[:STEPS]:
        rows = height // reduce
        small = strips[: rows * reduce].reshape(rows, reduce, STRIPS).mean(axis=1)
        y = (np.arange(rows) + 0.5) * 2 / rows - 1
        a = best.a + step * tries[:, None, None, None]
        b = best.b + step * tries[:, None, None]
        at = ((y[:, None] + (a + b * y[:, None]) * x + 1) * rows / 2).astype(np.intp)  # (a, b, rows, STRIPS)
        sums = small[np.clip(at, 0, rows - 1), np.arange(STRIPS)].sum(axis=3)
        i, j = np.unravel_index(int(np.square(sums).sum(axis=2).argmax()), (SLOPES, SLOPES))
        best = _Family(float(best.a + step * tries[i]), float(best.b + step * tries[j]))
        step /= 4
    return best


def _directions(flat: Gray) -> tuple[Floats, Floats]:
    """What of a map (H, W) runs from left to right, and what runs from top to bottom, in shares of a pixel."""
    height, width = flat.shape
    ruling = flat.astype(np.float32) / 255
    along, up = _blurred(ruling.T, round(ALONG * width)).T, _blurred(ruling, round(ALONG * height))
    return np.maximum(along - up, 0), np.maximum(up - along, 0)


def _blurred(values: Floats, px: int) -> Floats:
    """The mean of the values (H, W) over `px` rows to each side."""
    padded = np.pad(values, ((px + 1, px), (0, 0)))
    sums = np.cumsum(padded, axis=0)
    return np.asarray((sums[2 * px + 1 :] - sums[: -2 * px - 1]) / (2 * px + 1), np.float32)


def _peaks(profile: Floats) -> list[float]:
    """Where the lines are in the mean of each row (H,), at least as far apart as those of the smallest cells."""
    smooth = np.convolve(profile, [0.25, 0.5, 0.25], mode="same")
    order = np.argsort(-smooth, kind="stable")
    taken = np.zeros(len(smooth), bool)
    peaks = []
    for index in order[smooth[order] >= PEAK * smooth.max()].tolist():
        around = slice(max(0, index - 1), index + 2)
        if smooth[around].max() > smooth[index] or taken[index]:
            continue
        taken[max(0, index - MIN_CELL_PX + 1) : index + MIN_CELL_PX] = True
        weights = smooth[around]
        peaks.append(float((weights * (np.arange(len(smooth))[around] + 0.5)).sum() / weights.sum()))
    return sorted(peaks)


def _supported(flat: Gray, across: list[float], down: list[float]) -> tuple[list[float], list[float]] | None:
    """Those of the lines that go from end to end of the others, and form cells; None if there are no two by two."""
    seen = flat >= 255 * INKED
    near_rows = seen | np.roll(seen, 1, axis=0) | np.roll(seen, -1, axis=0)
    near_columns = seen | np.roll(seen, 1, axis=1) | np.roll(seen, -1, axis=1)
    while len(across) > 2 and len(down) > 2:
        rows, columns = slice(int(across[0]), int(across[-1]) + 1), slice(int(down[0]), int(down[-1]) + 1)
        one = near_rows[np.array(across).astype(int), columns].mean(axis=1)
        other = near_columns[rows, np.array(down).astype(int)].mean(axis=0)
        if min(one.min(), other.min()) < SUPPORT:
            lines, support = (across, one) if one.min() <= other.min() else (down, other)
            lines.pop(int(support.argmin()))
            continue
        if (gone := _empty_band(near_columns, across, down)) is not None:
            across.pop(gone)
        elif (gone := _empty_band(near_rows.T, down, across)) is not None:
            down.pop(gone)
        else:
            return across, down
    return None


def _empty_band(near: NDArray[np.bool_], across: list[float], down: list[float]) -> int | None:
    """0 or -1 if the first or last row has no lines between its cells: a title, or a second frame; None otherwise."""
    inner = np.array(down[1:-1]).astype(int)
    for index, (top, bottom) in ((0, across[:2]), (-1, across[-2:])):
        if near[int(top) + 2 : int(bottom) - 1, inner].mean() < SUPPORT:
            return index
    return None


def _refined(lengthwise: Floats, crosswise: Floats, across: list[float], down: list[float]) -> Points:
    """The four outermost crossings, by the perspective that fits all crossings best."""
    y = _wandering(lengthwise, across, down)
    x = _wandering(crosswise.T, down, across).T
    plain_y, plain_x = np.meshgrid(across, down, indexing="ij")
    before, after = np.stack([plain_x.ravel(), plain_y.ravel()], 1), np.stack([x.ravel(), y.ravel()], 1)
    ends = np.array([down[0], across[0]]), np.array([down[-1], across[-1]])
    unit = homography((before - ends[0]) / (ends[1] - ends[0]), (after - ends[0]) / (ends[1] - ends[0]))
    return project(unit, UNIT) * (ends[1] - ends[0]) + ends[0]


def _wandering(lines: Floats, across: list[float], down: list[float]) -> NDArray[np.float64]:
    """The heights of all lines of a map (H, W) at each crossing, (rows + 1, columns + 1)."""
    reach = max(1, round(0.2 * float(np.diff(across).min())))
    edges = np.array(down).astype(int)
    heights = np.empty((len(across), len(down)))
    for i, line in enumerate(across):
        top = max(0, int(line) - reach)
        part = np.add.reduceat(lines[top : int(line) + reach + 1], edges, axis=1)[:, :-1]  # (reach, columns)
        weight = part.sum(axis=0)
        offset = (part * (np.arange(len(part))[:, None] + top + 0.5 - line)).sum(axis=0)
        offset /= weight + 0.2 * weight.mean() + 1e-6  # little ruling says little
        ends = np.concatenate([offset[:1], offset, offset[-1:]])
        heights[i] = line + (ends[1:] + ends[:-1]) / 2
    return heights


def _beyond(corners: Points, share: float) -> Points:
    """Corners of the same plane, by a share of the sides farther out."""
    return project(homography(UNIT, corners), UNIT * (1 + 2 * share) - share)


def _size(corners: Points) -> tuple[int, int]:
    width, height = side_lengths(corners)
    return max(1, round(width)), max(1, round(height))


def _shares(lines: list[float]) -> tuple[float, ...]:
    return tuple((line - lines[0]) / (lines[-1] - lines[0]) for line in lines)


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask (H, W) and all pixels beside it: a gap of two pixels in a line is closed."""
    tall = mask.copy()
    tall[1:] |= mask[:-1]
    tall[:-1] |= mask[1:]
    wide = tall.copy()
    wide[:, 1:] |= tall[:, :-1]
    wide[:, :-1] |= tall[:, 1:]
    return wide


def _cell(lines: tuple[float, ...], index: int) -> tuple[float, float]:
    """Begin and end of a row or column; all are equally wide if they nearly are."""
    spacings = np.diff(lines)
    begin, end = lines[index], lines[index + 1]
    mean = 1 / len(spacings)
    if np.abs(spacings - mean).max() > EVEN * mean:
        return begin, end
    middle = (begin + end) / 2
    return middle - mean / 2, middle + mean / 2


def _as_photo(image: Image.Image | Gray, zoom: float) -> _Photo:
    """A photo as gray image, reduced by a whole number if several of its pixels become one."""
    gray = (image if isinstance(image, Image.Image) else Image.fromarray(image)).convert("L")
    factor = max(1, int(zoom))
    small = gray.reduce(factor) if factor > 1 else gray
    size = gray.width / factor, gray.height / factor
    return _Photo(small, size, int(np.median(np.asarray(small))))
