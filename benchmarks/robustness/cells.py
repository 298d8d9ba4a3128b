"""How a model predicts cells of tables and sudokus: empty ones, and ones with one digit.

In: a model and the data in INKDIGIT_DATA. Out: tables, and with `--as` a line of `results/ink.jsonl`. Drawn cells come
from `cells_drawn`, real ones from the sudoku photos, whose text files say what each cell holds: half of them are cut at
the grid lines that `page/grid.py` found, so that a line is half inside, half of them a little off, as where a grid
is only divided by nine. `sudoku/images` is printed, `sudoku/mixed` is printed and handwritten.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.robustness import cells_drawn
from benchmarks.robustness.outcomes import NOTHING, Asked, Outcome, ask, count, keep, parser, show, store
from inkdigit.data.sources import open_data
from inkdigit.model.recognizer import Recognizer
from inkdigit.page.grid import Grid, find_grid
from inkdigit.picture.decode import decode
from inkdigit.picture.photo.network import RULING, look
from inkdigit.types import Gray

SIDES_PX = (50, 64, 100)
SEED = 1_900_000_033  # no training uses it
DRAWN, QUICK_DRAWN = 400, 80  # cells of each kind and side
OF_EACH, QUICK_OF_EACH = 12, 2  # cells of each photo, side and kind: empty, with a digit
ROWS = 9
GRID_SIDE_PX = 448  # the square root of the pixels with which a photo is searched for its grid
OFF, MAX_OFF = 0.04, 0.1  # of a cell: the standard deviation and the limit of how far off a cut is
INNER = 0.22  # of a cell is left out on each side where its contrast is measured
AGREE = 0.95  # of the cells of a photo must be empty or not as its text says: else another grid was found
LYING = ("image1036", "image1039", "image1040")  # of `sudoku/images`: their digits lie on their side

Photo = tuple[Path, Gray, Grid | None]  # the file, its image, and its grid where nine by nine cells were found
Draw = Callable[[int, np.random.Generator], Asked]  # side in pixels → a cell


def drawn(count_each: int) -> Iterator[Asked]:
    """Drawn cells: nothing, a digit in a font, a digit of MNIST's training split, in every size."""
    mnist = open_data("mnist").train

    def nothing(side: int, rng: np.random.Generator) -> Asked:
        return Asked(cells_drawn.cell(side, None, rng), NOTHING)

    def font(side: int, rng: np.random.Generator) -> Asked:
        label = int(rng.integers(10))
        return Asked(cells_drawn.cell(side, cells_drawn.printed(label, rng), rng), str(label))

    def hand(side: int, rng: np.random.Generator) -> Asked:
        index = int(rng.integers(len(mnist)))
        ink = cells_drawn.trimmed(mnist.images[index])
        return Asked(cells_drawn.cell(side, ink, rng), str(mnist.labels[index]))

    kinds: dict[str, Draw] = {"empty": nothing, "printed": font, "handwritten": hand}
    for number, (kind, draw) in enumerate(kinds.items()):
        for side in SIDES_PX:
            rng = np.random.default_rng([SEED, number, side])
            for _ in range(count_each):
                one = draw(side, rng)
                yield Asked(one.picture, one.expected, f"drawn, {kind}, {side} px")


def sudokus(photos: Sequence[Photo], name: str, of_each: int) -> Iterator[Asked]:
    """Cells of photos whose grid was found, in every size, of each kind at most `of_each` from a photo."""
    for number, (file, gray, grid) in enumerate(photos):
        if grid is None:
            continue
        truth = truth_of(file)
        rng = np.random.default_rng([SEED, number])
        for side in SIDES_PX:
            cells, wide = grid.cells(gray, size_px=side), grid.cells(gray, size_px=side, margin=MAX_OFF)
            for filled in (False, True):
                places = np.flatnonzero((truth > 0) == filled)
                for i, place in enumerate(rng.permutation(places)[:of_each]):
                    label, kind = (str(truth.flat[place]), "digit") if filled else (NOTHING, "empty")
                    row, column = divmod(int(place), ROWS)
                    cell, how = cells[row][column], "at the lines"
                    if i % 2:
                        cell, how = _off(wide[row][column], cell.shape, rng), "a little off"
                    yield Asked(cell, label, f"sudoku/{name}, {kind}, {how}, {side} px")


