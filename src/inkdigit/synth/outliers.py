"""Images that a model should reject: letters, signs, shapes, scribbles, pieces of digits, several digits, noise.

In: a random generator, and digits to cut and combine. Out: ink, gray `uint8 (H, W)`, 255 on 0. Drawings that look like
a digit are left out as far as we know them: a single stroke is a 1, a ring is a 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from inkdigit.picture.prepare import tight
from inkdigit.synth import drawn, printed, writers
from inkdigit.synth.glyphs import BLOB_GLYPHS, LETTER_GLYPHS, SHAPE_GLYPHS, SIGN_GLYPHS
from inkdigit.types import SIDE, Gray, Part

INK_PX = (40, 120)  # the side of a drawing: strokes stay clear when it is prepared
# Halves that look like no other digit: label → the half.
HALVES = {2: ("top", "bottom"), 3: ("left",), 4: ("top",), 5: ("left", "right"), 7: ("top",)}
ROW_SOURCES = ("set", "writer", "print")  # whose digits are in a row
ROW_SOURCE_SHARES = (0.5, 0.35, 0.15)
ROW_PX = 28  # the size at which the digits of a row are drawn: about that of a data set's
ROW_SHARES = (0.52, 0.17, 0.1, 0.08, 0.06, 0.04, 0.03)  # of rows of two digits, three, … The rarest has eight
DIVIDED_SHARE = 0.12  # of rows have a sign between their digits, as dates, amounts and sums have
DIVIDERS = ("20,100 76,0", "8,50 92,50", "46,96 54,100", "6,50 94,50 | 50,6 50,94", "54,90 50,100 40,116")
MARKS = ("print", "letter", "sign", "shape", "scribble")
MARK_SHARES = (0.3, 0.22, 0.3, 0.08, 0.1)  # of outliers: print, as on signs and in books, and all that people write
WRITER_SHARE = 0.5  # of letters and signs are in an invented hand
MOST_SLANT_DEG, LEAST_ASPECT = 25.0, 0.7  # of such a hand: a steeper or narrower ¬ is a 7
SCRIBBLES: tuple[drawn.Scribble, ...] = ("strokes", "hatching", "loops", "spiral", "tangle")


def not_a_digit(digits: Part, *, rng: np.random.Generator) -> Gray:
    """A random image that is not a digit, or is a piece of one of `digits`: uint8 (H, W)."""
    if rng.random() < 0.03:
        return _noise(rng)
    return _half(digits, rng) if rng.random() < 0.06 else _sign(rng)


def several_digits(digits: Part, *, rng: np.random.Generator) -> Gray:
    """Two to eight digits in a row, of a set, a writer or a font, or two on top of each other: uint8 (H, W)."""
    count = int(rng.choice(len(ROW_SHARES), p=ROW_SHARES)) + 2
    inks = [tight(ink) for ink in _digits(digits, count, rng)]
    if rng.random() < DIVIDED_SHARE:
        inks.insert(int(rng.integers(1, count)), _divider(rng))
    stacked = count == 2 and rng.random() < 0.12
    return _row([ink.T for ink in inks], rng).T if stacked else _row(inks, rng)


def _digits(digits: Part, count: int, rng: np.random.Generator) -> list[Gray]:
    """So many digits of the data set, of one invented writer, or in print."""
    match rng.choice(ROW_SOURCES, p=ROW_SOURCE_SHARES):
        case "writer":
            hand = writers.writer(rng)
            return [writers.write(hand, int(label), rng=rng, size_px=ROW_PX) for label in rng.integers(10, size=count)]
        case "print":
            return [printed.digit(int(label), rng=rng, size_px=ROW_PX) for label in rng.integers(10, size=count)]
    return [digits.images[i] for i in rng.integers(len(digits), size=count)]


def _divider(rng: np.random.Generator) -> Gray:
    """A stroke, a point or a cross as there is between the digits of a number."""
    text, thickness = str(rng.choice(DIVIDERS)), float(rng.uniform(0.05, 0.14))
    return tight(drawn.glyph(text, rng=rng, size_px=ROW_PX, thickness=thickness, jitter=0.03))


def _sign(rng: np.random.Generator) -> Gray:
    """A handwritten or printed letter, a sign, a shape or a scribble."""
    size, pen = int(rng.integers(*INK_PX)), drawn.pen(rng)
    return mark(MARK_SHARES, signs=[*SIGN_GLYPHS], rng=rng, size_px=size, thickness=pen, finest=0.02)


def mark(
    shares: Sequence[float],
    *,
    signs: Sequence[str],
    rng: np.random.Generator,
    size_px: int,
    thickness: float,
    finest: float,
) -> Gray:
    """A random one of `MARKS`, drawn with `shares`: uint8 (size_px, size_px).

    `thickness` is that of letters, signs and shapes; a scribble is from `finest` to 0.1 thick.
    """
    match rng.choice(MARKS, p=shares):
        case "print":
            return printed.letter(rng=rng, size_px=size_px, without=SIGN_GLYPHS.keys() - signs)
        case "letter":
            return _by_hand(LETTER_GLYPHS[str(rng.choice([*LETTER_GLYPHS]))], rng, size_px, thickness)
        case "sign":
            return _by_hand(SIGN_GLYPHS[str(rng.choice(signs))], rng, size_px, thickness)
        case "shape":
            filled = bool(rng.random() < 0.4)
            names = [*SHAPE_GLYPHS, *BLOB_GLYPHS] if filled else [*SHAPE_GLYPHS]
            return drawn.shape(str(rng.choice(names)), rng=rng, size_px=size_px, thickness=thickness, filled=filled)
    kind = SCRIBBLES[int(rng.integers(len(SCRIBBLES)))]
    return drawn.scribble(rng=rng, size_px=size_px, thickness=float(rng.uniform(finest, 0.1)), kind=kind)


def _by_hand(text: str, rng: np.random.Generator, size_px: int, thickness: float) -> Gray:
    """A glyph as drawn, or in the hand of an invented writer whose style does not hide what it is."""
    if rng.random() >= WRITER_SHARE:
        return drawn.glyph(text, rng=rng, size_px=size_px, thickness=thickness, jitter=0.03)
    hand = writers.writer(rng)
    slant_deg = float(np.clip(hand.slant_deg, -MOST_SLANT_DEG, MOST_SLANT_DEG))
    hand = replace(hand, slant_deg=slant_deg, aspect=max(hand.aspect, LEAST_ASPECT), thickness=thickness)
    return writers.write_glyph(hand, text, rng=rng, size_px=size_px)


def _half(digits: Part, rng: np.random.Generator) -> Gray:
    """About half of a digit, which does not look like another digit."""
    label = int(rng.choice([*HALVES]))
    known = np.flatnonzero(digits.labels == label)
    if not known.size:
        return _sign(rng)
    ink = tight(digits.images[rng.choice(known)])
    h, w = (max(2, round(side * rng.uniform(0.4, 0.6))) for side in ink.shape)
    match rng.choice(HALVES[label]):
        case "top":
            return tight(ink[:h])
        case "bottom":
            return tight(ink[-h:])
        case "left":
            return tight(ink[:, :w])
    return tight(ink[:, -w:])


def _row(inks: list[Gray], rng: np.random.Generator) -> Gray:
    """Inks (h, w) side by side, with a random gap and at slightly different heights: uint8 (H, W)."""
    gap = int(rng.integers(-2, 8))
    height = max(ink.shape[0] for ink in inks) + 6
    row = np.zeros((height, sum(ink.shape[1] for ink in inks) + len(inks) * 8), np.uint8)
    at = 0
    for ink in inks:
        h, w = ink.shape
        top = int(np.clip((height - h) // 2 + rng.integers(-3, 4), 0, height - h))
        window = row[top : top + h, at : at + w]
        np.maximum(window, ink, out=window)
        at += max(w + gap, 3)
    return tight(row)


def _noise(rng: np.random.Generator) -> Gray:
    """Noise, dots, stripes or a chequered pattern, of 28 px."""
    noise = rng.integers(0, 256, (SIDE, SIDE)).astype(np.uint8)
    step = int(rng.integers(2, 8))
    y, x = np.mgrid[:SIDE, :SIDE] // step
    match int(rng.integers(4)):
        case 0:
            return noise
        case 1:
            return np.where(noise < rng.integers(10, 120), 255, 0).astype(np.uint8)
        case 2:
            return np.asarray((y % 2) * 255, np.uint8)
    return np.asarray(((x + y) % 2) * 255, np.uint8)
