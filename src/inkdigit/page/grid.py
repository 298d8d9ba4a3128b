"""The grid of a table or a sudoku in a photo: where its lines are, and its cells, seen from straight above.

In: the share of each pixel that is a ruled line, as the ink network tells it. Out: the corners of the grid, its
rows and columns, and cells cut from the photo, which may be larger than what the network saw.

The largest connected piece of ruling has four corners, roughly those of the grid. Between them the two families of
lines are made straight: lines of one family meet in one point, so that two numbers tell the slopes of all. Then the
lines are peaks in the sums along rows and columns. Those count from whose crossings lines go on; digits do not.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inkdigit.page.enclosed import grown, regions
from inkdigit.page.lattice import MIN_CELL_PX, Arms, Crossings, Places, even_lines, real_lines
from inkdigit.page.quad import UNIT, Points, homography, is_convex, project, quad_around, side_lengths, view
from inkdigit.picture.components import boxes, components
from inkdigit.types import Floats, Gray

LINE = 0.35  # share of a pixel: with as much ruling it belongs to a line
FULL = 0.5  # share of a pixel: thin lines count as much as thick ones
GAP = 0.0036  # of the longest side: a gap in a line that is twice as long is closed
AGAIN = 2  # times: how often corners are looked for from those that were found
NEAR = 0.05  # of the grid's side: corners that are as near to those that were assumed confirm them
TRIED = 3  # pieces of ruling, the largest first: what is smaller than three others is not what the photo shows
MIN_SIDE_PX = 16  # of the piece: two cells of the smallest kind
MARGIN = 0.06  # of the sides: how far beyond the rough corners lines are looked for
ROW = 1.5  # the same where the size of the grid is known, in rows or columns
OUTSIDE = 0.3  # of the image's sides: how far beyond its border a corner may be
REACHES = (0.15, 0.05)  # of half the side, in both directions: how wrong slopes may be; first, then
STRIPS = 16  # in which a line is taken as level while its slope is looked for
CLOSER = 2.5  # times: how much more closely each step of that search looks
ALONG = 0.05  # of the side: what is longer is a line and not the stroke of a digit, which is some 0.07 high at the most
PEAK = 0.1  # of the strongest line: the weakest one that is looked at
HALF = 0.06  # of a full line: one that is as faint counts half
AROUND = 0.03  # of the side, to both sides of a line: what is around it
WHOLE = 0.7  # of all lines between crossings: a grid has more; noise, text and codes have less
WHOLE_KNOWN = 0.55  # the same where the size of the grid is known: 120 photos without one had 0.44 at the most
WANDER = 0.03  # of the side: how far a line may be from where a flat page has it
EVEN = 0.12  # of the mean: spacings that differ less are equal ones, not quite seen


class _Step(NamedTuple):
    """One step of the search for slopes."""

    reduce: int  # rows of the map that are taken as one
    tries: int  # of each of the two numbers


SEARCH = (_Step(4, 9), _Step(2, 5), _Step(2, 5))


class _Family(NamedTuple):
    """The slopes of lines that meet in one point: a line at height y0 of the middle is at y0 + (a + b·y0)·x.

    All four numbers are in half sides of the rectangle that is looked at, from -1 to 1.
    """

    a: float
    b: float


class _Lattice(NamedTuple):
    """A grid in an image of ruling: corners in its pixels, the places of lines, and how many lines leave crossings."""

    corners: Points
    across: Places
    down: Places
    arms: int


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
        """How many rows of cells there are."""
        return len(self.across) - 1

    @property
    def columns(self) -> int:
        """How many columns of cells there are."""
        return len(self.down) - 1

    def cut(self, image: Image.Image | Gray, row: int, column: int, *, size_px: int, margin: float = 0.0) -> Gray:
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

    def outline(self, row: int, column: int) -> Points:
        """The corners of a cell, float64 (4, 2), as `corners` has those of the grid: in shares of the photo's sides."""
        (top, bottom), (left, right) = _cell(self.across, row), _cell(self.down, column)
        box = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
        return project(homography(UNIT, self.corners), box)

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
    """A photo from which cells are cut."""

    image: Image.Image  # gray
    full_size: tuple[float, float]  # in its pixels: the last ones may be partly beyond the border
    fill: int  # gray level beyond the border


