"""How a CSV of images is laid out: what its columns are called, whether it has a header, and what its labels mean.

In: the first line of a file, and its name. Out: a `Layout` with our names of the columns. The kinds that people have:

    label,pixel0…pixel783     Kaggle's Digit Recognizer, in any order of the columns
    label,pixel1…pixel784     Fashion-MNIST and Sign Language MNIST on Kaggle
    label,1x1…28x28           "MNIST in CSV" on Kaggle: row x column
    label,0…783 or 1…784      tables that pandas has written
    7,0,0,…                   no header: the label first, then the pixels; "A–Z Handwritten" on Kaggle has no other
    0,0,0.1,0.2,…             the first row of such a file, which pandas has made a header of
    emnist-….csv              EMNIST: no header, rows and columns of each image exchanged, the set in the name
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass

from inkdigit.data.readers.emnist import CLASSES, FIRST_LABEL
from inkdigit.types import DIGITS, SIDE

LABEL = "label"
PIXELS = tuple(f"pixel{i}" for i in range(SIDE * SIDE))
LETTERS = tuple(string.ascii_uppercase)

_LABEL_NAMES = frozenset({LABEL, "labels", "class", "digit", "letter", "character", "target", "y"})
_NUMBERED = re.compile(r"(?:pixel|px|p)?_?([0-9]{1,3})", re.IGNORECASE)
_PLACED = re.compile(r"([0-9]{1,2})x([0-9]{1,2})", re.IGNORECASE)
_PIXEL_OR_LABEL = re.compile(r"[0-9]{1,3}(\.0+)?")
_MADE_BY_PANDAS = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3})?")  # it makes names different: 0, 0.1, 0.2, …
_EMNIST = re.compile(r"emnist[-_ ]?(balanced|byclass|bymerge|digits|letters|mnist)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a CSV by our names, in their order, and how to read what is below them."""

    columns: tuple[str, ...]
    has_header: bool = True
    by_place: bool = False  # whether only its place says what a column is
    transposed: bool = False  # whether rows and columns of each image are exchanged
    classes: tuple[str, ...] | None = None  # those of the set that the name of the file says
    first_label: int = 0

    def classes_of(self, highest: int) -> tuple[str, ...]:
        """The classes of labels up to `highest`: the ten digits; or A to Z, where columns have no names."""
        if self.classes is not None:
            return self.classes
        return LETTERS if self.by_place and len(DIGITS) <= highest < len(LETTERS) else DIGITS


def layout_of(cells: tuple[str, ...], name: str) -> Layout:
    """The layout of a file called `name` whose first line has these cells; unknown columns keep their names."""
    if (named := _by_name(cells)) is not None:
        return Layout(named)
    columns = {len(PIXELS): PIXELS, len(PIXELS) + 1: (LABEL, *PIXELS)}.get(len(cells))
    if columns is None or not all(map(_MADE_BY_PANDAS.fullmatch, cells)):
        return Layout(cells)
    is_data = all(_PIXEL_OR_LABEL.fullmatch(cell) and float(cell) <= 255 for cell in cells)
    classes, first_label = None, 0
    if is_emnist := _EMNIST.search(name):
        of_set = f"emnist-{(is_emnist[1] or '').lower()}"
        classes = DIGITS if of_set == "emnist-mnist" else CLASSES.get(of_set)
        first_label = FIRST_LABEL.get(of_set, 0)
    return Layout(columns, not is_data, True, bool(is_emnist), classes, first_label)


def _by_name(cells: tuple[str, ...]) -> tuple[str, ...] | None:
    """Our names for columns that are all named, as pixels 0–783 or 1–784 or by row and column; None for others."""
    labels = [i for i, cell in enumerate(cells) if cell.lower() in _LABEL_NAMES]
    if len(labels) > 1 or len(cells) != len(PIXELS) + len(labels):
        return None
    numbers = [_number(cell) for i, cell in enumerate(cells) if i not in labels]
    first = min((number for number in numbers if number is not None), default=0)
    if first not in (0, 1) or sorted(number or 0 for number in numbers) != list(range(first, first + len(PIXELS))):
        return None
    names = [PIXELS[(number or 0) - first] for number in numbers]
    for i in labels:
        names.insert(i, LABEL)
    return tuple(names)


def _number(cell: str) -> int | None:
    """The number of a pixel in the name of its column; rows and columns are counted from 1."""
    if found := _PLACED.fullmatch(cell):
        row, column = int(found[1]), int(found[2])
        return SIDE * (row - 1) + column if 1 <= row <= SIDE and 1 <= column <= SIDE else None
    found = _NUMBERED.fullmatch(cell)
    return int(found[1]) if found else None
