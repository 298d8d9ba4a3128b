"""A sheet that is written on, and the scene that it becomes: a picture with the truth of each pixel.

In: inks, where they are, and a pen. Out: a `Sheet`, whose layers are coverages (H, W), and a `Scene`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inkdigit.synth.raster import Map, Shape
from inkdigit.synth.scenes import rules
from inkdigit.synth.scenes.pens import Ink, Pen, write
from inkdigit.types import Gray

PIECE = 0.45  # of a digit must be seen, or it is a mark


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture and its truth."""

    gray: Gray  # (H, W)
    truth: NDArray[np.uint8]  # (3, H, W): ruling, number, other; 255 is full coverage; paper is what is left of 255


class Sheet:
    """The layers of a scene while it is written on."""

    def __init__(self, shape: Shape) -> None:
        """Begin with a blank sheet."""
        self.shape = shape
        self.dark, self.number, self.other = (np.zeros(shape, np.float32) for _ in range(3))
        self.heights: list[float] = []  # in pixels, of what was written
        self.lines: tuple[Map, Map] | None = None  # as those of `rules`: None are random ones, or none

    def put(
        self, ink: Ink, box: rules.Box, hand: Pen, rng: np.random.Generator, *, is_number: bool, turn_deg: float = 0
    ) -> None:
        """Write `ink` into `box` (top, left, bottom, right); what is outside of the sheet is lost."""
        top, left, bottom, right = box
        seen, truth = write(ink, (round(bottom - top), round(right - left)), hand, rng, turn_deg=turn_deg)
        y = round((top + bottom - len(seen)) / 2)
        x = round((left + right - seen.shape[1]) / 2)
        (y0, y1), (x0, x1) = (
            (max(0, at), min(size, at + length))
            for at, size, length in zip((y, x), self.shape, seen.shape, strict=True)
        )
        if y1 <= y0 or x1 <= x0:
            return
        inside = np.s_[y0 - y : y1 - y, x0 - x : x1 - x]
        if is_number and truth[inside].sum() < PIECE * truth.sum():
            is_number = False
        target, window = (self.number if is_number else self.other), np.s_[y0:y1, x0:x1]
        target[window] = np.maximum(target[window], truth[inside])
        self.dark[window] = np.maximum(self.dark[window], seen[inside])
        self.heights.append(bottom - top)

    def printed(self, box: rules.Box, share: float, rng: np.random.Generator) -> tuple[Map, Map]:
        """Its printed lines, as those of `rules`: its own, else random ones around `box` in a share of sheets."""
        if self.lines is not None:
            return self.lines
        if share and rng.random() < share:
            return rules.draw(self.shape, box, rng)
        return np.zeros(self.shape, np.float32), np.zeros(self.shape, np.float32)

    def seen(self, gray: Gray, ruling: Map) -> Scene:
        """The scene of what is written, which looks like `gray`, on lines of this coverage."""
        other = self.other * (1 - self.number)
        ruling = ruling * (1 - self.number - other)
        return Scene(gray, np.asarray(np.rint(255 * np.stack([ruling, self.number, other])), np.uint8))
