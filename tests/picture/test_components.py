"""Connected components, compared with SciPy's."""

import numpy as np
import pytest
from scipy import ndimage

from inkdigit.picture.components import boxes, components, sizes

EIGHT = np.ones((3, 3), int)  # corners count


def spiral(side: int) -> np.ndarray:
    """One long line that winds inwards, and the gap beside it: the longest way between two pixels."""
    mask = np.zeros((side, side), bool)
    for ring in range(0, side // 2, 2):
        low, high = ring, side - 1 - ring
        mask[low, low : high + 1] = mask[high, low : high + 1] = True
        mask[low : high + 1, high] = mask[low + 2 : high + 1, low] = True
        mask[low + 2, low : low + 2] = True
    return mask


def shapes() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    noise = [rng.random(rng.integers(1, 30, 2)) < rng.random() for _ in range(200)]
    combs = np.zeros((40, 41), bool)
    combs[:, ::2] = combs[-1] = True
    return [*noise, spiral(60), combs, combs[::-1], np.ones((5, 7), bool), np.zeros((5, 7), bool)]


def test_as_scipy() -> None:
    for mask in shapes():
        labels, count = components(mask)
        expected, expected_count = ndimage.label(mask, EIGHT)
        assert labels.dtype == np.int32
        assert count == expected_count
        assert np.array_equal(labels, expected)


def test_sizes_and_boxes() -> None:
    for mask in shapes():
        labels, count = components(mask)
        assert np.array_equal(sizes(labels, count), [np.sum(labels == label) for label in range(count + 1)])
        slices = ndimage.find_objects(labels, count)
        expected = [(rows.start, columns.start, rows.stop, columns.stop) for rows, columns in slices]
        assert np.array_equal(boxes(labels, count), [(0, 0, 0, 0), *expected])


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (4, 0)])
def test_no_pixels(shape: tuple[int, int]) -> None:
    labels, count = components(np.zeros(shape, bool))
    assert (labels.shape, count) == (shape, 0)
    assert boxes(labels, count).tolist() == [[0, 0, 0, 0]]


def test_any_memory_order() -> None:
    mask = np.random.default_rng(1).random((20, 30)) < 0.5
    labels, _ = components(np.asfortranarray(mask)[::-1, ::2])
    assert np.array_equal(labels, components(mask[::-1, ::2].copy())[0])
