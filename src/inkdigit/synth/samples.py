"""Drawn digits as files: pictures to try a model on where there are none.

In: a folder. Out: a PNG file for each digit, dark on paper, the same ones every time.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from inkdigit.files import write_atomic, writing
from inkdigit.synth.drawn import digit

SIZE_PX = 112
PAPER, CONTRAST = 235, 0.75  # light gray paper, and how much darker ink of 255 makes it


def write_digits(folder: Path) -> None:
    """Write a drawn digit of each class to `folder`, which is made if it is missing: 0.png to 9.png.

    Raises:
        OutputError: it cannot be written.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for label in range(10):
        ink, file = digit(label, rng=np.random.default_rng(label), size_px=SIZE_PX), BytesIO()
        Image.fromarray((PAPER - ink * CONTRAST).astype(np.uint8)).save(file, "PNG")
        write_atomic(folder / f"{label}.png", file.getvalue())
