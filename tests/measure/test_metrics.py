"""Metrics against cases worked out by hand, against scikit-learn, and the laws that hold for any predictions."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log
from types import SimpleNamespace

import numpy as np
import pytest
import sklearn.metrics as sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.calibration import calibration_curve

from inkdigit.errors import DataError, UsageError
from inkdigit.measure.metrics import (
    Metrics,
    evaluate,
    measure,
    predict_part,
    reliability,
    risk_coverage,
    stack_probs,
    worst_mistakes,
)
from inkdigit.model.provenance import Provenance
from inkdigit.types import Dataset, Gray, Part, Prediction

AB = ("a", "b", "c")


def answer(*probs: float, rejected: bool = False, classes: tuple[str, ...] = AB) -> Prediction:
    row = np.array(probs, dtype=np.float32)
    label = None if rejected else classes[int(row.argmax())]
    return Prediction(
        label, confidence=float(row.max()), probs=row, score=0.0, reason="not a digit" if rejected else None
    )


def blank() -> Prediction:
    return Prediction(None, reason="no ink")


def measured(predictions: list[Prediction], labels: list[int], classes: tuple[str, ...] = AB) -> Metrics:
    return measure(predictions, np.array(labels, np.int64), classes=classes, model="m", data="d", split="test")


@dataclass
class Echo:
    """A recogniser that reads the class index from the first pixel, which a plain preprocessing does not change."""

    classes: tuple[str, ...] = ("x", "y", "z")
    name: str = "echo"
    prepare: str = "plain"
    card: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(provenance=Provenance()))

    def predict(self, pictures: Gray) -> list[Prediction]:
        return [answer(*np.eye(3)[image[0, 0]], classes=self.classes) for image in pictures]


def coded(pixels: list[int], labels: list[int], faults: dict[int, str] | None = None) -> Part:
    images = np.zeros((len(pixels), 28, 28), np.uint8)
    images[:, 0, 0] = pixels
    return Part(images, np.array(labels, np.int64), faults=faults or {})


def plain(name: str, classes: tuple[str, ...], train: Part, test: Part | None = None) -> Dataset:
    return Dataset(name, classes, train, test, prepare="plain")


def test_measure_by_hand() -> None:
    predictions = [
        answer(0.7, 0.2, 0.1),  # right
        answer(0.6, 0.4, 0.0),  # a for b
        answer(0.1, 0.8, 0.1, rejected=True),  # right, but rejected
        blank(),  # c, not read
        answer(0.0, 0.5, 0.5),  # b for c: the first of two equals
    ]
    m = measured(predictions, [0, 1, 1, 2, 2])
    assert m.accuracy == pytest.approx(2 / 5)
    assert (m.n, m.answered) == (5, 3)
    assert m.accuracy_answered == pytest.approx(1 / 3)
    assert m.nll == pytest.approx(-(log(0.7) + log(0.4) + log(0.8) + log(0.5)) / 4, abs=1e-6)
    assert m.ece == pytest.approx((0.3 + 0.6 + 0.2 + 0.5) / 4, abs=1e-6)  # four bins of one image each
    brier = (0.09 + 0.04 + 0.01) + (0.36 + 0.36) + (0.01 + 0.04 + 0.01) + (0.25 + 0.25)  # a rejected answer counts too
    assert m.brier == pytest.approx(brier / 4, abs=1e-6)
    assert m.risk_coverage.accepted.tolist() == [1, 2, 3, 4, 5]  # 0.8, 0.7, 0.6, 0.5, and the blank image
    assert m.risk_coverage.wrong.tolist() == [0, 0, 1, 2, 3]
    assert m.aurc == pytest.approx((0 + 0 + 1 / 3 + 2 / 4 + 3 / 5) / 5)
    assert m.confusion.tolist() == [[1, 0, 0], [1, 1, 0], [0, 1, 0]]
    b, c = m.per_class["b"], m.per_class["c"]
    assert (b.tp, b.fp, b.fn, b.tn, b.support) == (1, 1, 1, 2, 2)
    assert (b.precision, b.recall, b.f1) == (0.5, 0.5, 0.5)
    assert (c.tp, c.fp, c.fn, c.tn, c.support) == (0, 0, 2, 3, 2)
    assert (c.precision, c.recall, c.f1) == (0.0, 0.0, 0.0)
    assert (m.model, m.data, m.split) == ("m", "d", "test")


def test_measure_without_any_answer() -> None:
    m = measured([blank(), blank()], [0, 1])
    assert (m.accuracy, m.answered, m.accuracy_answered, m.nll, m.brier, m.ece) == (0.0, 0, None, None, None, None)
    assert (m.aurc, m.coverage_at_999, m.confidence_at_999) == (1.0, None, None)
    assert m.confusion.sum() == 0
    assert m.per_class["a"].fn == 1


def test_a_true_class_of_probability_zero_keeps_the_nll_finite() -> None:
    m = measured([answer(1.0, 0.0, 0.0)], [1])
    assert m.nll is not None
    assert 80 < m.nll < 100


def test_measure_needs_images_and_the_same_number_of_predictions() -> None:
    with pytest.raises(DataError, match="nothing to measure") as caught:
        measured([], [])
    assert caught.value.exit_code == 4
    with pytest.raises(ValueError, match="expected 1 predictions"):
        measured([], [0])


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
    assert m.brier is None or 0 <= m.brier <= 2
    assert m.risk_coverage.risk[-1] == pytest.approx(1 - m.accuracy)
    assert 0 <= m.aurc <= 1


def test_brier_goes_from_0_to_2() -> None:
    assert measured([answer(1.0, 0.0, 0.0)], [0]).brier == 0.0
    assert measured([answer(1.0, 0.0, 0.0)], [1]).brier == 2.0
    assert measured([answer(1 / 3, 1 / 3, 1 / 3)], [0]).brier == pytest.approx(2 / 3, abs=1e-6)


def test_calibration_error_by_hand() -> None:
    """Three images in the bin 0.6–0.667 with 0.65, two right; two in 0.933–1 with 0.95, one right."""
    probs = np.array([[0.65, 0.35]] * 3 + [[0.95, 0.05]] * 2, np.float32)
    bins = reliability(probs, np.array([0, 0, 1, 0, 1], np.int64))
    assert len(bins.count) == 15
    assert {i: int(n) for i, n in enumerate(bins.count) if n} == {9: 3, 14: 2}
    assert bins.error == pytest.approx((3 * (2 / 3 - 0.65) + 2 * (0.95 - 0.5)) / 5, abs=1e-6)
    content = bins.to_json()
    assert content["count"] == bins.count.tolist()
    assert content["accuracy"][9:] == [pytest.approx(2 / 3), None, None, None, None, 0.5]


def test_images_of_equal_confidence_are_accepted_together() -> None:
    probs = np.array([[0.75, 0.25], [0.9, 0.1], [0.75, 0.25], [np.nan, np.nan], [0.25, 0.75]], np.float32)
    labels = np.array([0, 0, 1, 0, 1], np.int64)
    curve = risk_coverage(probs, labels)
    assert curve.confidence.tolist() == pytest.approx([0.9, 0.75, 0.0])
    assert (curve.accepted.tolist(), curve.wrong.tolist()) == ([1, 4, 5], [0, 1, 2])
    assert curve.coverage.tolist() == [0.2, 0.8, 1.0]
    assert curve.risk.tolist() == [0.0, 0.25, 0.4]
    assert curve.area == pytest.approx((1 * 0 + 3 * 0.25 + 1 * 0.4) / 5)
    turned = risk_coverage(probs[::-1], labels[::-1])
    assert (turned.accepted.tolist(), turned.wrong.tolist()) == ([1, 4, 5], [0, 1, 2])


def ranked(right: list[bool]) -> Metrics:
    """Images of two classes, the most confident first."""
    confidence = np.linspace(1.0, 0.5, len(right), endpoint=False).tolist()
    names = ("a", "b")
    return measured(
        [answer(p, 1 - p, classes=names) for p in confidence], [0 if is_right else 1 for is_right in right], names
    )


@pytest.mark.parametrize(
    ("right", "accepted"),
    [
        ([True] * 1000, 1000),
        ([True] * 999, None),  # none is wrong, but these are too few to show one in a thousand
        ([True] * 1998 + [False] * 2, 2000),  # exactly 99.9 %
        ([True] * 1997 + [False] * 3, 1998),  # with one of these three: 1 in 1,998
        ([False] + [True] * 998, None),
        ([False] + [True] * 999, 1000),  # a mistake among the first does not end it
        ([True] * 500 + [False] + [True] * 400 + [False] * 600, None),  # no thousand images reach it
    ],
)
def test_coverage_at_999(right: list[bool], accepted: int | None) -> None:
    m = ranked(right)
    if accepted is None:
        assert (m.coverage_at_999, m.confidence_at_999) == (None, None)
    else:
        assert m.coverage_at_999 == accepted / len(right)
        assert m.confidence_at_999 == pytest.approx(1 - 0.5 * (accepted - 1) / len(right), abs=1e-6)


def test_the_curve_as_json_is_short_and_has_only_its_own_points() -> None:
    m = ranked([True] * 900 + [False, True] * 50)
    content = m.to_json()["risk_coverage"]
    assert content["coverage"] == pytest.approx([i / 100 for i in range(1, 101)])
    assert (content["risk"][89], content["risk"][-1]) == (0.0, pytest.approx(0.05))
    assert content["confidence"][-1] == pytest.approx(0.5005)
    odd = ranked([True] * 150).to_json()["risk_coverage"]
    assert odd["coverage"][:3] == pytest.approx([2 / 150, 3 / 150, 5 / 150])  # at least 1, 2, 3 per cent
    few = ranked([True, False, True]).to_json()["risk_coverage"]
    assert few["coverage"] == pytest.approx([1 / 3, 2 / 3, 1])
    assert few["risk"] == pytest.approx([0, 1 / 2, 1 / 3])


def test_calibration_counts_each_image_with_probabilities_once() -> None:
    probs = np.array([[1.0, 0.0], [0.5, 0.5], [np.nan, np.nan], [0.9, 0.1]], np.float32)
    bins = reliability(probs, np.array([0, 1, 0, 1], np.int64))
    assert bins.count.sum() == 3
    assert (bins.count[14], bins.accuracy[14]) == (1, 1.0)
    assert np.isnan(bins.accuracy[0])


@dataclass
class Sample:
    """Random predictions for N images with their labels: float32 (N, K), all of them with probabilities."""

    probs: NDArray[np.float32]
    labels: NDArray[np.int64]
    metrics: Metrics

    @property
    def read(self) -> NDArray[np.int64]:
        return self.probs.argmax(axis=1)

    @property
    def confidence(self) -> NDArray[np.float64]:
        return self.probs.max(axis=1).astype(np.float64)


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    """Two to eight classes, of which some may not occur or never be read; confidences may be equal."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    k, n, digits = draw(st.integers(2, 8)), draw(st.integers(1, 80)), draw(st.sampled_from([2, 6]))
    labels = rng.integers(draw(st.integers(1, k)), size=n)
    raw = rng.dirichlet(np.full(k, draw(st.sampled_from([0.3, 1.0, 5.0]))), size=n)
    rounded = np.maximum(raw.round(digits), 10.0**-digits)
    probs = (rounded / rounded.sum(axis=1, keepdims=True)).astype(np.float32)
    names = tuple(f"c{i}" for i in range(k))
    predictions = [answer(*row, classes=names) for row in probs]
    return Sample(probs, labels, measured(predictions, labels.tolist(), names))


