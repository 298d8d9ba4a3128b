"""Ink as people hand it over: on paper that is lit unevenly, lined, photographed, scanned, shrunk and compressed.

In: ink, gray `uint8 (h, w)`, 255 on 0, and a random generator. Out: a gray picture `uint8 (H, W)` of it, as a camera, a
scanner or a drawing program leaves it; what the door makes of that is what a network for real pictures learns from.
Everything is drawn here: no photo of anybody's is in it.
"""

from __future__ import annotations

import io
from functools import cache
from math import cos, sin

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inkdigit.picture.prepare import tight
from inkdigit.types import SIDE, Gray

Map = NDArray[np.float32]  # (H, W): 0 to 1

SMALL_SHARE = 0.3  # of the pictures are 28 px, as MNIST's are; the others are larger
LARGE_PX = (40, 150)
CANVAS_SHARE = 0.2  # of them come from a drawing program: ink and what crosses it, on nothing
# Kinds of corruption (`report/corruptions.py`) that resemble something drawn here.
RESEMBLES = (
    *("shot_noise", "impulse_noise", "motion_blur", "shear", "scale", "rotate", "brightness", "translate", "fog"),
    *("spatter", "dotted_line", "zigzag", "canny_edges"),
)


def photograph(ink: Gray, *, rng: np.random.Generator) -> Gray:
    """A picture of `ink` uint8 (h, w) that is not empty, as somebody might hand it over: uint8 (H, H)."""
    small = rng.random() < SMALL_SHARE
    side = SIDE if small else int(rng.integers(*LARGE_PX))
    cover = _lay(ink, side, rng)
    canvas = rng.random() < CANVAS_SHARE
    strikes = 0.35 if canvas and small else 0.06
    for mark, share in ((_strike, strikes), (_specks, 0.12), (_neighbour, 0.06 if small else 0.12)):
        if rng.random() < share:
            cover = np.maximum(cover, mark(side, rng))
    if canvas:
        drawn = np.rint(255 * np.clip(cover, 0, 1)).astype(np.uint8)
        return 255 - drawn if rng.random() < 0.5 else drawn
    paper = _paper(side, rng)
    if rng.random() < (0.25 if small else 0.4):
        cover = cover * _pencil(side, rng)
    contrast = rng.uniform(0.25, 1.0) if rng.random() < 0.8 else rng.uniform(0.12, 0.3)
    if rng.random() < (0.5 if small else 0.25):  # chalk, or white on black
        picture = (1 - paper) + contrast * paper * cover
    else:
        picture = paper * (1 - contrast * cover)
    return _expose(picture, rng)


def _lay(ink: Gray, side: int, rng: np.random.Generator) -> Map:
    """The ink somewhere on a square of `side`, turned, slanted and seen at an angle, its pen finer or broader."""
    box = tight(ink)
    longest = float(rng.uniform(0.6, 0.8) if side == SIDE else rng.uniform(0.3, 0.85)) * side
    h, w = box.shape
    scale = longest / max(h, w)
    size = (max(2, round(w * scale)), max(2, round(h * scale)))
    margin = 4
    pen: Map = np.pad(_resize(np.asarray(box / 255, np.float32), size), margin)
    if scale > 1.5 or rng.random() < 0.5:
        pen = _repen(pen, rng)
    if side > SIDE and rng.random() < 0.06:
        pen = _hollow(pen)
    corners = _corners(size[0] + 2 * margin, size[1] + 2 * margin, side, rng)
    return _warp(pen, corners, side)


def _repen(pen: Map, rng: np.random.Generator) -> Map:
    """The edge of the strokes drawn anew, sharper, where the ink is less than usual (broader) or more (finer)."""
    edge = (_blur(pen, 0.6) - rng.uniform(0.25, 0.6)) * rng.uniform(1.5, 5.0) + 0.5
    return np.asarray(np.clip(edge, 0, 1), np.float32)


def _hollow(pen: Map) -> Map:
    """The outline of the strokes alone."""
    broad = _blur(pen, 1.5)
    return np.asarray(np.clip(1.8 - 6 * np.abs(broad - 0.35), 0, 1), np.float32)


