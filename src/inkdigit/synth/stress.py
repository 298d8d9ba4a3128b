"""Stressed images: ink on uneven or lined paper, photographed, scanned, scaled down and compressed.

In: ink, gray `uint8 (h, w)`, 255 on 0, and a random generator. Out: a gray image `uint8 (H, W)` of it, as a camera, a
scanner or a drawing program makes it. A network for real images is trained on such images, prepared like any other.
Everything is drawn here: no photo of a person is used.
"""

from __future__ import annotations

from math import cos, sin

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inkdigit.picture.prepare import ink_box, tight
from inkdigit.synth.camera import jpeg, shake
from inkdigit.synth.raster import Map, blur, cloud, outline, resize
from inkdigit.types import SIDE, Gray

SMALL_SHARE = 0.3  # of the images have 28 px, like MNIST; the others are larger
LARGE_PX = (40, 150)  # the side of larger images: a digit cut out of a photo or a scan
CANVAS_SHARE = 0.2  # of the images are from a drawing program: ink and other marks on an exact background
TIGHT_SHARE = 0.15  # of the large images are cut around the digit, as a program that finds boxes does it
TIGHT_MARGIN = (-0.05, 0.1)  # of the digit's height
MIN_CUT_PX = 4  # of a side: less of a single stroke shows no digit
# Kinds of corruption (`measure/corruptions.py`) that resemble an effect here.
RESEMBLES = (
    "shot_noise",
    "impulse_noise",
    "motion_blur",
    "shear",
    "scale",
    "rotate",
    "brightness",
    "translate",
    "fog",
    "spatter",
    "stripe",
    "canny_edges",
)


def photograph(ink: Gray, *, rng: np.random.Generator) -> Gray:
    """A random image of `ink` uint8 (h, w), which is not blank, as a user might send it: uint8 (H, W)."""
    small = rng.random() < SMALL_SHARE
    side = SIDE if small else int(rng.integers(*LARGE_PX))
    cover = placed = _place(ink, side, rng)
    canvas = rng.random() < CANVAS_SHARE
    for mark, share in ((_specks, 0.25 if canvas and small else 0.12), (_neighbour, 0.06 if small else 0.12)):
        if rng.random() < share:
            cover = np.maximum(cover, mark(side, rng))
    if canvas:
        drawn = np.rint(255 * np.clip(cover, 0, 1)).astype(np.uint8)
        return _cut(255 - drawn if rng.random() < 0.5 else drawn, placed, rng)
    paper = _paper(side, rng)
    if rng.random() < (0.25 if small else 0.4):
        cover = cover * _pencil(side, rng)
    contrast = rng.uniform(0.25, 1.0) if rng.random() < 0.8 else rng.uniform(0.12, 0.3)
    if rng.random() < (0.5 if small else 0.25):  # chalk, or white on black
        image = (1 - paper) + contrast * paper * cover
    else:
        image = paper * (1 - contrast * cover)
    return _cut(_expose(image, rng), placed, rng)


def _cut(image: Gray, cover: Map, rng: np.random.Generator) -> Gray:
    """Most images as they are; some large ones cut tightly around the digit, or a little inside it."""
    box = ink_box((cover > 0.5).view(np.uint8))
    if len(image) == SIDE or box is None or rng.random() >= TIGHT_SHARE:
        return image
    margin = rng.uniform(*TIGHT_MARGIN) + rng.normal(0, 0.01, 4)
    rows, cols = box
    top, bottom, left, right = np.rint(margin * (rows.stop - rows.start)).astype(int).tolist()
    cut = image[max(0, rows.start - top) : rows.stop + bottom, max(0, cols.start - left) : cols.stop + right]
    return cut if min(cut.shape) >= MIN_CUT_PX else image


def _place(ink: Gray, side: int, rng: np.random.Generator) -> Map:
    """The ink at a random place of a square of `side`, turned, slanted, in perspective, with a finer or broader pen."""
    box = tight(ink)
    longest = float(rng.uniform(0.6, 0.8) if side == SIDE else rng.uniform(0.3, 0.85)) * side
    h, w = box.shape
    scale = longest / max(h, w)
    size = (max(2, round(w * scale)), max(2, round(h * scale)))
    margin = 4
    pen: Map = np.pad(resize(np.asarray(box / 255, np.float32), size[::-1]), margin)
    if scale > 1.5 or rng.random() < 0.5:
        pen = _repen(pen, rng)
    if side > SIDE and rng.random() < 0.06:
        pen = outline(pen, sigma_px=1.5, steepness=6)
    corners = _corners(size[0] + 2 * margin, size[1] + 2 * margin, side, rng)
    return _warp(pen, corners, side)


def _repen(pen: Map, rng: np.random.Generator) -> Map:
    """The strokes with a new, sharper edge, farther outside (broader) or inside (finer)."""
    edge = (blur(pen, 0.6) - rng.uniform(0.25, 0.6)) * rng.uniform(1.5, 5.0) + 0.5
    return np.asarray(np.clip(edge, 0, 1), np.float32)


