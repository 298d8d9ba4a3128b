"""Copies are found in any place, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest

from inkdigit.data.copies import NEAR, ROWS, Copy, find_copies
from inkdigit.picture.prepare import prepare
from inkdigit.synth.drawn import digit


def digits(n: int, *, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([prepare(digit(i % 10, rng=rng, size_px=28)) for i in range(n)])


def grain(image: np.ndarray, levels: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, levels, image.shape) * (image > 0)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def by_comparing_all(images: np.ndarray, near: float) -> dict[tuple[int, int], float]:
    flat = images.reshape(len(images), -1).astype(np.float64)
    units = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    pairs = ((i, j, np.linalg.norm(units[i] - units[j])) for i in range(len(units)) for j in range(i + 1, len(units)))
    return {(i, j): float(distance) for i, j, distance in pairs if distance <= near}


def test_equal_images_are_each_paired_with_the_first():
    images = digits(10)
    images[7] = images[9] = images[2]
    assert find_copies(images) == [Copy(2, 7, 0.0), Copy(2, 9, 0.0)]


def test_an_image_saved_again_is_a_near_copy():
    images = digits(20)
    images = np.concatenate([images, [grain(images[3], 10), images[11] // 2, np.roll(images[5], 3, axis=1)]])
    assert [(copy.first, copy.second) for copy in find_copies(images)] == [(11, 21), (3, 20)]
    assert all(0 < copy.distance <= NEAR for copy in find_copies(images))


def test_blank_images_are_not_copies():
    images = digits(6)
    images[1] = images[4] = 0
    assert find_copies(images) == []
    assert find_copies(np.zeros((3, 28, 28), np.uint8)) == []
    assert find_copies(images[:0]) == []


@pytest.mark.parametrize("near", [0.2, 0.6])
def test_no_pair_is_missed_that_comparing_all_would_find(near):
    originals = digits(90)
    images = np.concatenate([originals, [grain(image, 3 * i) for i, image in enumerate(originals[:30], 1)]])
    expected = by_comparing_all(images, near)
    copies = {(copy.first, copy.second): copy.distance for copy in find_copies(images, near=near)}
    assert len(expected) > 10
    assert copies == pytest.approx(expected)


def test_more_images_than_are_compared_at_once():
    rng = np.random.default_rng(0)
    images = np.zeros((2 * ROWS + 100, 28, 28), np.uint8)
    images[:, 6:22, 6:22] = rng.integers(0, 256, (len(images), 16, 16))
    images[-1], images[ROWS + 1] = grain(images[0], 8), grain(images[ROWS - 1], 8)
    assert {(copy.first, copy.second) for copy in find_copies(images)} == {(0, len(images) - 1), (ROWS - 1, ROWS + 1)}
