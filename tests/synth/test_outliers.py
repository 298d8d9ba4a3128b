"""Outliers: repeatable, and never blank before they are prepared."""

from __future__ import annotations

import numpy as np
import pytest

from inkdigit.synth import outliers
from inkdigit.synth.outliers import HALVES, not_a_digit, several_digits
from inkdigit.types import Part

from ..conftest import template

DIGITS = Part(np.stack([template(i) for i in range(20)]), np.arange(20) % 10)


@pytest.mark.parametrize("draw", [not_a_digit, several_digits])
def test_a_seed_gives_the_same_image_again(draw):
    one, same, other = (draw(DIGITS, rng=np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert one.shape != other.shape or not np.array_equal(one, other)


@pytest.mark.parametrize("draw", [not_a_digit, several_digits])
def test_there_is_something_in_every_image(draw):
    rng = np.random.default_rng(0)
    for picture in (draw(DIGITS, rng=rng) for _ in range(80)):
        assert picture.dtype == np.uint8
        assert picture.ndim == 2
        assert picture.any()


def test_several_digits_are_wider_or_higher_than_one():
    rng = np.random.default_rng(0)
    shapes = [picture.shape for picture in (several_digits(DIGITS, rng=rng) for _ in range(60))]
    long = [max(shape) / min(shape) for shape in shapes if shape[0] != shape[1]]
    assert np.median(long) > 1.3


def test_rows_are_of_the_data_set_of_writers_and_in_print(monkeypatch):
    rng, counts = np.random.default_rng(0), {}
    for source in outliers.ROW_SOURCES:
        monkeypatch.setattr(outliers, "ROW_SOURCE_SHARES", [float(source == one) for one in outliers.ROW_SOURCES])
        inks = [outliers._digits(DIGITS, 3, rng) for _ in range(8)]
        assert all(len(row) == 3 and all(ink.any() for ink in row) for row in inks)
        counts[source] = len({ink.tobytes() for row in inks for ink in row})
    assert counts["set"] <= len(DIGITS)
    assert min(counts["writer"], counts["print"]) > len(DIGITS)


def test_a_data_set_without_the_digits_that_are_halved_has_outliers_too():
    only = Part(np.stack([template(1)] * 3), np.ones(3, np.int64))
    assert 1 not in HALVES
    rng = np.random.default_rng(0)
    assert all(not_a_digit(only, rng=rng).any() for _ in range(60))
