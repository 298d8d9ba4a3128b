"""The printed lines of scenes: ruled and squared paper, cells, boxes, combs, grids, underlines, dark borders.

In: a shape (H, W), the box of the digit (top, left, bottom, right) where there is one, and a random generator. Out: the
coverage of all lines, and how dark they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, radians, sin

import numpy as np
from numpy.typing import NDArray

from inkdigit.synth.raster import Map, Shape, cloud, grid, log_uniform, over, segment, stripes

Box = tuple[float, float, float, float]  # top, left, bottom, right in pixels
NEAR_BORDER = 0.08  # of the shorter side
KINDS = ("ruled", "squared", "dots", "cell", "box", "comb", "grid", "underline", "band")
SHARES = (0.14, 0.14, 0.06, 0.26, 0.1, 0.06, 0.12, 0.06, 0.06)


def draw(shape: Shape, box: Box, rng: np.random.Generator) -> tuple[Map, Map]:
    """A random kind of lines around `box`: how dark each pixel becomes, and the true coverage, two maps (H, W)."""
    cover = np.zeros(shape, np.float32)
    turn = radians(float(rng.normal(0, 1.0 if rng.random() < 0.6 else 5.0)))
    for kind in rng.choice(KINDS, size=1 if rng.random() < 0.85 else 2, replace=False, p=SHARES):
        cover = over(cover, _DRAW[str(kind)](shape, box, turn, rng))
    return _printed(cover, rng)


def places(shape: Shape, box: Box, count: int, rng: np.random.Generator) -> tuple[Map, Map]:
    """A row of equal places around `box`, one for each of `count` digits: boxes, or teeth on a base line; as `draw`."""
    (top, left, bottom, right), width = box, width_px(shape, rng)
    height, turn = bottom - top, float(rng.normal(0, 0.01))
    tooth = top if rng.random() < 0.7 else bottom - float(rng.uniform(0.15, 0.8)) * height
    cover = segment(shape, (left, bottom), (right, bottom), width)
    if tooth == top and rng.random() < 0.9:
        cover = over(cover, segment(shape, (left, top), (right, top), width))
    for x in np.linspace(left, right, count + 1):
        cover = over(cover, segment(shape, (x + turn * height, tooth), (x, bottom), width))
    return _printed(cover, rng)


def _printed(cover: Map, rng: np.random.Generator) -> tuple[Map, Map]:
    """How dark lines become in print, and their true coverage."""
    alpha = float(rng.uniform(0.08, 0.4) if rng.random() < 0.4 else rng.uniform(0.3, 1.0))
    seen = cover * np.float32(alpha)
    if rng.random() < 0.2:  # worn print
        seen = seen * (1 - np.float32(rng.uniform(0.2, 0.9)) * (cloud(cover.shape, rng, rng.uniform(6, 40)) > 0.6))
    return seen, np.clip(cover * np.float32(1.25), 0, 1)


def width_px(shape: Shape, rng: np.random.Generator) -> float:
    """The random width of a line, in pixels: mostly fine. Ruled paper has lines half as wide as forms."""
    return log_uniform(0.6, max(1.5, 0.05 * min(shape)), rng)


def _ruled(shape: Shape, box: Box, turn: float, rng: np.random.Generator) -> Map:
    """Parallel lines, level or upright, some with a margin line."""
    height = max(8.0, box[2] - box[0])
    step = max(6.0, height * float(rng.uniform(0.35, 1.8)))
    upright = rng.random() < 0.12
    cover = stripes(
        shape, turn + (np.pi / 2 if upright else 0), step, float(rng.uniform(0, step)), width_px(shape, rng) / 2
    )
    if rng.random() < 0.15:
        x = float(rng.uniform(0, shape[1]))
        cover = over(cover, segment(shape, (x, -9), (x - turn * shape[0], shape[0] + 9), width_px(shape, rng) / 2))
    return cover


def _squared(shape: Shape, box: Box, turn: float, rng: np.random.Generator) -> Map:
    height = max(8.0, box[2] - box[0])
    step, width = max(5.0, height * float(rng.uniform(0.12, 1.1))), width_px(shape, rng) / 2
    across, along = (stripes(shape, turn + more, step, float(rng.uniform(0, step)), width) for more in (0, np.pi / 2))
    return over(across, along)


def _dots(shape: Shape, box: Box, turn: float, rng: np.random.Generator) -> Map:
    height = max(8.0, box[2] - box[0])
    step, width = max(6.0, height * float(rng.uniform(0.12, 0.6))), max(1.0, width_px(shape, rng) / 2)
    across, along = (stripes(shape, turn + more, step, float(rng.uniform(0, step)), width) for more in (0, np.pi / 2))
    return across * along


def _cell(shape: Shape, box: Box, turn: float, rng: np.random.Generator) -> Map:
    """Lines on none to four sides near the border, as where a cell is cut out of a table; some go past a corner."""
    h, w = shape
    sides = _sides(shape, box, rng)
    cover = np.zeros(shape, np.float32)
    width = width_px(shape, rng)
    bold = rng.random() < 0.3
    for side, at in enumerate(sides):
        if rng.random() < 0.35:
            continue
        thick = width * (float(rng.uniform(1.5, 3)) if bold and rng.random() < 0.4 else 1)
        lean = float(rng.normal(0, 0.02))
        at_border = at < NEAR_BORDER * min(h, w)  # only there a line may end inside of the picture
        ends = np.sort(rng.uniform(-0.2, 1.2, 2)) if at_border and rng.random() < 0.6 else np.array([-0.1, 1.1])
        cover = over(cover, _side_line(shape, side, at, thick, turn + lean, ends))
        if rng.random() < 0.08:  # a double line
            cover = over(cover, _side_line(shape, side, at + 2.5 * thick + 1, thick, turn + lean, ends))
    if rng.random() < 0.1:  # another line of the table crosses the picture
        cover = over(
            cover, _side_line(shape, int(rng.integers(4)), float(rng.uniform(0, min(h, w))), width, turn, [-0.1, 1.1])
        )
    return cover


def _sides(shape: Shape, box: Box, rng: np.random.Generator) -> list[float]:
    """How far a line is from the top, right, bottom and left border: between the border and the digit, mostly."""
    h, w = shape
    room = (box[0], w - box[3], h - box[2], box[1])
    return [
        float(rng.uniform(-0.02 * h, max(0.04 * h, 1.02 * gap)) if rng.random() < 0.75 else rng.uniform(-0.02, 0.1) * h)
        for gap in room
    ]


def _side_line(
    shape: Shape, side: int, at: float, width: float, lean: float, ends: Sequence[float] | NDArray[np.float64]
) -> Map:
    h, w = shape
    if side % 2 == 0:
        y = at if side == 0 else h - at
        rise = lean * w
        return segment(shape, (ends[0] * w, y - rise / 2), (ends[1] * w, y + rise / 2), width)
    x = w - at if side == 1 else at
    rise = lean * h
    return segment(shape, (x + rise / 2, ends[0] * h), (x - rise / 2, ends[1] * h), width)


def _box(shape: Shape, box: Box, turn: float, rng: np.random.Generator) -> Map:
    """A closed frame around the digit."""
    height = box[2] - box[0]
    top, left, bottom, right = (
        edge + sign * float(rng.uniform(-0.05, 0.5)) * height for edge, sign in zip(box, (-1, -1, 1, 1), strict=True)
    )
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    middle = corners.mean(0)
    spin = np.array([[cos(turn), sin(turn)], [-sin(turn), cos(turn)]])
    corners = (corners - middle) @ spin + middle + rng.normal(0, 0.015 * height, (4, 2))
    width = width_px(shape, rng)
    cover = np.zeros(shape, np.float32)
    for i in range(4):
        cover = over(cover, segment(shape, tuple(corners[i]), tuple(corners[(i + 1) % 4]), width))
    return cover


def _comb(shape: Shape, box: Box, turn: float, rng: np.random.Generator) -> Map:
    """A base line with short uprights between the places for digits."""
    height, width = box[2] - box[0], width_px(shape, rng)
    pitch = max(0.5 * height, box[3] - box[1]) * float(rng.uniform(1.05, 1.8))
    base, tooth = box[2] + float(rng.uniform(0, 0.2)) * height, float(rng.uniform(0.2, 1.5)) * height
    first = (box[1] + box[3]) / 2 - pitch / 2 - pitch * int(rng.integers(0, 4))
    cover = segment(shape, (first, base), (first + 8 * pitch, base + turn * 8 * pitch), width)
    for i in range(9):
        x, y = first + i * pitch, base + turn * i * pitch
        cover = over(cover, segment(shape, (x, y), (x, y - tooth), width))
    return cover


def _grid(shape: Shape, box: Box, turn: float, rng: np.random.Generator) -> Map:
    """A table: the digit is in one of its cells; each third line may be bold."""
    height, width = box[2] - box[0], width_px(shape, rng)
    row = height * float(rng.uniform(1.1, 2.2))
    column = max(row * float(rng.uniform(0.8, 1.3)), (box[3] - box[1]) * 1.1)
    middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    cover = over(
        stripes(shape, turn, row, row / 2 - middle[0] * cos(turn) + middle[1] * sin(turn), width),
        stripes(shape, turn + np.pi / 2, column, column / 2 + middle[1] * cos(turn) + middle[0] * sin(turn), width),
    )
    if rng.random() < 0.4:
        bold, offset = 3 * row, float(rng.integers(3)) * row + row / 2
        cover = over(
            cover, stripes(shape, turn, bold, offset - middle[0] * cos(turn) + middle[1] * sin(turn), 2.2 * width)
        )
    if rng.random() < 0.3:  # the table ends
        y, x = grid(shape)
        side, at = int(rng.integers(4)), float(rng.uniform(0.0, 0.6))
        inside = (y > at * shape[0], x < (1 - at) * shape[1], y < (1 - at) * shape[0], x > at * shape[1])[side]
        cover = np.where(inside, cover, 0)
    return np.asarray(cover, np.float32)


def _underline(shape: Shape, box: Box, turn: float, rng: np.random.Generator) -> Map:
    """A base line below the digit, or above it too; solid, dashed or dotted."""
    height, width = box[2] - box[0], width_px(shape, rng)
    cover = np.zeros(shape, np.float32)
    for y in (box[2], box[0])[: 1 + int(rng.random() < 0.25)]:
        level = y + float(rng.normal(0.04, 0.08)) * height
        middle = (box[1] + box[3]) / 2  # the line turns around the digit
        left, right = ((x, level + turn * (x - middle)) for x in (-9, shape[1] + 9))
        cover = over(cover, segment(shape, left, right, width))
    if rng.random() < 0.5:
        _, x = grid(shape)
        step = float(rng.uniform(3, 12)) * max(1.0, width)
        cover = cover * ((x % step) < step * float(rng.uniform(0.3, 0.7)))
    return np.asarray(cover, np.float32)


def _band(shape: Shape, box: Box, turn: float, rng: np.random.Generator) -> Map:
    """A dark strip along some borders: the edge of a scan or the rest of a table's frame."""
    cover = np.zeros(shape, np.float32)
    limits = _sides(shape, box, rng)
    for side in rng.choice(4, size=int(rng.integers(1, 4)), replace=False):
        depth = min(float(rng.uniform(0.01, 0.12)) * min(shape), max(1.5, limits[side] * 0.9))
        cover = over(cover, _side_line(shape, int(side), 0.0, 2 * depth, turn / 2, [-0.2, 1.2]))
    return cover


_DRAW = {
    "ruled": _ruled,
    "squared": _squared,
    "dots": _dots,
    "cell": _cell,
    "box": _box,
    "comb": _comb,
    "grid": _grid,
    "underline": _underline,
    "band": _band,
}
