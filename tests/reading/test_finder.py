"""Finding numbers: every number of a page once, in the order of reading, with all of its digits in the box."""

from __future__ import annotations

import pytest

from inkdigit.picture.photo.network import look
from inkdigit.reading import finder
from inkdigit.reading.finder import LIKE_NUMBER, Found, find

from .conftest import page, write


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


def test_a_long_strip_is_looked_at_with_few_pixels_unless_its_writing_is_small(monkeypatch):
    looked = []
    monkeypatch.setattr(finder, "look", lambda gray, side_px: (looked.append(side_px), look(gray, side_px=side_px))[1])
    for height, looks in ((80, 1), (18, 2)):
        looked.clear()
        sheet = page((140, 1100))
        box = write(sheet, "20417", 30, 60, height=height)
        (found,) = find(sheet)
        assert holds(found, box)
        assert len(looked) == looks
        assert looked[0] < finder.NEAR_SIDE_PX


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
