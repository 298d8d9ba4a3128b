"""One sheet that shows what was read where: each picture with the boxes of its numbers and their texts.

In: gray pictures and their readings. Out: each of them drawn; a PNG with the drawn ones below each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from inkdigit.types import Gray, Reading

WIDTH_PX, MAX_HEIGHT_PX = 900, 1200  # of a picture on the sheet
GAP_PX, HEAD_PX = 16, 30
TEXT_PX = 20
PAPER, QUIET, SURE, REFUSED = "#ffffff", "#6b7280", "#15803d", "#b45309"


def sheet(pictures: Sequence[Image.Image]) -> bytes:
    """The sheet of drawn pictures as the bytes of a PNG."""
    height = sum(drawn.height + GAP_PX for drawn in pictures) + GAP_PX
    page = Image.new("RGB", (WIDTH_PX + 2 * GAP_PX, height), PAPER)
    top = GAP_PX
    for drawn in pictures:
        page.paste(drawn, (GAP_PX, top))
        top += drawn.height + GAP_PX
    buffer = BytesIO()
    page.save(buffer, "PNG")
    return buffer.getvalue()


def picture(file: Path, gray: Gray, reading: Reading) -> Image.Image:
    """A picture with its boxes; the name of the file and the reading are above it."""
    scale = min(WIDTH_PX / gray.shape[1], MAX_HEIGHT_PX / gray.shape[0])
    size = max(1, round(gray.shape[1] * scale)), max(1, round(gray.shape[0] * scale))
    room = TEXT_PX + 8  # for the text above a number at the top
    image = Image.new("RGB", (WIDTH_PX, size[1] + HEAD_PX + room), PAPER)
    image.paste(Image.fromarray(gray).resize(size), (0, HEAD_PX + room))
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(TEXT_PX)
    said = f"{reading.text}   {100 * reading.confidence:.1f} %" if reading.reason is None else reading.reason
    pen.text((0, 2), f"{file.name[-60:]}   {said}", QUIET, font)
    for number in reading.numbers:
        top, left, bottom, right = (round(side * scale) for side in number.box)
        y = HEAD_PX + room
        colour = SURE if number.reason is None else REFUSED
        pen.rectangle((left, top + y, right - 1, bottom + y - 1), outline=colour, width=2)
        text = number.text.replace("×", "x").replace("÷", "/")  # the font has neither
        if text:  # a box without one is a word
            below = f" ({number.reason})" if number.reason else ""
            pen.text((left, top + y - TEXT_PX - 4), f"{text}{below}", colour, font)
    return image
