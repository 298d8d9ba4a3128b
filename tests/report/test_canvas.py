"""What figures are drawn with: grids of images, points of curves, axes, names that are cut."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from inkdigit.report.canvas import LIGHT, Tile, drawing, log_axis, name_ticks, plane, points, short, tile_grid


def opened(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png)).convert("RGB")


def test_each_row_of_tiles_makes_the_grid_taller() -> None:
    tile = Tile(np.full((28, 28), 128, np.uint8), (("2 → 7", LIGHT.text),), frame=LIGHT.red, dashed=True)
    with drawing(LIGHT):
        one, three = (opened(tile_grid([[tile] * 5] * rows, columns=5)) for rows in (1, 3))
    assert one.width == three.width
    assert three.height > 2.5 * one.height


def test_a_wide_image_is_shown_completely() -> None:
    wide = np.zeros((10, 40), np.uint8)
    wide[:, :20] = 255
    with drawing(LIGHT):
        grid = opened(tile_grid([[Tile(wide)]], columns=1))
    middle = [grid.getpixel((x, grid.height // 2)) for x in (grid.width // 4, 3 * grid.width // 4)]
    assert middle == [(255, 255, 255), (0, 0, 0)]


def test_points_that_are_not_numbers_are_left_out() -> None:
    rows = [{"epoch": 1.0}, {"epoch": 2.0, "loss": float("nan")}, {"epoch": 3.0, "loss": 0.5}]
    assert points(rows, "loss") == ([3.0], [0.5])


def test_long_names_are_cut_short() -> None:
    assert short("Ankle boot", 10) == "Ankle boot"
    assert short("Ankle boots", 10) == "Ankle boo…"


def test_a_logarithmic_axis_has_plain_numbers_at_1_2_and_5() -> None:
    with drawing(LIGHT):
        _, axes = plane(4.0, 3.0)
        axes.plot([1, 2], [0.01, 5.0])
        log_axis(axes)
        low, high = axes.get_ylim()
        labels = [axes.yaxis.get_major_formatter()(tick) for tick in axes.get_yticks() if low <= tick <= high]
        assert len(axes.yaxis.get_minorticklocs()) == 0
    assert labels == ["0.01", "0.02", "0.05", "0.1", "0.2", "0.5", "1", "2", "5"]


def test_names_on_an_axis_are_left_out_cut_or_turned_where_they_would_overlap() -> None:
    def ticks(names: list[str], axis: str) -> tuple[list[str], set[float]]:
        _, axes = plane(4.0, 3.0)
        name_ticks(axes, names, axis=axis)
        labels = axes.get_xticklabels() if axis == "x" else axes.get_yticklabels()
        return [label.get_text() for label in labels], {label.get_rotation() for label in labels}

    with drawing(LIGHT):
        assert ticks(list("0123456789"), "x") == (list("0123456789"), {0.0})
        assert ticks(["Ankle boot"] * 6, "x") == (["Ankle boot"] * 6, {90.0})
        assert ticks(["Ankle boot"] * 6, "y") == (["Ankle boot"] * 6, {0.0})
        assert ticks(["a name of many words"] * 2, "y")[0] == ["a name of man…"] * 2
        assert ticks([f"{i}" for i in range(60)], "y")[0] == [f"{i}" for i in range(0, 60, 3)]