def find_grid(ruling: Floats) -> Grid | None:
    """Find the largest grid in a photo, given the share of each pixel that is a ruled line, (H, W) from 0 to 1.

    A grid has at least two rows and two columns of lines that cross, from frame to frame; they may be of unequal size.
    Pieces of lines may be missing. A photo may be taken from the side and turned by up to some 35°: the grid's top is
    what is nearest to the photo's top. Whether a page lies on its side or is upside down cannot be told from lines.
    Squared paper is a grid, too. Cells that are merged are told as if all lines went through. A grid that the border
    of the photo cuts ends with its last line that is visible.

    None if there is none.
    """
    image = _as_image(ruling)
    for corners, box in _pieces(ruling):
        if (lattice := _lattice_of(image, corners, box)) is not None:
            return _grid(lattice, image)
    return None


def find_even_grid(marks: Floats, rows: int, columns: int) -> Grid | None:
    """Find a grid of so many equal rows and columns, given the share of each pixel that is not paper, (H, W).

    It knows what it looks for, and so needs less of the lines, and finds them among writing. None if there is none.
    """
    image, size = _as_image(marks), (rows, columns)
    candidates = _pieces(marks) + [(quad_around(cells), _corners_of(box)) for cells, box in regions(marks, size)]
    found = [lattice for corners, box in candidates if (lattice := _lattice_of(image, corners, box, size)) is not None]
    return _grid(max(found, key=lambda lattice: lattice.arms), image) if found else None


def _as_image(shares: Floats) -> Image.Image:
    return Image.fromarray(np.asarray(np.rint(255 * np.clip(shares / FULL, 0, 1)), np.uint8))


def _pieces(ruling: Floats) -> list[tuple[Points | None, Points]]:
    """The largest connected pieces of ruling: the four corners around each, and its box."""
    mask = ruling >= LINE
    labels, count = components(grown(mask, max(1, round(GAP * max(mask.shape)))))
    found = boxes(labels, count)[1:]
    sides = found[:, 2:] - found[:, :2]
    return [
        (quad_around((labels == index + 1) & mask), _corners_of(found[index]))
        for index in np.argsort(-sides.prod(axis=1), kind="stable")[:TRIED].tolist()
        if sides[index].min() >= MIN_SIDE_PX
    ]


def _grid(lattice: _Lattice, image: Image.Image) -> Grid:
    return Grid(lattice.corners / image.size, _shares(lattice.across), _shares(lattice.down))


def _corners_of(box: NDArray[np.intp]) -> Points:
    top, left, bottom, right = box
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)


def _lattice_of(
    image: Image.Image, corners: Points | None, box: Points, size: tuple[int, int] | None = None
) -> _Lattice | None:
    """The lattice of a piece of ruling, whose corners and box are given; with `size`, one of equal rows and columns.

    If something sticks out of the grid, the corners are wrong, and the box may be better: the one with most lines wins.
    """
    found, settled = ([], False) if corners is None else _settled(image, corners, size)
    if not settled:
        found += _settled(image, box, size)[0]
    return max(found, key=lambda lattice: lattice.arms, default=None)


def _settled(image: Image.Image, corners: Points, size: tuple[int, int] | None) -> tuple[list[_Lattice], bool]:
    """The lattices found from corners, and again from the corners of what was found; whether that came to an end."""
    found: list[_Lattice] = []
    for _ in range(AGAIN):
        if (lattice := _lattice_at(image, corners, size)) is None:
            break
        found.append(lattice)
        if _is_near(lattice.corners, corners):
            return found, True
        corners = lattice.corners
    return found, False


def _is_near(one: Points, other: Points) -> bool:
    """Whether corners are where others are."""
    return bool(np.linalg.norm(one - other, axis=1).max() < NEAR * min(side_lengths(one)))


