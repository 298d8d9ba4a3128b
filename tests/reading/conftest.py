"""Pages with numbers, written by one hand, for everything that reads numbers."""

from __future__ import annotations

import numpy as np
import pytest

from inkdigit.picture.prepare import tight
from inkdigit.reading.reader import Reader
from inkdigit.synth import drawn, writers
from inkdigit.types import Gray

PAPER = 225
HAND = writers.Writer(("",) * 10, 5, 0, 1, 0.09, 0, 0.01)


def page(shape: tuple[int, int], seed: int = 0) -> Gray:
    """Paper with a little noise."""
    rng = np.random.default_rng(seed)
    return np.asarray(PAPER + rng.integers(-4, 5, shape), np.uint8)


def write(sheet: Gray, text: str, top: int, left: int, *, height: int = 40, seed: int = 0) -> tuple[int, int, int, int]:
    """Write the digits of `text` on a sheet; the box of all of them: top, left, bottom, right."""
    rng = np.random.default_rng(seed)
    x = left
    for sign in text:
        glyph = drawn.DIGIT_GLYPHS[int(sign)][0]
        ink = tight(writers.write_glyph(HAND, glyph, rng=rng, size_px=round(height / 0.7)))
        window = sheet[top : top + ink.shape[0], x : x + ink.shape[1]]
        window -= (window * (ink / 255 * 0.8)).astype(np.uint8)
        x += ink.shape[1] + height // 5
    return top, left, top + height, x - height // 5


@pytest.fixture(scope="session")
def reader() -> Reader:
    """The reader that ships."""
    return Reader.load()
