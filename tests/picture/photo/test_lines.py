"""Lines that are not ink: ruled paper, boxes, frames; and strokes, which are not lines."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from inkdigit.picture.photo.lines import find_lines, stroke_width
from inkdigit.synth.drawn import digit

from ...conftest import drawn

SIDE = 240  # pixels


def blank() -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("L", (SIDE, SIDE))
    return image, ImageDraw.Draw(image)


def mask(image: Image.Image) -> np.ndarray:
    return np.asarray(image) > 127


def with_digit(lines: np.ndarray, label: int) -> tuple[np.ndarray, np.ndarray]:
    ink = np.pad(drawn(label, size_px=120), 60) > 127
    return ink | lines, ink


@pytest.mark.parametrize("size_px", [28, 60, 200])
def test_a_digit_alone_has_no_lines(size_px):
    assert [label for label in range(10) if find_lines(drawn(label, size_px=size_px) > 127).any()] == []


@pytest.mark.parametrize("slant", [0, 12])
def test_lines_from_border_to_border_are_found_and_strokes_stay_whole(slant):
    image, pen = blank()
    for y in (70, 120, 170):
        pen.line([(0, y), (SIDE, y + slant)], fill=255, width=3)
    failures = []
    for label in range(10):
        both, ink = with_digit(mask(image), label)
        lines = find_lines(both)
        if (lines & mask(image) & ~ink).sum() <= 0.8 * (mask(image) & ~ink).sum():
            failures.append(f"{label}: lines are left")
        if (lines & ink).sum() >= 0.06 * ink.sum():
            failures.append(f"{label}: strokes are cut")
    assert not failures


@pytest.mark.parametrize("label", [0, 2, 3, 5, 8])
def test_a_frame_is_found_also_when_it_is_broken_by_a_stroke(label):
    image, pen = blank()
    pen.rectangle((50, 62, 190, 185), outline=255, width=3)  # the digit touches its top
    both, ink = with_digit(mask(image), label)
    lines = find_lines(both)
    assert (lines & ~ink).sum() > 0.8 * (mask(image) & ~ink).sum()


def test_a_square_with_nothing_inside_is_not_a_frame():
    image, pen = blank()
    pen.rectangle((60, 60, 180, 180), outline=255, width=6)
    assert not find_lines(mask(image)).any()


def test_a_line_with_a_free_end_is_a_stroke():
    image, pen = blank()
    pen.line([(40, 50), (200, 50)], fill=255, width=4)  # a seven
    pen.line([(200, 50), (120, 200)], fill=255, width=4)
    assert not find_lines(mask(image)).any()


def test_nothing_has_no_lines():
    assert not find_lines(np.zeros((30, 40), bool)).any()


@pytest.mark.parametrize("width", [3, 9, 21])
def test_how_broad_a_stroke_is(width):
    image, pen = blank()
    pen.line([(40, 120), (200, 120)], fill=255, width=width)
    assert abs(stroke_width(mask(image)) - width) <= 2


@pytest.mark.parametrize("size_px", [60, 90, 130])
def test_a_zero_alone_on_a_large_sheet_stays_whole(size_px):
    for seed in range(12):
        ink = digit(0, rng=np.random.default_rng(seed), size_px=size_px) > 127
        assert not find_lines(np.pad(ink, (360 - size_px) // 2)).any(), seed
