"""Cells of tables, drawn: grid lines on none to four sides, around nothing or around a digit.

In: a side in pixels, a random generator, and the ink of a digit or None. Out: gray `uint8 (side, side)`. The lines
and the paper are not those of `synth/`, so that the drawing from which the networks learn is not tested with itself;
only the list of fonts is.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from inkdigit.synth.printed import font_files
from inkdigit.types import Gray

Floats = NDArray[np.float64]  # (H, W): 0 to 1

FINER = 4  # times as many pixels while lines are drawn
SIDES = (0.08, 0.23, 0.23, 0.23, 0.23)  # how often a cell has lines on 0 to 4 sides
DIGIT_HEIGHT = (0.42, 0.64)  # of the cell
WIDEST = 0.64  # of the cell: a digit
OFF_CENTRE = 0.05  # of the cell: the standard deviation
LINE_WIDTH = (0.012, 0.06)  # of the cell
LINE_AT = (-0.03, 0.08)  # of the cell: where the middle of a line is, inside the border
TILT = 0.035  # of its length: the standard deviation of how much further in one end of a line is
FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSerif",
    "DejaVuSansMono",
    "STIXGeneral",
    "STIXGeneralBol",
    "cmr10",
    "cmss10",
)


def cell(side_px: int, ink: Floats | None, rng: np.random.Generator) -> Gray:
    """A cell with lines on 0 to 4 sides; `ink` is a digit, 0 to 1, without a margin."""
    sides = rng.permutation(4)[: rng.choice(5, p=SIDES)]
    dark = rng.uniform(0.2, 0.9)
    lines = _lines(side_px, sides, rng) * dark
    cover = lines
    if ink is not None:
        strength = min(1.0, dark * rng.uniform(0.8, 2.0)) if rng.random() < 0.5 else rng.uniform(0.45, 0.95)
        cover = np.maximum(lines, _placed(ink, side_px, rng) * max(strength, 0.3))
    return _photo(cover, rng)


def printed(label: int, rng: np.random.Generator) -> Floats:
    """A digit in a font: (h, w), 0 to 1."""
    files = [file for file in font_files() if file.stem in FONTS]
    font = ImageFont.truetype(str(files[rng.integers(len(files))]), 200)
    page = Image.new("L", (300, 400))
    ImageDraw.Draw(page).text((60, 60), str(label), 255, font, stroke_width=int(rng.choice([0, 0, 0, 3, 6])))
    return np.asarray(page.crop(page.getbbox())) / 255.0


def trimmed(image: Gray) -> Floats:
    """The ink of a clean image without what is empty around it: (h, w), 0 to 1."""
    page = Image.fromarray(image)
    large = page.crop(page.getbbox()).resize(
        [8 * side for side in page.crop(page.getbbox()).size], Image.Resampling.BICUBIC
    )
    return np.clip((np.asarray(large) / 255.0 - 0.45) * 3 + 0.5, 0, 1)


def _placed(ink: Floats, side: int, rng: np.random.Generator) -> Floats:
    """The digit near the middle of an empty square."""
    h, w = ink.shape
    height = min(rng.uniform(*DIGIT_HEIGHT), WIDEST * h / w) * side
    size = max(2, round(w * height / h)), max(2, round(height))
    page = Image.new("L", (side, side))
    left, top = ((side - length) / 2 + np.clip(rng.normal(0, OFF_CENTRE), -0.08, 0.08) * side for length in size)
    page.paste(
        Image.fromarray(np.rint(255 * ink).astype(np.uint8)).resize(size, Image.Resampling.LANCZOS),
        (round(left), round(top)),
    )
    return np.asarray(page) / 255.0


def _lines(side: int, sides: NDArray[np.int64], rng: np.random.Generator) -> Floats:
    """Lines along some sides of a square, 0 the top one and then clockwise: thick or thin, whole or broken off."""
    full = side * FINER
    turn = rng.normal(0, TILT / 2)
    common = float(np.exp(rng.uniform(*np.log(LINE_WIDTH))))
    covers = [np.zeros((side, side))]
    for number in sides:
        width = common * float(rng.choice([1, 1, 1, 2])) * full
        begin, end = (-0.1, 1.1) if rng.random() < 0.75 else sorted(rng.uniform(-0.1, 1.1, 2))
        at = rng.uniform(*LINE_AT)
        slope = turn + rng.normal(0, TILT / 2)
        offsets = (
            [(at, width)] if rng.random() < 0.94 else [(at, width), (at + rng.uniform(0.04, 0.08), width)]
        )  # double
        page = Image.new("L", (full, full))
        for inside, thick in offsets:
            ends = [(full * along, full * (inside + slope * (along - 0.5))) for along in (begin, end)]
            ImageDraw.Draw(page).line(ends, 255, max(1, round(thick)))
        strength = rng.uniform(0.7, 1.0)
        small = np.asarray(page.resize((side, side), Image.Resampling.BOX)) / 255.0 * strength
        covers.append(np.rot90(small, -int(number)))
    cover: Floats = np.max(covers, axis=0)
    return cover


def _photo(cover: Floats, rng: np.random.Generator) -> Gray:
    """What a camera or a scanner makes of it: uneven light, blur, noise, JPEG."""
    side = len(cover)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    light = rng.uniform(0.55, 0.97) + rng.normal(0, 0.04) * x + rng.normal(0, 0.04) * y
    if rng.random() < 0.25:  # newspaper, recycled paper
        light = light - rng.uniform(0.01, 0.05) * rng.random((side, side))
    page = Image.fromarray(np.rint(255 * np.clip(light * (1 - cover), 0, 1)).astype(np.uint8))
    page = page.filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 0.02) * side)))
    noisy = np.asarray(page, np.float64) + rng.normal(0, rng.uniform(0.3, 6), (side, side))
    gray = np.rint(np.clip(noisy, 0, 255)).astype(np.uint8)
    if rng.random() < 0.5:
        file = io.BytesIO()
        Image.fromarray(gray).save(file, "JPEG", quality=int(rng.integers(40, 95)))
        gray = np.asarray(Image.open(file))
    return 255 - gray if rng.random() < 0.05 else np.array(gray)