def _off(wide: Gray, shape: tuple[int, ...], rng: np.random.Generator) -> Gray:
    """A piece (h, w) of a cell with a margin, near its middle."""
    tops = [(full - part) / 2 for full, part in zip(wide.shape, shape, strict=True)]
    shifts = rng.normal(0, OFF, 2) * shape
    top, left = (round(float(np.clip(at + shift, 0, 2 * at))) for at, shift in zip(tops, shifts, strict=True))
    return np.ascontiguousarray(wide[top : top + shape[0], left : left + shape[1]])


def photos(folder: Path) -> Iterator[Photo]:
    """The upright photos in a folder, with their grids; None where nine by nine cells were not found."""
    for file in sorted(folder.glob("*.jpg")):
        if file.stem in LYING:
            continue
        gray = decode(str(file))
        grid = find_grid(look(gray, side_px=GRID_SIDE_PX)[RULING])
        whole = grid is not None and (grid.rows, grid.columns) == (ROWS, ROWS)
        agrees = grid is not None and whole and _agrees(truth_of(file), grid.cells(gray, size_px=min(SIDES_PX)))
        yield file, gray, grid if agrees else None


def truth_of(file: Path) -> NDArray[np.int64]:
    """What the cells of a photo hold, (9, 9): 0 where nothing is."""
    return np.loadtxt(file.with_suffix(".txt"), dtype=np.int64)


def _agrees(truth: NDArray[np.int64], cells: list[list[Gray]]) -> bool:
    """Whether the cells with the most contrast in their middle are those that hold a digit; full grids agree always."""
    inner = [np.ptp(_middle(cell).astype(int)) for row in cells for cell in row]
    contrast = np.reshape(inner, truth.shape)
    filled = truth > 0
    weakest = np.sort(inner)[-int(filled.sum())]
    return bool(np.mean((contrast >= weakest) == filled) >= AGREE)


def _middle(cell: Gray) -> Gray:
    """A cell (h, w) without its edges."""
    rows, columns = (slice(round(INNER * side), side - round(INNER * side)) for side in cell.shape)
    return cell[rows, columns]


def measure(model: Recognizer, data: Path, *, quick: bool, failures: Path | None = None) -> dict[str, Any]:
    """Counts of each kind of cell and each size, and of all sizes together; how many grids were found."""
    of_each = QUICK_OF_EACH if quick else OF_EACH
    asked, grids = [*drawn(QUICK_DRAWN if quick else DRAWN)], {}
    for folder in ("images", "mixed"):
        known = [*photos(data / "sudoku" / folder)]
        grids[folder] = {"n": len(known), "found": sum(grid is not None for _, _, grid in known)}
        asked += sudokus(known, folder, of_each)
    kinds: dict[str, list[Outcome]] = {}
    outcomes = ask(model, asked)
    keep(outcomes, failures)
    for outcome in outcomes:
        name = outcome.asked.name
        for group in (f"{name.rpartition(',')[0]}, all", name):
            kinds.setdefault(group, []).append(outcome)
    groups = list(dict.fromkeys(name.rpartition(",")[0] for name in kinds))
    names = sorted(kinds, key=lambda name: groups.index(name.rpartition(",")[0]))
    counted = {name: count(kinds[name]) for name in names}
    show("Cells (an empty one is right if it is refused)", counted)
    print("Grids found:", ", ".join(f"{one['found']} of {one['n']} in {name}" for name, one in grids.items()))
    return {"cells": counted, "grids": grids}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and store the results."""
    options = parser(__doc__).parse_args(argv)
    model, began = Recognizer.load(options.model), time.perf_counter()
    figures = measure(model, Path(os.environ["INKDIGIT_DATA"]), quick=options.quick, failures=options.failures)
    store(options, "cells", figures, began=began)
    return 0


if __name__ == "__main__":
    sys.exit(main())
