"""Occlusion: which ink decided, asked of the model file alone."""

from __future__ import annotations

import time

import numpy as np
import pytest

from inkdigit.errors import UsageError
from inkdigit.model.explain import SQUARE, STEP, log_odds, occlusion
from inkdigit.model.recognizer import Recognizer
from inkdigit.picture.prepare import prepare

from ..conftest import drawn, template


class Weighing:
    """Stands in for a model of two classes: the log-odds of class 1 are the weighted sum of the ink."""

    classes = ("0", "1")

    def __init__(self, weights: np.ndarray) -> None:
        self.weights = weights

    def probs_as_prepared(self, images: np.ndarray) -> np.ndarray:
        evidence = (images / 255.0 * self.weights).sum((1, 2))
        probs = 1 / (1 + np.exp(-np.stack([-evidence, evidence], 1)))
        return probs.astype(np.float32)


def by_hand(picture: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mean fall of every square that covers a pixel, one square after the other."""
    total, count = np.zeros((28, 28)), np.zeros((28, 28))
    for top in range(1 - SQUARE, 28, STEP):
        for left in range(1 - SQUARE, 28, STEP):
            window = (slice(max(top, 0), top + SQUARE), slice(max(left, 0), left + SQUARE))
            total[window] += (picture[window] / 255.0 * weights[window]).sum()
            count[window] += 1
    return total / count


def test_the_map_is_the_mean_fall_of_the_squares_that_cover_a_pixel():
    weights = np.random.default_rng(0).normal(0, 0.03, (28, 28))
    found = occlusion(Weighing(weights), template(3), class_index=1)
    assert (found.shape, found.dtype) == ((28, 28), np.float32)
    assert np.abs(found - by_hand(template(3), weights)).max() < 1e-4


def test_ink_for_one_of_two_classes_is_ink_against_the_other():
    weighing = Weighing(np.random.default_rng(1).normal(0, 0.03, (28, 28)))
    one, other = (occlusion(weighing, template(5), class_index=i) for i in (0, 1))
    assert np.abs(one + other).max() < 1e-4


def test_ink_that_decides_at_a_probability_of_one_still_shows():
    weights = np.zeros((28, 28))
    weights[:14] = 0.5  # so sure that hiding a square leaves the probability at 1
    weighing = Weighing(weights)
    assert weighing.probs_as_prepared(template(8)[None])[0, 1] == 1
    found = occlusion(weighing, template(8), class_index=1)
    assert found[:14][template(8)[:14] > 128].mean() > 1
    assert np.abs(found[14 + SQUARE :]).max() == 0


def test_every_pixel_lies_under_as_many_squares():
    assert SQUARE % STEP == 0
    assert len(range(1 - SQUARE, 28, STEP)) ** 2 < 300  # pictures a network answers for one map


def test_paper_decides_nothing(tiny):
    assert not occlusion(tiny, np.zeros((28, 28), np.uint8), class_index=0).any()


def test_log_odds_near_certainty_are_exact():
    probs = np.array([[1.0, 1e-20, 2e-20], [0.25, 0.5, 0.25], [1.0, 0.0, 0.0]], np.float32)
    found = log_odds(probs, 0)
    assert found[0] == pytest.approx(-np.log(3e-20), rel=1e-4)
    assert found[1] == pytest.approx(np.log(1 / 3), rel=1e-4)
    assert np.isfinite(found[2])


def test_a_class_that_the_model_lacks(tiny):
    for wrong in (-1, len(tiny.classes)):
        with pytest.raises(UsageError, match="no such class") as caught:
            occlusion(tiny, template(1), class_index=wrong)
    assert caught.value.exit_code == 2


def test_a_digit_speaks_for_itself_in_well_under_a_second(default_model: Recognizer):
    picture = prepare(drawn(7))
    began = time.perf_counter()
    found = occlusion(default_model, picture, class_index=7)
    assert time.perf_counter() - began < 1
    assert default_model.predict([picture])[0].label == "7"
    assert found[picture > 128].mean() > 0.5  # nats
