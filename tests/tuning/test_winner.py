"""The verdict on a winner."""

from __future__ import annotations

import pytest
from scipy import stats

from inkdigit.tuning.winner import Comparison, spread


def test_the_interval_is_that_of_a_paired_t_test():
    comparison = Comparison((1, 2, 3), (0.980, 0.982, 0.979), (0.985, 0.984, 0.986), 1000)
    expected = stats.ttest_rel(comparison.winner, comparison.start).confidence_interval(0.95)
    assert comparison.interval == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize(
    ("winner", "verdict"),
    [
        ((0.990, 0.991, 0.992), "The winner is better than the start by 1.00 points"),
        ((0.981, 0.990, 0.982), "but three seeds do not show that it is better"),
        ((0.979, 0.980, 0.981), "The winner is not better than the start: 0.10 points below it"),
        ((0.980, 0.981, 0.982), "The winner is not better than the start"),
    ],
)
def test_the_verdict_is_plain(winner, verdict):
    assert verdict in Comparison((1, 2, 3), (0.980, 0.981, 0.982), winner, 1000).verdict


def test_a_mean_comes_with_its_deviation():
    assert spread((0.99, 0.98, 0.97)) == "98.00 ± 1.00 %"
