"""The cells of a grid: from the photo of a table or a sudoku to what each cell holds.

In: gray uint8 (H, W), the rows and columns that are expected, and a model for single digits. Out: a `Table`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from inkdigit.errors import PictureError
from inkdigit.model.recognizer import Recognizer
from inkdigit.page.grid import Grid, find_even_grid, find_grid
from inkdigit.picture.photo.network import RULING, look
from inkdigit.types import NO_INK, OUTLIERS, Gray, Prediction

GRID_SIDE_PX = 448  # the square root of the pixels with which a photo is searched for its grid
CELL_PX = 64  # the height to which a cell is cut
EMPTY = (NO_INK, OUTLIERS[0])  # reasons for which a cell holds nothing


@dataclass(frozen=True, slots=True)
class Table:
    """The answers of a grid, by rows."""

    cells: tuple[tuple[Prediction, ...], ...]

    @property
    def rows(self) -> list[list[str | None]]:
        """What each cell holds: a digit, "" for an empty one, None where the model is not sure."""
        return [[_content(cell) for cell in row] for row in self.cells]

    def to_json(self) -> dict[str, Any]:
        """The rows, and how sure each digit is."""
        return {"rows": self.rows, "confidences": [[_sureness(cell) for cell in row] for row in self.cells]}


def _content(cell: Prediction) -> str | None:
    if cell.label is not None:
        return cell.label
    return "" if cell.reason in EMPTY else None


def _sureness(cell: Prediction) -> float | None:
    return None if cell.label is None or cell.confidence is None else round(cell.confidence, 6)


def read_grid(gray: Gray, rows: int, columns: int, model: Recognizer) -> Table:
    """The digits of a grid in a photo.

    Raises:
        PictureError: there is no grid of so many rows and columns.
    """
    grid = locate(gray, rows, columns)
    answers = iter(model.predict([cell for row in grid.cells(gray, size_px=CELL_PX) for cell in row]))
    return Table(tuple(tuple(next(answers) for _ in range(columns)) for _ in range(rows)))


def locate(gray: Gray, rows: int, columns: int) -> Grid:
    """The grid of so many rows and columns: of equal cells, or as its lines are.

    Raises:
        PictureError: there is none.
    """
    shares = look(gray, side_px=GRID_SIDE_PX)
    if (grid := find_even_grid(shares[RULING:].sum(axis=0), rows, columns)) is not None:
        return grid
    grid = find_grid(shares[RULING])
    if grid is None or (grid.rows, grid.columns) != (rows, columns):
        raise PictureError(
            "The grid was not found",
            expected=f"{rows} rows and {columns} columns",
            received="no grid" if grid is None else f"{grid.rows} rows and {grid.columns} columns",
            hint="All of it must be in the picture, and not lie on its side.",
        )
    return grid
