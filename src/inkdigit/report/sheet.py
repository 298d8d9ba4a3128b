"""One sheet that shows how each image was read: the image, its ink, the prepared image, the prediction.

In: gray images and their predictions. Out: a PNG, one row an image.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from inkdigit.picture.prepare import find_ink, prepare
from inkdigit.types import Gray, Prediction

CELL_PX = 168  # six times the side of a prepared image
GAP_PX, HEAD_PX = 16, 34  # between cells, and above them for the titles
PAPER, INK, QUIET, LINE = "#ffffff", "#1b1f24", "#6b7280", "#d5d9df"
TITLES = ("image", "ink", "what the network sees", "prediction")

Entry = tuple[Path, Gray, Prediction]  # the file, its image (H, W), the prediction


def draw(entries: Sequence[Entry], *, kind: str) -> bytes:
    """The sheet of `entries` as the bytes of a PNG; `kind` is that of `prepare`."""
    buffer = BytesIO()
    sheet(entries, kind=kind).save(buffer, "PNG")
    return buffer.getvalue()


def sheet(entries: Sequence[Entry], *, kind: str) -> Image.Image:
    """A row for each entry: four cells of 168 px, with titles above."""
    width = 4 * CELL_PX + 5 * GAP_PX
    image = Image.new("RGB", (width, HEAD_PX + len(entries) * (CELL_PX + GAP_PX + 20) + GAP_PX), PAPER)
    pen = ImageDraw.Draw(image)
    for column, title in enumerate(TITLES):
        pen.text((GAP_PX + column * (CELL_PX + GAP_PX), 12), title, QUIET, _font(13))
    for row, (file, gray, answer) in enumerate(entries):
        top = HEAD_PX + row * (CELL_PX + GAP_PX + 20)
        ink = find_ink(gray) if kind == "ink" else gray
        ground = int(np.median(gray))  # around an image that is not square
        for column, (shown, around) in enumerate(((gray, ground), (ink, 0), (prepare(gray, kind), 0))):
            left = GAP_PX + column * (CELL_PX + GAP_PX)
            image.paste(_cell(shown, around), (left, top))
            pen.rectangle((left, top, left + CELL_PX - 1, top + CELL_PX - 1), outline=LINE)
        _write_answer(pen, answer, left=GAP_PX + 3 * (CELL_PX + GAP_PX), top=top)
        pen.text((GAP_PX, top + CELL_PX + 4), file.name[-90:], QUIET, _font(12))
    return image


def _cell(gray: Gray, around: int) -> Image.Image:
    """An image scaled to fit a cell, on a ground of one gray; each pixel of a small one becomes a square."""
    small = max(gray.shape) <= CELL_PX // 2
    scale = CELL_PX // max(gray.shape) if small else CELL_PX / max(gray.shape)
    size = [max(1, round(side * scale)) for side in gray.shape[::-1]]
    method = Image.Resampling.NEAREST if small else Image.Resampling.BOX
    cell = Image.new("L", (CELL_PX, CELL_PX), around)
    scaled = Image.fromarray(gray).resize((size[0], size[1]), method)
    cell.paste(scaled, ((CELL_PX - size[0]) // 2, (CELL_PX - size[1]) // 2))
    return cell


def _write_answer(pen: ImageDraw.ImageDraw, answer: Prediction, *, left: int, top: int) -> None:
    if answer.label is None:
        pen.rectangle((left + 6, top + 62, left + 46, top + 68), INK)  # a dash, which the font does not have
    else:
        pen.text((left + 4, top + 6), answer.label[:10], INK, _font(96 if len(answer.label) <= 2 else 30))
    below = answer.reason if answer.label is None else f"{answer.sureness} sure"
    pen.text((left + 6, top + CELL_PX - 46), below or "", INK, _font(17))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
