"""Metrics against cases worked out by hand, and the laws that hold for any predictions."""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from inkdigit.errors import DataError, UsageError
from inkdigit.report.metrics import evaluate, measure, predict_part, reliability, stack_probs, wilson, worst_mistakes
from inkdigit.types import Dataset, Gray, Metrics, Part, Prediction

AB = ("a", "b", "c")


def answer(*probs: float, refused: bool = False, classes: tuple[str, ...] = AB) -> Prediction:
    row = np.array(probs, dtype=np.float32)
    label = None if refused else classes[int(row.argmax())]
    return Prediction(
        label, confidence=float(row.max()), probs=row, score=0.0, reason="not a digit" if refused else None
    )


def blank() -> Prediction:
    return Prediction(None, reason="no ink")


def measured(predictions: list[Prediction], labels: list[int], classes: tuple[str, ...] = AB) -> Metrics:
    return measure(predictions, np.array(labels, np.int64), classes=classes, model="m", data="d", split="test")


@dataclass
class Echo:
    """A recogniser that reads the class index from the first pixel."""

    classes: tuple[str, ...] = ("x", "y", "z")
    name: str = "echo"
    prepare: str = "ink"

    def predict(self, pictures: Gray) -> list[Prediction]:
        return [answer(*np.eye(3)[picture[0, 0]], classes=self.classes) for picture in pictures]


def coded(pixels: list[int], labels: list[int], faults: dict[int, str] | None = None) -> Part:
    images = np.zeros((len(pixels), 28, 28), np.uint8)
    images[:, 0, 0] = pixels
    return Part(images, np.array(labels, np.int64), faults=faults or {})


def test_measure_by_hand() -> None:
    predictions = [
        answer(0.7, 0.2, 0.1),  # right
        answer(0.6, 0.4, 0.0),  # a for b
        answer(0.1, 0.8, 0.1, refused=True),  # right, though refused
        blank(),  # c, not read
        answer(0.0, 0.5, 0.5),  # b for c: the first of two equals
    ]
    m = measured(predictions, [0, 1, 1, 2, 2])
    assert m.accuracy == pytest.approx(2 / 5)
    assert (m.n, m.answered) == (5, 3)
    assert m.accuracy_answered == pytest.approx(1 / 3)
    assert m.nll == pytest.approx(-(log(0.7) + log(0.4) + log(0.8) + log(0.5)) / 4, abs=1e-6)
    assert m.ece == pytest.approx((0.3 + 0.6 + 0.2 + 0.5) / 4, abs=1e-6)  # four bins of one picture each
    assert m.confusion.tolist() == [[1, 0, 0], [1, 1, 0], [0, 1, 0]]
    b, c = m.per_class["b"], m.per_class["c"]
    assert (b.tp, b.fp, b.fn, b.tn, b.support) == (1, 1, 1, 2, 2)
    assert (b.precision, b.recall, b.f1) == (0.5, 0.5, 0.5)
    assert (c.tp, c.fp, c.fn, c.tn, c.support) == (0, 0, 2, 3, 2)
    assert (c.precision, c.recall, c.f1) == (0.0, 0.0, 0.0)
    assert (m.model, m.data, m.split) == ("m", "d", "test")


def test_measure_without_any_answer() -> None:
    m = measured([blank(), blank()], [0, 1])
    assert (m.accuracy, m.answered, m.accuracy_answered, m.nll, m.ece) == (0.0, 0, None, None, None)
    assert m.confusion.sum() == 0
    assert m.per_class["a"].fn == 1


def test_a_true_class_of_probability_zero_keeps_the_nll_finite() -> None:
    m = measured([answer(1.0, 0.0, 0.0)], [1])
    assert m.nll is not None
    assert 80 < m.nll < 100


def test_measure_needs_pictures_and_as_many_predictions() -> None:
    with pytest.raises(DataError, match="nothing to measure") as caught:
        measured([], [])
    assert caught.value.exit_code == 4
    with pytest.raises(ValueError, match="expected 1 predictions"):
        measured([], [0])


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(0, 10, 0.0, 0.277533), (10, 10, 0.722467, 1.0), (9750, 10000, 0.971754, 0.977880), (0, 0, 0.0, 1.0)],
)
def test_wilson_matches_published_values(successes: int, n: int, low: float, high: float) -> None:
    assert wilson(successes, n) == pytest.approx((low, high), abs=1e-5)


