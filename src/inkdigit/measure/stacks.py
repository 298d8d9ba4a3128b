"""Operations on a stack of images: blur, smear, warp, draw lines, find edges, make clouds.

In: brightness as floats (N, 28, 28), 0 to 1, and a number, or an array (N,) where the images differ. Out: a stack of
the same size. NumPy only, so that `inkdigit evaluate` needs the same libraries as answering.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inkdigit.types import SIDE

Stack = NDArray[np.float64]  # (N, 28, 28)
Numbers = NDArray[np.float64]  # (N,)
Mask = NDArray[np.bool_]  # (N, 28, 28)

CLOUD_SIDE = 256  # pixels: a cloud is drawn at this size and its corner is used, as in the authors' generator
CACHED = 4  # clouds drawn at a time: they fit in the processor's cache, which halves the time
LINE_PX = 2.3  # distance from a line at which the logarithm of its ink ends; the ink is 0 from 1.45 px on
EDGE_SIGMA, EDGE_LOW, EDGE_HIGH = (
    1.0,
    0.1,
    0.2,
)  # blur in pixels, and thresholds on Sobel's sums: scikit-image's defaults
TIE = 1e-9  # strengths this near are equal: rounding differs between processors and must not decide
_INDEX = np.arange(SIDE)


def blur(images: Stack, sigma: float) -> Stack:
    """A Gaussian blur, cut off at four standard deviations; edge pixels are repeated outside the image."""
    radius = int(4 * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return _convolve(_convolve(images, weights / weights.sum(), axis=1), weights / weights.sum(), axis=2)


def _convolve(images: Stack, weights: NDArray[np.float64], *, axis: int) -> Stack:
    radius = len(weights) // 2
    padded = np.pad(images, [(radius, radius) if i == axis else (0, 0) for i in range(3)], mode="edge")
    out = np.zeros_like(images)
    for i, weight in enumerate(weights):
        out += weight * (padded[:, i : i + SIDE] if axis == 1 else padded[:, :, i : i + SIDE])
    return out


def smear(images: Stack, radius: int, sigma: float, angles: Numbers) -> Stack:
    """Smear each image to one side: half a Gaussian along a line at its angle (radians), 2·radius + 1 pixels long."""
    steps = np.arange(2 * radius + 1)
    weights = np.exp(-0.5 * (steps / sigma) ** 2)
    out = np.zeros_like(images)
    each = np.arange(len(images))[:, None, None]
    for step, weight in zip(steps, weights / weights.sum(), strict=True):
        down, right = (np.ceil(step * slope - 0.5).astype(np.int64) for slope in (np.sin(angles), np.cos(angles)))
        rows, cols = (np.clip(_INDEX + moved[:, None], 0, SIDE - 1) for moved in (down, right))  # (N, 28)
        out += weight * images[each, rows[:, :, None], cols[:, None, :]]
    return out


def warp(images: Stack, matrices: NDArray[np.float64]) -> Stack:
    """Take each pixel from where its image's matrix (N, 2, 2) sends (x, y), measured from the middle.

    Interpolation is bilinear; everything outside the image is black.
    """
    middle = (SIDE - 1) / 2
    y, x = np.meshgrid(_INDEX - middle, _INDEX - middle, indexing="ij")
    a, b, c, d = (matrices[:, i, j, None, None] for i in (0, 1) for j in (0, 1))
    # A black frame, one pixel wide, represents everything outside.
    right, down = (np.clip(place + middle + 1, 0, SIDE + 1) for place in (a * x + b * y, c * x + d * y))
    left, top = (np.minimum(place.astype(np.int64), SIDE) for place in (right, down))
    right, down = right - left, down - top
    framed = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    each = np.arange(len(images))[:, None, None]
    upper = framed[each, top, left] * (1 - right) + framed[each, top, left + 1] * right
    lower = framed[each, top + 1, left] * (1 - right) + framed[each, top + 1, left + 1] * right
    return np.asarray(upper * (1 - down) + lower * down)


def lines(x0: Numbers, y0: Numbers, x1: Numbers, y1: Numbers) -> Stack:
    """Draw a line in each image from (x0, y0) to (x1, y1), x0 < x1; its ink fades with the distance above and below."""
    columns, slope = np.arange(SIDE), (y1 - y0) / (x1 - x0)
    heights = y0[:, None] + slope[:, None] * (columns - x0[:, None])  # (N, 28): of the line, in each column
    away = np.abs(np.arange(SIDE)[:, None] - heights[:, None, :])  # (N, 28, 28)
    ink = np.clip(1 + np.log(1 - np.minimum(away, LINE_PX * (1 - 1e-9)) / LINE_PX), 0, 1)
    there = (columns >= np.floor(x0)[:, None]) & (columns < np.ceil(x1)[:, None])
    return np.asarray(ink * there[:, None, :])


def clouds(n: int, decay: float, rng: np.random.Generator) -> Stack:
    """Draw `n` clouds (n, 28, 28) by the diamond-square algorithm (Fournier, Fussell, Carpenter 1982).

    Each octave decays by decay². A cloud is the corner of a larger one, whose edges wrap around, whose darkest point is
    0 and whose brightest is 1.
    """
    return np.concatenate([_clouds(CACHED, decay, rng) for _ in range(0, n, CACHED)])[:n]


def _clouds(n: int, decay: float, rng: np.random.Generator) -> Stack:
    maps = np.zeros((n, CLOUD_SIDE, CLOUD_SIDE), np.float32)
    swing, step = np.float32(1), CLOUD_SIDE
    while step > 1:
        half = step // 2
        corners = maps[:, ::step, ::step]
        rows = corners + np.roll(corners, -1, axis=1)
        middles = (rows + np.roll(rows, -1, axis=2)) / 4
        middles += swing * _noise(middles.shape, rng)
        above = (corners + np.roll(corners, -1, axis=2) + middles + np.roll(middles, 1, axis=1)) / 4
        beside = (corners + np.roll(corners, -1, axis=1) + middles + np.roll(middles, 1, axis=2)) / 4
        maps[:, half::step, half::step] = middles
        maps[:, ::step, half::step] = above + swing * _noise(above.shape, rng)
        maps[:, half::step, ::step] = beside + swing * _noise(beside.shape, rng)
        swing, step = np.float32(swing / decay**2), half
    lowest, highest = (extreme(axis=(1, 2), keepdims=True) for extreme in (maps.min, maps.max))
    return np.asarray((maps[:, :SIDE, :SIDE] - lowest) / (highest - lowest), np.float64)


def _noise(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    return 2 * rng.random(shape, np.float32) - 1


def edges(images: Stack) -> Mask:
    """The edges of each image, one pixel wide (Canny 1986): blur, Sobel, ridges, and weak edges next to strong ones."""
    smooth = blur(images, EDGE_SIGMA)
    bell, step = np.array([1.0, 2.0, 1.0]), np.array([-1.0, 0.0, 1.0])
    down = _convolve(_convolve(smooth, step, axis=1), bell, axis=2)
    right = _convolve(_convolve(smooth, step, axis=2), bell, axis=1)
    strength = np.hypot(down, right)
    ridge = _ridge(strength, down, right)
    ridge[:, [0, -1], :] = ridge[:, :, [0, -1]] = False
    weak, edge = ridge & (strength >= EDGE_LOW), ridge & (strength >= EDGE_HIGH)
    while True:
        grown = weak & _spread(edge)
        if np.array_equal(grown, edge):
            return edge
        edge = grown


def _ridge(strength: Stack, down: Stack, right: Stack) -> Mask:
    """Where the strength is not below that one pixel ahead and one behind along the gradient (interpolated)."""
    steep = np.abs(down) >= np.abs(right)
    more, less = (np.where(steep, *pair) for pair in ((abs(down), abs(right)), (abs(right), abs(down))))
    share = less / np.maximum(more, 1e-12)  # the weight of the diagonal neighbour; the rest is the straight one's
    framed = np.pad(strength, ((0, 0), (1, 1), (1, 1)))
    each, row, col = np.ogrid[: len(strength), 1 : SIDE + 1, 1 : SIDE + 1]
    dy, dx = (np.where(part >= 0, 1, -1) for part in (down, right))
    ridge = strength > 0
    for side in (1, -1):
        straight = framed[each, row + side * dy * steep, col + side * dx * ~steep]
        diagonal = framed[each, row + side * dy, col + side * dx]
        ridge &= (1 - share) * straight + share * diagonal <= strength + TIE
    return ridge


def _spread(mask: Mask) -> Mask:
    """The mask and its eight neighbours."""
    for axis in (1, 2):
        framed = np.pad(mask, [(1, 1) if i == axis else (0, 0) for i in range(3)])
        mask = np.logical_or.reduce([np.take(framed, _INDEX + i, axis=axis) for i in range(3)])
    return mask


def shuffle_near(images: Stack, reach: int, rounds: int, rng: np.random.Generator) -> Stack:
    """Exchange half of the pixels, at random, with one at most `reach` away; from the last row to the first."""
    out = images.copy()
    each = np.arange(len(out))
    for _ in range(rounds):
        for y in range(SIDE - reach, reach, -1):
            for x in range(SIDE - reach, reach, -1):
                swap = rng.random(len(out)) < 0.5
                dy, dx = rng.integers(-reach, reach, (2, len(out)))
                there = each[swap], y + dy[swap], x + dx[swap]
                out[swap, y, x], out[there] = out[there], out[swap, y, x]
    return out
