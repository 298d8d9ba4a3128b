"""One sheet that shows what was read where: each picture with its numbers, cells or fields, and their texts.

In: gray pictures and their readings. Out: each of them drawn; a PNG with the drawn ones below each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from inkdigit.page.quad import Points
from inkdigit.reading.cells import Table
from inkdigit.types import Box, Gray, Reading

WIDTH_PX, MAX_HEIGHT_PX = 900, 1200  # of a picture on the sheet
GAP_PX, HEAD_PX = 16, 30
TEXT_PX = 20
PAPER, QUIET, SURE, REFUSED, LINE = "#ffffff", "#6b7280", "#15803d", "#b45309", "#60a5fa"
RULED = "#1d4ed8"  # a digit that the rules of a sudoku changed
UNKNOWN = "?"  # in a cell of which it is not known what it holds


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
    said = f"{reading.text}   {100 * reading.confidence:.1f} %" if reading.reason is None else reading.reason
    shown = _Shown(file, gray, said)
    shown.numbers(reading)
    return shown.image


def form(file: Path, page: Gray, fields: Mapping[str, tuple[Box, Reading]]) -> Image.Image:
    """A page of a form with the boxes of its fields, by name, and what was read in each."""
    shown = _Shown(file, page, f"{len(fields)} fields")
    for name, (box, reading) in fields.items():
        for number in reading.numbers:
            shown.box(number.box, "", SURE if number.reason is None else REFUSED)
        said = _plain(reading.text) if reading.reason is None else f"({reading.reason})"
        shown.box(box, f"{name}: {said}", SURE if reading.reason is None else REFUSED)
    return shown.image


def table(file: Path, gray: Gray, found: Table) -> Image.Image:
    """A photo with the cells of its grid, and the digit that was read in each at the cell's top left."""
    rows, changed = found.rows, {(row, column) for row, column, _ in found.changed}
    ruled = "; blue: what the rules of a sudoku changed" if changed else ""
    shown = _Shown(file, gray, f"{len(rows)} rows, {len(rows[0])} columns{ruled}")
    for i, row in enumerate(rows):
        for j, text in enumerate(row):
            colour = REFUSED if text is None else RULED if (i, j) in changed else SURE
            shown.cell(found.grid.outline(i, j), UNKNOWN if text is None else text, colour)
    return shown.image


def _plain(text: str) -> str:
    """A text in characters that the font has: it has neither sign."""
    return text.replace("×", "x").replace("÷", "/")


class _Shown:
    """A picture of the sheet, on which boxes are drawn; places are in the pixels of what was read."""

    def __init__(self, file: Path, gray: Gray, said: str) -> None:
        self._scale = min(WIDTH_PX / gray.shape[1], MAX_HEIGHT_PX / gray.shape[0])
        self._size = max(1, round(gray.shape[1] * self._scale)), max(1, round(gray.shape[0] * self._scale))
        self._top = HEAD_PX + TEXT_PX + 8  # room for the text above a number at the top
        self.image = Image.new("RGB", (WIDTH_PX, self._size[1] + self._top), PAPER)
        self.image.paste(Image.fromarray(gray).resize(self._size), (0, self._top))
        self._pen, self._font = ImageDraw.Draw(self.image), ImageFont.load_default(TEXT_PX)
        self._pen.text((0, 2), f"{file.name[-60:]}   {said}", QUIET, self._font)

    def numbers(self, reading: Reading) -> None:
        """Each number of a reading: green if it is an answer, orange if it is refused."""
        for number in reading.numbers:
            reason = f" ({number.reason})" if number.reason and number.text else ""  # a box without a text is a word
            self.box(number.box, _plain(number.text) + reason, SURE if number.reason is None else REFUSED)

    def box(self, box: Box, text: str, colour: str) -> None:
        """A box with a text above it."""
        top, left, bottom, right = (round(side * self._scale) for side in box)
        self._pen.rectangle((left, top + self._top, right - 1, bottom + self._top - 1), outline=colour, width=2)
        self._pen.text((left, top + self._top - TEXT_PX - 4), text, colour, self._font)

    def cell(self, outline: Points, text: str, colour: str) -> None:
        """A cell (4, 2), in shares of the picture's sides, with a text in its corner."""
        corners = [(x, y + self._top) for x, y in (outline * self._size).tolist()]
        self._pen.polygon(corners, outline=colour if text == UNKNOWN else LINE, width=2)
        place = corners[0][0] + 4, corners[0][1] + 2
        self._pen.text(place, text, colour, self._font, stroke_width=3, stroke_fill=PAPER)
