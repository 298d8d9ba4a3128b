"""Mean, spread and interval against hand-worked values and printed tables; sign flips against counting them all."""

from __future__ import annotations

import itertools
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkdigit.measure.stats import Spread, flip_p, holm, mcnemar_p, student_t, wilson


def test_student_s_t_is_that_of_printed_tables():
    printed = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 9: 2.262, 10: 2.228, 30: 2.042, 120: 1.980}
    assert {df: student_t(df) for df in printed} == pytest.approx(printed, abs=5e-4)


def test_student_s_t_is_scipy_s():
    quantile = pytest.importorskip("scipy.stats").t.ppf
    for df in (*range(1, 60), 99, 1000):
        assert student_t(df) == pytest.approx(quantile(0.975, df), rel=1e-12)


def test_with_many_seeds_student_s_t_is_the_normal_distribution_s():
    assert student_t(100_000) == pytest.approx(1.95998, abs=5e-5)


def test_a_spread_worked_by_hand():
    spread = Spread((1.0, 2.0, 3.0, 4.0, 5.0))
    assert spread.mean == 3
    assert spread.sd == pytest.approx(math.sqrt(2.5))
    assert spread.standard_error == pytest.approx(math.sqrt(0.5))
    assert spread.ci95 == pytest.approx((3 - 2.776445 * math.sqrt(0.5), 3 + 2.776445 * math.sqrt(0.5)))


def test_one_value_has_no_spread_and_equal_ones_no_interval():
    assert (Spread((0.5,)).mean, Spread((0.5,)).sd, Spread((0.5,)).ci95) == (0.5, None, None)
    assert (Spread((0.1, 0.1, 0.1)).sd, Spread((0.1, 0.1, 0.1)).ci95) == (0, None)
    for spread in (Spread((0.5,)), Spread((0.1, 0.2))):
        assert json.loads(json.dumps(spread.to_json(), allow_nan=False))["values"] == list(spread.values)


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=7))
def test_sign_flips_are_counted_exactly(differences):
    observed = abs(sum(differences))
    flips = list(itertools.product((-1, 1), repeat=len(differences)))
    as_far = sum(abs(sum(s * d for s, d in zip(signs, differences, strict=True))) >= observed for signs in flips)
    assert flip_p(differences) == as_far / len(flips)


@given(st.integers(0, 80), st.integers(0, 80))
def test_mcnemar_s_p_is_scipy_s_binomial_test(only_one, only_other):
    stats = pytest.importorskip("scipy.stats")
    tosses = only_one + only_other
    expected = stats.binomtest(only_one, tosses).pvalue if tosses else 1.0
    assert mcnemar_p(only_one, only_other) == pytest.approx(expected)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_s_interval_is_scipy_s(case):
    stats = pytest.importorskip("scipy.stats")
    expected = stats.binomtest(*case).proportion_ci(0.95, method="wilson")
    assert wilson(*case) == pytest.approx((expected.low, expected.high))


def test_five_seeds_cannot_give_less_than_a_sixteenth():
    assert flip_p((10, 20, 30, 40, 50)) == 1 / 16
    assert flip_p((-10, -20, -30, -40, -50)) == 1 / 16


def test_many_seeds_are_counted_quickly():
    assert flip_p(tuple(range(1, 61))) == 2.0**-59


def test_wilson_matches_published_values() -> None:
    published = {
        (0, 10): (0.0, 0.277533),
        (10, 10): (0.722467, 1.0),
        (9750, 10000): (0.971754, 0.977880),
        (0, 0): (0.0, 1.0),
    }
    for (successes, n), limits in published.items():
        assert wilson(successes, n) == pytest.approx(limits, abs=1e-5), (successes, n)


@given(st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_proportion_and_mirrors(case: tuple[int, int]) -> None:
    successes, n = case
    low, high = wilson(successes, n)
    assert 0 <= low <= successes / n <= high <= 1
    assert wilson(n - successes, n) == pytest.approx((1 - high, 1 - low))


def test_the_exact_test_counts_coin_tosses():
    worked = {
        (0, 0): 1.0,
        (3, 3): 1.0,
        (0, 1): 1.0,
        (0, 5): 2 / 2**5,
        (1, 4): 2 * (1 + 5) / 2**5,
        (10, 2): 2 * (1 + 12 + 66) / 2**12,
        (4, 1): 2 * (1 + 5) / 2**5,
    }
    for (only_one, only_other), p in worked.items():
        assert mcnemar_p(only_one, only_other) == pytest.approx(p, abs=1e-15), (only_one, only_other)


def test_the_exact_test_takes_any_number_of_images():
    assert 0 <= mcnemar_p(4_000, 6_000) < 1e-80
    assert mcnemar_p(5_000, 5_001) == 1.0


def test_holm_returns_the_given_order_and_never_decreases():
    assert holm([0.03, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.04]) == [0.04]
    assert holm([]) == []
