"""Stressed images: an ink as the main thing of a scene, of the sizes and shapes that people send.

In: an ink, a bank of inks for what is beside it, and a random generator. Out: a gray image `uint8 (H, W)`, as a camera,
a scanner or a drawing program makes it, and the true coverage of the ink in it; or ink in few pixels, or with dirt that
is left around it. A network for real images is trained on such images, prepared like any other. Digits are drawn here
and taken from the data set; no photo of a digit is used.
"""

from __future__ import annotations

from functools import cache
from math import cos, exp, pi, sin

import numpy as np
from PIL import Image

from inkdigit.picture.prepare import INK_SIDE_PX, tight
from inkdigit.synth.raster import Map, Shape, blots, log_uniform, outline, resize, segment
from inkdigit.synth.scenes import scene
from inkdigit.synth.scenes.pens import Bank, Ink
from inkdigit.types import SIDE, Gray

SMALL_SHARE = 0.3  # of the images have 28 px, like MNIST
TIGHT_SHARE = 0.2  # are cut around the ink, as a program that finds boxes does it, or a little inside it
SIDE_PX = (20, 160)  # the height of all others: a cell of a form, or a digit cut out of a photo or a scan
SQUARE_SHARE = 0.5  # of those that are not cut
ASPECT = (0.5, 2.0)  # the width by the height of the rest
THING_SHARE = 0.5  # of the images without a digit are pieces of photos of things
COARSE_PX = (6.5, 20.0)  # the height of a digit in data sets of few pixels: USPS has 16, scikit-learn's digits 8
STRETCHED_SHARE, BILEVEL_SHARE = 0.3, 0.3  # of such digits fill a square; are only black and white
SCANNED_SHARE, SCANNED_PX = 0.35, 32  # were only black and white, so high, before they lost their pixels
HOLLOW_SHARE = 0.15  # of dirty digits are only the edges of their strokes
CORNERED_SHARE = 0.4  # of scratches have corners
DIRTY_PX, DIRTY_ROOM = 72, 0.45  # the size of ink to which dirt is added, and how much room is around it
ARC_STEPS = 8  # straight pieces of an arc
FAINT = 40  # gray levels: fainter dirt is gone with the paper
CUT_PX = (12, 120)  # the height of what is cut; less of a digit cannot be read
# Kinds of corruption (`measure/corruptions.py`) that resemble an effect here: a digit has any size, place and slant.
RESEMBLES = (*scene.RESEMBLES, "zigzag", "scale", "rotate", "translate", "shear")


def photograph(ink: Ink, bank: Bank, *, rng: np.random.Generator) -> tuple[Gray, Gray]:
    """A random image of `ink` as a user might send it, and the true coverage of the ink, both uint8 (H, W)."""
    style = rng.random()
    if style < SMALL_SHARE:
        shape: Shape = (SIDE, SIDE)
    elif style < SMALL_SHARE + TIGHT_SHARE:
        height = log_uniform(*CUT_PX, rng)
        shape = round(height), max(4, round(height * scene.aspect(ink) * exp(rng.normal(0, 0.1))))
        return scene.show(ink, bank, shape, rng, fill=True)
    else:
        height = log_uniform(*SIDE_PX, rng)
        aspect = 1.0 if rng.random() < SQUARE_SHARE else log_uniform(*ASPECT, rng)
        shape = round(height), max(SIDE_PX[0], round(height * aspect))
    return scene.show(ink, bank, shape, rng, fill=False)


def coarse(ink: Gray, *, rng: np.random.Generator) -> Gray:
    """`ink` uint8 (h, w) in few pixels and without paper, as in data sets of the time before MNIST: uint8 (H, W)."""
    seen = np.asarray(tight(ink) / 255, np.float32)
    if rng.random() < SCANNED_SHARE:
        scale = SCANNED_PX / len(seen)
        seen = resize(seen, (SCANNED_PX, max(3, round(scale * seen.shape[1]))))
        seen = np.asarray(seen > rng.uniform(0.25, 0.6), np.float32)
    height = log_uniform(*COARSE_PX, rng)
    width = height if rng.random() < STRETCHED_SHARE else height * seen.shape[1] / seen.shape[0]
    shape = max(3, round(height)), max(2, round(width * exp(rng.normal(0, 0.1))))
    few = resize(seen, shape, method=Image.Resampling.BOX if rng.random() < 0.5 else Image.Resampling.BILINEAR)
    few = few / max(0.1, float(few.max()))
    if rng.random() < BILEVEL_SHARE:
        few = np.asarray(few > rng.uniform(0.25, 0.6), np.float32)
    return np.pad(np.asarray(np.rint(255 * few), np.uint8), int(rng.integers(0, 3)))


