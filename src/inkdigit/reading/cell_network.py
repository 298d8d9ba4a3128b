"""The cell network: what each cell of a table holds, by its gray levels.

In: cells, gray uint8 (h, w). Out: for each the shares of the ten digits and of an empty cell, float32 (N, 11). It needs
no ink, which has no hole where a printed 6 is out of focus. ONNX Runtime and the file `cell.onnx` are loaded for the
first cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from inkdigit.networks import ask
from inkdigit.types import DIGITS, Floats, Gray

CELL = Path(__file__).parent / "cell.onnx"
VERSION = 3  # of the network; rises when its file changes
METADATA_KEY = "inkdigit.cell"
BORDER = 0.08  # of a cell, on each side, is not seen: its lines are there
SIDE_PX = 32  # of what the network sees of a cell
EMPTY = len(DIGITS)
CHUNK = 100  # cells that the network sees at a time: a large table takes no more memory than a sudoku


def look(cells: Sequence[Gray]) -> Floats:
    """The shares (N, 11) of the ten digits and of an empty cell, for pictures (h, w) of cells."""
    inner = [Image.fromarray(within(cell, BORDER)) for cell in cells]
    seen = [np.asarray(one.resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX)) for one in inner]
    return np.concatenate([ask(CELL, np.stack(seen[i : i + CHUNK])) for i in range(0, len(seen), CHUNK)])


def within(cell: Gray, border: float) -> Gray:
    """A cell (h, w) without a share of it on each side."""
    h, w = cell.shape
    y, x = int(border * h), int(border * w)
    return np.ascontiguousarray(cell[y : h - y, x : w - x])
