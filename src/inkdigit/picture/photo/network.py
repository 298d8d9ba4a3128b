"""The ink network: for each pixel of a picture the shares of paper, ruling, writing of numbers, and other writing.

In: gray uint8 (H, W). Out: the shares, float32 (4, h, w), at the size where the network looks: small pictures are
enlarged for it, large ones reduced. ONNX Runtime and the file `ink.onnx` are loaded for the first picture.
"""

from __future__ import annotations

from functools import cache
from math import sqrt
from pathlib import Path

import numpy as np
from PIL import Image

from inkdigit.networks import ask
from inkdigit.types import Floats, Gray

INK = Path(__file__).parent / "ink.onnx"
VERSION = 2  # of the network; rises when its file changes
METADATA_KEY = "inkdigit.ink"
PAPER, RULING, NUMBER, OTHER = range(4)
STEP_PX = 16  # the sides of what the network looks at are multiples of this
MIN_SIDE_PX, MAX_SIDE_PX = 32, 1024


def look(gray: Gray, *, side_px: float) -> Floats:
    """The shares (4, h, w) of a picture (H, W), looked at with about as many pixels as a square of `side_px` has."""
    return ask(INK, fit(gray, side_px=side_px))


def fit(gray: Gray, *, side_px: float) -> Gray:
    """A picture (H, W) with about `side_px`² pixels, and sides that the network can look at."""
    scale = side_px / sqrt(gray.size)
    h, w = (min(max(round(side * scale / STEP_PX) * STEP_PX, MIN_SIDE_PX), MAX_SIDE_PX) for side in gray.shape)
    if (h, w) == gray.shape:
        return gray
    method = Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(gray).resize((w, h), method))


@cache
def sha256() -> str:
    """The SHA-256 of the network's file."""
    import hashlib  # OpenSSL: some milliseconds that most commands need not spend

    return hashlib.sha256(INK.read_bytes()).hexdigest()
