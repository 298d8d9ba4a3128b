"""Mean, spread and interval against hand-worked values and printed tables; sign flips against counting them all."""

from __future__ import annotations

import itertools
import json
import math

import pytest

from inkdigit.measure.stats import Spread, flip_p, student_t


@pytest.mark.parametrize(
    ("df", "printed"),
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (9, 2.262), (10, 2.228), (30, 2.042), (120, 1.980)],
)
def test_student_s_t_is_what_the_tables_print(df, printed):
    assert student_t(df) == pytest.approx(printed, abs=5e-4)


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


@pytest.mark.parametrize("differences", [(3, 1, 2, 4, 5), (3, -1, 2), (0, 0, 4), (-7,), (1, -1), (0,), (2, 2, 2, -5)])
def test_sign_flips_are_counted_exactly(differences):
    far = abs(sum(differences))
    flips = list(itertools.product((-1, 1), repeat=len(differences)))
    at_least = sum(abs(sum(s * d for s, d in zip(signs, differences, strict=True))) >= far for signs in flips)
    assert flip_p(differences) == at_least / len(flips)


def test_five_seeds_cannot_give_less_than_a_sixteenth():
    assert flip_p((10, 20, 30, 40, 50)) == 1 / 16
    assert flip_p((-10, -20, -30, -40, -50)) == 1 / 16


def test_many_seeds_are_no_trouble():
    assert flip_p(tuple(range(1, 61))) == 2.0**-59
