"""The second reader of a line: it sees other pixels than the first, and errs on other lines.

In: a view of a line, uint8 (2, 48, w). Out: log probabilities as the line reader gives them. It sees only the rows of
the ink, so that all digits are about as high. ONNX Runtime and the file `second.onnx` are loaded for the first line of
which the line reader is not sure.
"""

from __future__ import annotations

from pathlib import Path

from inkdigit.networks import ask
from inkdigit.reading.view import leaning, low
from inkdigit.types import Floats, Gray

SECOND = Path(__file__).parent / "second.onnx"
VERSION = 1  # of the network; rises when its file changes
METADATA_KEY = "inkdigit.second"


def look(seen: Gray) -> list[Floats]:
    """Log probabilities (T, 1 + A) for a view, and for it leaning to the left and to the right."""
    upright = low(seen)
    return [each for views in (upright[None], leaning(upright)) for each in ask(SECOND, views)]
