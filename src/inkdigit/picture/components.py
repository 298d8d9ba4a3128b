"""Connected components: which pixels of a mask hang together, touching corners included.

In: a mask, bool (H, W). Out: a label for each pixel, and the box and the size of each component.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]  # (H, W)
Labels = NDArray[np.int32]  # (H, W): 0 is the background
Ints = NDArray[np.intp]


def components(mask: Mask) -> tuple[Labels, int]:
    """The component of each pixel, int32 (H, W), and how many components there are.

    Labels go from 1 to the count in the order of each component's first pixel, by rows; 0 is where the mask is False.
    Pixels are neighbours if they share a side or a corner. A run is a stretch of pixels of one row; runs that touch
    are joined by union-find (Wu, Otoo and Suzuki 2009), all of them at once instead of one by one.
    """
    height, width = mask.shape
    pitch = width + 1  # a column of background after each row, so that no run goes on in the next row
    padded = np.zeros((height, pitch), bool)
    padded[:, :width] = mask
    flat = padded.ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    if flat.size and flat[0]:
        changes = np.concatenate([[0], changes])
    starts, ends = changes[::2], changes[1::2]  # in `flat`; an end is the first pixel after its run
    roots, names = np.unique(_join(len(starts), *_touching(starts, ends, pitch)), return_inverse=True)

    values = np.zeros(2 * len(starts) + 1, np.int32)
    values[1::2] = names + 1
    bounds = np.concatenate([[0], changes, [flat.size]])
    labels = np.repeat(values, np.diff(bounds)).reshape(height, pitch)
    return np.ascontiguousarray(labels[:, :width]), len(roots)


def sizes(labels: Labels, count: int) -> Ints:
    """How many pixels each component has, (count + 1,): by label, with the background as 0."""
    return np.bincount(labels.ravel(), minlength=count + 1)


def boxes(labels: Labels, count: int) -> Ints:
    """The box of each component, (count + 1, 4): top, left, bottom, right, the last two exclusive.

    The index is the label; row 0, for the background, is all 0.
    """
    result = np.zeros((count + 1, 4), np.intp)
    result[1:, :2] = max(labels.shape)
    rows, columns = np.nonzero(labels)
    which = labels[rows, columns]
    np.minimum.at(result[:, 0], which, rows)
    np.minimum.at(result[:, 1], which, columns)
    np.maximum.at(result[:, 2], which, rows + 1)
    np.maximum.at(result[:, 3], which, columns + 1)
    return result


def _touching(starts: Ints, ends: Ints, pitch: int) -> tuple[Ints, Ints]:
    """The pairs of runs that touch, as two arrays of their numbers: a run, and one in the row above it."""
    first = np.searchsorted(ends, starts - pitch, side="left")  # the first run above that does not end too early
    after = np.searchsorted(starts, ends - pitch, side="right")  # the first that starts too late
    counts = after - first
    lower = np.repeat(np.arange(len(starts)), counts)
    within = np.arange(len(lower)) - np.repeat(np.cumsum(counts) - counts, counts)
    return lower, first[lower] + within


def _join(count: int, one: Ints, other: Ints) -> Ints:
    """The lowest number that each of `count` nodes is connected with, by the edges from `one` to `other`.

    Each round hangs every root below the lowest of its neighbours; those that hang on one another are then lifted to
    their root. On an image that takes some three rounds, on noise six.
    """
    parent = np.arange(count)
    while len(one):
        np.minimum.at(parent, np.maximum(one, other), np.minimum(one, other))
        while True:
            grand = parent[parent]
            if np.array_equal(grand, parent):
                break
            parent = grand
        one, other = parent[one], parent[other]
        apart = one != other
        one, other = one[apart], other[apart]
    return parent
