"""The fifteen kinds of corruption of MNIST-C (Mu, Gilmer 2019, arXiv 1906.02337), written again from the paper.

In: prepared images uint8 (N, 28, 28). Out: the corrupted images, of the same shape. Each kind has the five strengths of
the authors' generator (one where it has no strengths), of which `named` is the one that MNIST-C was made with. The
result for the image at index i is always the same, whatever images follow it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import cos, pi, sin
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inkdigit.measure import stacks
from inkdigit.measure.stacks import Stack
from inkdigit.types import SIDE, Gray

SEED = 0  # of every random choice: a published figure can be measured again
CHUNK = 128  # images that share a random generator: many for one array operation, few for the processor's cache
SPECK = 63 / 255  # the brightness of mud, as the authors' generator has it

Change = Callable[[Stack, Any, np.random.Generator], Stack]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of corruption: its strengths, the mildest first, and how images are changed at one of them."""

    name: str
    strengths: Sequence[Any]
    named: int  # the level of MNIST-C, from 1
    change: Change

    @property
    def title(self) -> str:
        """The name for people."""
        return self.name.replace("_", " ")

    @property
    def about(self) -> str:
        """What it does to an image, in one sentence."""
        return self.change.__doc__ or ""


def corrupt(images: Gray, kind: Kind, level: int) -> Gray:
    """Corrupt `images` uint8 (N, 28, 28) at a level from 1 to the number of strengths."""
    out = np.empty_like(images)
    for begin in range(0, len(images), CHUNK):
        chunk = images[begin : begin + CHUNK]
        # Always the same number of images, so that the random choices do not depend on how many follow.
        full = np.zeros((CHUNK, SIDE, SIDE))
        full[: len(chunk)] = chunk / 255
        rng = np.random.default_rng([SEED, KINDS.index(kind), level, begin // CHUNK])
        changed = kind.change(full, kind.strengths[level - 1], rng)
        out[begin : begin + CHUNK] = np.rint(255 * np.clip(changed[: len(chunk)], 0, 1))
    return out


def _shot_noise(images: Stack, photons: float, rng: np.random.Generator) -> Stack:
    """White is a number of photons in each pixel, counted with noise."""
    return rng.poisson(images * photons) / photons


def _impulse_noise(images: Stack, share: float, rng: np.random.Generator) -> Stack:
    """A share of the pixels is turned black or white."""
    hit, white = rng.random(images.shape) < share, rng.random(images.shape) < 0.5
    return np.asarray(np.where(hit, white, images))


def _glass_blur(images: Stack, strength: tuple[float, int, int], rng: np.random.Generator) -> Stack:
    """Blurred, pixels exchanged with near ones, blurred again."""
    sigma, reach, rounds = strength
    return stacks.blur(stacks.shuffle_near(stacks.blur(images, sigma), reach, rounds, rng), sigma)


def _motion_blur(images: Stack, strength: tuple[int, float], rng: np.random.Generator) -> Stack:
    """Smeared to the left, horizontally or at up to 45°."""
    radius, sigma = strength
    return stacks.smear(images, radius, sigma, rng.uniform(-pi / 4, pi / 4, len(images)))


def _shear(images: Stack, angle: float, rng: np.random.Generator) -> Stack:
    """Upright strokes are slanted to one side or the other."""
    return stacks.warp(images, _either([[1, -sin(angle)], [0, cos(angle)]], [[1, sin(angle)], [0, cos(angle)]], rng))


def _rotate(images: Stack, angle: float, rng: np.random.Generator) -> Stack:
    """Turned to one side or the other."""
    c, s = cos(angle), sin(angle)
    return stacks.warp(images, _either([[c, -s], [s, c]], [[c, s], [-s, c]], rng))


def _either(left: list[list[float]], right: list[list[float]], rng: np.random.Generator) -> NDArray[np.float64]:
    """Matrices (CHUNK, 2, 2), each one of the two at random."""
    return np.array([left, right])[rng.integers(0, 2, CHUNK)]


def _scale(images: Stack, factor: float, _: np.random.Generator) -> Stack:
    """Scaled to a fraction of its size."""
    return stacks.warp(images, np.tile(np.eye(2) / factor, (len(images), 1, 1)))


def _brightness(images: Stack, more: float, _: np.random.Generator) -> Stack:
    """Everything is brighter, the paper too."""
    return images + more


def _translate(images: Stack, shift_px: int, rng: np.random.Generator) -> Stack:
    """Moved up or down, and left or right."""
    down, right = rng.choice([0, 2 * shift_px], (2, len(images), 1)) + np.arange(SIDE)  # (N, 28) each
    framed = np.pad(images, ((0, 0), (shift_px, shift_px), (shift_px, shift_px)))
    return np.asarray(framed[np.arange(len(images))[:, None, None], down[:, :, None], right[:, None, :]])


def _stripe(images: Stack, width_px: int, _: np.random.Generator) -> Stack:
    """A stripe on the left and a stripe on the right are inverted."""
    out = images.copy()
    for stripe in (slice(width_px), slice(-width_px, None)):
        out[:, :, stripe] = 1 - out[:, :, stripe]
    return out


def _fog(images: Stack, strength: tuple[float, float], rng: np.random.Generator) -> Stack:
    """A cloud in front of the image; then everything is made darker again."""
    density, decay = strength
    brightest = images.max(axis=(1, 2), keepdims=True)
    misty = images + density * stacks.clouds(len(images), decay, rng)
    return np.asarray(misty * brightest / (brightest + density))


def _spatter(images: Stack, strength: tuple[float, float, float, float, float], rng: np.random.Generator) -> Stack:
    """Drops of mud, dark gray on the ink and on the paper."""
    mean, deviation, sigma, level, soft = strength
    drops = stacks.blur(rng.normal(mean, deviation, images.shape), sigma) > level
    mud = stacks.blur(drops.astype(np.float64), soft)
    mud[mud < 0.8] = 0
    return images * (1 - mud) + SPECK * mud


def _dotted_line(images: Stack, _: None, rng: np.random.Generator) -> Stack:
    """A line across the image: two pixels drawn, two left out."""
    left, right = rng.integers(0, SIDE - 1, (2, len(images))).astype(np.float64)
    line = stacks.lines(np.zeros(len(images)), left, np.full(len(images), SIDE - 1.0), right)
    return images + line * (np.arange(SIDE) // 2 % 2)


def _zigzag(images: Stack, _: None, rng: np.random.Generator) -> Stack:
    """A line of teeth, 2 px high and 4 px long, across the image, at a small slope."""
    begin, end, tooth = 2.0, 25.0, 2.0
    height = rng.integers(0, SIDE - 1, len(images)).astype(np.float64)
    angle = np.arctan(rng.integers(-5, 5, len(images)) / (end - begin))
    length = (end - begin) / np.cos(angle)  # 23 to 24: six teeth, and the end of the line
    along = [np.zeros_like(length), *(np.full_like(length, (2 * i + 1) * tooth) for i in range(6)), length]
    aside = [0.0, *(tooth * (-1) ** i for i in range(6)), -tooth / (2 * (length - 5 * 2 * tooth))]
    c, s = np.cos(angle), np.sin(angle)
    corners = [(begin + c * u - s * v, height + s * u + c * v) for u, v in zip(along, aside, strict=True)]
    return images + sum(stacks.lines(*start, *end) for start, end in pairwise(corners))


def _canny_edges(images: Stack, _: None, __: np.random.Generator) -> Stack:
    """Only the edges of the ink."""
    return stacks.edges(images).astype(np.float64)


TILTS = (0.2, 0.4, 0.6, 0.8, 1.0)  # radians
SPATTERS = (  # mean and deviation of the noise, its blur, the level above which it is a drop, and the drop's blur
    (0.65, 0.3, 4, 0.69, 0.6),
    (0.65, 0.3, 3, 0.68, 0.6),
    (0.65, 0.3, 2, 0.68, 0.5),
    (0.65, 0.3, 1, 0.65, 1.5),
    (0.67, 0.4, 1, 0.65, 1.5),
)
KINDS = (
    Kind("shot_noise", (60, 25, 12, 5, 3), 5, _shot_noise),
    Kind("impulse_noise", (0.03, 0.06, 0.09, 0.17, 0.27), 4, _impulse_noise),
    Kind("glass_blur", ((0.7, 1, 2), (0.9, 2, 1), (1.0, 2, 3), (1.1, 3, 2), (1.5, 4, 2)), 1, _glass_blur),
    Kind("motion_blur", ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)), 1, _motion_blur),
    Kind("shear", TILTS, 2, _shear),
    Kind("scale", (0.9, 0.8, 0.7, 0.6, 0.5), 3, _scale),
    Kind("rotate", TILTS, 2, _rotate),
    Kind("brightness", (0.1, 0.2, 0.3, 0.4, 0.5), 5, _brightness),
    Kind("translate", (1, 2, 3, 4, 5), 3, _translate),
    Kind("stripe", (7,), 1, _stripe),
    Kind("fog", ((1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4)), 5, _fog),
    Kind("spatter", SPATTERS, 4, _spatter),
    Kind("dotted_line", (None,), 1, _dotted_line),
    Kind("zigzag", (None,), 1, _zigzag),
    Kind("canny_edges", (None,), 1, _canny_edges),
)
