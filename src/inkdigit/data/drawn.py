"""Digits, letters and scribbles drawn by strokes: pictures that need no data set.

In: what to draw, a random generator, and how large, thick and shaky it is to be. Out: gray `uint8 (size, size)`, ink
255 on 0, antialiased. Examples, tests, outliers and the self test of every model file are made of them.

A glyph is one line of text. Its numbers are control points `x,y` in hundredths of its height, from the top left; a
stroke is the smooth curve that they pull along (a quadratic B-spline, by Chaikin's corner cutting); `!` after a point
makes a sharp corner there; `|` lifts the pen. Several glyphs of a digit are the ways in which people write it.
Only numpy draws, so that a seed gives the same picture everywhere, up to the last bit of a cosine.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from inkdigit.errors import UsageError
from inkdigit.types import Gray

Points = NDArray[np.float64]  # (P, 2): x, y
Stroke = tuple[Points, NDArray[np.bool_]]  # control points (P, 2), and which of them are corners (P,)

DIGIT_GLYPHS: dict[int, tuple[str, ...]] = {
    0: (
        "56,3 34,0 8,18 6,62 22,100 56,102 82,80 84,34 66,2 46,2",  # round, closed at the top
        "50,2 28,4 16,30 16,74 34,102 58,100 70,70 70,30 58,2 40,2",  # narrow
        "62,6 38,-6 12,10 2,46 12,92 46,104 80,88 90,46 82,16 64,2 50,-1",  # wide, its ends overlap
    ),
    1: (
        "50,0 48,100",
        "60,0 40,100",  # leaning
        "39,21 47,14 54,0! 52,100",  # flag
        "32,22 44,14 52,0! 52,98 | 30,98 76,96",  # flag and base
    ),
    2: (
        "14,26 20,4 52,-6 80,8 76,44 46,72 12,98! 50,94 84,96",  # flat base
        "16,24 26,2 60,-4 78,18 66,52 38,86 18,98 8,86 22,74 48,88 66,102 88,88",  # loop
        "18,22 30,-2 70,-4 76,28 58,60 16,92! 44,86 60,102 86,92",  # wave
    ),
    3: (
        "18,14 36,-4 72,0 78,34 54,46 36,47! 66,44 86,66 76,100 38,104 14,86",
        "20,3 76,2! 40,40! 70,38 86,64 74,98 40,104 12,90",  # flat top
        "20,12 42,-6 80,6 72,42 40,52 34,44 46,40 82,56 80,92 48,106 14,92",  # small loop in the middle
    ),
    4: (
        "26,2 22,30 10,58! 82,54 | 66,4 62,60 58,100",  # open, angular
        "24,2 14,38 22,60 46,58 74,46 | 76,2 70,48 66,100",  # open, rounded
        "62,100 66,0! 8,66! 88,64",  # closed, in one stroke
        "56,0 10,64! 86,62 | 64,34 58,100",  # half closed
    ),
    5: (
        "78,2 30,4! 24,44! 48,32 82,42 84,84 52,106 12,90",
        "30,4 22,46! 44,36 80,42 82,82 52,106 10,92 | 30,4 80,0",  # the top stroke comes last
        "74,0 34,6! 32,24 22,42! 62,38 80,68 66,98 34,104 14,94",
    ),
    6: (
        "64,0 40,16 18,48 10,90 40,108 74,98 76,62 50,50 26,62 16,82",
        "50,0 34,24 18,60 18,94 44,106 70,92 64,62 42,60 20,80",  # straight stem
        "72,6 50,-4 22,22 8,66 20,100 54,106 78,86 68,58 40,56 20,72 14,84",  # its top curls over
    ),
    7: (
        "14,6 46,8 82,2! 58,46 44,100",
        "12,8 46,8 80,2! 56,46 44,100 | 32,52 74,48",  # bar
        "14,20 14,6! 48,8 82,4! 62,32 46,62 40,100",  # hook
    ),
    8: (
        "76,12 54,-6 18,4 22,34 50,48 80,66 76,98 46,106 16,94 20,66 48,50 74,32 78,14 66,4",  # one S-shaped stroke
        "50,47 24,38 26,4 50,-4 76,6 74,38 50,47! 16,60 14,98 48,106 82,96 82,58 50,47",  # one ring on the other
        "68,10 44,-6 16,10 34,40 70,62 70,98 44,106 18,92 28,62 56,42 80,6",  # left open at the top
    ),
    9: (
        "74,18 58,-4 22,4 16,42 40,58 66,44 74,14! 70,60 66,100",  # straight tail
        "74,18 54,-6 20,6 18,44 44,54 68,40 74,14! 78,56 66,98 44,104 22,96",  # curved tail
        "72,22 64,-4 26,-2 14,34 32,54 60,44 74,18! 62,64 42,100",  # leaning
    ),
}

LETTER_GLYPHS: dict[str, str] = {
    "A": "6,100 44,0! 82,100 | 20,64 70,62",
    "E": "74,2 18,2! 16,98! 78,98 | 18,48 64,46",
    "F": "76,2 20,2! 18,100 | 20,48 62,46",
    "H": "14,0 12,100 | 76,0 76,100 | 14,50 76,48",
    "K": "16,0 14,100 | 74,0 18,54! 78,100",
    "M": "6,100 12,0! 50,62! 88,0! 94,100",
    "N": "12,100 14,0! 76,100! 78,0",
    "P": "20,100 20,0! 60,-6 86,16 76,48 48,56 20,52",
    "R": "18,100 18,0! 58,-6 84,14 74,44 48,52 20,50! 80,100",
    "T": "6,4 86,2 | 46,4 44,100",
    "V": "8,0 44,100! 82,0",
    "W": "2,0 24,100! 50,34! 76,100! 98,0",
    "X": "10,0 80,100 | 80,0 8,100",
    "Y": "8,0 44,48 | 80,0 44,48 40,100",
}


def digit(
    label: int,
    *,
    rng: np.random.Generator,
    size_px: int = 112,
    thickness: float = 0.09,
    jitter: float = 0.025,
    variant: int | None = None,
) -> Gray:
    """The digit `label`, uint8 (size_px, size_px), ink 255 on 0.

    `thickness` is the pen's width as a fraction of the size. `jitter` is how far a control point strays, as a fraction
    of the glyph's height; slant, turn, aspect and pressure stray with it, and 0 gives the copybook shape. `variant`
    picks one of `DIGIT_GLYPHS[label]`; None lets `rng` pick.

    Raises UsageError for a label or a variant that is not there.
    """
    glyphs = DIGIT_GLYPHS.get(label)
    if glyphs is None:
        raise UsageError("No such digit to draw", expected="0 to 9", received=repr(label))
    if variant is None:
        variant = int(rng.integers(len(glyphs)))
    if not 0 <= variant < len(glyphs):
        raise UsageError(f"No such way to draw {label}", expected=f"0 to {len(glyphs) - 1}", received=repr(variant))
    return _draw(_strokes(glyphs[variant]), rng=rng, size_px=size_px, thickness=thickness, jitter=jitter)


def letter(
    name: str, *, rng: np.random.Generator, size_px: int = 112, thickness: float = 0.09, jitter: float = 0.025
) -> Gray:
    """The capital letter `name`, one of `LETTER_GLYPHS`, as `digit` draws digits: uint8 (size_px, size_px).

    There are only letters that cannot be taken for a digit. Raises UsageError for any other.
    """
    if name not in LETTER_GLYPHS:
        raise UsageError("No such letter to draw", expected=" ".join(LETTER_GLYPHS), received=repr(name))
    return _draw(_strokes(LETTER_GLYPHS[name]), rng=rng, size_px=size_px, thickness=thickness, jitter=jitter)


def scribble(*, rng: np.random.Generator, size_px: int = 112, thickness: float = 0.06) -> Gray:
    """A few strokes that mean nothing, no two alike: uint8 (size_px, size_px), ink 255 on 0."""
    strokes = []
    for _ in range(rng.integers(1, 3)):
        count = int(rng.integers(8, 16))
        corners = rng.random(count) < rng.choice([0.0, 0.5])  # rounded, or a zigzag
        strokes.append((rng.random((count, 2)), corners))
    return _draw(strokes, rng=rng, size_px=size_px, thickness=thickness, jitter=0.02)


def _strokes(glyph: str) -> list[Stroke]:
    """Read the text of one glyph."""
    strokes = []
    for stroke in glyph.split("|"):
        words = stroke.split()
        points = [[float(number) / 100 for number in word.rstrip("!").split(",")] for word in words]
        strokes.append((np.array(points), np.array([word.endswith("!") for word in words])))
    return strokes


def _draw(
    strokes: list[Stroke],
    *,
    rng: np.random.Generator,
    size_px: int,
    thickness: float,
    jitter: float,
) -> Gray:
    """Shake the strokes, fit them into the square, and lay the ink."""
    hand = _hand(rng, jitter)
    lines = [_curve(points + rng.normal(0, jitter, points.shape), corners) @ hand for points, corners in strokes]
    half_px = thickness * size_px / 2
    inks = [half_px * _pressure(line, rng, jitter) for line in lines]
    return _lay(_fit(lines, size_px=size_px, margin_px=0.12 * size_px + half_px), inks, size_px)


def _hand(rng: np.random.Generator, jitter: float) -> Points:
    """One writer's slant, turn and aspect as a matrix (2, 2) to multiply points with."""
    slant, turn, aspect = np.clip(rng.normal(0, 1, 3), -2, 2) * jitter * np.array([5.0, 2.5, 4.0])
    cos, sin = np.cos(turn), np.sin(turn)
    shape: Points = np.array([[1 + aspect, 0.0], [-slant, 1.0]]) @ np.array([[cos, sin], [-sin, cos]])
    return shape


