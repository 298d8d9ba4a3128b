"""What a camera, a scanner or a drawing program makes of a scene: blur, noise, few pixels, JPEG, polarity.

In: brightness (H, W), 0 to 1, and a random generator. Out: gray uint8 (H, W).
"""

from __future__ import annotations

import io
from math import ceil, cos, sin

import numpy as np
from PIL import Image

from inkdigit.synth.raster import Map, blur, log_uniform, resize
from inkdigit.types import Gray

TINY_PX = 40  # the longer side of an image in which a single pixel is large: dirt is more frequent there


def shoot(scene: Map, rng: np.random.Generator, *, detail_px: float, contrast: float) -> Gray:
    """A photo of `scene`.

    Structures of `detail_px`, the height of a digit, stay at least a dozen pixels high, and even noise stays below
    the `contrast` (0 to 1) of its ink.
    """
    image = scene
    if rng.random() < 0.45:
        most = 0.1 if rng.random() < 0.35 else 0.04  # of the height: out of focus, or a little soft
        image = blur(image, log_uniform(0.4, max(0.6, most * detail_px), rng))
    if rng.random() < 0.08:
        image = shake(image, rng, reach_px=0.06 * detail_px)
    shape = image.shape
    smaller = detail_px / 12
    if smaller > 1.1 and rng.random() < 0.5:
        factor = log_uniform(1, smaller, rng)
        image = resize(
            image, (max(4, round(shape[0] / factor)), max(4, round(shape[1] / factor))), method=Image.Resampling.BOX
        )
    if rng.random() < 0.6:
        loudest = max(0.004, min(0.08, 0.35 * contrast))
        sigma = log_uniform(0.003, loudest, rng)
        image = image + np.float32(sigma) * rng.standard_normal(image.shape, np.float32)
    is_tiny = max(shape) <= TINY_PX
    if rng.random() < (0.12 if is_tiny else 0.06):  # few photons: the brighter, the more noise
        photons = log_uniform(3, 60, rng)
        image = np.asarray(rng.poisson(np.clip(image, 0, 2) * photons) / photons, np.float32)
    if rng.random() < (0.25 if is_tiny else 0.12):  # salt and pepper: dead pixels, a bad scan
        share = log_uniform(*((0.01, 0.2) if is_tiny else (0.001, 0.25)), rng)
        where = rng.random(image.shape, np.float32) < share
        image = np.where(where, rng.integers(0, 2, image.shape), image).astype(np.float32)
    gray = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    if rng.random() < 0.4:
        gray = jpeg(gray, int(rng.integers(20, 95)))
    if gray.shape != shape:
        gray = np.asarray(Image.fromarray(gray).resize(shape[::-1], Image.Resampling.BICUBIC))
    return gray


def scan(dark: Map, rng: np.random.Generator) -> Map:
    """Only black and white, as some scanners give it: a pale stroke becomes dots."""
    noise = rng.random(dark.shape, np.float32)
    noise = blur(noise, 0.5) * 1.6 - 0.3 if rng.random() < 0.5 else noise
    level = 0.25 + rng.uniform(0.05, 0.6) * noise
    return np.asarray(dark > level, np.float32)


def shake(image: Map, rng: np.random.Generator, *, reach_px: float) -> Map:
    """The mean of the image along a short straight line: motion blur."""
    angle, reach = rng.uniform(0, np.pi), max(1.0, reach_px * rng.uniform(0.3, 1))
    steps = max(3, int(2 * reach) | 1)
    h, w = image.shape
    room = ceil(reach)
    wide = np.pad(image, room, mode="edge")
    out = np.zeros_like(image)
    for along in np.linspace(-reach, reach, steps):
        top, left = room + round(along * sin(angle)), room + round(along * cos(angle))
        out += wide[top : top + h, left : left + w]
    return out / np.float32(steps)


def jpeg(gray: Gray, quality: int) -> Gray:
    """`gray` (H, W) as it comes out of a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(gray).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file), np.uint8)
