"""The rules of a sudoku: what they decide, what they leave as it is written, and how long they take."""

from __future__ import annotations

import time

import numpy as np
import pytest

from inkdigit.reading.sudoku import PEERS, digits, left_by

SOLVED = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"
CLEAR, UNCLEAR = 1e-7, 0.3


def shares_of(text: str, *, others: float = CLEAR) -> list[np.ndarray | None]:
    """What is seen of a grid: its digits, and all others a little; `.` is empty."""
    shares = []
    for digit in text:
        share = np.full(10, others, np.float32)
        share[int(digit) if digit != "." else 0] = 1
        shares.append(None if digit == "." else share)
    return shares


def text_of(shares: list[np.ndarray | None], grid: dict[int, int]) -> str:
    """The digits that the rules leave."""
    left = [share if share is None else left_by(grid, cell, share) for cell, share in enumerate(shares)]
    return "".join("." if share is None else str(int(share.argmax())) for share in left)


def test_a_cell_has_twenty_peers():
    assert [len(peers) for peers in PEERS] == [20] * 81
    assert {1, 8, 9, 72, 10, 20} <= PEERS[0]
    assert not {0, 30, 80} & PEERS[0]


@pytest.mark.parametrize("empty", [(), range(0, 81, 3), range(40)])
@pytest.mark.parametrize("seed", range(5))
def test_an_unclear_cell_is_what_the_rules_leave(empty, seed):
    text = "".join("." if i in empty else digit for i, digit in enumerate(SOLVED))
    shares = shares_of(text)
    rng = np.random.default_rng(seed)
    for cell in rng.choice([i for i, one in enumerate(shares) if one is not None], 3, replace=False).tolist():
        beside = [int(text[other]) for other in PEERS[cell] if text[other] != "."]
        shares[cell][int(text[cell])] = UNCLEAR
        shares[cell][rng.choice(beside)] = 0.7
    grid = digits(shares)
    assert grid == {cell: int(digit) for cell, digit in enumerate(text) if digit != "."}
    assert text_of(shares, grid) == text


def test_of_several_grids_that_keep_the_rules_the_most_probable_counts():
    shares: list[np.ndarray | None] = [None] * 81
    for cell, likely in ((0, {4: 0.6, 9: 0.4}), (1, {4: 0.9, 7: 0.1}), (2, {2: 1.0})):
        shares[cell] = np.full(10, 1e-6, np.float32)
        for digit, share in likely.items():
            shares[cell][digit] = share
    assert digits(shares) is None  # a conflict among three cells: rather no sudoku
    for cell, digit in ((8, 1), (16, 3), (24, 5), (32, 6), (40, 1), (48, 3), (56, 5)):
        shares[cell] = np.full(10, 1e-6, np.float32)
        shares[cell][digit] = 1
    found = digits(shares)
    assert (found[0], found[1], found[2]) == (9, 4, 2)


def test_what_clearly_breaks_the_rules_is_no_sudoku():
    twice = SOLVED[:1] + SOLVED[0] + SOLVED[2:]
    with_zero = "0" + SOLVED[1:]
    table = "".join(str(digit) for digit in np.random.default_rng(0).integers(1, 10, 81))
    for text in (twice, with_zero, table, "1" * 81):
        assert digits(shares_of(text)) is None, text
    assert digits(shares_of(table, others=0.02)) is None  # unclear random digits


def test_an_empty_grid_and_a_single_digit_are_none():
    assert digits([None] * 81) is None
    assert digits([*shares_of("5"), *[None] * 80]) is None


def test_the_search_ends():
    hopeless = [np.array([0, 1, 1, *[1e-9] * 7], np.float32)] * 81
    same = [np.array([0, *[1] * 9], np.float32)] * 81
    began = time.perf_counter()
    assert digits(hopeless) is None
    grid = digits(same)
    assert grid is None or len(grid) == 81
    assert time.perf_counter() - began < 20