def _lattice_at(image: Image.Image, corners: Points, size: tuple[int, int] | None) -> _Lattice | None:
    """The lattice in an image of ruling (255 where a pixel is all line), of which corners are known roughly."""
    corners = _beyond(corners, MARGIN if size is None else ROW / min(size))
    for reach in REACHES:
        if not _is_plausible(corners, image.size):
            return None
        corners = _straightened(image, corners, reach)
    if not _is_plausible(corners, image.size):
        return None
    flat = view(image, corners, _size(corners))
    level, upright = _ridges(flat), _ridges(flat.T).T
    lengthwise, crosswise = _lengthwise(level), _lengthwise(upright.T).T
    if (lines := _lines(level, upright, lengthwise, crosswise, size)) is None:
        return None
    across, down = lines
    y, x = _wandering(lengthwise, across, down), _wandering(crosswise.T, down, across).T
    height, width = flat.shape
    corners = project(homography(UNIT * (width, height), corners), _fitted(across, down, y, x))
    arms = Arms.at(level, upright, y, x)
    enough = WHOLE if size is None else WHOLE_KNOWN
    return None if arms.share < enough else _Lattice(corners, across, down, arms.total)


def _lines(
    level: Floats, upright: Floats, lengthwise: Floats, crosswise: Floats, size: tuple[int, int] | None
) -> tuple[Places, Places] | None:
    """The lines from left to right and from top to bottom: those that really cross, or so many at equal distances."""
    rows, columns = lengthwise.mean(axis=1), crosswise.mean(axis=0)
    if size is not None:
        across, down = even_lines(_smooth(rows), size[0] + 1), even_lines(_smooth(columns), size[1] + 1)
        return None if across is None or down is None else _shifted(level, upright, lengthwise, crosswise, across, down)
    across, down = _peaks(rows), _peaks(columns)
    if min(len(across), len(down)) < 3:
        return None
    y, x = _wandering(lengthwise, across, down), _wandering(crosswise.T, down, across).T
    across, down = real_lines(Arms.at(level, upright, y, x), across, down)
    return None if min(len(across), len(down)) < 3 else (across, down)


def _shifted(
    level: Floats, upright: Floats, lengthwise: Floats, crosswise: Floats, across: Places, down: Places
) -> tuple[Places, Places]:
    """Equal rows and columns, or those one further up, down, left or right: the ones that are joined by most lines.

    A line of something else may be as far from a grid as its own lines are from each other; none of these leads there.
    """
    best, most = (across, down), -1
    for i, j in sorted(itertools.product((0, -1, 1), repeat=2), key=lambda steps: abs(steps[0]) + abs(steps[1])):
        rows, columns = across + i * (across[1] - across[0]), down + j * (down[1] - down[0])
        if min(rows[0], columns[0]) < 0 or rows[-1] >= len(lengthwise) or columns[-1] >= lengthwise.shape[1]:
            continue
        y, x = _wandering(lengthwise, rows, columns), _wandering(crosswise.T, columns, rows).T
        if (total := Arms.at(level, upright, y, x).total) > most:
            best, most = (rows, columns), total
    return best


def _is_plausible(corners: Points, size: tuple[int, int]) -> bool:
    """Whether corners are those of something that was photographed, most of it within an image of a size."""
    outside = np.maximum(-corners, corners - size) / size
    return min(side_lengths(corners)) >= MIN_SIDE_PX and is_convex(corners) and bool(outside.max() < OUTSIDE)