def _curve(points: Points, corners: NDArray[np.bool_]) -> Points:
    """The points (Q, 2) of the smooth line that the control points (P, 2) pull along, sharp at the corners (P,)."""
    ends = [0, *np.flatnonzero(corners[1:-1]) + 1, len(points) - 1]
    return np.concatenate([_smooth(points[a : b + 1]) for a, b in pairwise(ends)])


def _smooth(points: Points, rounds: int = 4) -> Points:
    """Cut every corner but the ends at a quarter and three quarters, again and again (Chaikin 1974)."""
    if len(points) == 2:
        points = np.linspace(points[0], points[1], 3)  # a straight line has no corner to cut, but needs its pressure
    for _ in range(rounds):
        before, after = points[:-1], points[1:]
        cut = np.stack([0.75 * before + 0.25 * after, 0.25 * before + 0.75 * after], axis=1).reshape(-1, 2)
        points = np.concatenate([points[:1], cut[1:-1], points[-1:]])
    return points


def _pressure(line: Points, rng: np.random.Generator, jitter: float) -> NDArray[np.float64]:
    """How hard the pen presses at each point of a line (Q, 2): a slow wave around 1, lighter at the ends; (Q,)."""
    length = np.cumsum(np.linalg.norm(np.diff(line, axis=0, prepend=line[:1]), axis=1))
    along = length / length[-1]
    wave = np.sin(2 * np.pi * (along * rng.uniform(0.4, 1.2) + rng.uniform()))
    ends = np.minimum(1, 0.75 + 2.5 * np.minimum(along, 1 - along))
    pressure: NDArray[np.float64] = ends * (1 + min(6 * jitter, 0.4) * wave)
    return pressure


