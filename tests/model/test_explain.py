"""Occlusion: which ink decided a prediction, by the model file alone."""

from __future__ import annotations

import numpy as np
import pytest

from inkdigit.errors import UsageError
from inkdigit.model.explain import SQUARE_PX, STEP_PX, Explanation, explain, log_odds, occlusion
from inkdigit.model.recognizer import Recognizer
from inkdigit.picture.prepare import prepare
from inkdigit.types import Prediction

from ..conftest import drawn, on_paper, template


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
    for top in range(1 - SQUARE_PX, 28, STEP_PX):
        for left in range(1 - SQUARE_PX, 28, STEP_PX):
            window = (slice(max(top, 0), top + SQUARE_PX), slice(max(left, 0), left + SQUARE_PX))
            total[window] += (picture[window] / 255.0 * weights[window]).sum()
            count[window] += 1
    return total / count


def test_the_map_is_the_mean_fall_of_the_squares_that_cover_a_pixel():
    weights = np.random.default_rng(0).normal(0, 0.03, (28, 28))
    fall = occlusion(Weighing(weights), template(3), class_index=1)
    assert (fall.shape, fall.dtype) == ((28, 28), np.float32)
    assert np.abs(fall - by_hand(template(3), weights)).max() < 1e-4


def test_ink_for_one_of_two_classes_is_ink_against_the_other():
    weighing = Weighing(np.random.default_rng(1).normal(0, 0.03, (28, 28)))
    first, second = (occlusion(weighing, template(5), class_index=i) for i in (0, 1))
    assert np.abs(first + second).max() < 1e-4


def test_ink_that_decides_at_a_probability_of_one_still_shows():
    weights = np.zeros((28, 28))
    weights[:14] = 0.5  # so certain that hiding a square leaves the probability at 1
    weighing = Weighing(weights)
    assert weighing.probs_as_prepared(template(8)[None])[0, 1] == 1
    fall = occlusion(weighing, template(8), class_index=1)
    assert fall[:14][template(8)[:14] > 128].mean() > 1
    assert np.abs(fall[14 + SQUARE_PX :]).max() == 0


def test_every_pixel_is_under_as_many_squares():
    assert SQUARE_PX % STEP_PX == 0
    assert len(range(1 - SQUARE_PX, 28, STEP_PX)) ** 2 < 300  # images that a network predicts for one map


def test_paper_decides_nothing(tiny):
    assert not occlusion(tiny, np.zeros((28, 28), np.uint8), class_index=0).any()


def test_log_odds_near_certainty_are_exact():
    probs = np.array([[1.0, 1e-20, 2e-20], [0.25, 0.5, 0.25], [1.0, 0.0, 0.0]], np.float32)
    odds = log_odds(probs, 0)
    assert odds[0] == pytest.approx(-np.log(3e-20), rel=1e-4)
    assert odds[1] == pytest.approx(np.log(1 / 3), rel=1e-4)
    assert np.isfinite(odds[2])


def test_a_class_that_the_model_lacks(tiny):
    for wrong in (-1, len(tiny.classes)):
        with pytest.raises(UsageError, match="no such class") as caught:
            occlusion(tiny, template(1), class_index=wrong)
    assert caught.value.exit_code == 2


def test_a_digit_speaks_for_itself(default_model: Recognizer):
    explanation = explain(default_model, on_paper(drawn(7)))
    assert (explanation.answer, explanation.class_name) == ("7", "7")
    assert explanation.occlusion[explanation.image > 128].mean() > 0.5  # nats
    assert explanation.gradients is None
    assert sum(share for _, share in explanation.regions()) == pytest.approx(1)


def test_it_explains_what_predict_answers(default_model: Recognizer):
    picture = on_paper(drawn(4, seed=3))
    explanation, (prediction,) = explain(default_model, picture), default_model.predict([picture])
    assert explanation.prediction.to_json() == prediction.to_json()
    assert np.array_equal(explanation.image, prepare(picture))
    expected = occlusion(default_model, explanation.image, class_index=explanation.class_index)
    assert np.array_equal(explanation.occlusion, expected)
    assert explain(default_model, picture, occluded=False).occlusion is None


def test_without_ink_there_is_nothing_to_explain(default_model: Recognizer):
    explanation = explain(default_model, np.zeros((28, 28), np.uint8))
    assert (explanation.answer, explanation.occlusion, explanation.regions()) == ("—", None, [])


def test_the_regions_are_the_ninths_of_the_ink_s_box():
    image = np.zeros((28, 28), np.uint8)
    image[4:24, 4:24] = 255
    fall = np.zeros((28, 28), np.float32)
    fall[4:9, 18:24] = 1

    def regions(values: np.ndarray) -> list[tuple[str, float]]:
        return Explanation(image, Prediction("7"), ("7",), values).regions()

    assert regions(fall)[0] == ("upper right", 1.0)
    fall[18:24, 4:9] = fall[12:14, 12:14] = 1
    assert [name for name, _ in regions(fall)[:2]] == ["upper right", "lower left"]
    assert [round(share, 2) for _, share in regions(fall)[:3]] == [0.47, 0.47, 0.06]
    assert regions(-fall) == []
