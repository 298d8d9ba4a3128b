"""Scenes as a scanner gives them: even light, a usual pen, plain paper or the fine print of a cheque, little noise.

In: a sheet that is written on. Out: a `Scene`. They teach forms of digits, which nothing hides here; the scenes of
`scene` teach what a camera, a bad pen and old paper do to them.
"""

from __future__ import annotations

import numpy as np

from inkdigit.synth import camera
from inkdigit.synth.raster import Map, Shape, blur, log_uniform, over
from inkdigit.synth.scenes import paper, rules
from inkdigit.synth.scenes.pens import Pen
from inkdigit.synth.scenes.sheet import Scene, Sheet
from inkdigit.types import Gray

WIDTH = (0.03, 0.13)  # of a pen, in shares of the height of its ink
EXACT_SHARE = 0.25  # of scenes are drawn by a program: nothing but ink on white
RULED_SHARE = 0.25  # of the others have printed lines
LOUDEST, SOFTEST_PX = 0.04, 0.9  # noise, as a share of white, and blur


def pen(rng: np.random.Generator) -> Pen:
    """A pen that people write forms with: neither hairline nor marker, even, and dark."""
    return Pen(log_uniform(*WIDTH, rng), float(rng.uniform(1.5, 6)), float(rng.uniform(0.4, 1)), uneven=0, grain=0)


def finish(sheet: Sheet, box: rules.Box, hand: Pen, rng: np.random.Generator) -> Scene:
    """The scene of a sheet on which something is written in `box`."""
    is_exact = bool(rng.random() < EXACT_SHARE)
    lines, ruling = sheet.printed(box, 0 if is_exact else RULED_SHARE, rng)
    dark = sheet.dark * np.float32(1 if is_exact else hand.alpha)
    return sheet.seen(_show(dark, lines, rng, is_exact=is_exact), ruling)


def _show(dark: Map, lines: Map, rng: np.random.Generator, *, is_exact: bool) -> Gray:
    shape: Shape = dark.shape
    bright = 1 - over(dark, lines)
    if not is_exact:
        bright = bright * paper.form(shape, rng, contrast=float(dark.max()))
        if rng.random() < 0.6:
            bright = blur(bright, float(rng.uniform(0.3, SOFTEST_PX)))
        bright = bright + np.float32(rng.uniform(0, LOUDEST)) * rng.standard_normal(shape, np.float32)
    gray: Gray = np.rint(np.clip(bright, 0, 1) * 255).astype(np.uint8)
    return camera.jpeg(gray, int(rng.integers(40, 96))) if rng.random() < 0.5 else gray
