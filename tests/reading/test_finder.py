"""Finding numbers: every number of a page once, in the order of reading, with all of its digits in the box."""

from __future__ import annotations

import numpy as np
import pytest

from inkdigit.reading.finder import LIKE_NUMBER, Found, find
from inkdigit.synth import drawn, writers
from inkdigit.types import Gray

PAPER = 225


def page(shape: tuple[int, int], seed: int = 0) -> Gray:
    """Paper with a little noise."""
    rng = np.random.default_rng(seed)
    return np.asarray(PAPER + rng.integers(-4, 5, shape), np.uint8)


def write(sheet: Gray, text: str, top: int, left: int, *, height: int = 40, seed: int = 0) -> tuple[int, int, int, int]:
    """Write `text`, a number, on a sheet, and return its box."""
    rng = np.random.default_rng(seed)
    hand = writers.Writer(("",) * 10, 5, 0, 1, 0.09, 0, 0.01)
    x = left
    for sign in text:
        ink = writers.write_glyph(hand, drawn.DIGIT_GLYPHS[int(sign)][0], rng=rng, size_px=round(height / 0.7))
        rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
        ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        window = sheet[top : top + ink.shape[0], x : x + ink.shape[1]]
        window -= (window * (ink / 255 * 0.8)).astype(np.uint8)
        x += ink.shape[1] + height // 5
    return top, left, top + height, x - height // 5


def holds(found: Found, box: tuple[int, int, int, int], slack: int = 8) -> bool:
    """Whether what was found holds all of a box, and not much more."""
    inside = all(a <= b + slack for a, b in zip(found.box[:2], box[:2], strict=True))
    inside &= all(a >= b - slack for a, b in zip(found.box[2:], box[2:], strict=True))
    return inside and found.box[3] - found.box[1] < 1.5 * (box[3] - box[1]) + 40


def test_one_number_is_one_line():
    sheet = page((120, 400))
    box = write(sheet, "20417", 40, 60)
    (found,) = find(sheet)
    assert holds(found, box)
    assert found.number > LIKE_NUMBER


@pytest.mark.parametrize("height", [24, 60])
def test_numbers_on_a_page_come_in_the_order_of_reading(height):
    sheet = page((600, 800))
    boxes = [
        write(sheet, text, top, left, height=height, seed=i)
        for i, (text, top, left) in enumerate(
            [("305", 60, 50), ("8842", 70, 480), ("17", 250, 400), ("96203", 430, 90)]
        )
    ]
    found = find(sheet)
    assert len(found) == len(boxes)
    assert all(holds(one, box) for one, box in zip(found, boxes, strict=True))


def test_small_numbers_on_a_large_page_are_found():
    sheet = page((1500, 2000))
    boxes = [write(sheet, "4711", 200 + 400 * i, 300 + 350 * i, height=44, seed=i) for i in range(3)]
    found = [one for one in find(sheet) if one.number > LIKE_NUMBER]
    assert len(found) == 3
    assert all(holds(one, box, slack=14) for one, box in zip(found, boxes, strict=True))


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (40, 40)])
def test_on_empty_paper_is_nothing(shape):
    assert find(page(shape)) == []
