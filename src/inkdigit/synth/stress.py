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

from inkdigit.synth.raster import Shape, log_uniform
from inkdigit.synth.scenes import scene
from inkdigit.synth.scenes.pens import Bank, Ink
from inkdigit.types import SIDE, Gray

SMALL_SHARE = 0.25  # of the images have 28 px, like MNIST
TIGHT_SHARE = 0.2  # are cut around the ink, as a program that finds boxes does it, or a little inside it
SIDE_PX = (20, 160)  # the height of all others: a cell of a form, or a digit cut out of a photo or a scan
SQUARE_SHARE = 0.5  # of those that are not cut
ASPECT = (0.5, 2.0)  # the width by the height of the rest
THING_SHARE = 0.5  # of the images without a digit are pieces of photos of things
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
