"""Writers that we invent: each has one way to write every digit, and MNIST's digits are bent towards such ways.

In: a random generator. Out: a `Writer`, and ink of any digit as it writes it, gray `uint8 (size, size)`, 255 on 0. A
writer has a form for each digit (a 1 as a bar, with a flag, with an upstroke as long as its stem; a 7 with a bar or
without), a slant, proportions, a pen, its pressure and its speed. Digits of one writer differ as those of a person do.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, radians, sin, tan

import numpy as np
from PIL import Image, ImageDraw

from inkdigit.picture.prepare import tight
from inkdigit.synth import drawn
from inkdigit.synth.glyphs import (
    DIGIT_GLYPHS,
    EXTRA_DIGIT_GLYPHS,
    NUMBER_DIGIT_GLYPHS,
    STRAIGHT_DIGIT_GLYPHS,
    WRITER_DIGIT_GLYPHS,
)
from inkdigit.synth.raster import Map, log_uniform, resize
from inkdigit.types import Gray

FORMS = {
    label: DIGIT_GLYPHS[label] + EXTRA_DIGIT_GLYPHS[label] + STRAIGHT_DIGIT_GLYPHS[label] + WRITER_DIGIT_GLYPHS[label]
    for label in DIGIT_GLYPHS
}
STEEPEST_DEG = 45.0  # of a slant
ASPECT = (0.45, 1.3)  # how wide a writer makes digits, against how wide their forms are: 1:3 to 1:1
BROADEST = 0.18  # of the square that a digit is drawn in: a broader pen closes the holes of an 8
ROUND_SHARE = 0.35  # of writers round their corners
IN_NUMBERS_SHARE = 0.45  # of the forms of a writer of numbers are digits only beside other digits


@dataclass(frozen=True, slots=True)
class Writer:
    """One invented hand. The width of its pen is a share of the square that a digit is drawn in."""

    forms: tuple[str, ...]  # the glyph of each digit
    slant_deg: float  # to the right
    turn_deg: float
    aspect: float
    thickness: float
    speed: float  # 0 to 1: how much finer a fast stroke is
    jitter: float  # how much digits differ


def writer(rng: np.random.Generator, *, of_numbers: bool = False) -> Writer:
    """A random writer; one `of_numbers` also has forms that are no digits where they stand alone: a 4 as an h."""
    rounded = rng.random() < ROUND_SHARE
    forms = [options[rng.integers(len(options))] for options in FORMS.values()]
    if of_numbers:
        for label, options in NUMBER_DIGIT_GLYPHS.items():
            if rng.random() < IN_NUMBERS_SHARE:
                forms[label] = options[rng.integers(len(options))]
    steep = rng.random() < 0.2
    return Writer(
        tuple(form.replace("!", "") if rounded else form for form in forms),
        slant_deg=float(rng.uniform(-1, 1) * STEEPEST_DEG if steep else np.clip(rng.normal(8, 12), -30, STEEPEST_DEG)),
        turn_deg=float(np.clip(rng.normal(0, 4), -10, 10)),
        aspect=log_uniform(*ASPECT, rng),
        thickness=min(drawn.pen(rng), BROADEST),
        speed=float(rng.uniform(0, 0.6)) if rng.random() < 0.6 else 0.0,
        jitter=float(rng.uniform(0.006, 0.04)),
    )


def write(hand: Writer, label: int, *, rng: np.random.Generator, size_px: int = 112) -> Gray:
    """The digit `label` as this writer makes it, a little different each time: uint8 (size_px, size_px)."""
    return write_glyph(hand, hand.forms[label], rng=rng, size_px=size_px)


def write_glyph(hand: Writer, text: str, *, rng: np.random.Generator, size_px: int = 112) -> Gray:
    """Any glyph, as text of the form that `synth/glyphs.py` explains, in the hand of this writer."""
    slant, turn, aspect = (
        value + hand.jitter * by * float(rng.normal())
        for value, by in ((tan(radians(hand.slant_deg)), 2), (radians(hand.turn_deg), 1), (hand.aspect, 2))
    )
    spin = np.array([[cos(turn), sin(turn)], [-sin(turn), cos(turn)]])
    shape = np.array([[max(0.3, aspect), 0.0], [-slant, 1.0]]) @ spin
    return drawn.glyph(
        text,
        rng=rng,
        size_px=size_px,
        thickness=hand.thickness,
        jitter=hand.jitter,
        shape=shape,
        speed=hand.speed,
    )


def bend(lines: Gray, label: int, *, rng: np.random.Generator, slant: float | None = None) -> Gray:
    """The thin lines (h, w) of someone's digit, as another hand might have made them: uint8, tight.

    A 1 may get a flag or a foot, a 7 a bar, a 0 a stroke through it; any digit another slant, or the one that is given
    as the way of its top to the right, in heights, and other proportions.
    """
    h, w = lines.shape
    if not lines.any():
        return lines
    aspect = min(log_uniform(0.6, 1.3, rng), max(1.0, 1.05 * h / w))
    if slant is None:
        slant = tan(radians(float(np.clip(rng.normal(0, 14), -35, 35))))
    roomy = np.pad(lines, ((0, 0), (h, h)))  # for what is added
    (ys, xs), image = np.nonzero(roomy), Image.fromarray(roomy)
    pen = ImageDraw.Draw(image)
    top, bottom = (float(xs[ys == y].mean()) for y in (ys.min(), ys.max()))
    middle = float(xs.mean())
    match label:
        case 1 if w < 0.6 * h:
            if rng.random() < 0.5:
                long, away = rng.uniform(0.15, 0.95) * h, radians(float(rng.uniform(25, 60)))
                pen.line([(top, 0), (top - long * sin(away), long * cos(away))], 255)
            if rng.random() < 0.3:
                left, right = rng.uniform(0.1, 0.35, 2) * h
                pen.line([(bottom - left, h - 1), (bottom + right, h - 1)], 255)
        case 7 if rng.random() < 0.5:
            y, reach, rise = rng.uniform(0.42, 0.6) * h, rng.uniform(0.15, 0.3) * h, rng.normal(0, 0.05) * h
            crossed = xs[np.abs(ys - y) < 2]
            at = float(crossed.mean()) if crossed.size else middle
            pen.line([(at - reach, y + rise), (at + reach, y - rise)], 255)
        case 0 if rng.random() < 0.25:
            across, down = 0.3 * w * rng.uniform(0.6, 1.5), 0.3 * h * rng.uniform(0.8, 1.5)
            pen.line([(middle + across, h / 2 - down), (middle - across, h / 2 + down)], 255)
    return _sheared(np.asarray(image), aspect, slant)


def leaning(ink: Gray, slant: float, *, thin: bool) -> Gray:
    """An ink (h, w) whose top is moved to the right by `slant` of its height; thin lines stay thin: uint8, tight."""
    if not slant or not ink.any():
        return tight(ink)
    if thin:
        return _sheared(ink, 1.0, slant)
    return tight(np.asarray(np.rint(_moved(np.asarray(ink, np.float32), slant)), np.uint8))


def _sheared(lines: Gray, aspect: float, slant: float) -> Gray:
    """Thin lines with other proportions and another slant, still thin: uint8, tight."""
    h, w = lines.shape
    soft: Map = resize(np.asarray(lines / 255, np.float32), (h, max(2, round(w * aspect))))
    seen = _moved(soft, slant)
    return tight(np.asarray(np.where(seen > 0.3 * seen.max(), 255, 0), np.uint8))


def _moved(ink: Map, slant: float) -> Map:
    """The rows of an ink (h, w) moved to the right, the more the higher they are; it becomes wider."""
    h = len(ink)
    room = round(abs(slant) * h) + 2
    image = Image.fromarray(np.pad(ink, ((0, 0), (room, room))))
    how = (1, slant, -slant * h / 2, 0, 1, 0)
    return np.asarray(image.transform(image.size, Image.Transform.AFFINE, how, Image.Resampling.BILINEAR), np.float32)
