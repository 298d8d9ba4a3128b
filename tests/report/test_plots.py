"""Figures: sizes that follow from what is drawn, and the choices made before drawing."""

from __future__ import annotations

import io
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from inkdigit.report import plots
from inkdigit.report.canvas import LIGHT, Tile, drawing, short, tile_grid
from inkdigit.types import Prediction


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
    assert plots._rounds(labels, most) == chosen


def test_glimpses_of_many_classes_are_a_spread() -> None:
    chosen = plots._rounds([label for label in range(256) for _ in range(5)], 20)
    assert len(chosen) == 20
    assert max(Counter(i // 5 for i in chosen).values()) == 1
    assert (chosen[0] // 5, chosen[-1] // 5) == (0, 255)


def test_curves_leave_out_what_is_no_number() -> None:
    rows = [{"epoch": 1.0}, {"epoch": 2.0, "loss": float("nan")}, {"epoch": 3.0, "loss": 0.5}]
    assert plots._curve(rows, "loss") == ([3.0], [0.5])


def test_a_running_mean_keeps_a_level_line() -> None:
    assert plots._running_mean([2.0] * 100).tolist() == [2.0] * 100
    assert plots._running_mean([]).tolist() == []


def test_steps_may_carry_accuracy() -> None:
    steps = [{"epoch": i / 10, "accuracy": i / 10} for i in range(1, 11)]
    with_steps, without = (plots.accuracy([], rows, reported=("test", 0.9), theme=LIGHT) for rows in (steps, []))
    assert with_steps != without


def test_long_names_are_cut_short() -> None:
    assert short("Ankle boot", 10) == "Ankle boot"
    assert short("Ankle boots", 10) == "Ankle boo…"
