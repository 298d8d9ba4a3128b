"""Which strokes are the digit, and which are specks or neighbours."""

from __future__ import annotations

import numpy as np

from inkdigit.picture.photo.strokes import main_strokes, mend, thicken, tidy
from inkdigit.picture.prepare import prepare

from ...conftest import drawn


def strokes(*boxes: tuple[int, int, int, int], side: int = 120) -> np.ndarray:
    """Filled boxes (top, left, bottom, right) in a mask (side, side)."""
    out = np.zeros((side, side), bool)
    for top, left, bottom, right in boxes:
        out[top:bottom, left:right] = True
    return out


def main(mask: np.ndarray) -> np.ndarray:
    return main_strokes(mask.astype(np.float32) * 100, mask)


def test_a_part_nearby_stays_and_a_speck_goes():
    digit, part, speck = (30, 50, 90, 60), (30, 68, 38, 85), (100, 20, 103, 23)
    assert np.array_equal(main(strokes(digit, part, speck)), strokes(digit, part))


def test_what_the_border_cuts_off_goes_unless_it_is_all_there_is():
    digit, neighbour = (30, 50, 90, 60), (20, 100, 100, 120)
    assert np.array_equal(main(strokes(digit, neighbour)), strokes(digit))
    assert np.array_equal(main(strokes(neighbour)), strokes(neighbour))


def test_a_broken_stroke_is_one():
    pieces = [(20 + 16 * i, 50, 33 + 16 * i, 54) for i in range(5)]
    assert np.array_equal(main(strokes(*pieces)), strokes(*pieces))


def test_a_line_that_is_erased_leaves_no_gap():
    stroke, line = strokes((20, 50, 90, 60)), strokes((54, 0, 56, 120))
    assert np.array_equal(mend(stroke & ~line, line), stroke)


def test_hair_lines_grow_and_broad_ones_stay():
    hair, broad = strokes((20, 50, 100, 52)), strokes((20, 50, 100, 65))
    assert thicken(hair * np.uint8(255), hair).any(0).sum() > 5
    assert np.array_equal(thicken(broad * np.uint8(255), broad), broad * np.uint8(255))


def test_a_tidy_drawing_stays_as_it_is():
    drawings = {label: prepare(drawn(label)) for label in range(10)}
    assert [label for label, drawing in drawings.items() if not np.array_equal(tidy(drawing), drawing)] == []


def test_nothing_is_tidy():
    assert not tidy(np.zeros((28, 28), np.uint8)).any()
