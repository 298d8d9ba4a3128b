"""The rules of a sudoku: each of the digits 1 to 9 is at most once in a row, in a column, and in a box of 3 × 3.

In: how probable each digit is in each cell that holds one, by its number from 0 to 80, by rows. Out: the same when the
rules are known, if what is written is more likely a sudoku than not. Nothing is solved: an empty cell stays empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, inf, log

import numpy as np

from inkdigit.types import Floats

SIDE, BOX = 9, 3
SIZE = SIDE, SIDE  # rows and columns
DEAREST = 11.5  # as logarithm: a digit that is less probable than this, against the best one, is not what is written
MAX_STEPS = 10_000  # of a search: a second
PAIR = log(9 / 8)  # two cells, of which a rule says that they differ: so much less often do random digits keep it

Options = dict[int, list[tuple[float, int]]]  # of each cell: the digits that it may hold, and what each costs


def by_rules(shares: Mapping[int, Floats]) -> dict[int, Floats] | None:
    """How probable each digit (10,) is in each cell when the rules are known, too; None if it is no sudoku.

    Of a sudoku, a cell holds a digit that the most probable grid which keeps the rules leaves; with the probability
    that it is none, a cell holds what is seen. None if it is more probably none, or if the rules leave nothing: then
    somebody wrote what breaks them.
    """
    options: Options = {}
    for cell, share in shares.items():
        costs = np.log(float(share.max()) / np.maximum(share[1:], np.finfo(np.float32).tiny)).tolist()
        options[cell] = sorted((cost, digit) for digit, cost in enumerate(costs, 1) if cost <= DEAREST)
    if not all(options.values()):
        return None
    search = _Search()
    search.go_on(options, {}, 0.0)
    # How seldom random digits keep the rules, against how far what is seen is from keeping them.
    odds = PAIR * sum(other in options for cell in options for other in PEERS[cell]) / 2 - search.cost
    if odds <= 0 or search.best is None:
        return None
    is_one = 1 / (1 + exp(-odds))
    return {
        cell: is_one * _left(search.best, cell, share) + (1 - is_one) * share / share.sum()
        for cell, share in shares.items()
    }


def _left(grid: Mapping[int, int], cell: int, share: Floats) -> Floats:
    """The shares (10,) of a cell without 0 and the digits in its row, column and box; they sum to one."""
    left = share.copy()
    left[[0, *(grid[other] for other in PEERS[cell] if other in grid)]] = 0
    return np.asarray(left / left.sum(), np.float32)


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
