"""The ink network: what it looks at, what it gives, and the file that ships."""

from __future__ import annotations

import time

import numpy as np
import pytest

from inkdigit.picture.photo import network
from inkdigit.picture.photo.network import INK, NUMBER, PAPER, RULING, fit, look, sha256

from ...conftest import drawn, on_paper


@pytest.mark.parametrize("shape", [(28, 28), (1, 1), (1, 900), (50, 50), (700, 300), (2000, 1500)])
def test_a_picture_is_brought_to_the_size_that_is_looked_at(shape):
    gray = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    seen = fit(gray, side_px=144)
    assert seen.dtype == np.uint8
    assert all(side % network.STEP_PX == 0 for side in seen.shape)
    if min(shape) > 20:
        assert seen.size == pytest.approx(144**2, rel=0.25)
        assert seen.shape[0] / seen.shape[1] == pytest.approx(shape[0] / shape[1], rel=0.2)


def test_a_picture_of_the_right_size_is_left_as_it_is():
    gray = np.random.default_rng(0).integers(0, 256, (144, 144)).astype(np.uint8)
    assert fit(gray, side_px=144) is gray


def test_the_shares_of_each_pixel_sum_to_one_and_tell_ink_from_paper_and_lines():
    ink = np.pad(drawn(5, size_px=100), ((20, 24), (20, 24)))
    photo = on_paper(ink, shadow=20)
    photo[:, 8:11] = 60
    shares = look(photo, side_px=144)
    assert shares.shape == (4, 144, 144)
    assert shares.dtype == np.float32
    assert shares.sum(0) == pytest.approx(np.ones((144, 144)), abs=1e-4)
    assert shares[NUMBER][ink > 250].mean() > 0.8
    assert shares[RULING][10:130, 9].mean() > 0.7
    paper = ink == 0
    paper[:, :16] = False
    assert shares[PAPER][paper].mean() > 0.9


def test_the_file_is_small_and_named_by_its_hash():
    assert INK.stat().st_size <= 400_000
    assert len(sha256()) == 64


def test_it_is_fast_enough_for_one_core():
    """A bound that a busy machine keeps, too: the figure itself is measured by a script."""
    gray = np.random.default_rng(0).integers(0, 256, (256, 256)).astype(np.uint8)
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        look(gray, side_px=256)
        times.append(time.perf_counter() - begun)
    assert min(times) < 0.1