@given(st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_proportion_and_mirrors(case: tuple[int, int]) -> None:
    successes, n = case
    low, high = wilson(successes, n)
    assert 0 <= low <= successes / n <= high <= 1
    assert wilson(n - successes, n) == pytest.approx((1 - high, 1 - low))


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 12), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_figures_agree_with_each_other(classes: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = tuple(f"c{i}" for i in range(classes))
    labels = rng.integers(classes, size=n)
    predictions = [
        blank() if rng.random() < 0.2 else answer(*rng.dirichlet(np.ones(classes)), classes=names) for _ in range(n)
    ]
    m = measure(predictions, labels, classes=names, model="m", data="d", split="test")
    rows = m.per_class.values()
    assert sum(row.tp for row in rows) == round(m.accuracy * n) == m.confusion.trace()
    assert sum(row.support for row in rows) == n
    assert all(row.tp + row.fp + row.fn + row.tn == n and row.tp + row.fn == row.support for row in rows)
    assert m.confusion.sum() == sum(p.probs is not None for p in predictions) == m.answered
    assert m.accuracy_ci95[0] <= m.accuracy <= m.accuracy_ci95[1]
    assert m.ece is None or 0 <= m.ece <= 1
    assert m.nll is None or m.nll >= 0


def test_calibration_counts_each_picture_with_probabilities_once() -> None:
    probs = np.array([[1.0, 0.0], [0.5, 0.5], [np.nan, np.nan], [0.9, 0.1]], np.float32)
    bins = reliability(probs, np.array([0, 1, 0, 1], np.int64))
    assert bins.count.sum() == 3
    assert (bins.count[14], bins.accuracy[14]) == (1, 1.0)
    assert np.isnan(bins.accuracy[0])


def test_worst_mistakes_are_wrong_and_most_confident_first() -> None:
    probs = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [np.nan, np.nan], [0.99, 0.01]], np.float32)
    labels = np.array([1, 1, 0, 0, 0], np.int64)
    assert worst_mistakes(probs, labels, 10).tolist() == [0, 2, 1]
    assert worst_mistakes(probs, labels, 1).tolist() == [0]
    assert worst_mistakes(probs, np.array([0, 0, 1, 0, 0], np.int64), 5).tolist() == []


def test_stack_probs_marks_what_has_none() -> None:
    stacked = stack_probs([answer(0.5, 0.25, 0.25), blank()], 3)
    assert stacked.dtype == np.float32
    assert stacked[0].tolist() == [0.5, 0.25, 0.25]
    assert np.isnan(stacked[1]).all()


def test_an_unreadable_picture_counts_as_wrong() -> None:
    predictions = predict_part(Echo(), coded([0, 1, 2], [0, 1, 2], {1: "truncated"}))
    assert [p.label for p in predictions] == ["x", None, "z"]
    assert predictions[1].reason == "unreadable"
    assert predict_part(Echo(), coded([], [])) == []


@pytest.mark.parametrize(("classes", "labels"), [(("z", "x"), [1, 0, 0]), (("z", "y", "x"), [2, 0, 0])])
def test_evaluate_matches_classes_by_name(classes: tuple[str, ...], labels: list[int]) -> None:
    m = evaluate(Echo(), Dataset("d", classes, coded([0, 2, 1], labels)))
    assert m.classes == ("x", "y", "z")
    assert m.confusion.tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 1]]
    assert (m.model, m.data, m.split, m.n) == ("echo", "d", "all", 3)


def test_evaluate_takes_the_split_asked_for() -> None:
    data = Dataset("d", ("x", "y", "z"), coded([0, 0], [0, 1]), coded([1], [1]))
    assert evaluate(Echo(), data).accuracy == 1.0
    assert evaluate(Echo(), data, split="train").accuracy == 0.5


@pytest.mark.parametrize("lacking", [("q",), ("q", "r")])
def test_evaluate_names_the_classes_that_the_model_lacks(lacking: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="'q'") as caught:
        evaluate(Echo(), Dataset("letters", ("x", *lacking), coded([0], [0])))
    assert caught.value.exit_code == 2
    assert "'x', 'y', 'z'" in str(caught.value)


def test_evaluate_refuses_pictures_of_another_door() -> None:
    with pytest.raises(UsageError, match="prepare 'ink'"):
        evaluate(Echo(), Dataset("clothes", ("x", "y"), coded([0], [0]), prepare="plain"))


def test_evaluate_names_an_empty_part() -> None:
    with pytest.raises(DataError, match="'d'"):
        evaluate(Echo(), Dataset("d", ("x", "y"), coded([], [])))


def test_confusion_survives_256_classes() -> None:
    labels: NDArray[np.int64] = np.arange(256, dtype=np.int64)
    names = tuple(f"c{i}" for i in labels)
    m = measure(
        [answer(*np.eye(256)[i], classes=names) for i in labels], labels, classes=names, model="m", data="d", split="s"
    )
    assert m.confusion.shape == (256, 256)
    assert m.accuracy == 1.0