def dirty(ink: Gray, *, rng: np.random.Generator) -> Gray:
    """`ink` uint8 (h, w) with what may be left around it when its paper is gone: a clean image, 20 px long.

    These are specks, blots, long strokes and pieces of neighbours, as strong as the ink or paler.
    """
    seen = np.asarray(tight(ink) / 255, np.float32)
    scale = DIRTY_PX / max(seen.shape)
    seen = resize(seen, (max(2, round(seen.shape[0] * scale)), max(2, round(seen.shape[1] * scale))))
    if rng.random() < HOLLOW_SHARE:
        seen = outline(np.pad(seen, 3), sigma_px=float(rng.uniform(1.2, 2.2)), steepness=5.5)
    room = rng.integers(0, round(DIRTY_ROOM * DIRTY_PX), 4)
    sheet = np.pad(seen, ((room[0], room[1]), (room[2], room[3])))
    marks = np.zeros(sheet.shape, np.float32)
    for i in rng.permutation(len(_DIRT))[: rng.integers(1, 3)]:
        marks = np.maximum(marks, _DIRT[i](sheet.shape, rng) * np.float32(rng.uniform(0.3, 1)))
    both = np.asarray(np.rint(255 * np.clip(np.maximum(sheet, marks), 0, 1)), np.uint8)
    cut = tight(np.where(both > FAINT, both, 0))
    h, w = (max(1, round(INK_SIDE_PX * side / max(cut.shape))) for side in cut.shape)
    small = np.asarray(Image.fromarray(cut).resize((w, h), Image.Resampling.BOX))
    return np.pad(small, (SIDE - INK_SIDE_PX) // 2)


def _specks(shape: Shape, rng: np.random.Generator) -> Map:
    """Dust, rain, salt: points or blots."""
    specks = np.asarray(rng.random(shape) < log_uniform(3e-4, 8e-3, rng), np.float32)
    return np.minimum(blots(specks, log_uniform(0.8, 3.0, rng)), 1)


def _strokes(shape: Shape, rng: np.random.Generator) -> Map:
    """A scratch, a hair or a slip of the pen: a fine line in an arc or with corners, or two."""
    cover = np.zeros(shape, np.float32)
    for _ in range(int(rng.integers(1, 3))):
        x, y = float(rng.uniform(0, shape[1])), float(rng.uniform(0, shape[0]))
        angle, turn, width = rng.uniform(0, 2 * pi), rng.uniform(-0.3, 0.3), float(rng.uniform(2, 6))
        corners = rng.uniform(0.3, 2.6) if rng.random() < CORNERED_SHARE else 0.0
        step = rng.uniform(0.1, 2.5 if corners else 1.5) * max(shape) / ARC_STEPS
        for i in range(ARC_STEPS):
            end = x + step * cos(angle), y + step * sin(angle)
            cover = np.maximum(cover, segment(shape, (x, y), end, width))
            (x, y), angle = end, angle + turn + (-1) ** i * corners
    return cover


def _pieces(shape: Shape, rng: np.random.Generator) -> Map:
    """Strokes of neighbours that come in over a border."""
    cover = np.zeros(shape, np.float32)
    h, w = shape
    for _ in range(int(rng.integers(1, 4))):
        along, deep = rng.uniform(0, 1), rng.uniform(0.03, 0.2)
        at = [(along * w, 0.0), (w, along * h), (along * w, h), (0.0, along * h)][int(rng.integers(4))]
        angle = rng.uniform(0, 2 * pi)
        end = at[0] + deep * max(shape) * cos(angle), at[1] + deep * max(shape) * sin(angle)
        cover = np.maximum(cover, segment(shape, at, end, float(rng.uniform(4, 12))))
    return cover


_DIRT = (_specks, _strokes, _pieces)


def without_digit(bank: Bank, *, rng: np.random.Generator) -> Gray:
    """A random image with no digit in it, uint8 (H, W): a piece of a photo of things, or paper with lines or words."""
    side = round(log_uniform(*SIDE_PX, rng))
    if rng.random() >= THING_SHARE:
        return scene.bare(bank, (max(side, 32), max(side, 32)), rng)
    photos = _photos_of_things()
    photo = photos[rng.integers(len(photos))]
    length = round(log_uniform(16, min(photo.shape), rng))
    top, left = (int(rng.integers(0, whole - length + 1)) for whole in photo.shape)
    piece = np.rot90(photo[top : top + length, left : left + length], int(rng.integers(4)))
    return np.asarray(Image.fromarray(np.ascontiguousarray(piece)).resize((side, side), Image.Resampling.BILINEAR))


@cache
def _photos_of_things() -> tuple[Gray, ...]:
    """The photos of a temple and of a flower that ship with scikit-learn, gray."""
    from sklearn.datasets import load_sample_images

    return tuple(np.asarray(Image.fromarray(image).convert("L")) for image in load_sample_images().images)
