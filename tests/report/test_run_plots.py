"""The figures of a run: choices before drawing, axes, and points."""

from __future__ import annotations

import io
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from inkdigit.measure.metrics import Metrics, measure
from inkdigit.report import run_plots as plots
from inkdigit.report.canvas import LIGHT, plane
from inkdigit.types import Prediction


def opened(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png)).convert("RGB")


def test_fewer_images_than_the_grid_has_places() -> None:
    images = np.zeros((3, 28, 28), np.uint8)
    predictions = [Prediction("0"), Prediction("1"), Prediction(None, reason="no ink")]
    grid = opened(plots.answers(images, np.zeros(3, np.int64), predictions, ("0", "1"), theme=LIGHT))
    assert grid.height < grid.width / 2  # one row


def test_glimpses_take_the_classes_in_turn() -> None:
    cases = [
        ([0, 0, 1, 1], 4, [0, 2, 1, 3]),  # each class in turn
        ([0, 0, 1, 1], 3, [0, 2]),  # only complete rounds
        ([1, 0, 0], 10, [1, 0, 2]),  # a class may have no more images
        ([], 10, []),
    ]
    for labels, max_tiles, chosen in cases:
        assert plots.take_in_turn(labels, max_tiles) == chosen, (labels, max_tiles)


def test_glimpses_of_many_classes_are_a_spread() -> None:
    chosen = plots.take_in_turn([label for label in range(256) for _ in range(5)], 20)
    assert len(chosen) == 20
    assert max(Counter(i // 5 for i in chosen).values()) == 1
    assert (chosen[0] // 5, chosen[-1] // 5) == (0, 255)


def test_a_running_mean_takes_as_many_neighbours_on_each_side() -> None:
    assert plots.running_mean([2.0] * 100).tolist() == [2.0] * 100
    assert plots.running_mean([]).tolist() == []
    assert plots.running_mean([0.0, 3.0, 6.0, 0.0]).tolist() == [0.0, 3.0, 3.0, 0.0]
    line = np.arange(90.0)
    assert plots.running_mean(line.tolist()).tolist() == line.tolist()  # the windows are symmetric


def test_steps_may_have_an_accuracy() -> None:
    steps = [{"epoch": i / 10, "accuracy": i / 10} for i in range(1, 11)]
    with_steps, without = (plots.accuracy([], rows, reported=("test", 0.9), theme=LIGHT) for rows in (steps, []))
    assert with_steps != without


def ranked(right: list[bool], *, rejected: int = 0) -> Metrics:
    """Two classes, the most confident first; the last `rejected` ones are not answered."""
    labels = np.array([0 if is_right else 1 for is_right in right], np.int64)
    confidence = np.linspace(1.0, 0.5, len(right), endpoint=False, dtype=np.float32)
    answers = ["0"] * (len(right) - rejected) + [None] * rejected
    predictions = [
        Prediction(answer, float(p), np.array([p, 1 - p])) for answer, p in zip(answers, confidence, strict=True)
    ]
    return measure(predictions, labels, classes=("0", "1"), model="m", data="d", split="test")


@pytest.mark.parametrize(
    ("right", "rejected", "left", "top"),
    [
        ([True] * 97 + [False] * 3, 0, 90, 3),  # from the first mistake on, in tens
        ([True] * 97 + [False] * 3, 35, 60, 3),  # or from what is answered
        ([True] * 45 + [False] * 55, 0, 40, 55),
        ([True] * 100, 0, 90, 0.1),  # the goal is always on the plot
        ([False] + [True] * 99, 0, 0, 10),  # a mistake among the first few does not flatten the curve
        ([True] * 97 + [False] * 3, 100, 90, 3),  # nothing is answered: no diamond
    ],
)
def test_risk_coverage_shows_where_mistakes_are(right: list[bool], rejected: int, left: float, top: float) -> None:
    _, axes = plane(4, 3)
    plots.plot_risk_coverage(axes, ranked(right, rejected=rejected), LIGHT)
    assert axes.get_xlim()[0] == left
    assert axes.get_ylim()[1] == pytest.approx(1.15 * top)
    (marks,) = axes.collections or [None]
    if rejected == len(right):
        assert marks is None
    else:
        assert marks.get_offsets().data[0].tolist() == pytest.approx(own(right, rejected))


def own(right: list[bool], rejected: int) -> list[float]:
    """The coverage and the risk of the answered images, in %."""
    answered = right[: len(right) - rejected]
    return [100 * len(answered) / len(right), 100 * answered.count(False) / len(answered)]


def test_reliability_has_a_point_and_an_interval_a_bin_in_use() -> None:
    bins = ranked([True] * 10 + [False] * 2).reliability
    _, axes = plane(4, 3)
    plots.plot_reliability(axes, bins, LIGHT)
    intervals, points = axes.collections
    assert len(points.get_offsets()) == len(intervals.get_segments()) == np.count_nonzero(bins.count)
    for (x, y), segment in zip(points.get_offsets().data, intervals.get_segments(), strict=True):
        assert segment[0, 0] == segment[1, 0] == pytest.approx(x)
        assert segment[0, 1] <= y <= segment[1, 1]


@pytest.mark.parametrize(("last", "scale"), [(0.1, "linear"), (0.04, "log"), (0.0, "linear")])
def test_only_a_loss_that_spans_much_has_a_logarithmic_axis(last: float, scale: str) -> None:
    _, axes = plane(4, 3)
    axes.plot([1, 2], [1.0, last])
    plots.log_if_wide(axes)
    assert axes.get_yscale() == scale