@settings(max_examples=60, deadline=None)
@given(samples())
def test_counts_precision_recall_and_f1_are_those_of_scikit_learn(sample: Sample) -> None:
    k, m = len(sample.metrics.classes), sample.metrics
    assert m.confusion.tolist() == sklearn.confusion_matrix(sample.labels, sample.read, labels=range(k)).tolist()
    assert m.accuracy == pytest.approx(sklearn.accuracy_score(sample.labels, sample.read))
    expected = sklearn.precision_recall_fscore_support(sample.labels, sample.read, labels=range(k), zero_division=0)
    rows = m.per_class.values()
    for name, column in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        assert [getattr(row, name) for row in rows] == pytest.approx(column)
    counts = sklearn.multilabel_confusion_matrix(sample.labels, sample.read, labels=range(k))
    assert [[[row.tn, row.fp], [row.fn, row.tp]] for row in rows] == counts.tolist()


@settings(max_examples=60, deadline=None)
@given(samples())
def test_log_loss_and_brier_score_are_those_of_scikit_learn(sample: Sample) -> None:
    classes = range(len(sample.metrics.classes))
    probs = sample.probs.astype(np.float64)
    probs /= probs.sum(axis=1, keepdims=True)  # a float32 row misses 1 by rounding, which scikit-learn warns of
    assert sample.metrics.nll == pytest.approx(sklearn.log_loss(sample.labels, probs, labels=classes), abs=1e-6)
    if len(classes) > 2:
        brier = sklearn.brier_score_loss(sample.labels, probs, labels=classes)
    else:  # scikit-learn adds up one class of two, which is half
        brier = 2 * sklearn.brier_score_loss(sample.labels, probs[:, 1], labels=classes)
    assert sample.metrics.brier == pytest.approx(brier, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(samples())
def test_the_risk_at_each_confidence_is_one_less_the_precision_of_scikit_learn(sample: Sample) -> None:
    """To accept an image is to call it right; then risk is 1 − precision, and coverage the share that is called so."""
    right, curve = sample.read == sample.labels, sample.metrics.risk_coverage
    confidence = np.unique(sample.confidence)[::-1]
    assert curve.confidence.tolist() == confidence.tolist()
    called = [sample.confidence >= level for level in confidence]
    assert curve.coverage.tolist() == pytest.approx([np.mean(mask) for mask in called])
    risks = [1 - sklearn.precision_score(right, mask, zero_division=0) for mask in called]
    assert curve.risk.tolist() == pytest.approx(risks)
    # The area is the mean of the risks at the confidences of all pictures (Geifman, Uziel & El-Yaniv 2019).
    at_own = [risks[int(np.flatnonzero(confidence == own)[0])] for own in sample.confidence]
    assert sample.metrics.aurc == pytest.approx(np.mean(at_own))


@settings(max_examples=60, deadline=None)
@given(samples())
def test_the_bins_of_confidence_are_those_of_scikit_learn(sample: Sample) -> None:
    right, bins = (sample.read == sample.labels).astype(int), sample.metrics.reliability
    edges = np.linspace(0, 1, 16)
    if np.isclose(sample.confidence[:, None], edges, rtol=0, atol=1e-6).any():
        return  # on an edge rounding decides
    accuracy, confidence = calibration_curve(right, sample.confidence, n_bins=15, strategy="uniform")
    filled = bins.count > 0
    assert bins.accuracy[filled] == pytest.approx(accuracy)
    assert bins.confidence[filled] == pytest.approx(confidence)
    assert bins.error == pytest.approx((bins.count[filled] * abs(accuracy - confidence)).sum() / len(right))


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


def test_an_unreadable_image_counts_as_wrong() -> None:
    predictions = predict_part(Echo(), coded([0, 1, 2], [0, 1, 2], {1: "truncated"}))
    assert [p.label for p in predictions] == ["x", None, "z"]
    assert predictions[1].reason == "unreadable"
    assert predict_part(Echo(), coded([], [])) == []


@pytest.mark.parametrize(("classes", "labels"), [(("z", "x"), [1, 0, 0]), (("z", "y", "x"), [2, 0, 0])])
def test_evaluate_matches_classes_by_name(classes: tuple[str, ...], labels: list[int]) -> None:
    m = evaluate(Echo(), plain("d", classes, coded([0, 2, 1], labels)))
    assert m.classes == ("x", "y", "z")
    assert m.confusion.tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 1]]
    assert (m.model, m.data, m.split, m.n) == ("echo", "d", "all", 3)


