"""The rules of a sudoku: each of the digits 1 to 9 is at most once in a row, in a column, and in a box of 3 × 3.

In: how probable each digit is in each of the 81 cells, by rows; None is an empty cell. Out: the most probable digits
that keep the rules, if what is written is more likely a sudoku than not. Nothing is solved: an empty cell stays empty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf, log

import numpy as np

from inkdigit.types import Floats

SIDE, BOX = 9, 3
DEAREST = 11.5  # as logarithm: a digit that is less probable than this, against the best one, is not what is written
MAX_STEPS = 10_000  # of a search: a second
PAIR = log(9 / 8)  # two cells, of which a rule says that they differ: so much less often do random digits keep it

Options = dict[int, list[tuple[float, int]]]  # of each cell: the digits that it may hold, and what each costs


def digits(shares: Sequence[Floats | None]) -> dict[int, int] | None:
    """The digit of each cell that has one, in the most probable grid that keeps the rules.

    None if there is none, or if it is so improbable that the cells rather hold random digits: then it is no sudoku, or
    somebody wrote what breaks the rules.
    """
    options: Options = {}
    for cell, share in enumerate(shares):
        if share is not None:
            costs = np.log(float(share.max()) / np.maximum(share[1:], np.finfo(np.float32).tiny)).tolist()
            options[cell] = sorted((cost, digit) for digit, cost in enumerate(costs, 1) if cost <= DEAREST)
    if not all(options.values()):
        return None
    pairs = sum(other in options for cell in options for other in PEERS[cell]) / 2
    search = _Search()
    search.go_on(options, {}, 0.0)
    return search.best if search.cost < PAIR * pairs else None


def left_by(grid: Mapping[int, int], cell: int, share: Floats) -> Floats:
    """The shares (10,) of the digits of a cell, without 0 and those in its row, column and box."""
    left = share.copy()
    left[[0, *(grid[other] for other in PEERS[cell] if other in grid)]] = 0
    return left


class _Search:
    """The grid that keeps the rules and costs the least, by depth first search with a bound."""

    def __init__(self) -> None:
        self.best: dict[int, int] | None = None
        self.cost = inf
        self.steps = 0

    def go_on(self, left: Options, done: dict[int, int], cost: float) -> None:
        """Fill the cells that are left in all ways that may cost less than the best grid so far."""
        self.steps += 1
        if self.steps > MAX_STEPS or cost + sum(some[0][0] for some in left.values()) >= self.cost:
            return
        if not left:
            self.best, self.cost = done, cost
            return
        cell = min(left, key=lambda cell: (len(left[cell]), -_gap(left[cell])))
        for more, digit in left[cell]:
            rest = {
                other: [one for one in some if one[1] != digit] if other in PEERS[cell] else some
                for other, some in left.items()
                if other != cell
            }
            if all(rest.values()):
                self.go_on(rest, {**done, cell: digit}, cost + more)


def _gap(some: list[tuple[float, int]]) -> float:
    """How much more the second digit of a cell costs."""
    return some[1][0] - some[0][0] if len(some) > 1 else inf


def _peers(cell: int) -> frozenset[int]:
    """The cells in the row, the column and the box of a cell."""
    row, column = divmod(cell, SIDE)
    return frozenset(
        other
        for other in range(SIDE * SIDE)
        if other != cell
        and (
            other // SIDE == row
            or other % SIDE == column
            or (other // SIDE // BOX, other % SIDE // BOX) == (row // BOX, column // BOX)
        )
    )


PEERS = [_peers(cell) for cell in range(SIDE * SIDE)]
