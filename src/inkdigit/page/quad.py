"""Four corners of something flat in a photo, and the perspective (homography) between it and a rectangle.

In: points (x, y) in a plane whose y points down, or an image and four corners in it. Out: the corners, other points, or
the part of the image between the corners, seen from straight above.

Corners are float64 (4, 2): top left, top right, bottom right, bottom left. The centre of the first pixel is (0.5, 0.5).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inkdigit.types import Gray

Points = NDArray[np.float64]  # (N, 2): x, y
Matrix = NDArray[np.float64]  # (3, 3): maps (x, y, 1)

UNIT: Points = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64)
PARALLEL = 1e-9  # of the product of two sides: their cross product, if they are parallel but for rounding


def homography(before: Points, after: Points) -> Matrix:
    """The perspective that maps the points `before` (N, 2) to `after`, four or more, with the least squared error.

    It is the direct linear transform of Hartley and Zisserman (2004), chapter 4, on points of a similar scale.
    """
    x, y = before.T
    u, v = after.T
    one, nil = np.ones_like(x), np.zeros_like(x)
    rows = np.concatenate(
        [
            np.stack([x, y, one, nil, nil, nil, -u * x, -u * y], 1),
            np.stack([nil, nil, nil, x, y, one, -v * x, -v * y], 1),
        ]
    )
    solution = np.linalg.lstsq(rows, np.concatenate([u, v]), rcond=None)[0]
    return np.append(solution, 1.0).reshape(3, 3)


def project(matrix: Matrix, points: Points) -> Points:
    """Where a perspective maps points (N, 2)."""
    mapped = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    return np.asarray(mapped[:, :2] / mapped[:, 2:])


def view(image: Image.Image, corners: Points, size: tuple[int, int], *, fill: int = 0) -> Gray:
    """The part of a gray image between four corners, given in its pixels, as `size` (width, height) pixels.

    What is outside of the image is `fill`. Nothing is averaged: an image that is much larger is reduced before.
    """
    matrix = homography(UNIT * size, corners)
    data = (matrix / matrix[2, 2]).ravel()[:8].tolist()
    flat = image.transform(size, Image.Transform.PERSPECTIVE, data, resample=Image.Resampling.BILINEAR, fillcolor=fill)
    return np.asarray(flat)


def side_lengths(corners: Points) -> tuple[float, float]:
    """Width and height of a quadrilateral: the means of opposite sides."""
    top, right, bottom, left = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
    return float(top + bottom) / 2, float(left + right) / 2


def is_convex(corners: Points) -> bool:
    """Whether corners are in their order, clockwise as seen, and none lies between the others."""
    sides = np.roll(corners, -1, axis=0) - corners
    return bool((_cross(sides, np.roll(sides, -1, axis=0)) > 0).all())


def quad_around(mask: NDArray[np.bool_]) -> Points | None:
    """The corners of a small quadrilateral around all that is True in a mask (H, W), the first at the top left.

    It is the convex hull without all of its edges but four: again and again the edge goes that adds least when its
    neighbours are prolonged until they meet. None if what is True has no four sides.
    """
    hull = _hull(mask)
    while len(hull) > 4:
        before, start, end, after = (np.roll(hull, shift, axis=0) for shift in (1, 0, -1, -2))
        one, other, edge = start - before, after - end, end - start
        turn = _cross(one, other)
        meets = turn > PARALLEL * np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        # `start + along * one` is where the two neighbours meet
        along = _cross(edge, other) / np.where(meets, turn, 1)
        added = np.where(meets, along * np.abs(_cross(one, edge)) / 2, np.inf)
        gone = int(added.argmin())
        if not np.isfinite(added[gone]):
            return None
        hull[gone] = start[gone] + along[gone] * one[gone]
        hull = np.delete(hull, (gone + 1) % len(hull), axis=0)
    return upright(hull) if len(hull) == 4 else None


def upright(corners: Points) -> Points:
    """The same corners, clockwise as seen: first the one whose side to the next points to the right."""
    sides = np.roll(corners, -1, axis=0) - corners
    return np.roll(corners, -int((sides[:, 0] / np.linalg.norm(sides, axis=1)).argmax()), axis=0)


def _hull(mask: NDArray[np.bool_]) -> Points:
    """The convex hull of the pixels' centres, clockwise as seen (Andrew's monotone chain on the ends of the rows)."""
    rows = np.flatnonzero(mask.any(axis=1))
    left = mask[rows].argmax(axis=1)
    right = mask.shape[1] - 1 - mask[rows, ::-1].argmax(axis=1)
    down = _chain(list(zip(right.tolist(), rows.tolist(), strict=True)))
    up = _chain(list(zip(left.tolist(), rows.tolist(), strict=True))[::-1])
    points = down + up
    return np.array([p for i, p in enumerate(points) if p != points[i - 1]], np.float64).reshape(-1, 2) + 0.5


def _chain(points: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Those of a row of points between which the way never turns left, as seen."""
    chain: list[tuple[int, int]] = []
    for x, y in points:
        while len(chain) > 1:
            (x0, y0), (x1, y1) = chain[-2:]
            if (x1 - x0) * (y - y1) - (y1 - y0) * (x - x1) > 0:
                break
            chain.pop()
        chain.append((x, y))
    return chain


def _cross(one: Points, other: Points) -> NDArray[np.float64]:
    return np.asarray(one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0])