def _fit(lines: list[Points], *, size_px: int, margin_px: float) -> list[Points]:
    """The lines in pixels, centred, their longer side filling the square but for the margin."""
    every = np.concatenate(lines)
    low, high = every.min(axis=0), every.max(axis=0)
    scale = (size_px - 2 * margin_px) / (high - low).max()
    return [(line - (low + high) / 2) * scale + size_px / 2 for line in lines]


def _lay(lines: list[Points], inks: list[NDArray[np.float64]], size_px: int) -> Gray:
    """Ink 255 wherever the pen, of half width `inks` at each point of `lines`, passes; a soft edge one pixel wide."""
    depth = np.full((size_px, size_px), -1.0)  # how far the middle of each pixel lies inside the ink
    for line, ink in zip(lines, inks, strict=True):
        for a, b in pairwise(np.column_stack([line, ink])):
            reach = max(a[2], b[2]) + 1
            left, top = np.clip(np.floor(np.minimum(a, b)[:2] - reach), 0, size_px).astype(int)
            right, bottom = np.clip(np.ceil(np.maximum(a, b)[:2] + reach), 0, size_px).astype(int)
            x, y = np.arange(left, right)[None, :] + 0.5, np.arange(top, bottom)[:, None] + 0.5
            window = depth[top:bottom, left:right]
            np.maximum(window, _depth(x, y, a, b), out=window)
    return np.rint(255 * np.clip(depth + 0.5, 0, 1)).astype(np.uint8)


def _depth(x: Points, y: Points, a: Points, b: Points) -> NDArray[np.float64]:
    """How far inside a piece of line the points `x` (1, W), `y` (H, 1) lie; `a` and `b` (3,) are x, y, half width."""
    dx, dy, widening = b - a
    along = np.clip(((x - a[0]) * dx + (y - a[1]) * dy) / max(dx * dx + dy * dy, 1e-12), 0, 1)
    inside: NDArray[np.float64] = a[2] + along * widening - np.hypot(x - a[0] - along * dx, y - a[1] - along * dy)
    return inside
