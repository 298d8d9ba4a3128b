"""Stressed pictures: repeatable, of many sizes, and with the digit still in them."""

from __future__ import annotations

import numpy as np
import pytest

from inkdigit.picture.prepare import prepare
from inkdigit.synth.stress import LARGE_PX, photograph

from ..conftest import drawn, template


def test_a_seed_gives_the_same_picture_again():
    one, same, other = (photograph(template(3), rng=np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert one.shape != other.shape or not np.array_equal(one, other)


def test_pictures_are_square_gray_and_small_or_large():
    rng = np.random.default_rng(0)
    pictures = [photograph(drawn(i % 10), rng=rng) for i in range(40)]
    assert all(p.dtype == np.uint8 and p.ndim == 2 and p.shape[0] == p.shape[1] for p in pictures)
    sides = {p.shape[0] for p in pictures}
    assert 28 in sides
    assert all(LARGE_PX[0] <= side < LARGE_PX[1] for side in sides - {28})


@pytest.mark.parametrize("ink", [np.full((1, 1), 255, np.uint8), np.full((40, 2), 1, np.uint8), template(1)])
def test_any_ink_will_do(ink):
    for seed in range(8):
        assert photograph(ink, rng=np.random.default_rng(seed)).size


def test_most_of_the_digit_is_found_again_by_the_door():
    """The overlap with the digit as it was: a shift, a turn and another pen leave most of it."""
    rng = np.random.default_rng(3)
    overlaps = []
    for i in range(60):
        before, after = template(i % 10) / 255, prepare(photograph(template(i % 10), rng=rng)) / 255
        overlaps.append(np.minimum(before, after).sum() / max(before.sum(), 1e-6))
    assert np.median(overlaps) > 0.5
