"""How well scores separate digits from outliers: against values computed by hand, and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from inkdigit.measure.rejection import auroc, rejected_at, scores_of, threshold_for_coverage
from inkdigit.types import Prediction


def test_the_area_counts_pairs_and_half_of_the_ties():
    inside, outside = np.array([3.0, 2.0, 1.0]), np.array([2.0, 0.0])
    assert auroc(inside, outside) == pytest.approx((2 + 1.5 + 1) / 6)
    assert auroc(inside, np.full(5, -np.inf)) == 1
    assert auroc(inside, inside) == 0.5


def test_the_area_is_that_of_every_pair():
    rng = np.random.default_rng(0)
    inside, outside = rng.integers(0, 9, 50).astype(float), rng.integers(0, 7, 40).astype(float)
    pairs = inside[:, None] - outside
    assert auroc(inside, outside) == pytest.approx((pairs > 0).mean() + 0.5 * (pairs == 0).mean())


@given(st.lists(st.integers(-5, 9), min_size=1, max_size=40), st.lists(st.integers(-9, 5), min_size=1, max_size=40))
def test_the_area_is_that_of_scikit_learn(inside, outside):
    scores, digits = [*inside, *outside], [1] * len(inside) + [0] * len(outside)
    area = auroc(np.array(inside, float), np.array(outside, float))
    assert area == pytest.approx(roc_auc_score(digits, scores))


def test_the_threshold_accepts_the_share_and_not_less():
    inside = np.arange(100.0)
    for share, threshold in ((1.0, 0), (0.99, 1), (0.9, 10)):
        assert threshold_for_coverage(inside, share) == threshold
        assert (inside >= threshold).mean() >= share
    assert rejected_at(inside, np.array([-np.inf, 0.5, 1.0, 50.0]), 0.99) == 0.5


def test_no_ink_has_the_lowest_score():
    assert scores_of([Prediction(None, reason="no ink"), Prediction("3", 0.9, None, 1.5)]).tolist() == [-np.inf, 1.5]
