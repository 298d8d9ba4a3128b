"""Which of the lines that may be are those of a grid: the ones that cross, at even distances if that explains more.

In: how strongly each pixel of a map, in which the grid's lines are straight, belongs to a line; where lines may be and
where they would cross. Out: where the lines of the grid are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inkdigit.types import Floats

SEEN = 0.4  # of a ridge: enough, where a line is expected
ARM_START_PX, ARM_PX = 2, 4  # from the crossing, beyond its own thickness: where the lines that leave it are looked for
ARM_SEEN_PX = 3  # of these
SUPPORT = 0.5  # of its crossings that a line must leave: less than that is not a line of this grid
BARE = 0.25  # of the lines between the cells of a row: less than that, even faint, is not a row of cells
REGULAR = 0.7  # of how well the lines seen explain what is seen: enough for lines that are equally far apart
OFF = 0.2  # of their distance: how far a line may be from where it is expected
OFF_FEWER = 0.15  # the same, if some of the chosen lines are then wrong
WEAK = 0.2  # of its crossings: what an expected line must leave
MISSING_OF = 9  # expected lines, of which one may not be seen at all
FAINT = 0.15  # of the strongest line: a weaker one never counts fully
STEP_PX = 0.25  # between distances, and between places, that are tried for lines at equal distances
WIDER = 0.08  # how much better lines at the greatest distance are than others that are seen as well
BESIDE = 0.8  # of its strength that a line has one pixel away: pages are not quite flat
EVENLY = 0.75  # of lines at equal distances: with less, they are not there
MIN_CELL_PX = 5  # in the map: the network does not see finer grids

Places = NDArray[np.float64]  # (N,): where the lines of a family are, in pixels, from the top or from the left
Crossings = NDArray[np.float64]  # (rows + 1, columns + 1): one coordinate of each crossing, in pixels
Lines = NDArray[np.intp]  # (n,): the numbers of some lines


class Arms(NamedTuple):
    """Which lines leave each crossing of those that may be lines: four times bool (rows + 1, columns + 1)."""

    above: NDArray[np.bool_]
    below: NDArray[np.bool_]
    left: NDArray[np.bool_]
    right: NDArray[np.bool_]

    def across(self, columns: Lines) -> Places:
        """How much each line from left to right leaves its crossings with some columns, from 0 to 1."""
        return np.asarray(self.right[:, columns[:-1]].mean(axis=1) + self.left[:, columns[1:]].mean(axis=1)) / 2

    def down(self, rows: Lines) -> Places:
        """How much each line from top to bottom leaves its crossings with some rows, from 0 to 1."""
        return np.asarray(self.below[rows[:-1]].mean(axis=0) + self.above[rows[1:]].mean(axis=0)) / 2

    @classmethod
    def at(cls, level: Floats, upright: Floats, y: Crossings, x: Crossings) -> Arms:
        """Those of the crossings at `y` and `x`, given the ridges of both directions (H, W)."""
        above, below = _leaving(upright, y, x, -1), _leaving(upright, y, x, 1)
        left, right = _leaving(level.T, x, y, -1), _leaving(level.T, x, y, 1)
        return cls(above, below, left, right)

    @property
    def total(self) -> int:
        """How many there are, of those between two crossings."""
        between = self.right[:, :-1], self.left[:, 1:], self.below[:-1], self.above[1:]
        return int(sum(part.sum() for part in between))

    @property
    def share(self) -> float:
        """How many there are of those that there may be."""
        rows, columns = self.left.shape
        return float(self.total / max(1, 2 * (rows * (columns - 1) + columns * (rows - 1))))


def real_lines(arms: Arms, across: Places, down: Places) -> tuple[Places, Places]:
    """The lines of a grid from left to right and from top to bottom, given all that may be lines and what crosses."""
    rows, columns = _crossing(arms)
    rows, columns = (
        _extended(across, rows, arms.across(columns), arms.below[:, columns[1:-1]], arms.above[:, columns[1:-1]]),
        _extended(down, columns, arms.down(rows), arms.right[rows[1:-1]].T, arms.left[rows[1:-1]].T),
    )
    return _evened(across, rows, arms.across(columns)), _evened(down, columns, arms.down(rows))


def even_lines(strength: Places, count: int) -> Places | None:
    """Where `count` lines at equal distances are, given how strong a line would be at each pixel (H,); None if nowhere.

    They are where the mean strength is greatest. The full strength is that of the `count`-th strongest peak, so that a
    thick line counts no more than a thin one. Of places that are as good the ones that are farthest apart win.
    """
    height = len(strength)
    widest = (height - 1) / (count - 1)
    if widest < MIN_CELL_PX:
        return None
    peaks = np.sort(strength[1:-1][(strength[1:-1] >= strength[:-2]) & (strength[1:-1] > strength[2:])])
    if not peaks.size or peaks[-1] <= 0:
        return None
    full = max(float(peaks[-min(count, len(peaks))]), FAINT * float(peaks[-1]))
    seen = np.minimum(strength / full, 1)
    near = np.maximum(seen, BESIDE * np.maximum(np.roll(seen, 1), np.roll(seen, -1)))
    best, found = 0.0, None
    for distance in np.arange(MIN_CELL_PX, widest + 1e-9, STEP_PX):
        first = np.arange(0, height - 1 - distance * (count - 1) + 1e-9, STEP_PX)
        places = first[:, None] + distance * np.arange(count)
        each = near[np.rint(places).astype(np.intp)]
        score = each.mean(axis=1) * (1 + WIDER * distance / widest)
        i = int(score.argmax())
        if score[i] > best:
            best, found = float(score[i]), places[i]
    if found is None or float(near[np.rint(found).astype(np.intp)].mean()) < EVENLY:
        return None
    return np.asarray(found + 0.5)


def _leaving(upright: Floats, y: Crossings, x: Crossings, sign: int) -> NDArray[np.bool_]:
    """Whether a line leaves a crossing downwards, or upwards if `sign` is -1."""
    height, width = upright.shape
    seen = upright >= SEEN
    near = seen.copy()
    near[:, 1:] |= seen[:, :-1]
    near[:, :-1] |= seen[:, 1:]
    at = y[..., None] + sign * np.arange(ARM_START_PX, ARM_START_PX + ARM_PX)
    rows = np.clip(at.astype(int), 0, height - 1)
    seen_px = near[rows, np.clip(x.astype(int), 0, width - 1)[..., None]].sum(axis=2)
    return np.asarray(seen_px >= ARM_SEEN_PX)


def _crossing(arms: Arms) -> tuple[Lines, Lines]:
    """The numbers of those lines that really cross: from left to right, and from top to bottom.

    From a crossing, lines go on to all sides. Digits do not: they stand in the middle of cells, and a column of them
    looks like a line only as long as nobody looks at its crossings.
    """
    rows, columns = np.arange(arms.left.shape[0]), np.arange(arms.left.shape[1])
    while len(rows) > 2 and len(columns) > 2:
        one, other = arms.across(columns)[rows], arms.down(rows)[columns]
        these = np.ix_(rows, columns)
        if min(one.min(), other.min()) < SUPPORT:
            if one.min() <= other.min():
                rows = np.delete(rows, one.argmin())
            else:
                columns = np.delete(columns, other.argmin())
        elif (gone := _bare(arms.below[these], arms.above[these])) is not None:
            rows = np.delete(rows, gone)
        elif (gone := _bare(arms.right[these].T, arms.left[these].T)) is not None:
            columns = np.delete(columns, gone)
        else:
            break
    return rows, columns


def _extended(
    places: Places, chosen: Lines, evidence: Places, after: NDArray[np.bool_], before: NDArray[np.bool_]
) -> Lines:
    """The chosen lines of a family, and those that go on beyond them at the same distance, with faint cells between."""
    lines = places[chosen]
    if len(lines) < 3 or not after.size:
        return chosen
    pitch = float(np.median(np.diff(lines)))
    for end, step, near, far in ((0, -1, before, after), (-1, 1, after, before)):
        while True:
            distance = np.abs(places - (places[chosen[end]] + step * pitch))
            new = int(distance.argmin())
            if distance[new] > OFF * pitch or evidence[new] < SUPPORT or new in chosen:
                break
            if min(near[chosen[end]].mean(), far[new].mean()) < BARE:
                break
            chosen = np.sort(np.append(chosen, new))
    return chosen


def _evened(places: Places, chosen: Lines, evidence: Places) -> Places:
    """The lines of a family: equally far apart if that explains what is seen, faint lines included; or the chosen ones.

    `places` are all that may be lines, `evidence` the share of crossings that each of them leaves.
    """
    lines = places[chosen]
    inner = (places > lines[0]) & (places < lines[-1])
    known, weight = places[inner], np.square(evidence[inner])
    if not weight.sum():
        return lines
    picked = np.square(evidence[chosen[1:-1]])
    best, score = lines, REGULAR * picked.mean() * picked.sum() / weight.sum() if len(picked) else 0.0
    for count in range(2, int((lines[-1] - lines[0]) / MIN_CELL_PX) + 1):
        expected = np.linspace(lines[0], lines[-1], count + 1)[1:-1]
        distance = np.abs(known - expected[:, None])
        nearest = distance.argmin(axis=1)
        off = OFF_FEWER if count + 1 < len(lines) else OFF
        near = distance.min(axis=1) < off * (expected[0] - lines[0])
        hits = np.where(near, weight[nearest], 0)
        explained = hits.mean() * hits.sum() / weight.sum()
        if explained > score and np.sum(hits < WEAK**2) <= count // MISSING_OF:
            score = explained
            best = np.concatenate([lines[:1], np.where(near, known[nearest], expected), lines[-1:]])
    return best


def _bare(after: NDArray[np.bool_], before: NDArray[np.bool_]) -> int | None:
    """0 or -1 if the first or last row has no lines between its cells: a title, or a second frame; None otherwise."""
    for index, arms in ((0, (after[0, 1:-1], before[1, 1:-1])), (-1, (after[-2, 1:-1], before[-1, 1:-1]))):
        if np.mean(arms) < SUPPORT:
            return index
    return None
