"""What all layers of a scene are drawn with: coverage maps, distances, smooth noise, blur, sizes.

In: a shape (H, W) and a random generator. Out: float32 maps (H, W), mostly 0 to 1.
"""

from __future__ import annotations

from functools import cache
from math import cos, exp, log, sin

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Map = NDArray[np.float32]  # (H, W): 0 to 1
Shape = tuple[int, int]  # height and width in pixels


@cache
def grid(shape: Shape) -> tuple[Map, Map]:
    """The y and x of the centre of each pixel: (H, 1) and (1, W)."""
    h, w = shape
    return np.arange(h, dtype=np.float32)[:, None] + 0.5, np.arange(w, dtype=np.float32)[None] + 0.5


def segment(shape: Shape, a: tuple[float, float], b: tuple[float, float], width_px: float) -> Map:
    """The coverage of a straight line from `a` to `b` (x, y), `width_px` wide, with an edge of one pixel."""
    y, x = grid(shape)
    dx, dy = b[0] - a[0], b[1] - a[1]
    length = dx * dx + dy * dy + 1e-6
    along = np.clip(((x - a[0]) * dx + (y - a[1]) * dy) / length, 0, 1)
    away = np.hypot(x - a[0] - along * dx, y - a[1] - along * dy)
    return np.asarray(np.clip(width_px / 2 + 0.5 - away, 0, min(1.0, width_px)), np.float32)


def stripes(shape: Shape, angle: float, step_px: float, offset_px: float, width_px: float) -> Map:
    """The coverage of parallel lines at `angle` (radians; 0 is level), one every `step_px`."""
    y, x = grid(shape)
    across = (y * cos(angle) - x * sin(angle) + offset_px) % step_px
    away = np.minimum(across, step_px - across)
    return np.asarray(np.clip(width_px / 2 + 0.5 - away, 0, min(1.0, width_px)), np.float32)


def cloud(shape: Shape, rng: np.random.Generator, cells: float) -> Map:
    """Smooth light and dark with about `cells` patches along the longer side: (H, W), 0 to 1."""
    longest = max(shape)
    coarse = [max(2, round(cells * side / longest)) for side in shape]
    field = resize(rng.random(coarse, np.float32), shape)
    low, high = float(field.min()), float(field.max())
    return (field - low) / max(high - low, 1e-6)


def log_uniform(low: float, high: float, rng: np.random.Generator) -> float:
    """A random number between two, of which each octave is as frequent."""
    return exp(rng.uniform(log(low), log(high)))


def resize(image: Map, shape: Shape, *, method: Image.Resampling = Image.Resampling.BICUBIC) -> Map:
    """`image` with another `shape`, antialiased where it shrinks."""
    if image.shape == shape:
        return image
    return np.asarray(Image.fromarray(image).resize(shape[::-1], method), np.float32)


def blur(image: Map, sigma_px: float, *, exact: bool = False) -> Map:
    """`image` (H, W) blurred by about a Gaussian; the border is repeated.

    Eight bits are enough for what is broad, with three box filters; points and lines need `exact`.
    """
    if sigma_px < 0.15:
        return image
    low, high = float(image.min()), float(image.max())
    scale = max(high - low, 1e-6)
    if sigma_px > 1.2 and scale <= 1.5 and not exact:
        bits = Image.fromarray(np.asarray(np.rint((image - low) * (255 / scale)), np.uint8))
        return np.asarray(bits.filter(ImageFilter.GaussianBlur(sigma_px)), np.float32) * (scale / 255) + low
    return np.asarray(_rows(_rows(image, sigma_px).T, sigma_px).T, np.float32)


def blots(points: Map, sigma_px: float) -> Map:
    """Points (H, W) as blots of that size, 1.3 in the middle."""
    return np.asarray(8 * sigma_px**2 * blur(points, sigma_px, exact=True), np.float32)


def _rows(image: Map, sigma_px: float) -> Map:
    """`image` (H, W) blurred from top to bottom."""
    reach = max(1, round(3 * sigma_px))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma_px) ** 2).astype(np.float32)
    weights /= weights.sum()
    padded = np.pad(image, ((reach, reach), (0, 0)), mode="edge")
    return np.asarray(sum(w * padded[i : i + len(image)] for i, w in enumerate(weights)), np.float32)


def outline(cover: Map, *, sigma_px: float, steepness: float) -> Map:
    """Only the edge of broad strokes."""
    return np.asarray(np.clip(1.8 - steepness * np.abs(blur(cover, sigma_px) - 0.35), 0, 1), np.float32)


def over(below: Map, above: Map) -> Map:
    """The coverage of one layer and another above it."""
    return below + above - below * above
