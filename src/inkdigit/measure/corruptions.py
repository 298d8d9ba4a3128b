"""The fifteen kinds of corruption of MNIST-C (Mu, Gilmer 2019, arXiv 1906.02337), written anew after the paper.

In: prepared pictures uint8 (N, 28, 28). Out: as many, corrupted, of the same shape. Each kind has the five strengths of
the authors' generator (one where it has no strengths), of which `named` is the one that MNIST-C was made with.
The same picture at the same place comes out the same everywhere, however many follow it.
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

SEED = 0  # of all chances: a published figure can be measured again
TOGETHER = 128  # pictures that share a generator: enough to work in whole arrays, few enough for the processor's cache
SPECK = 63 / 255  # the brightness of mud, as the authors' generator has it

Change = Callable[[Stack, Any, np.random.Generator], Stack]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of corruption: its strengths, the mildest first, and how pictures are changed at one of them."""

    name: str
    strengths: Sequence[Any]
    named: int  # the level that MNIST-C is made of, from 1
    change: Change

    @property
    def title(self) -> str:
        """The name as people write it."""
        return self.name.replace("_", " ")

    @property
    def about(self) -> str:
        """What it does to a picture, in a sentence."""
        return self.change.__doc__ or ""


def corrupt(images: Gray, kind: Kind, level: int) -> Gray:
    """Corrupt `images` uint8 (N, 28, 28) at a level from 1 to the number of strengths."""
    out = np.empty_like(images)
    for begin in range(0, len(images), TOGETHER):
        some = images[begin : begin + TOGETHER]
        # Always as many pictures, so that a picture's chances do not depend on how many come after it.
        full = np.zeros((TOGETHER, SIDE, SIDE))
        full[: len(some)] = some / 255
        rng = np.random.default_rng([SEED, KINDS.index(kind), level, begin // TOGETHER])
        changed = kind.change(full, kind.strengths[level - 1], rng)
        out[begin : begin + TOGETHER] = np.rint(255 * np.clip(changed[: len(some)], 0, 1))
    return out


def _shot_noise(pictures: Stack, photons: float, rng: np.random.Generator) -> Stack:
    """White is so many photons a pixel, counted."""
    return rng.poisson(pictures * photons) / photons


def _impulse_noise(pictures: Stack, share: float, rng: np.random.Generator) -> Stack:
    """A share of the pixels turned black or white."""
    hit, white = rng.random(pictures.shape) < share, rng.random(pictures.shape) < 0.5
    return np.asarray(np.where(hit, white, pictures))


def _glass_blur(pictures: Stack, strength: tuple[float, int, int], rng: np.random.Generator) -> Stack:
    """Blurred, pixels swapped with near ones, blurred again."""
    sigma, reach, rounds = strength
    return stacks.blur(stacks.shuffle_near(stacks.blur(pictures, sigma), reach, rounds, rng), sigma)


def _motion_blur(pictures: Stack, strength: tuple[int, float], rng: np.random.Generator) -> Stack:
    """Drawn out to the left, level or slanting, up to 45°."""
    radius, sigma = strength
    return stacks.smear(pictures, radius, sigma, rng.uniform(-pi / 4, pi / 4, len(pictures)))


def _shear(pictures: Stack, angle: float, rng: np.random.Generator) -> Stack:
    """The upright strokes tilted by so many radians, to either side."""
    return stacks.warp(pictures, _either([[1, -sin(angle)], [0, cos(angle)]], [[1, sin(angle)], [0, cos(angle)]], rng))


def _rotate(pictures: Stack, angle: float, rng: np.random.Generator) -> Stack:
    """Turned by so many radians, to either side."""
    c, s = cos(angle), sin(angle)
    return stacks.warp(pictures, _either([[c, -s], [s, c]], [[c, s], [-s, c]], rng))


def _either(one: list[list[float]], other: list[list[float]], rng: np.random.Generator) -> NDArray[np.float64]:
    """Matrices (TOGETHER, 2, 2): one of two, by chance."""
    return np.array([one, other])[rng.integers(0, 2, TOGETHER)]


def _scale(pictures: Stack, factor: float, _: np.random.Generator) -> Stack:
    """Shrunk to a factor of its size."""
    return stacks.warp(pictures, np.tile(np.eye(2) / factor, (len(pictures), 1, 1)))


def _brightness(pictures: Stack, more: float, _: np.random.Generator) -> Stack:
    """Everything brighter, the paper too."""
    return pictures + more


def _translate(pictures: Stack, shift_px: int, rng: np.random.Generator) -> Stack:
    """Moved by so many pixels both ways: up or down, and left or right."""
    down, right = rng.choice([0, 2 * shift_px], (2, len(pictures), 1)) + np.arange(SIDE)  # (N, 28) each
    framed = np.pad(pictures, ((0, 0), (shift_px, shift_px), (shift_px, shift_px)))
    return np.asarray(framed[np.arange(len(pictures))[:, None, None], down[:, :, None], right[:, None, :]])


def _stripe(pictures: Stack, width_px: int, _: np.random.Generator) -> Stack:
    """A stripe on the left and one on the right, inverted."""
    out = pictures.copy()
    for stripe in (slice(width_px), slice(-width_px, None)):
        out[:, :, stripe] = 1 - out[:, :, stripe]
    return out


def _fog(pictures: Stack, strength: tuple[float, float], rng: np.random.Generator) -> Stack:
    """A cloud before the picture, and the whole made darker again."""
    density, decay = strength
    brightest = pictures.max(axis=(1, 2), keepdims=True)
    misty = pictures + density * stacks.clouds(len(pictures), decay, rng)
    return np.asarray(misty * brightest / (brightest + density))


def _spatter(pictures: Stack, strength: tuple[float, float, float, float, float], rng: np.random.Generator) -> Stack:
    """Drops of mud, dark gray on the ink and on the paper."""
    mean, deviation, sigma, level, soft = strength
    drops = stacks.blur(rng.normal(mean, deviation, pictures.shape), sigma) > level
    mud = stacks.blur(drops.astype(np.float64), soft)
    mud[mud < 0.8] = 0
    return pictures * (1 - mud) + SPECK * mud


def _dotted_line(pictures: Stack, _: None, rng: np.random.Generator) -> Stack:
    """A line across the picture, every other two pixels of it."""
    left, right = rng.integers(0, SIDE - 1, (2, len(pictures))).astype(np.float64)
    line = stacks.lines(np.zeros(len(pictures)), left, np.full(len(pictures), SIDE - 1.0), right)
    return pictures + line * (np.arange(SIDE) // 2 % 2)


def _zigzag(pictures: Stack, _: None, rng: np.random.Generator) -> Stack:
    """A line of teeth, 2 px high and 4 px long, across the picture, sloping a little."""
    begin, end, tooth = 2.0, 25.0, 2.0
    height = rng.integers(0, SIDE - 1, len(pictures)).astype(np.float64)
    angle = np.arctan(rng.integers(-5, 5, len(pictures)) / (end - begin))
    length = (end - begin) / np.cos(angle)  # 23 to 24: six teeth, and a last way back
    along = [np.zeros_like(length), *(np.full_like(length, (2 * i + 1) * tooth) for i in range(6)), length]
    aside = [0.0, *(tooth * (-1) ** i for i in range(6)), -tooth / (2 * (length - 5 * 2 * tooth))]
    c, s = np.cos(angle), np.sin(angle)
    corners = [(begin + c * u - s * v, height + s * u + c * v) for u, v in zip(along, aside, strict=True)]
    return pictures + sum(stacks.lines(*start, *end) for start, end in pairwise(corners))


def _canny_edges(pictures: Stack, _: None, __: np.random.Generator) -> Stack:
    """The edges of the ink alone."""
    return stacks.edges(pictures).astype(np.float64)


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
