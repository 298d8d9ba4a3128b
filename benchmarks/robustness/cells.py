"""How a model predicts cells of tables and sudokus: empty ones, and ones with one digit.

In: a model and the data in INKDIGIT_DATA. Out: tables, and with `--as` a line of `results/ink.jsonl`. Drawn cells come
from `cells_drawn`, real ones from the sudoku photos, whose text files say what each cell holds; they are cut at the
grid lines, so that a line is half inside. `sudoku/images` is printed, `sudoku/mixed` is printed and handwritten.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.robustness import cells_drawn
from benchmarks.robustness.outcomes import NOTHING, Asked, Counts, Outcome, ask, count, keep, parser, show, store
from benchmarks.robustness.outlines import corners, seen_from_above
from inkdigit.data.sources import open_data
from inkdigit.model.recognizer import Recognizer
from inkdigit.picture.decode import decode
from inkdigit.types import Gray

SIDES_PX = (50, 64, 100)
SEED = 1_900_000_033  # no training uses it
DRAWN, QUICK_DRAWN = 400, 80  # cells of each kind and side
OF_EACH, QUICK_OF_EACH = 12, 2  # cells of each photo, side and kind: empty, with a digit
ROWS = 9
INNER = 0.22  # of a cell is left out on each side where its contrast is measured
AGREE = 0.95  # of the cells of a photo must be empty or not as its text says: else another grid was found
LYING = ("image1036", "image1039", "image1040")  # of `sudoku/images`: their digits lie on their side

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


def sudokus(folder: Path, of_each: int) -> Iterator[Asked]:
    """Cells of the photos in a folder, in every size, of each kind at most `of_each` from a photo."""
    for number, file in enumerate(sorted(folder.glob("*.jpg"))):
        if file.stem in LYING:
            continue
        truth = np.loadtxt(file.with_suffix(".txt"), dtype=np.int64)
        gray = decode(str(file))
        found = corners(gray)
        if found is None or not _agrees(truth, _cells(seen_from_above(gray, found, min(SIDES_PX)))):
            print(f"{folder.name}/{file.name}: its grid was not found", file=sys.stderr)
            continue
        rng = np.random.default_rng([SEED, number])
        for side in SIDES_PX:
            cells = _cells(seen_from_above(gray, found, side))
            for filled in (False, True):
                places = np.flatnonzero((truth.ravel() > 0) == filled)
                for place in rng.permutation(places)[:of_each]:
                    label, kind = (str(truth.ravel()[place]), "digit") if filled else (NOTHING, "empty")
                    cell = np.ascontiguousarray(cells[place // ROWS, place % ROWS])
                    yield Asked(cell, label, f"sudoku/{folder.name}, {kind}, {side} px")


def _cells(grid: Gray) -> Gray:
    """A square grid (9·side, 9·side) as its cells: (9, 9, side, side)."""
    side = len(grid) // ROWS
    return grid.reshape(ROWS, side, ROWS, side).transpose(0, 2, 1, 3)


def _agrees(truth: NDArray[np.int64], cells: Gray) -> bool:
    """Whether the cells with the most contrast in their middle are those that hold a digit; full grids agree always."""
    edge = round(INNER * cells.shape[-1])
    inner = cells[:, :, edge:-edge, edge:-edge].astype(np.float64)
    contrast = inner.max((2, 3)) - inner.min((2, 3))
    filled = truth > 0
    weakest = np.sort(contrast.ravel())[-int(filled.sum())]
    return bool(np.mean((contrast >= weakest) == filled) >= AGREE)


def measure(model: Recognizer, data: Path, *, quick: bool, failures: Path | None = None) -> dict[str, Counts]:
    """Counts of each kind of cell and each size, and of all sizes together."""
    of_each = QUICK_OF_EACH if quick else OF_EACH
    asked = [*drawn(QUICK_DRAWN if quick else DRAWN)]
    for folder in ("images", "mixed"):
        asked += sudokus(data / "sudoku" / folder, of_each)
    kinds: dict[str, list[Outcome]] = {}
    for outcome in ask(model, asked):
        name = outcome.asked.name
        for group in (f"{name.rpartition(',')[0]}, all", name):
            kinds.setdefault(group, []).append(outcome)
        keep([outcome], failures)
    groups = list(dict.fromkeys(name.rpartition(",")[0] for name in kinds))
    names = sorted(kinds, key=lambda name: groups.index(name.rpartition(",")[0]))
    counted = {name: count(kinds[name]) for name in names}
    show("Cells (an empty one is right if it is refused)", counted)
    return counted


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and store the results."""
    options = parser(__doc__).parse_args(argv)
    model, began = Recognizer.load(options.model), time.perf_counter()
    figures = measure(model, Path(os.environ["INKDIGIT_DATA"]), quick=options.quick, failures=options.failures)
    store(options, "cells", {"cells": figures}, began=began)
    return 0


if __name__ == "__main__":
    sys.exit(main())
