"""Digits, letters, signs, shapes and scribbles drawn by strokes: images without a data set.

In: what to draw, a random generator, size, thickness and jitter. Out: gray `uint8 (size, size)`, ink 255 on 0,
antialiased. Examples, tests, outliers and the self test of every model file are drawn here.

A glyph is one line of text (`synth/glyphs.py` explains it). Its points control a quadratic B-spline, which is drawn by
Chaikin's corner cutting. The several glyphs of a digit are the variants that people write. Only NumPy draws, so that a
random seed gives the same image on every machine, up to the last bit of a cosine.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inkdigit.errors import UsageError
from inkdigit.synth.glyphs import (
    BLOB_GLYPHS,
    DIGIT_GLYPHS,
    EXTRA_DIGIT_GLYPHS,
    LETTER_GLYPHS,
    SHAPE_GLYPHS,
    SIGN_GLYPHS,
    STRAIGHT_DIGIT_GLYPHS,
)
from inkdigit.types import Gray

Points = NDArray[np.float64]  # (P, 2): x, y
Stroke = tuple[Points, NDArray[np.bool_]]  # control points (P, 2), and which of them are corners (P,)
Scribble = Literal["strokes", "hatching", "loops", "spiral", "tangle"]

AT_A_TIME = 2**15  # pixels in one step: their coordinates fit into the cache of a processor


def digit(
    label: int,
    *,
    rng: np.random.Generator,
    size_px: int = 112,
    thickness: float = 0.09,
    jitter: float = 0.025,
    variant: int | None = None,
    extra: bool = False,
) -> Gray:
    """The digit `label`, uint8 (size_px, size_px), ink 255 on 0.

    `thickness` is the width of the pen as a fraction of the size. `jitter` is the standard deviation of a control point
    as a fraction of the height of the glyph; slant, turn, aspect and pressure vary with it, and 0 gives the exact
    glyph. `variant` is the index of one of `DIGIT_GLYPHS[label]`, with `extra` also of `EXTRA_DIGIT_GLYPHS[label]` and
    `STRAIGHT_DIGIT_GLYPHS[label]`; None draws a random one.

    Raises:
        UsageError: there is no such label, or no such variant.
    """
    glyphs = DIGIT_GLYPHS.get(label)
    if glyphs is None:
        raise UsageError("There is no such digit", expected="0 to 9", received=repr(label))
    if extra:
        glyphs += EXTRA_DIGIT_GLYPHS[label] + STRAIGHT_DIGIT_GLYPHS[label]
    if variant is None:
        variant = int(rng.integers(len(glyphs)))
    if not 0 <= variant < len(glyphs):
        raise UsageError(
            f"There is no such variant of {label}", expected=f"0 to {len(glyphs) - 1}", received=repr(variant)
        )
    return _draw(_strokes(glyphs[variant]), rng=rng, size_px=size_px, thickness=thickness, jitter=jitter)


def pen(rng: np.random.Generator) -> float:
    """The random `thickness` of a pen: most are fine to broad, one in five is a marker that closes holes."""
    return float(rng.uniform(0.04, 0.16) if rng.random() < 0.8 else rng.uniform(0.16, 0.26))


def letter(
    name: str, *, rng: np.random.Generator, size_px: int = 112, thickness: float = 0.09, jitter: float = 0.025
) -> Gray:
    """The letter `name`, one of `LETTER_GLYPHS`, as `digit` draws digits: uint8 (size_px, size_px).

    There are only letters that cannot be taken for a digit. Raises UsageError for all others.
    """
    strokes = _named("letter", name, LETTER_GLYPHS)
    return _draw(strokes, rng=rng, size_px=size_px, thickness=thickness, jitter=jitter)


def sign(
    name: str, *, rng: np.random.Generator, size_px: int = 112, thickness: float = 0.09, jitter: float = 0.025
) -> Gray:
    """The sign `name`, one of `SIGN_GLYPHS`, as `digit` draws digits: uint8 (size_px, size_px).

    Letters of other scripts and small drawings are signs, too. None of them can be taken for a digit. Raises UsageError
    for all others.
    """
    strokes = _named("sign", name, SIGN_GLYPHS)
    return _draw(strokes, rng=rng, size_px=size_px, thickness=thickness, jitter=jitter)


def glyph(
    text: str,
    *,
    rng: np.random.Generator,
    size_px: int = 112,
    thickness: float = 0.09,
    jitter: float = 0.025,
    shape: Points | None = None,
    speed: float = 0.0,
) -> Gray:
    """Any glyph, as text of the form that `synth/glyphs.py` explains: uint8 (size_px, size_px).

    `shape` (2, 2) multiplies its points: slant, turn and proportions; None draws random ones. With `speed`, 0 to 1, the
    pen is finer where it goes straight and fast than where it turns.
    """
    return _draw(_strokes(text), rng=rng, size_px=size_px, thickness=thickness, jitter=jitter, shape=shape, speed=speed)


def shape(
    name: str,
    *,
    rng: np.random.Generator,
    size_px: int = 112,
    thickness: float = 0.06,
    jitter: float = 0.025,
    filled: bool = False,
) -> Gray:
    """The shape `name`, one of `SHAPE_GLYPHS`, or one of `BLOB_GLYPHS` if it is `filled`: uint8 (size_px, size_px).

    Raises UsageError for all others: a hollow blob is a 0.
    """
    strokes = _named("shape", name, SHAPE_GLYPHS | BLOB_GLYPHS if filled else SHAPE_GLYPHS)
    return _draw(strokes, rng=rng, size_px=size_px, thickness=thickness, jitter=jitter, filled=filled)


def scribble(
    *, rng: np.random.Generator, size_px: int = 112, thickness: float = 0.06, kind: Scribble = "strokes"
) -> Gray:
    """A scribble without a meaning, each one different: uint8 (size_px, size_px), ink 255 on 0.

    "strokes" are one or two lines that wander or zigzag, "hatching" is lines side by side, sometimes crossed by others,
    "loops" are rings in a row, a "spiral" has two turns or more, and a "tangle" is a line to and fro in one place.

    Raises UsageError for another kind.
    """
    draw = _SCRIBBLES.get(kind)
    if draw is None:
        raise UsageError("There is no such kind of scribble", expected=", ".join(_SCRIBBLES), received=repr(kind))
    return _draw(draw(rng), rng=rng, size_px=size_px, thickness=thickness, jitter=0.02)


def _wandering(rng: np.random.Generator) -> list[Stroke]:
    """One or two strokes from anywhere to anywhere."""
    strokes = []
    for _ in range(rng.integers(1, 3)):
        count = int(rng.integers(8, 16))
        corners = rng.random(count) < rng.choice([0.0, 0.5])  # rounded, or a zigzag
        strokes.append((rng.random((count, 2)), corners))
    return strokes


def _hatching(rng: np.random.Generator) -> list[Stroke]:
    """Four to eight lines side by side at any angle; half the time crossed by others."""
    strokes = []
    turn = rng.uniform(0, np.pi)
    for angle in (turn, turn + rng.uniform(0.4, 2.7))[: rng.integers(1, 3)]:
        along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
        for place in np.linspace(-0.5, 0.5, int(rng.integers(4, 9))):
            ends = np.array([-0.5, 0.5]) + rng.normal(0, 0.08, 2)
            strokes.append((ends[:, None] * along + place * across, np.zeros(2, bool)))
    return strokes


def _circling(rng: np.random.Generator, *, turns: float, radii: tuple[float, float], step: float) -> list[Stroke]:
    """A line in circles, from one radius to the other, that moves to the right by `step` in each turn."""
    angle = rng.uniform(0, 2 * np.pi) + rng.choice([-1, 1]) * np.linspace(0, 2 * np.pi * turns, int(12 * turns))
    radius = np.linspace(*radii, len(angle)) * rng.normal(1, 0.06, len(angle))
    points = radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    points[:, 0] += np.linspace(0, step * turns, len(angle))
    return [(points, np.zeros(len(angle), bool))]


def _loops(rng: np.random.Generator) -> list[Stroke]:
    """Three to six rings in one line, as from a person who tries a pen."""
    return _circling(rng, turns=int(rng.integers(3, 7)), radii=(0.3, 0.3), step=rng.uniform(0.25, 0.5))


def _spiral(rng: np.random.Generator) -> list[Stroke]:
    """Two to four turns, from the inside to the outside."""
    return _circling(rng, turns=rng.uniform(2.2, 4.0), radii=(0.03, 0.5), step=0.0)


def _tangle(rng: np.random.Generator) -> list[Stroke]:
    """One line that goes to and fro twenty to forty times, as over a word that is struck out."""
    count = int(rng.integers(20, 41))
    return [(rng.normal(0, 0.3, (count, 2)), rng.random(count) < 0.2)]


_SCRIBBLES = {"strokes": _wandering, "hatching": _hatching, "loops": _loops, "spiral": _spiral, "tangle": _tangle}


def _named(kind: str, name: str, glyphs: dict[str, str]) -> list[Stroke]:
    """The strokes of the glyph `name`; raise UsageError if it does not exist."""
    if name not in glyphs:
        raise UsageError(f"There is no such {kind}", expected=" ".join(glyphs), received=repr(name))
    return _strokes(glyphs[name])


@cache
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
    filled: bool = False,
    shape: Points | None = None,
    speed: float = 0.0,
) -> Gray:
    """Jitter the strokes, fit them into the square, and draw the ink."""
    if shape is None:
        shape = _handwriting(rng, jitter)
    lines = [_curve(points + rng.normal(0, jitter, points.shape), corners) @ shape for points, corners in strokes]
    half_px = thickness * size_px / 2
    inks = [half_px * _pressure(line, rng, jitter) * _slowness(line, speed) for line in lines]
    lines = _fit(lines, size_px=size_px, margin_px=0.12 * size_px + half_px)
    return _ink(lines, inks, size_px, inside=_inside(lines, size_px) if filled else None)


def _handwriting(rng: np.random.Generator, jitter: float) -> Points:
    """The slant, turn and aspect of one writer, as a matrix (2, 2) to multiply points with."""
    slant, turn, aspect = np.clip(rng.normal(0, 1, 3), -2, 2) * jitter * np.array([5.0, 2.5, 4.0])
    cos, sin = np.cos(turn), np.sin(turn)
    shape: Points = np.array([[1 + aspect, 0.0], [-slant, 1.0]]) @ np.array([[cos, sin], [-sin, cos]])
    return shape


def _curve(points: Points, corners: NDArray[np.bool_]) -> Points:
    """The points (Q, 2) of the smooth line with the control points (P, 2), sharp at the corners (P,)."""
    ends = [0, *np.flatnonzero(corners[1:-1]) + 1, len(points) - 1]
    return np.concatenate([_smooth(points[a : b + 1]) for a, b in pairwise(ends)])


def _smooth(points: Points, rounds: int = 4) -> Points:
    """Cut every corner except the ends at a quarter and three quarters, several times (Chaikin 1974)."""
    if len(points) == 2:
        points = np.linspace(points[0], points[1], 3)  # a straight line has no corners, but its pressure varies
    for _ in range(rounds):
        before, after = points[:-1], points[1:]
        cut = np.stack([0.75 * before + 0.25 * after, 0.25 * before + 0.75 * after], axis=1).reshape(-1, 2)
        points = np.concatenate([points[:1], cut[1:-1], points[-1:]])
    return points


def _pressure(line: Points, rng: np.random.Generator, jitter: float) -> NDArray[np.float64]:
    """The pressure of the pen at each point of a line (Q, 2): a slow wave around 1, less at the ends; (Q,)."""
    length = np.cumsum(np.linalg.norm(np.diff(line, axis=0, prepend=line[:1]), axis=1))
    along = length / length[-1]
    wave = np.sin(2 * np.pi * (along * rng.uniform(0.4, 1.2) + rng.uniform()))
    ends = np.minimum(1, 0.75 + 2.5 * np.minimum(along, 1 - along))
    pressure: NDArray[np.float64] = ends * (1 + min(6 * jitter, 0.4) * wave)
    return pressure


def _slowness(line: Points, speed: float) -> NDArray[np.float64]:
    """How much of its full width a pen has at each point of a line (Q, 2): less where it is fast; (Q,)."""
    if not speed or len(line) < 8:
        return np.ones(len(line))
    steps = np.diff(line, axis=0, prepend=line[:1])
    length = np.linalg.norm(steps, axis=1)
    # A point that repeats has no direction: it takes that of the step before it, and the first that of the second.
    steps_before = np.maximum.accumulate(np.where(length > 0, np.arange(len(line)), 0))
    x, y = steps[np.maximum(steps_before, np.flatnonzero(length)[0])].T
    angle = np.unwrap(np.arctan2(y, x))
    bend = np.abs(np.diff(angle, prepend=angle[:1])) / np.maximum(length, 1e-3)
    reach = max(2, len(line) // 12)
    bend = np.convolve(np.minimum(bend, 12), np.ones(2 * reach + 1) / (2 * reach + 1), mode="same")
    return np.asarray(1 - speed * np.exp(-bend / 3))


def _fit(lines: list[Points], *, size_px: int, margin_px: float) -> list[Points]:
    """The lines in pixels, centred; their longer side fills the square except for the margin."""
    points = np.concatenate(lines)
    low, high = points.min(axis=0), points.max(axis=0)
    scale = (size_px - 2 * margin_px) / (high - low).max()
    return [(line - (low + high) / 2) * scale + size_px / 2 for line in lines]


def _inside(lines: list[Points], size_px: int) -> NDArray[np.bool_]:
    """A mask of the pixels inside closed lines: bool (size_px, size_px), by the even-odd rule."""
    pieces = np.concatenate([np.column_stack([line, np.roll(line, -1, axis=0)]) for line in lines])
    x1, y1, x2, y2 = pieces.T[:, :, None]  # (S, 1) each
    y = np.arange(size_px) + 0.5
    passes = (y1 <= y) != (y2 <= y)  # (S, H): the pieces that cross the middle of a row, and where
    at = x1 + (y - y1) * (x2 - x1) / np.where(y1 == y2, 1, y2 - y1)
    piece, row = passes.nonzero()
    crossings = np.zeros((size_px, size_px + 1), int)
    np.add.at(crossings, (row, np.clip(np.ceil(at[piece, row] - 0.5), 0, size_px).astype(int)), 1)
    inside: NDArray[np.bool_] = crossings.cumsum(axis=1)[:, :-1] % 2 == 1
    return inside


def _ink(
    lines: list[Points], inks: list[NDArray[np.float64]], size_px: int, *, inside: NDArray[np.bool_] | None = None
) -> Gray:
    """Ink 255 under a pen of half width `inks` at each point of `lines`, with a soft edge of one pixel.

    Every segment of a line is measured in a window of its own; all windows have the same size.
    """
    pens = [np.column_stack([line, ink]) for line, ink in zip(lines, inks, strict=True)]
    a, b = np.concatenate([pen[:-1] for pen in pens]), np.concatenate([pen[1:] for pen in pens])  # (S, 3)
    reach = np.maximum(a[:, 2:], b[:, 2:]) + 1
    low = np.clip(np.floor(np.minimum(a, b)[:, :2] - reach), 0, size_px).astype(int)  # (S, 2): left, top
    high = np.clip(np.ceil(np.maximum(a, b)[:, :2] + reach), 0, size_px).astype(int)
    side = int((high - low).max())
    width = size_px + side  # windows may stick out to the right and below
    depth = np.full(width * width, -1.0)  # how far the centre of each pixel is inside the ink
    across, count = np.arange(side), max(1, AT_A_TIME // side**2)
    for some in (slice(i, i + count) for i in range(0, len(a), count)):
        x = low[some, 0, None, None] + across  # (C, 1, side)
        y = low[some, 1, None, None] + across[:, None]  # (C, side, 1)
        np.maximum.at(depth, (y * width + x).ravel(), _depth(x + 0.5, y + 0.5, a[some], b[some]).ravel())
    ink = np.rint(255 * np.clip(depth + 0.5, 0, 1)).astype(np.uint8).reshape(width, width)[:size_px, :size_px]
    return np.ascontiguousarray(ink) if inside is None else np.where(inside, np.uint8(255), ink)


def _depth(x: Points, y: Points, a: Points, b: Points) -> NDArray[np.float64]:
    """How far each point of the windows `x` (C, 1, W), `y` (C, H, 1) is inside its segment: float (C, H, W).

    `a` and `b` (C, 3) are the ends of the segments: x, y, half width.
    """
    x, y = x - a[:, 0, None, None], y - a[:, 1, None, None]
    dx, dy, widening = (b - a).T[:, :, None, None]
    along = np.clip((x * dx + y * dy) / np.maximum(dx * dx + dy * dy, 1e-12), 0, 1)
    inside: NDArray[np.float64] = a[:, 2, None, None] + along * widening - np.hypot(x - along * dx, y - along * dy)
    return inside