def test_evaluate_takes_the_given_split() -> None:
    data = plain("d", ("x", "y", "z"), coded([0, 0], [0, 1]), coded([1], [1]))
    assert evaluate(Echo(), data).accuracy == 1.0
    assert evaluate(Echo(), data, split="train").accuracy == 0.5


@pytest.mark.parametrize("missing", [("q",), ("q", "r")])
def test_evaluate_names_the_classes_that_the_model_lacks(missing: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="'q'") as caught:
        evaluate(Echo(), plain("letters", ("x", *missing), coded([0], [0])))
    assert caught.value.exit_code == 2
    assert "'x', 'y', 'z'" in str(caught.value)


def test_evaluate_needs_images_that_were_prepared_for_the_model() -> None:
    with pytest.raises(UsageError, match="prepare 'plain'"):
        evaluate(Echo(), Dataset("ink", ("x", "y"), coded([0], [0])))


def test_evaluate_names_a_data_set_whose_split_is_empty() -> None:
    with pytest.raises(DataError, match="'d'"):
        evaluate(Echo(), plain("d", ("x", "y"), coded([], [])))


def test_confusion_survives_256_classes() -> None:
    labels: NDArray[np.int64] = np.arange(256, dtype=np.int64)
    names = tuple(f"c{i}" for i in labels)
    m = measure(
        [answer(*np.eye(256)[i], classes=names) for i in labels], labels, classes=names, model="m", data="d", split="s"
    )
    assert m.confusion.shape == (256, 256)
    assert m.accuracy == 1.0
