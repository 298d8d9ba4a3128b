"""Confident learning, on few enough probabilities to compute by hand."""

from __future__ import annotations

import numpy as np
import pytest

from inkdigit.measure.wrong_labels import Doubts

LABELS = np.array([0, 0, 0, 0, 1, 1, 1], np.int64)
PROBS = np.array(
    [
        [0.9, 0.1, 0.0],
        [0.8, 0.2, 0.0],
        [0.1, 0.9, 0.0],  # 1 is more probable and reaches its threshold: suspected
        [0.4, 0.5, 0.1],  # 1 is more probable, but below its threshold: doubtful
        [0.0, 1.0, 0.0],
        [0.2, 0.8, 0.0],
        [0.3, 0.6, 0.1],  # not confident, but it agrees with the label
    ]
)


@pytest.fixture
def doubts() -> Doubts:
    return Doubts(LABELS, PROBS)


def test_a_threshold_is_the_mean_probability_of_a_class_over_its_labels(doubts):
    assert doubts.thresholds == pytest.approx([0.55, 0.8, np.inf])


def test_suspected_and_doubtful_labels(doubts):
    assert np.flatnonzero(doubts.suspected).tolist() == [2]
    assert np.flatnonzero(doubts.doubtful).tolist() == [2, 3]
    assert doubts.suggested[[2, 3]].tolist() == [1, 1]
    assert doubts.worst().tolist() == [2, 3]
    assert doubts.margin[[2, 3]] == pytest.approx([-0.8, -0.1])
    assert doubts.agreement == pytest.approx(5 / 7)


def test_the_joint_counts_confident_images_and_the_estimate_scales_it(doubts):
    assert doubts.joint.tolist() == [[2, 1, 0], [0, 2, 0], [0, 0, 0]]
    assert doubts.estimate == pytest.approx(4 / 3)  # a third of the four labelled 0


def test_the_worst_come_first_and_equal_ones_in_their_order():
    probs = np.array([[0.4, 0.6], [0.1, 0.9], [0.4, 0.6], [0.9, 0.1]])
    assert Doubts(np.zeros(4, np.int64), probs).worst().tolist() == [1, 0, 2]


def test_nothing_is_wrong_where_all_agree():
    doubts = Doubts(LABELS, np.eye(3)[LABELS])
    assert not doubts.doubtful.any()
    assert (doubts.estimate, doubts.agreement, doubts.worst().tolist()) == (0.0, 1.0, [])
