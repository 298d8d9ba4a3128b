"""The corners of a sheet: on a desk, with writing, in a shadow; and where the picture is the page."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from inkdigit.page.sheet import find_sheet, flatten

CORNERS = np.array([[60, 50], [520, 80], [560, 380], [40, 350]], np.float64)


def photo(desk: int = 60, paper: int = 220, corners: np.ndarray = CORNERS) -> np.ndarray:
    """A sheet with a few strokes on a desk: uint8 (420, 600)."""
    image = Image.new("L", (600, 420), desk)
    pen = ImageDraw.Draw(image)
    pen.polygon([tuple(point) for point in corners.tolist()], paper)
    for i in range(5):
        pen.line([(120 + 70 * i, 140), (150 + 70 * i, 260)], 30, 6)
    noise = np.random.default_rng(0).normal(0, 4, (420, 600))
    return np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("desk", "paper"), [(60, 220), (120, 190), (10, 120)])
def test_the_corners_are_those_of_the_sheet(desk, paper):
    corners = find_sheet(photo(desk, paper))
    assert corners is not None
    assert np.abs(corners * (600, 420) - CORNERS).max() < 6


def test_a_photo_becomes_the_page():
    page = flatten(photo())
    h, w = page.shape
    assert 1.3 < w / h < 1.9
    edge = np.concatenate([page[3, 10:-10], page[-4, 10:-10], page[10:-10, 3], page[10:-10, -4]])
    assert np.median(edge) > 180


@pytest.mark.parametrize(
    "picture",
    [
        np.full((50, 80), 200, np.uint8),
        np.zeros((1, 1), np.uint8),
        photo(desk=215),  # no difference
        photo(corners=np.array([[-9, -9], [700, -9], [700, 500], [-9, 500]], np.float64)),  # nothing but the page
        np.random.default_rng(0).integers(0, 256, (200, 300)).astype(np.uint8),
    ],
)
def test_without_a_sheet_the_picture_is_the_page(picture):
    assert find_sheet(picture) is None
    assert flatten(picture) is picture
