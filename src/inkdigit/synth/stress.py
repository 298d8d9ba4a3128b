"""Stressed images: an ink as the main thing of a scene, of the sizes and shapes that people send.

In: an ink, a bank of inks for what is beside it, and a random generator. Out: a gray image `uint8 (H, W)`, as a camera,
a scanner or a drawing program makes it, and the true coverage of the ink in it. A network for real images is trained on
such images, prepared like any other. Everything is drawn here: no photo of a person is used.
"""

from __future__ import annotations

from functools import cache
from math import exp

import numpy as np
from PIL import Image

from inkdigit.picture.prepare import tight
from inkdigit.synth.raster import Shape, log_uniform, resize
from inkdigit.synth.scenes import scene
from inkdigit.synth.scenes.pens import Bank, Ink
from inkdigit.types import SIDE, Gray

SMALL_SHARE = 0.3  # of the images have 28 px, like MNIST
TIGHT_SHARE = 0.2  # are cut around the ink, as a program that finds boxes does it, or a little inside it
SIDE_PX = (20, 160)  # the height of all others: a cell of a form, or a digit cut out of a photo or a scan
SQUARE_SHARE = 0.5  # of those that are not cut
ASPECT = (0.5, 2.0)  # the width by the height of the rest
THING_SHARE = 0.5  # of the images without a digit are pieces of photos of things
COARSE_PX = (7.0, 20.0)  # the height of a digit in data sets of few pixels: USPS has 16, scikit-learn's digits 8
STRETCHED_SHARE, BILEVEL_SHARE = 0.3, 0.3  # of such digits fill a square; are only black and white
CUT_PX = (12, 120)  # the height of what is cut; less of a digit cannot be read
# Kinds of corruption (`measure/corruptions.py`) that resemble an effect here: a digit has any size, place and turn.
RESEMBLES = (*scene.RESEMBLES, "scale", "rotate", "translate")


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
    height = log_uniform(*COARSE_PX, rng)
    width = height if rng.random() < STRETCHED_SHARE else height * seen.shape[1] / seen.shape[0]
    shape = max(3, round(height)), max(2, round(width * exp(rng.normal(0, 0.1))))
    few = resize(seen, shape, method=Image.Resampling.BOX if rng.random() < 0.5 else Image.Resampling.BILINEAR)
    few = few / max(0.1, float(few.max()))
    if rng.random() < BILEVEL_SHARE:
        few = np.asarray(few > rng.uniform(0.25, 0.6), np.float32)
    return np.pad(np.asarray(np.rint(255 * few), np.uint8), int(rng.integers(0, 3)))


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
