"""The sheet of `predict --show`: one row an image, four cells, and nothing that stops it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inkdigit.report.sheet import CELL_PX, GAP_PX, HEAD_PX, draw, sheet
from inkdigit.types import Prediction

from ..conftest import drawn, on_paper

PHOTO = on_paper(drawn(3))
THREE = Prediction("3", 0.987, np.eye(10, dtype=np.float32)[3], 5.0)
NOTHING = Prediction(None, reason="no ink")


def cells(image: Image.Image, row: int = 0) -> list[np.ndarray]:
    """The insides of the four cells of one row, gray."""
    top = HEAD_PX + row * (CELL_PX + GAP_PX + 20)
    lefts = [GAP_PX + column * (CELL_PX + GAP_PX) for column in range(4)]
    gray = np.asarray(image.convert("L"))
    return [gray[top + 1 : top + CELL_PX - 1, left + 1 : left + CELL_PX - 1] for left in lefts]


def test_the_sheet_is_a_png_with_a_row_for_each_image():
    one, three = (draw([(Path("a.png"), PHOTO, THREE)] * n, kind="ink") for n in (1, 3))
    sizes = [Image.open(io.BytesIO(data)).size for data in (one, three)]
    assert one.startswith(b"\x89PNG")
    assert sizes[0][0] == sizes[1][0]
    assert sizes[1][1] > sizes[0][1] + 2 * CELL_PX


def test_the_cells_show_image_ink_network_input_and_answer():
    picture, ink, seen, answer = cells(sheet([(Path("a.png"), PHOTO, THREE)], kind="ink"))
    assert np.median(picture) > 100  # paper
    assert np.median(ink) == np.median(seen) == 0
    assert ink.max() == seen.max() == 255
    assert (answer < 60).sum() > 300  # a large label
    assert np.unique(seen).size > 2


def test_an_answer_of_nothing_is_shown_as_well():
    blank = np.full((30, 30), 200, np.uint8)
    _, ink, seen, answer = cells(sheet([(Path("a.png"), blank, NOTHING)], kind="ink"))
    assert not ink.any()
    assert not seen.any()
    assert (answer < 128).any()


def test_a_plain_image_is_its_own_ink():
    picture, ink, seen, _ = cells(sheet([(Path("a.png"), PHOTO[:28, :28], THREE)], kind="plain"))
    assert np.array_equal(picture, ink)
    assert np.array_equal(picture, seen)


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (28, 28), (168, 169), (900, 700)])
def test_any_shape_fits_its_cell(shape):
    gray = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    assert draw([(Path("a.png"), gray, NOTHING)], kind="ink")


@pytest.mark.parametrize("label", ["0", "10", "trouser and coat", "ß", "数", None])
def test_any_label_and_name_can_be_written(label):
    answer = Prediction(label, 1.0, reason="unsure" if label is None else None)
    assert draw([(Path("ö" * 200 + ".png"), PHOTO, answer)], kind="ink")


def test_no_images_are_an_empty_sheet():
    assert draw([], kind="ink").startswith(b"\x89PNG")
