"""The ink of scenes: digits, signs of numbers, letters and marks, and the pens that they are written with.

In: MNIST's training digits and a random generator. Out: a `Bank` of single inks, and coverage maps of them at any size.
Ink comes from MNIST (as it is, and thinned to its skeleton, which any pen can follow), from strokes that we draw, and
from free fonts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from inkdigit.picture.prepare import tight
from inkdigit.synth import drawn, printed
from inkdigit.synth.glyphs import SIGN_GLYPHS, STRAIGHT_DIGIT_GLYPHS
from inkdigit.synth.outliers import mark
from inkdigit.synth.raster import Map, blur, log_uniform, outline, resize
from inkdigit.types import Gray

HOLLOW_WIDTH = 0.06  # of the height: broader pens may leave only an outline
STRAIGHT_SHARE = 0.4  # of drawn digits have straight strokes, which are not ruled lines
BANK_PX = 112  # the size at which inks are stored: about the height of a digit in a picture that is looked at closely
FINEST_PX = 1.4  # of a stroke in the truth: so that it stays in one piece
SKELETON_PX = 88  # the longer side of a thinned digit: as fine as a stroke of MNIST is known
NEIGHBOURS = ((0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0), (0, 0))  # y, x in 3 × 3, clockwise from the top
NUMBER_SIGNS = ("+", "÷", "=", "%", "−", "/", "×", ".", ",", ":")  # what stands between the digits of a number
POINTS = (".", ",")  # of these signs are a fraction of a digit's height
POINT_PX = 32  # the size at which they are stored
_OWN_SIGNS = {
    "−": "4,50 96,50",
    "/": "20,100 76,0",
    "×": "8,8 92,92 | 92,8 8,92",
    ".": "48,96 52,100",
    ",": "54,90 50,100 40,116",
    ":": "48,20 52,24 | 48,90 52,94",
}
OTHER_SHARES = (0.3, 0.3, 0.15, 0.1, 0.15)  # of `MARKS`: fewer signs than among outliers, as beside a number
WORD_LETTERS = "eeeeaaaiiooutttnnnrrsshhlldcmpgbfwyvkEASTRNDLMKBPCGIOUVH"  # about as frequent as in print


@dataclass(frozen=True, slots=True)
class Ink:
    """One thing to write: its coverage, tight, or the skeleton of its strokes."""

    cover: Gray  # (h, w) uint8, 255 where there is ink
    is_skeleton: bool = False


@dataclass(frozen=True, slots=True)
class Bank:
    """Inks to choose from: digits by hand and in print, signs of numbers, and what is no part of a number."""

    digits: list[Ink]
    prints: list[Ink]
    signs: list[Ink]
    others: list[Ink]


@dataclass(frozen=True, slots=True)
class Pen:
    """How one person writes in one scene. Widths are shares of the height of the ink."""

    width: float
    sharpness: float  # how steep the edge of a stroke is
    alpha: float  # how dark a full stroke is
    uneven: float  # how much the pressure takes from that
    grain: float  # how much the grain of the paper takes from that
    hollow: bool = False  # only the outline of the strokes


def bank(images: Gray, *, rng: np.random.Generator, size: int) -> Bank:
    """About `size` digits and as many other inks; `images` (N, 28, 28) are MNIST training digits."""
    digits = [mnist(images[i], rng) for i in rng.integers(len(images), size=size // 2)]
    digits += [Ink(tight(_drawn_digit(rng))) for _ in range(size // 2)]
    prints = [Ink(tight(printed.digit(int(rng.integers(10)), rng=rng, size_px=BANK_PX))) for _ in range(size // 4)]
    names, widths = rng.choice(NUMBER_SIGNS, size // 8).tolist(), rng.uniform(0.02, 0.16, size // 8)
    signs = [number_sign(name, rng, thickness=float(width)) for name, width in zip(names, widths, strict=True)]
    return Bank(digits, prints, signs, [_other(rng) for _ in range(size // 2)])


def pen(rng: np.random.Generator) -> Pen:
    """A random pen: from hairline to marker, from dry and pale to even and black."""
    width = log_uniform(0.012, 0.22, rng)
    pale = rng.random() < 0.3
    return Pen(
        width,
        float(rng.uniform(1.5, 6)),
        float(rng.uniform(0.12, 0.5) if pale else rng.uniform(0.4, 1.0)),
        float(rng.uniform(0.2, 0.85)) if rng.random() < 0.35 else 0.0,
        float(rng.uniform(0.3, 1.0)) if rng.random() < 0.3 else 0.0,
        hollow=bool(width > HOLLOW_WIDTH and rng.random() < 0.12),
    )


def write(ink: Ink, shape: tuple[int, int], pen: Pen, rng: np.random.Generator, *, turn_deg: float) -> tuple[Map, Map]:
    """What is seen of `ink` written at about `shape`, and its true coverage: two maps (h, w).

    In the truth a pen's stroke is never finer than 1.4 pixels; what a camera sees of a hairline is paler instead.
    """
    h, w = shape
    if ink.is_skeleton:
        width_px = max(pen.width * max(h, w), 0.3)
        truth = _follow(ink.cover, shape, max(width_px, FINEST_PX))
        seen = truth * min(1.0, width_px / FINEST_PX)
    else:
        seen = np.pad(resize(np.asarray(ink.cover / 255, np.float32), (max(2, h), max(2, w))), 3)
        growth = h / ink.cover.shape[0]
        if growth > 1.3:  # its soft edge becomes sharp again
            edge = float(rng.uniform(0.3, 0.6))
            seen = (seen - edge) * max(0.5 / edge, pen.sharpness * growth / 3) + 0.5  # nothing stays nothing
        seen = np.clip(seen, 0, 1)
        strokes = seen[seen > 0.1]
        truth = seen / max(0.15, min(1.0, float(np.percentile(strokes, 85)))) if strokes.size else seen
    if pen.hollow:
        seen, truth = (outline(cover, sigma_px=1.2, steepness=5.5) for cover in (seen, truth))
    if abs(turn_deg) > 0.5:
        seen, truth = (_turn(cover, turn_deg) for cover in (seen, truth))
    return np.asarray(seen, np.float32), np.asarray(np.clip(truth, 0, 1), np.float32)


def _turn(cover: Map, turn_deg: float) -> Map:
    image = Image.fromarray(np.asarray(cover, np.float32))
    return np.asarray(image.rotate(turn_deg, Image.Resampling.BILINEAR, expand=True), np.float32)


def word(rng: np.random.Generator, height_px: int) -> Ink:
    """A printed word of letters: something that is not a number."""
    fonts = printed.font_files()
    text = "".join(rng.choice(list(WORD_LETTERS), int(rng.integers(2, 9))))
    font = printed.opened(fonts[rng.integers(len(fonts))], max(8, height_px))
    left, top, right, bottom = font.getbbox(text)
    page = Image.new("L", (int(right - left) + 2, int(bottom - top) + 2))
    ImageDraw.Draw(page).text((1 - left, 1 - top), text, 255, font, stroke_width=0)
    return Ink(tight(np.asarray(page)))


def mnist(image: Gray, rng: np.random.Generator) -> Ink:
    """An MNIST digit (28, 28) as it is, or its skeleton."""
    return Ink(tight(image)) if rng.random() < 0.4 else Ink(skeleton(image), is_skeleton=True)


def _drawn_digit(rng: np.random.Generator) -> Gray:
    """A digit of drawn strokes, handwritten or of straight lines."""
    thickness = log_uniform(0.012, 0.24, rng)
    if rng.random() < STRAIGHT_SHARE:
        jitter = float(rng.choice([0.0, 0.008]))
        glyphs = STRAIGHT_DIGIT_GLYPHS[int(rng.integers(10))]
        return drawn.glyph(
            glyphs[rng.integers(len(glyphs))], rng=rng, size_px=BANK_PX, thickness=min(thickness, 0.16), jitter=jitter
        )
    label, jitter, extra = int(rng.integers(10)), float(rng.uniform(0.01, 0.06)), bool(rng.random() < 0.6)
    return drawn.digit(label, rng=rng, size_px=BANK_PX, thickness=thickness, jitter=jitter, extra=extra)


def number_sign(name: str, rng: np.random.Generator, *, thickness: float) -> Ink:
    """One of `NUMBER_SIGNS` by hand; points are small, whatever the pen."""
    if name not in _OWN_SIGNS:
        return Ink(tight(drawn.sign(name, rng=rng, size_px=BANK_PX, thickness=thickness, jitter=0.03)))
    size_px = BANK_PX
    if name in POINTS:
        size_px, thickness = POINT_PX, float(rng.uniform(0.2, 0.6))
    return Ink(tight(drawn.glyph(_OWN_SIGNS[name], rng=rng, size_px=size_px, thickness=thickness, jitter=0.03)))


def _other(rng: np.random.Generator) -> Ink:
    """A letter, a sign, a shape or a scribble that is not part of a number."""
    thickness = log_uniform(0.015, 0.2, rng)
    signs = [sign for sign in SIGN_GLYPHS if sign not in NUMBER_SIGNS]
    return Ink(tight(mark(OTHER_SHARES, signs=signs, rng=rng, size_px=BANK_PX, thickness=thickness, finest=0.01)))


def skeleton(image: Gray) -> Gray:
    """The middle lines of a digit's strokes, one pixel wide: uint8 (h, w), 255 on 0.

    The digit is enlarged first; thinning after Zhang and Suen (1984).
    """
    ink = np.asarray(tight(image) / 255, np.float32)
    scale = SKELETON_PX / max(ink.shape)
    large = resize(ink, (max(3, round(ink.shape[0] * scale)), max(3, round(ink.shape[1] * scale))))
    mask = np.pad(blur(large, 1.5) > 0.45, 2)
    before = -1
    while before != (before := int(mask.sum())):
        for first in (True, False):
            mask[1:-1, 1:-1] &= ~_removable(first)[_around(mask)]
    return tight(mask[1:-1, 1:-1].astype(np.uint8) * np.uint8(255))


def _around(mask: NDArray[np.bool_]) -> Gray:
    """Which of its eight neighbours each inner pixel of a mask (H, W) has, one bit for each: (H - 2, W - 2)."""
    h, w = mask.shape
    codes = np.zeros((h - 2, w - 2), np.uint8)
    for i, (y, x) in enumerate(NEIGHBOURS):
        codes |= mask[y : h - 2 + y, x : w - 2 + x].view(np.uint8) << np.uint8(i)
    return codes


@cache
def _removable(first: bool) -> NDArray[np.bool_]:
    """Whether one half-step of thinning takes a pixel away, for each way of `_around`: (256,)."""
    p = (np.arange(256)[None] >> np.arange(8)[:, None]) & 1 == 1
    turns = (~p & np.roll(p, -1, axis=0)).sum(0)
    north, east, south, west = p[0], p[2], p[4], p[6]
    sides = (north & east & south) | (east & south & west) if first else (north & east & west) | (north & south & west)
    return np.asarray((p.sum(0) >= 2) & (p.sum(0) <= 6) & (turns == 1) & ~sides)


def _follow(lines: Gray, shape: tuple[int, int], width_px: float) -> Map:
    """The coverage (h + pad, w + pad) of a pen `width_px` wide that follows thin `lines`, scaled to `shape`."""
    pad = round(width_px / 2) + 3
    h, w = max(2, round(shape[0] - width_px)), max(2, round(shape[1] - width_px))
    ys, xs = np.nonzero(lines)
    scale_y, scale_x = (h - 1) / max(1, lines.shape[0] - 1), (w - 1) / max(1, lines.shape[1] - 1)
    points = np.zeros((h + 2 * pad, w + 2 * pad), np.float32)
    steps = max(1, int(np.ceil(max(scale_y, scale_x))))
    pairs = _links(lines)
    for t in np.linspace(0, 1, steps, endpoint=False):
        y = ys[pairs[0]] * (1 - t) + ys[pairs[1]] * t if len(pairs[0]) else ys
        x = xs[pairs[0]] * (1 - t) + xs[pairs[1]] * t if len(pairs[0]) else xs
        points[np.rint(y * scale_y).astype(int) + pad, np.rint(x * scale_x).astype(int) + pad] = 1
    sigma = max(0.6, width_px / 3)
    soft = blur(points, sigma, exact=True)
    # A straight line of ones blurred by sigma is 1/(sigma √(2π)) in its middle; this is what it is half a width away.
    level = np.exp(-0.5 * (width_px / 2 / sigma) ** 2) / (sigma * 2.5066)
    slope = min(2.0, width_px / 2 / sigma**2)  # of the logarithm at the edge; steeper, and nothing would be some ink
    return np.asarray(np.clip((soft / level - 1) / slope + 0.5, 0, 1), np.float32)


def _links(lines: Gray) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The pairs of neighbouring pixels of thin lines, as indices into `np.nonzero(lines)`."""
    number = np.full(np.array(lines.shape) + 2, -1, np.int64)
    ys, xs = np.nonzero(lines)
    number[ys + 1, xs + 1] = np.arange(len(ys))
    firsts, seconds = [], []
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        other = number[ys + 1 + dy, xs + 1 + dx]
        on = other >= 0
        firsts.append(np.flatnonzero(on))
        seconds.append(other[on])
    return np.concatenate(firsts), np.concatenate(seconds)
