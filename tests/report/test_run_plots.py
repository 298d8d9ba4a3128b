"""Figures: sizes that follow from what is drawn, and the choices made before drawing."""

from __future__ import annotations

import io
from collections import Counter

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from inkdigit.measure.metrics import measure
from inkdigit.report import run_plots as plots
from inkdigit.report.canvas import LIGHT, Tile, drawing, points, short, tile_grid
from inkdigit.types import Metrics, Prediction


def opened(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png)).convert("RGB")


def test_each_row_of_tiles_makes_the_grid_taller() -> None:
    tile = Tile(np.full((28, 28), 128, np.uint8), (("2 → 7", LIGHT.text),), frame=LIGHT.red, dashed=True)
    with drawing(LIGHT):
        one, three = (opened(tile_grid([[tile] * 5] * rows, columns=5)) for rows in (1, 3))
    assert one.width == three.width
    assert three.height > 2.5 * one.height


def test_a_wide_picture_is_shown_whole() -> None:
    wide = np.zeros((10, 40), np.uint8)
    wide[:, :20] = 255
    with drawing(LIGHT):
        grid = opened(tile_grid([[Tile(wide)]], columns=1))
    middle = [grid.getpixel((x, grid.height // 2)) for x in (grid.width // 4, 3 * grid.width // 4)]
    assert middle == [(255, 255, 255), (0, 0, 0)]


def test_fewer_pictures_than_the_grid_holds() -> None:
    images = np.zeros((3, 28, 28), np.uint8)
    predictions = [Prediction("0"), Prediction("1"), Prediction(None, reason="no ink")]
    grid = opened(plots.answers(images, np.zeros(3, np.int64), predictions, ("0", "1"), theme=LIGHT))
    assert grid.height < grid.width / 2  # one row


@pytest.mark.parametrize(
    ("labels", "most", "chosen"),
    [
        ([0, 0, 1, 1], 4, [0, 2, 1, 3]),  # each class in turn
        ([0, 0, 1, 1], 3, [0, 2]),  # whole rounds only
        ([1, 0, 0], 10, [1, 0, 2]),  # a class may run out
        ([], 10, []),
    ],
)
def test_glimpses_take_the_classes_in_turn(labels: list[int], most: int, chosen: list[int]) -> None:
    assert plots.take_in_turn(labels, most) == chosen


def test_glimpses_of_many_classes_are_a_spread() -> None:
    chosen = plots.take_in_turn([label for label in range(256) for _ in range(5)], 20)
    assert len(chosen) == 20
    assert max(Counter(i // 5 for i in chosen).values()) == 1
    assert (chosen[0] // 5, chosen[-1] // 5) == (0, 255)


def test_curves_leave_out_what_is_no_number() -> None:
    rows = [{"epoch": 1.0}, {"epoch": 2.0, "loss": float("nan")}, {"epoch": 3.0, "loss": 0.5}]
    assert points(rows, "loss") == ([3.0], [0.5])


def test_a_running_mean_keeps_a_level_line() -> None:
    assert plots.running_mean([2.0] * 100).tolist() == [2.0] * 100
    assert plots.running_mean([]).tolist() == []


def test_steps_may_carry_accuracy() -> None:
    steps = [{"epoch": i / 10, "accuracy": i / 10} for i in range(1, 11)]
    with_steps, without = (plots.accuracy([], rows, reported=("test", 0.9), theme=LIGHT) for rows in (steps, []))
    assert with_steps != without


def test_long_names_are_cut_short() -> None:
    assert short("Ankle boot", 10) == "Ankle boot"
    assert short("Ankle boots", 10) == "Ankle boo…"


def ranked(right: list[bool], *, refused: int = 0) -> Metrics:
    """Two classes, the most confident first; the last so many are not answered."""
    labels = np.array([0 if yes else 1 for yes in right], np.int64)
    sureness = np.linspace(1.0, 0.5, len(right), endpoint=False, dtype=np.float32)
    answers = ["0"] * (len(right) - refused) + [None] * refused
    told = [Prediction(said, float(p), np.array([p, 1 - p])) for said, p in zip(answers, sureness, strict=True)]
    return measure(told, labels, classes=("0", "1"), model="m", data="d", split="test")


@pytest.mark.parametrize(
    ("right", "refused", "left", "top"),
    [
        ([True] * 97 + [False] * 3, 0, 90, 3),  # from the first mistake on, in tens
        ([True] * 97 + [False] * 3, 35, 60, 3),  # or from what is answered
        ([True] * 45 + [False] * 55, 0, 40, 55),
        ([True] * 100, 0, 90, 0.1),  # the goal is always in sight
        ([False] + [True] * 99, 0, 0, 10),  # one mistake among the first few flattens nothing: 1 of 10, not of 1
        ([True] * 97 + [False] * 3, 100, 90, 3),  # nothing is answered: no diamond
    ],
)
def test_risk_coverage_shows_where_mistakes_are(
    monkeypatch: pytest.MonkeyPatch, right: list[bool], refused: int, left: float, top: float
) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(plots, "png", lambda figure: figures.append(figure) or b"")
    plots.risk_coverage(ranked(right, refused=refused), theme=LIGHT)
    (axes,) = figures[0].axes
    assert axes.get_xlim()[0] == left
    assert axes.get_ylim()[1] == pytest.approx(1.15 * top)
    (marks,) = axes.collections or [None]
    if refused == len(right):
        assert marks is None
    else:
        assert marks.get_offsets().data[0].tolist() == pytest.approx(own(right, refused))


def own(right: list[bool], refused: int) -> list[float]:
    """The coverage and the risk of what is answered, in %."""
    answered = right[: len(right) - refused]
    return [100 * len(answered) / len(right), 100 * answered.count(False) / len(answered)]


def test_reliability_has_a_point_and_an_interval_a_bin_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(plots, "png", lambda figure: figures.append(figure) or b"")
    bins = ranked([True] * 10 + [False] * 2).reliability
    plots.reliability(bins, theme=LIGHT)
    intervals, points = figures[0].axes[0].collections
    assert len(points.get_offsets()) == len(intervals.get_segments()) == np.count_nonzero(bins.count)
    for (x, y), segment in zip(points.get_offsets().data, intervals.get_segments(), strict=True):
        assert segment[0, 0] == segment[1, 0] == pytest.approx(x)
        assert segment[0, 1] <= y <= segment[1, 1]
