"""What scenes are written on, and in what light: paper, texture, shadows, a desk around the page, glare.

In: a shape (H, W) and a random generator. Out: the brightness of the empty paper, 0 to 1.
"""

from __future__ import annotations

from math import cos, sin

import numpy as np

from inkdigit.synth.raster import Map, Shape, blur, cloud, grid, log_uniform, resize

INKED = 0.1  # the coverage of a pixel that belongs to the ink
NEAREST_EDGE = 0.35  # of a page, from the middle of the picture, whose border is at 1


def paper(ink: Map, rng: np.random.Generator, *, contrast: float) -> Map:
    """A random sheet (H, W) for `ink`, which is not beyond its edges.

    `contrast` is that of the ink: what is printed below it is fainter.
    """
    shape = ink.shape
    sheet = np.full(shape, rng.uniform(0.45, 1.0), np.float32)
    if rng.random() < 0.5:
        sheet *= 1 - np.float32(rng.uniform(0.02, 0.12)) * _grain(shape, rng)
    if rng.random() < 0.25:
        sheet *= 1 - np.float32(rng.uniform(0.03, 0.3)) * cloud(shape, rng, float(rng.uniform(2, 9)))
    if rng.random() < 0.22:
        sheet *= 1 - np.float32(min(rng.uniform(0.03, 0.4), 0.6 * contrast)) * _security(shape, rng)
    if rng.random() < 0.12:
        sheet *= _creases(shape, rng)
    if rng.random() < 0.15:
        sheet = _on_desk(sheet, ink, rng)
    return sheet


def form(shape: Shape, rng: np.random.Generator, *, contrast: float) -> Map:
    """The sheet (H, W) of a form or a cheque, plain or with fine print that is fainter than ink of this `contrast`."""
    sheet = np.full(shape, rng.uniform(0.5, 1.0), np.float32)
    if rng.random() < 0.3:
        sheet *= 1 - np.float32(rng.uniform(0.02, 0.08)) * _grain(shape, rng)
    if rng.random() < 0.5:
        sheet *= 1 - np.float32(min(rng.uniform(0.03, 0.3), 0.5 * contrast)) * _security(shape, rng)
    return sheet


def light(shape: Shape, rng: np.random.Generator) -> Map:
    """The share of light that falls on each pixel: slopes, soft and hard shadows."""
    y, x = _square(shape)
    share = np.ones(shape, np.float32)
    if rng.random() < 0.5:
        slope = rng.normal(0, 0.16, 2).astype(np.float32)
        share *= np.clip(1 + slope[0] * x + slope[1] * y, 0.25, 1.7)
    for _ in range(int(rng.choice(3, p=[0.5, 0.37, 0.13]))):
        share *= _shadow(shape, rng)
    if rng.random() < 0.06:
        angle = rng.uniform(0, 2 * np.pi)
        away = np.hypot(x - 1.2 * cos(angle), y - 1.2 * sin(angle))
        share *= 1 + np.float32(rng.uniform(0.3, 1.2)) * np.exp(-((away / rng.uniform(0.2, 0.9)) ** 2)).astype(
            np.float32
        )
    return share


def glare(shape: Shape, rng: np.random.Generator) -> Map:
    """The light that a bright spot adds."""
    y, x = _square(shape)
    away = np.hypot(x - rng.uniform(-1, 1), y - rng.uniform(-1, 1))
    return np.asarray(rng.uniform(0.1, 0.6) * np.exp(-((away / rng.uniform(0.15, 0.7)) ** 2)), np.float32)


def _square(shape: Shape) -> tuple[Map, Map]:
    """Coordinates from −1 to 1 over the picture."""
    y, x = grid(shape)
    return np.float32(2 / shape[0]) * y - 1, np.float32(2 / shape[1]) * x - 1


def _shadow(shape: Shape, rng: np.random.Generator) -> Map:
    """The shadow of a hand, a phone or a head: behind a line that is straight or curved, its edge soft or hard."""
    y, x = _square(shape)
    angle = rng.uniform(0, 2 * np.pi)
    across = x * cos(angle) + y * sin(angle) - rng.uniform(-0.8, 0.8)
    along = -x * sin(angle) + y * cos(angle)
    if rng.random() < 0.5:
        across = across + rng.normal(0, 0.5) * along**2
    elif rng.random() < 0.5:
        across = across + np.abs(along - rng.uniform(-0.5, 0.5)) * rng.normal(0, 0.8)
    soft = log_uniform(0.003, 0.5, rng)
    shade = 1 / (1 + np.exp(-np.clip(across / soft, -30, 30)))
    return np.asarray(1 - rng.uniform(0.1, 0.7) * shade, np.float32)


