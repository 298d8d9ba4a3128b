"""Images that a data set holds twice: pixel by pixel, or so similar that they are one drawing that was saved twice.

In: prepared images uint8 (N, 28, 28). Out: `Copy`s, pairs of indices with their distance. The distance of two images is
that of their pixels (784,) as vectors of length one: 0 for the same ink of any brightness, √2 for no ink in common. Two
images are never nearer than the means of their 4×4-pixel blocks, and these are never nearer than their projections on
one direction. So only neighbours in that direction are compared by blocks, and only near blocks by pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inkdigit.types import SIDE, Floats, Gray

# Grain of 16 grey levels, another brightness, or JPEG at quality 75 leave an image nearer than this to what it was;
# no two of MNIST's 70,000 images are. (Its nearest, two strokes of a 1, are 0.12 to 0.15 apart; other digits 0.19.)
NEAR = 0.12
BLOCK = 4  # pixels: 49 numbers an image instead of 784
ROWS = 512  # images that are compared with their neighbours in one step: some megabytes
ROUNDING = 1e-3  # of float32 in a squared distance: candidates may be that much farther apart


@dataclass(frozen=True, slots=True)
class Copy:
    """Two images, the earlier one first."""

    first: int
    second: int
    distance: float  # 0: pixel by pixel the same


def find_copies(images: Gray, *, near: float = NEAR) -> list[Copy]:
    """Every image that repeats an earlier one, the nearest pairs first; blank images do not count.

    Each of several equal images is paired with the first of them, and only the first is compared with others.
    """
    first: dict[bytes, int] = {}
    copies = []
    for i, image in enumerate(images):
        original = first.setdefault(image.tobytes(), i)
        if original != i and image.any():
            copies.append(Copy(original, i, 0.0))
    distinct = np.array([i for i in first.values() if images[i].any()], np.int64)
    copies += [
        Copy(int(a), int(b), distance)
        for pairs in _near_pairs(images[distinct], near)
        for a, b, distance in zip(
            *np.sort(distinct[pairs[:2].astype(np.int64)], axis=0), pairs[2].tolist(), strict=True
        )
    ]
    return sorted(copies, key=lambda copy: (copy.distance, copy.first, copy.second))


def _near_pairs(images: Gray, near: float) -> Iterator[NDArray[np.float64]]:
    """Index, index and distance (3, M) of the images at most `near` apart, some rows at a time."""
    if len(images) < 2:
        return
    blocks = _blocks(images)
    line = blocks @ _direction(blocks)  # (N,)
    order = np.argsort(line, kind="stable")
    blocks, line = blocks[order], line[order]
    half = (blocks**2).sum(1) / 2
    # One product is then −d²/2: (b, |b|²/2, 1) · (b', −1, −|b'|²/2).
    left = np.column_stack([blocks, half, np.ones_like(half)])
    right = np.column_stack([blocks, -np.ones_like(half), -half])
    ends = np.searchsorted(line, line + near + ROUNDING)
    for start in range(0, len(images), ROWS):
        stop = min(start + ROWS, len(images))
        last = int(ends[stop - 1])
        rows, columns = np.nonzero(left[start:stop] @ right[start:last].T > -(near**2) / 2 - ROUNDING)
        later = columns > rows
        pairs = order[np.stack([rows[later], columns[later]]) + start]
        distances = _distances(images, pairs)
        is_near = distances <= near
        yield np.vstack([pairs[:, is_near], distances[is_near]])


def _blocks(images: Gray) -> Floats:
    """The sums of blocks of pixels of images of length one, scaled so that they are a projection: (N, 49)."""
    count = SIDE // BLOCK
    sums = images.reshape(-1, count, BLOCK, count, BLOCK).sum((2, 4), dtype=np.float32).reshape(len(images), -1)
    blocks: Floats = (sums / (BLOCK * _lengths(images)[:, None])).astype(np.float32)
    return blocks


def _lengths(images: Gray) -> Floats:
    flat = images.reshape(len(images), -1)
    lengths: Floats = np.sqrt(np.einsum("np,np->n", flat, flat, dtype=np.float32))
    return lengths


def _direction(blocks: Floats) -> Floats:
    """The direction (49,) in which images differ most."""
    directions: Floats = np.linalg.eigh(np.cov(blocks.T))[1].astype(np.float32)
    return directions[:, -1]


def _distances(images: Gray, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    """The distance of the images of each pair (2, M): (M,)."""
    flat, distances = images.reshape(len(images), -1), []
    for some in np.array_split(pairs, max(1, pairs.shape[1] // ROWS), axis=1):
        a, b = (flat[index].astype(np.float64) for index in some)  # (M', 784)
        units = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
        distances.append(np.linalg.norm(np.subtract(*units), axis=1))
    return np.concatenate(distances)
