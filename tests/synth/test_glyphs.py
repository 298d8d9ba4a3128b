"""The tables of `synth/glyphs.py`: every line can be read, and none is there twice."""

from __future__ import annotations

import re

from inkdigit.synth.glyphs import (
    BLOB_GLYPHS,
    DIGIT_GLYPHS,
    EXTRA_DIGIT_GLYPHS,
    LETTER_GLYPHS,
    SHAPE_GLYPHS,
    SIGN_GLYPHS,
    STRAIGHT_DIGIT_GLYPHS,
    WRITER_DIGIT_GLYPHS,
)

POINT = r"-?\d{1,3},-?\d{1,3}!?"
TABLES = (LETTER_GLYPHS, SIGN_GLYPHS, SHAPE_GLYPHS, BLOB_GLYPHS)
OUTLIERS = [glyph for table in TABLES for glyph in table.values()]
DIGITS = [
    glyph
    for table in (DIGIT_GLYPHS, EXTRA_DIGIT_GLYPHS, STRAIGHT_DIGIT_GLYPHS, WRITER_DIGIT_GLYPHS)
    for glyphs in table.values()
    for glyph in glyphs
]


def test_a_glyph_is_strokes_of_two_points_or_more():
    failures = [
        f"{glyph!r}: {stroke!r}"
        for glyph in [*DIGITS, *OUTLIERS]
        for stroke in glyph.split(" | ")
        if not re.fullmatch(f"{POINT}( {POINT})+", stroke)
        or len(set(stroke.replace("!", "").split())) < 2  # a dot is a short line, as pens make it
    ]
    assert not failures


def test_every_digit_has_eight_variants_or_more_and_no_glyph_is_there_twice():
    assert sorted(DIGIT_GLYPHS) == sorted(EXTRA_DIGIT_GLYPHS) == sorted(STRAIGHT_DIGIT_GLYPHS) == list(range(10))
    assert all(len(DIGIT_GLYPHS[label]) >= 3 for label in range(10))
    assert all(len(DIGIT_GLYPHS[label] + EXTRA_DIGIT_GLYPHS[label]) >= 8 for label in range(10))
    every = [*DIGITS, *(glyph for table in TABLES if table is not BLOB_GLYPHS for glyph in table.values())]
    assert len(set(every)) == len(every)


def test_no_letter_or_sign_is_called_what_looks_like_a_digit():
    assert not set("OQoIliZzSsbBGgqay0123456789|/()!") & (set(LETTER_GLYPHS) | set(SIGN_GLYPHS))


def test_an_outline_is_one_closed_stroke():
    outlines = {name: glyph.replace("!", "").split() for name, glyph in (SHAPE_GLYPHS | BLOB_GLYPHS).items()}
    failures = [name for name, points in outlines.items() if "|" in points or points[0] != points[-1]]
    assert not failures