def _grain(shape: Shape, rng: np.random.Generator) -> Map:
    """The fibres of paper, a board or cloth: (H, W), about 0 to 1."""
    noise = rng.random(shape, np.float32)
    return blur(noise, float(rng.uniform(0.4, 1.6))) if rng.random() < 0.7 else _stretched(shape, rng)


def _stretched(shape: Shape, rng: np.random.Generator) -> Map:
    long, short = float(rng.uniform(4, 20)), float(rng.uniform(1, 2))
    steps = (long, short) if rng.random() < 0.5 else (short, long)
    coarse = (max(2, round(shape[0] / steps[0])), max(2, round(shape[1] / steps[1])))
    return resize(rng.random(coarse, np.float32), shape)


def _security(shape: Shape, rng: np.random.Generator) -> Map:
    """The fine print of a cheque: waves, arcs or hatching that repeats, in one direction or crossed."""
    y, x = grid(shape)
    step = log_uniform(2.5, 24, rng)
    bend, long = (rng.uniform(0, 2.5) if rng.random() < 0.6 else 0.0) * step, rng.uniform(4, 30) * step
    lines = np.zeros(shape, np.float32)
    for _ in range(1 if rng.random() < 0.55 else 2):
        angle = rng.uniform(0, np.pi)
        u, v = x * cos(angle) + y * sin(angle), y * cos(angle) - x * sin(angle)
        if rng.random() < 0.3:  # arcs around a far centre
            v = np.hypot(u - rng.uniform(-2, 2) * max(shape), v + rng.uniform(0.5, 4) * max(shape))
        wave = np.sin(2 * np.pi * (v + bend * np.sin(2 * np.pi * u / long)) / step)
        sharp = rng.uniform(0.5, 3)
        lines = np.maximum(lines, np.clip((wave - rng.uniform(-0.4, 0.8)) * sharp + 0.5, 0, 1))
    if rng.random() < 0.3:  # it fades
        lines = lines * cloud(shape, rng, float(rng.uniform(2, 6)))
    return np.asarray(lines, np.float32)


def _creases(shape: Shape, rng: np.random.Generator) -> Map:
    """Folds of the paper: each side of a fold has another brightness, the fold itself a fine light or dark line."""
    y, x = _square(shape)
    share = np.ones(shape, np.float32)
    for _ in range(int(rng.integers(1, 4))):
        angle = rng.uniform(0, np.pi)
        across = x * cos(angle) + y * sin(angle) - rng.uniform(-0.9, 0.9)
        share *= np.where(across > 0, 1, 1 - np.float32(rng.uniform(0, 0.12)))
        share *= 1 + np.float32(rng.normal(0, 0.06)) * np.exp(-((across / rng.uniform(0.01, 0.05)) ** 2)).astype(
            np.float32
        )
    return share


def _on_desk(sheet: Map, ink: Map, rng: np.random.Generator) -> Map:
    """A page whose edge is in the picture: beyond it there is a desk, darker or lighter, with a texture of its own."""
    shape = sheet.shape
    y, x = _square(shape)
    inked = np.nonzero(ink > INKED * ink.max())
    outside = np.zeros(shape, np.float32)
    tilt = rng.normal(0, 0.12)
    soft = rng.uniform(0.004, 0.02)
    for side in rng.choice(4, size=int(rng.integers(1, 5)), replace=False):
        angle = side * np.pi / 2 + tilt + rng.normal(0, 0.03)
        towards = x * cos(angle) + y * sin(angle)
        nearest = max(NEAREST_EDGE, float(towards[inked].max(initial=0)) + 0.05)
        across = towards - rng.uniform(min(nearest, 1.0), 1.05)
        outside = np.maximum(outside, 1 / (1 + np.exp(-np.clip(across / soft, -30, 30))))
    desk = rng.uniform(0.05, 0.8) * (1 - rng.uniform(0, 0.5) * cloud(shape, rng, float(rng.uniform(2, 30))))
    shade = 1 - rng.uniform(0, 0.4) * blur(np.asarray(outside > 0.5, np.float32), float(rng.uniform(1, 6)))
    return np.asarray(sheet * shade * (1 - outside) + desk * outside, np.float32)