def _corners(w: int, h: int, side: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Where the corners of the ink's box, (w, h), come to lie on the square: (4, 2), from the top left, clockwise."""
    turn, slant = rng.normal(0, 0.1), rng.normal(0, 0.12)
    box = np.array([[-w, -h], [w, -h], [w, h], [-w, h]]) / 2
    box = box @ np.array([[1, 0], [-slant, 1]]) @ np.array([[cos(turn), sin(turn)], [-sin(turn), cos(turn)]])
    box *= 1 + rng.normal(0, 0.03, (4, 2))  # perspective
    extent = np.abs(box).max(0)
    middle = side / 2 + rng.uniform(-1, 1, 2) * np.maximum(side / 2 - extent, 0) * rng.choice([0.3, 1.0])
    return np.asarray(box + middle, np.float64)


def _warp(pen: Map, corners: NDArray[np.float64], side: int) -> Map:
    """`pen` (h, w) drawn into a square so that its corners fall on `corners` (4, 2)."""
    h, w = pen.shape
    rows, goal = [], []
    for (x, y), (u, v) in zip(corners, ((0, 0), (w, 0), (w, h), (0, h)), strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        goal += [u, v]
    back = np.linalg.solve(np.array(rows), np.array(goal))  # from the square to the pen
    way = Image.Transform.PERSPECTIVE
    image = Image.fromarray(pen).transform((side, side), way, back.tolist(), Image.Resampling.BILINEAR)
    return np.asarray(image, np.float32)


def _pencil(side: int, rng: np.random.Generator) -> Map:
    """What the grain of the paper leaves of a pencil's stroke."""
    grain = _blur(rng.random((side, side), np.float32), rng.uniform(0.4, 1.0))
    kept = 1 - rng.uniform(1, 4) * np.maximum(grain - 0.5, 0) - rng.uniform(0, 0.4) * _cloud(side, rng, 4)
    return np.asarray(np.clip(kept, 0, 1), np.float32)


def _strike(side: int, rng: np.random.Generator) -> Map:
    """A thin line, straight, dotted or zigzag, that has nothing to do with the digit."""
    count = int(rng.integers(2, 6 if rng.random() < 0.5 else 15))
    along = np.linspace(0, 1, 4 * side)
    knots = rng.uniform(0.1, 0.9) + rng.uniform(0, 0.15) * rng.normal(0, 1, count)
    y = np.interp(along, np.linspace(0, 1, count), knots)
    x = along if rng.random() < 0.8 else y
    on = np.ones(along.size, bool)
    if rng.random() < 0.5:  # dotted
        on = (along * rng.uniform(6, 14)) % 1 < 0.5
    rows, cols = (np.clip((line[on] * side).astype(int), 0, side - 1) for line in (y, x))
    line = np.zeros((side, side), np.float32)
    line[(rows, cols) if rng.random() < 0.7 else (cols, rows)] = 1
    return np.clip(_blur(line, side / 90), 0, 1) if side > 2 * SIDE else line


def _specks(side: int, rng: np.random.Generator) -> Map:
    """Dust, dirt, salt: a few single pixels, or blobs."""
    specks = (rng.random((side, side)) < rng.uniform(0.001, 0.04)).astype(np.float32)
    return specks if rng.random() < 0.6 else np.clip(6 * _blur(specks, rng.uniform(0.5, 1.5)), 0, 1)


def _neighbour(side: int, rng: np.random.Generator) -> Map:
    """A piece of something else that reaches in over one edge."""
    piece = np.zeros((side, side), np.float32)
    depth, long = max(1, int(side * rng.uniform(0.02, 0.1))), int(side * rng.uniform(0.05, 0.6))
    at = int(rng.integers(0, side - long + 1))
    piece[:depth, at : at + long] = 1
    return np.ascontiguousarray(np.rot90(_blur(piece, side / 60), int(rng.integers(4))))


def _paper(side: int, rng: np.random.Generator) -> Map:
    """The brightness of the paper: its light, its shadow, its grain and its lines."""
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j].astype(np.float32)
    paper = np.full((side, side), rng.uniform(0.55, 1.0), np.float32)
    if rng.random() < 0.6:
        paper += rng.uniform(0, 0.15) * (np.float32(rng.normal()) * x + np.float32(rng.normal()) * y)
    if rng.random() < 0.25:  # the shadow of a hand or a phone
        angle = rng.uniform(0, 2 * np.pi)
        across = (x * cos(angle) + y * sin(angle) - rng.uniform(-0.6, 0.6)) / rng.uniform(0.05, 0.5)
        paper *= 1 - rng.uniform(0.1, 0.45) / (1 + np.exp(-np.clip(across, -30, 30)))
    if rng.random() < 0.25:  # clouds: fog, crumpled or recycled paper
        paper -= rng.uniform(0.05, 0.3) * _cloud(side, rng, int(rng.integers(2, 8)))
    if rng.random() < 0.2 and side > SIDE:
        paper *= 1 - rng.uniform(0.1, 0.5) * _rules(side, rng)
    return np.clip(paper, 0.08, 1)


def _rules(side: int, rng: np.random.Generator) -> Map:
    """The lines of ruled or squared paper."""
    step, width = rng.uniform(side / 9, side / 2.5), max(1.0, side / 90)
    lines = ((np.arange(side) + rng.uniform(0, step)) % step < width).astype(np.float32)
    squared = rng.random() < 0.5
    both = np.maximum(lines[:, None], lines[None, :]) if squared else np.repeat(lines[:, None], side, 1)
    tilted = Image.fromarray(both).rotate(float(rng.normal(0, 2)), Image.Resampling.BILINEAR)
    return np.asarray(tilted, np.float32)


def _expose(picture: Map, rng: np.random.Generator) -> Gray:
    """What the camera makes of it: blur, noise, few pixels, JPEG."""
    side = len(picture)
    scale = side / 100
    if rng.random() < 0.4:
        picture = _blur(picture, rng.uniform(0.3, 0.8) if side == SIDE else rng.uniform(0.3, 2.0) * scale)
    if rng.random() < 0.12:
        picture = _shake(picture, rng)
    if side > 2 * SIDE and rng.random() < 0.2:
        few = int(rng.integers(SIDE, side))
        picture = _resize(_resize(picture, (few, few)), (side, side))
    if rng.random() < 0.5:
        picture = picture + rng.normal(0, rng.uniform(0.005, 0.06), picture.shape).astype(np.float32)
    if rng.random() < 0.08:  # dead pixels
        where = rng.random(picture.shape) < rng.uniform(0.01, 0.12)
        picture = np.where(where, rng.integers(0, 2, picture.shape), picture).astype(np.float32)
    gray = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    return _jpeg(gray, int(rng.integers(25, 95))) if rng.random() < 0.3 else gray


def _shake(picture: Map, rng: np.random.Generator) -> Map:
    """The mean of the picture along a short straight way."""
    reach = rng.uniform(0.5, 2.0) * max(1.0, len(picture) / 40)
    angle = rng.uniform(0, np.pi)
    out = np.zeros_like(picture)
    steps = max(3, int(2 * reach) | 1)
    for along in np.linspace(-reach, reach, steps):
        dy, dx = round(along * sin(angle)), round(along * cos(angle))
        out += np.roll(picture, (dy, dx), (0, 1))
    return out / np.float32(steps)


def _jpeg(gray: Gray, quality: int) -> Gray:
    file = io.BytesIO()
    Image.fromarray(gray).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file), np.uint8)


def _cloud(side: int, rng: np.random.Generator, cells: int) -> Map:
    """Smooth light and dark, some `cells` patches across: (side, side), 0 to 1."""
    coarse = rng.random((cells, cells), np.float32)
    field = _resize(coarse, (side, side))
    low, high = float(field.min()), float(field.max())
    return (field - low) / max(high - low, 1e-6)


def _resize(picture: Map, size: tuple[int, int]) -> Map:
    """`picture` with the (width, height) `size`, antialiased."""
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC), np.float32)


def _blur(picture: Map, sigma: float) -> Map:
    """`picture` (h, w) blurred by a Gaussian of `sigma` pixels."""
    h, w = picture.shape
    step = round(max(sigma, 0.2) * 10) / 10  # so that few matrices are made
    return np.asarray(_gaussian(h, step) @ picture @ _gaussian(w, step), np.float32)


@cache
def _gaussian(side: int, sigma: float) -> Map:
    """The matrix (side, side) that blurs along one axis."""
    at = np.arange(side)
    weights = np.exp(-0.5 * ((at[:, None] - at) / sigma) ** 2)
    return np.asarray(weights / weights.sum(0), np.float32)
