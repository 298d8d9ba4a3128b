"""Draw the steps of preprocessing for docs/preprocessing.md: `python examples/draw_steps.py [FILE]`.

In: the test vector `dim`. Out: a PNG with its five states side by side, every pixel as a square: the picture, its ink,
strengthened, scaled, and in its place. The background is transparent, for light and dark pages.
"""

from __future__ import annotations

import json
import sys
from base64 import b64decode
from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from inkdigit.picture import prepare
from inkdigit.types import SIDE, Gray

FILE = Path(__file__).parents[1] / "docs/preprocessing/steps.png"
NAME = "dim"
ZOOM, GAP = 8, 32  # pixels
EDGE, MARK = (128, 132, 142, 255), (230, 110, 50, 255)  # seen on light and on dark pages


def steps() -> list[Gray]:
    """The states of the vector, each uint8 (H, W)."""
    vectors = json.loads(files("inkdigit.picture").joinpath("vectors.json").read_text(encoding="utf-8"))["vectors"]
    (vector,) = [one for one in vectors if one["name"] == NAME]
    gray = np.frombuffer(b64decode(vector["pixels"]), np.uint8).reshape(vector["height"], vector["width"])
    ink = prepare.tight(gray)
    strong = prepare._strengthen(ink)
    scaled = prepare._scale(strong)
    return [gray, ink, strong, scaled, prepare._paste(scaled)]


def drawn() -> Image.Image:
    """The states side by side, the last one with lines through its centre, 14."""
    states = steps()
    width = sum(state.shape[1] * ZOOM for state in states) + GAP * (len(states) - 1) + 2
    sheet = Image.new("RGBA", (width, SIDE * ZOOM + 2))
    pen, left = ImageDraw.Draw(sheet), 0
    for state in states:
        h, w = (side * ZOOM for side in state.shape)
        top = (sheet.height - h) // 2 - 1
        large = Image.fromarray(state).resize((w, h), Image.Resampling.NEAREST)
        sheet.paste(large, (left + 1, top + 1))
        pen.rectangle((left, top, left + w + 1, top + h + 1), outline=EDGE)
        left += w + GAP
    left -= GAP + SIDE * ZOOM
    middle = SIDE * ZOOM // 2
    pen.line((left + middle, 1, left + middle, SIDE * ZOOM), fill=MARK)
    pen.line((left + 1, middle, left + SIDE * ZOOM, middle), fill=MARK)
    return sheet


def main(file: Path) -> None:
    drawn().save(file, optimize=True)
    print(file)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FILE)