def _corners(w: int, h: int, side: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """The places of the corners of the ink's box (w, h) on the square: (4, 2), from the top left, clockwise."""
    turn, slant = rng.normal(0, 0.1), rng.normal(0, 0.12)
    box = np.array([[-w, -h], [w, -h], [w, h], [-w, h]]) / 2
    box = box @ np.array([[1, 0], [-slant, 1]]) @ np.array([[cos(turn), sin(turn)], [-sin(turn), cos(turn)]])
    box *= 1 + rng.normal(0, 0.03, (4, 2))  # perspective
    extent = np.abs(box).max(0)
    middle = side / 2 + rng.uniform(-1, 1, 2) * np.maximum(side / 2 - extent, 0) * rng.choice([0.3, 1.0])
    return np.asarray(box + middle, np.float64)


def _warp(pen: Map, corners: NDArray[np.float64], side: int) -> Map:
    """`pen` (h, w) in a square, with its corners at `corners` (4, 2)."""
    h, w = pen.shape
    rows, goal = [], []
    for (x, y), (u, v) in zip(corners, ((0, 0), (w, 0), (w, h), (0, h)), strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        goal += [u, v]
    back = np.linalg.solve(np.array(rows), np.array(goal))  # from the square to the pen
    method = Image.Transform.PERSPECTIVE
    image = Image.fromarray(pen).transform((side, side), method, back.tolist(), Image.Resampling.BILINEAR)
    return np.asarray(image, np.float32)


def _pencil(side: int, rng: np.random.Generator) -> Map:
    """The share of a pencil stroke that stays on the grain of the paper."""
    grain = blur(rng.random((side, side), np.float32), rng.uniform(0.4, 1.0))
    share = 1 - rng.uniform(1, 4) * np.maximum(grain - 0.5, 0) - rng.uniform(0, 0.4) * cloud((side, side), rng, 4)
    return np.asarray(np.clip(share, 0, 1), np.float32)


def _specks(side: int, rng: np.random.Generator) -> Map:
    """Dust, dirt, salt: a few single pixels, or blobs."""
    specks = (rng.random((side, side)) < rng.uniform(0.001, 0.04)).astype(np.float32)
    return specks if rng.random() < 0.6 else np.clip(6 * blur(specks, rng.uniform(0.5, 1.5)), 0, 1)


def _neighbour(side: int, rng: np.random.Generator) -> Map:
    """A piece of another drawing that is cut off by one edge."""
    piece = np.zeros((side, side), np.float32)
    depth, long = max(1, int(side * rng.uniform(0.02, 0.1))), int(side * rng.uniform(0.05, 0.6))
    at = int(rng.integers(0, side - long + 1))
    piece[:depth, at : at + long] = 1
    return np.ascontiguousarray(np.rot90(blur(piece, side / 60), int(rng.integers(4))))


def _paper(side: int, rng: np.random.Generator) -> Map:
    """The brightness of the paper: light, shadow, grain and lines."""
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j].astype(np.float32)
    paper = np.full((side, side), rng.uniform(0.55, 1.0), np.float32)
    if rng.random() < 0.6:
        paper += rng.uniform(0, 0.15) * (np.float32(rng.normal()) * x + np.float32(rng.normal()) * y)
    if rng.random() < 0.25:  # the shadow of a hand or a phone
        angle = rng.uniform(0, 2 * np.pi)
        across = (x * cos(angle) + y * sin(angle) - rng.uniform(-0.6, 0.6)) / rng.uniform(0.05, 0.5)
        paper *= 1 - rng.uniform(0.1, 0.45) / (1 + np.exp(-np.clip(across, -30, 30)))
    if rng.random() < 0.25:  # clouds: fog, crumpled or recycled paper
        paper -= rng.uniform(0.05, 0.3) * cloud((side, side), rng, int(rng.integers(2, 8)))
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


def _expose(image: Map, rng: np.random.Generator) -> Gray:
    """The image of a camera: with blur, noise, few pixels, JPEG."""
    side = len(image)
    scale = side / 100
    if rng.random() < 0.4:
        image = blur(
            image,
            rng.uniform(0.3, 0.8) if side == SIDE else rng.uniform(0.3, 2.0 if rng.random() < 0.7 else 5.0) * scale,
        )
    if rng.random() < 0.12:
        image = shake(image, rng, reach_px=2.0 * max(1.0, side / 40))
    if side > 2 * SIDE and rng.random() < 0.2:
        few = int(rng.integers(SIDE, side))
        image = resize(resize(image, (few, few)), (side, side))
    if rng.random() < 0.5:
        image = image + rng.normal(0, rng.uniform(0.005, 0.06), image.shape).astype(np.float32)
    if rng.random() < 0.08:  # dead pixels
        where = rng.random(image.shape) < rng.uniform(0.01, 0.12)
        image = np.where(where, rng.integers(0, 2, image.shape), image).astype(np.float32)
    gray = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return jpeg(gray, int(rng.integers(25, 95))) if rng.random() < 0.3 else gray