def _straightened(image: Image.Image, corners: Points, reach: float) -> Points:
    """Corners between which both families of lines are straight, given some between which they nearly are."""
    flat = view(image, corners, _size(corners)).astype(np.float32)
    lengthwise, crosswise = _lengthwise(flat), _lengthwise(flat.T).T
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
    strips = np.add.reduceat(lines, edges[:-1], axis=1) / np.diff(edges).astype(np.float32)  # (H, STRIPS)
    x = ((edges[:-1] + edges[1:]) / width - 1).astype(np.float32)
    best, step = _Family(0, 0), 2 * reach / (SEARCH[0].tries - 1)
    for reduce, count in SEARCH:
        rows = height // reduce
        small = strips[: rows * reduce].reshape(rows, reduce, STRIPS).mean(axis=1)
        y = ((np.arange(rows) + 0.5) * 2 / rows - 1).astype(np.float32)[:, None]
        tries = (step * (np.arange(count) - count // 2)).astype(np.float32)
        a, b = best.a + tries[:, None, None, None], best.b + tries[:, None, None]
        at = ((y + (a + b * y) * x + 1) * (rows / 2) - 0.5).clip(0, rows - 1.001)  # (a, b, rows, STRIPS)
        upper = at.astype(np.int32)
        strip = np.arange(STRIPS)
        sums = (small[upper, strip] + (at - upper) * (small[upper + 1, strip] - small[upper, strip])).sum(axis=3)
        i, j = np.unravel_index(int(np.square(sums).sum(axis=2).argmax()), (count, count))
        best = _Family(float(best.a + tries[i]), float(best.b + tries[j]))
        step /= CLOSER
    return best


def _lengthwise(level: Floats) -> Floats:
    """What of a map (H, W) runs from left to right, and not from top to bottom."""
    height, width = level.shape
    along, up = _blurred(level.T, round(ALONG * width)).T, _blurred(level, round(ALONG * height))
    return np.asarray(np.maximum(along - up, 0))


def _blurred(values: Floats, px: int) -> Floats:
    """The mean of the values (H, W) over `px` rows to each side."""
    padded = np.pad(values, ((px + 1, px), (0, 0)))
    sums = np.cumsum(padded, axis=0)
    return np.asarray((sums[2 * px + 1 :] - sums[: -2 * px - 1]) / (2 * px + 1), np.float32)


def _smooth(profile: Floats) -> Places:
    return np.asarray(np.convolve(profile, [0.25, 0.5, 0.25], mode="same"), np.float64)


def _peaks(profile: Floats) -> Places:
    """Where the lines are in the mean of each row (H,), at least as far apart as those of the smallest cells."""
    smooth = _smooth(profile)
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
    return np.sort(np.array(peaks))


def _ridges(flat: Gray) -> Floats:
    """How much darker each pixel of a map (H, W) is than what is above and below it, from 0 to 1: lines to the right.

    A thin or faint line counts nearly as much as a thick one.
    """
    ruling = flat.astype(np.float32) / np.float32(255)
    around = _blurred(ruling, round(AROUND * len(flat)))
    return np.asarray(np.maximum(ruling - around, 0) / (ruling + HALF))


def _fitted(across: Places, down: Places, y: Crossings, x: Crossings) -> Points:
    """The four outermost crossings, by the perspective that fits all crossings best."""
    plain_x, plain_y = np.meshgrid(down, across)
    start, size = np.array([down[0], across[0]]), np.array([down[-1] - down[0], across[-1] - across[0]])
    before = (np.stack([plain_x.ravel(), plain_y.ravel()], 1) - start) / size
    after = (np.stack([x.ravel(), y.ravel()], 1) - start) / size
    return np.asarray(project(homography(before, after), UNIT) * size + start)


def _wandering(lines: Floats, across: Places, down: Places) -> Crossings:
    """The heights of all lines of a map (H, W) at each crossing, (rows + 1, columns + 1)."""
    reach = max(1, round(min(0.2 * float(np.diff(across).min()), WANDER * len(lines))))
    edges = down.astype(int)
    heights = np.empty((len(across), len(down)))
    for i, line in enumerate(across):
        top = max(0, int(line) - reach)
        part = np.add.reduceat(lines[top : int(line) + reach + 1], edges, axis=1)[:, :-1]  # (reach, columns)
        weight = part.sum(axis=0)
        offset = (part * (np.arange(len(part))[:, None] + top + 0.5 - line)).sum(axis=0)
        offset /= weight + 0.05 * weight.mean() + 1e-6  # little ruling says little
        ends = np.concatenate([2 * offset[:1] - offset[1:2], offset, 2 * offset[-1:] - offset[-2:-1]])
        heights[i] = line + (ends[1:] + ends[:-1]) / 2
    return heights


def _beyond(corners: Points, share: float) -> Points:
    """Corners of the same plane, by a share of the sides farther out."""
    return project(homography(UNIT, corners), UNIT * (1 + 2 * share) - share)


def _size(corners: Points) -> tuple[int, int]:
    width, height = side_lengths(corners)
    return max(1, round(width)), max(1, round(height))


def _shares(lines: Places) -> tuple[float, ...]:
    return tuple(((lines - lines[0]) / (lines[-1] - lines[0])).tolist())


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
