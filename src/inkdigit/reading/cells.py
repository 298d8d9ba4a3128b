"""The cells of a grid: from the photo of a table or a sudoku to what each cell holds.

In: gray uint8 (H, W), the rows and columns that are expected, and a model for single digits. Out: a `Table`. A cell
holds one digit or nothing. Two networks together tell which: the model sees its ink; the cell network, which counts
more, its gray levels. Each cell is seen beside the others: what has much less ink than a usual digit of the same grid
is a speck or shows through the paper, and what has as much is a digit, even if it is blurred. The digits of a sudoku
keep its rules.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from inkdigit.errors import PictureError, UsageError
from inkdigit.model.recognizer import Recognizer
from inkdigit.page.grid import Grid, find_even_grid, find_grid
from inkdigit.picture.decode import Picture, decode_page
from inkdigit.picture.photo.network import RULING, look
from inkdigit.reading import cell_network, sudoku
from inkdigit.reading.pattern import characters
from inkdigit.types import DIGITS, NO_INK, OUTLIERS, Floats, Gray, Prediction

GRID_SIDE_PX = 448  # the square root of the pixels with which a photo is searched for its grid
CELL_PX = 64  # the height to which a cell is cut
EMPTY = (NO_INK, OUTLIERS[0])  # reasons for which a cell holds nothing, where no digit of the grid is sure
SURE = 0.98  # the confidence of a digit to which the other cells are compared
FAINT = 0.3  # of the usual ink of a digit: less is not one
# The share of "empty" from which a cell is: a digit hardly ever has it, and of an empty cell the network may be unsure.
HOLLOW = 0.025
PLAIN = 3e-4  # the share of "empty" below which faint ink is a digit, too: of a fine pen
LIKELY = 0.5  # the confidence from which a digit is told: below it is more likely another one
INSIDE = 0.14  # of a cell, on each side: what remains of its lines
SMALL_PX = 16  # a side in which the ink of a cell is weighed: the grain of paper and print is gone
OF_MODEL = 0.4  # how much the model for single digits counts, against the cell network
LEAST = 1e-6  # of a probability


@dataclass(frozen=True, slots=True)
class Cell:
    """A digit and how sure it is; "" for nothing, None where it is not known what it is."""

    text: str | None
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """The cells of a grid, by rows, and where it is in the photo."""

    cells: tuple[tuple[Cell, ...], ...]
    grid: Grid
    sudoku: bool = False  # whether the rules of a sudoku decided, too
    changed: tuple[tuple[int, int, str | None], ...] = ()  # by them: row and column, from 0; the digit without them

    @property
    def rows(self) -> list[list[str | None]]:
        """What each cell holds: a digit, "" for nothing, None where it is not known."""
        return [[cell.text for cell in row] for row in self.cells]

    @property
    def as_written(self) -> list[list[str | None]]:
        """The rows as they are without the rules of a sudoku."""
        rows = self.rows
        for row, column, digit in self.changed:
            rows[row][column] = digit
        return rows

    def to_json(self) -> dict[str, Any]:
        """The rows, how sure each digit is, and what the rules of a sudoku changed."""
        sure = [[None if cell.confidence is None else round(cell.confidence, 6) for cell in row] for row in self.cells]
        changed = [{"row": row, "column": column, "without": digit} for row, column, digit in self.changed]
        return {"rows": self.rows, "confidences": sure, "sudoku": self.sudoku, "changed": changed}


def read_grid(
    picture: Picture,
    rows: int,
    columns: int,
    *,
    model: Recognizer | str | Path = "default",
    alphabet: str | None = None,
    as_written: bool = False,
) -> Table:
    """Read the digits of a grid in a photo, such as a sudoku, with a model for single digits.

    A grid of 9 rows and columns that is more likely a sudoku than not is read as one: where a digit is not clear, the
    rules decide, too. `as_written` leaves them out. `alphabet` are the only digits that a cell may hold, such as `1-9`.

    Raises:
        PictureError: the picture cannot be read, or there is no grid of so many rows and columns.
        UsageError: there is no such model, or `alphabet` is not of digits.
    """
    allowed = parse_digits(alphabet)
    gray = decode_page(picture)[0]
    grid = locate(gray, rows, columns)
    seen = [cell for row in grid.cells(gray, size_px=CELL_PX) for cell in row]
    judged = judge(seen, Recognizer.of(model), allowed)
    cells = [one if isinstance(one, Cell) else _digit(one) for one in judged]
    ruled = None if as_written or (rows, columns) != sudoku.SIZE else _by_rules(judged)
    changed = [] if ruled is None else [i for i, cell in enumerate(cells) if cell.text != ruled[i].text]
    return Table(
        tuple(tuple((ruled or cells)[i : i + columns]) for i in range(0, rows * columns, columns)),
        grid,
        sudoku=ruled is not None,
        changed=tuple((*divmod(i, columns), cells[i].text) for i in changed),
    )


def parse_size(text: str) -> tuple[int, int]:
    """Rows and columns of a size as `9x9`.

    Raises:
        UsageError: it is not the size of a grid.
    """
    found = re.fullmatch(r"([0-9]{1,2})[x×]([0-9]{1,2})", text.lower())
    if found is None or min(int(found[1]), int(found[2])) < 2:
        raise UsageError("This is not the size of a grid", expected="ROWSxCOLUMNS, as 9x9", received=repr(text[:80]))
    return int(found[1]), int(found[2])


def parse_digits(alphabet: str | None) -> set[str]:
    """The digits that a cell may hold, as `1-9`; all of them for None.

    Raises:
        UsageError: these are not digits.
    """
    allowed = set(DIGITS if alphabet is None else characters(alphabet))
    if not allowed or allowed - {*DIGITS}:
        raise UsageError("A cell of a grid holds a digit", expected="an alphabet of digits, as 1-9", received=alphabet)
    return allowed


def _by_rules(judged: Sequence[Cell | Floats]) -> list[Cell] | None:
    """The cells of a sudoku when its rules are known; None if it is none."""
    shares = sudoku.by_rules({i: one for i, one in enumerate(judged) if not isinstance(one, Cell)})
    if shares is None:
        return None
    return [one if isinstance(one, Cell) else _digit(shares[i]) for i, one in enumerate(judged)]


def judge(seen: Sequence[Gray], model: Recognizer, allowed: Collection[str] = DIGITS) -> list[Cell | Floats]:
    """What each cell of a grid holds, given the picture (h, w) of each and the digits that there may be.

    A `Cell` where that is known, else how probable each digit is, (10,); the shares of a cell need not sum to one.
    """
    answers = model.predict([*seen])
    weights = np.array([_weight(cell) for cell in seen])
    sure = [answer.label is not None and (answer.confidence or 0) >= SURE for answer in answers]
    if not any(sure):
        return [_alone(answer, allowed) for answer in answers]
    faint = FAINT * float(np.median(weights[sure]))
    shares = cell_network.look(seen)
    may_be = np.array([digit in allowed for digit in DIGITS])
    return [
        Cell("")
        if answer.probs is None or share[cell_network.EMPTY] > (PLAIN if weight < faint else HOLLOW)
        else np.asarray(may_be * (answer.probs**OF_MODEL * share[: len(DIGITS)] + LEAST), np.float32)
        for answer, weight, share in zip(answers, weights.tolist(), shares, strict=True)
    ]


def _alone(answer: Prediction, allowed: Collection[str]) -> Cell:
    """A cell as the model for single digits sees it."""
    if answer.label is not None and answer.label in allowed:
        return Cell(answer.label, answer.confidence)
    return Cell("" if answer.reason in EMPTY else None)


def _digit(shares: Floats) -> Cell:
    """The digit that both networks together find most probable; `shares` (10,) need not sum to one."""
    best = int(shares.argmax())
    confidence = float(shares[best] / shares.sum())
    return Cell(DIGITS[best], confidence) if confidence >= LIKELY else Cell(None)


def _weight(cell: Gray) -> float:
    """How much of a cell (h, w) differs from its paper, and by how much: the mean in gray levels."""
    small = Image.fromarray(cell_network.within(cell, INSIDE)).resize((SMALL_PX, SMALL_PX), Image.Resampling.BOX)
    levels = np.asarray(small, np.float32)
    return float(np.abs(levels - np.median(levels)).mean())


def locate(gray: Gray, rows: int, columns: int) -> Grid:
    """The grid of so many rows and columns: of equal cells, or as its lines are.

    Lines may be broken or missing, but not more than are asked for: a part of a grid is not one.

    Raises:
        PictureError: there is none.
    """
    shares = look(gray, side_px=GRID_SIDE_PX)
    grid = find_grid(shares[RULING])
    fits = grid is None or (grid.rows <= rows and grid.columns <= columns)
    if fits and (even := find_even_grid(shares[RULING:].sum(axis=0), rows, columns)) is not None:
        return even
    if grid is None or (grid.rows, grid.columns) != (rows, columns):
        raise PictureError(
            "The grid was not found",
            expected=f"{rows} rows and {columns} columns",
            received="no grid" if grid is None else f"{grid.rows} rows and {grid.columns} columns",
            hint="All of it must be in the picture, and not lie on its side.",
        )
    return grid
