"""The rules of a sudoku: what they decide, what they leave as it is written, and how long they take."""

from __future__ import annotations

import time

import numpy as np
import pytest

from inkdigit.reading.sudoku import PEERS, by_rules

SOLVED = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"
CLEAR, UNCLEAR = 1e-7, 0.3


def shares_of(text: str, *, others: float = CLEAR) -> dict[int, np.ndarray]:
    """What is seen of a grid: its digits, and all others a little; `.` is empty."""
    shares = {cell: np.full(10, others, np.float32) for cell, digit in enumerate(text) if digit != "."}
    for cell, share in shares.items():
        share[int(text[cell])] = 1
    return shares


def text_of(shares: dict[int, np.ndarray]) -> str:
    """The most probable digits."""
    return "".join(str(int(shares[cell].argmax())) if cell in shares else "." for cell in range(81))


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
    for cell in rng.choice([*shares], 3, replace=False).tolist():
        beside = [int(text[other]) for other in PEERS[cell] if text[other] != "."]
        shares[cell][int(text[cell])] = UNCLEAR
        shares[cell][rng.choice(beside)] = 0.7
    assert text_of(shares) != text
    known = by_rules(shares)
    assert text_of(known) == text
    assert all(share.sum() == pytest.approx(1, abs=1e-4) for share in known.values())


def test_of_several_grids_that_keep_the_rules_the_most_probable_counts():
    shares: dict[int, np.ndarray] = {}
    for cell, likely in ((0, {4: 0.6, 9: 0.4}), (1, {4: 0.9, 7: 0.1}), (2, {2: 1.0})):
        shares[cell] = np.full(10, 1e-6, np.float32)
        for digit, share in likely.items():
            shares[cell][digit] = share
    assert by_rules(shares) is None  # a conflict among three cells: rather no sudoku
    for cell, digit in ((8, 1), (16, 3), (24, 5), (32, 6), (40, 1), (48, 3), (56, 5)):
        shares[cell] = np.full(10, 1e-6, np.float32)
        shares[cell][digit] = 1
    assert text_of(by_rules(shares))[:3] == "942"


def test_with_few_digits_it_is_less_certain_that_the_rules_hold():
    def confidence(count: int) -> float:
        shares = shares_of(SOLVED[:count] + "." * (81 - count))
        shares[0][int(SOLVED[0])], shares[0][int(SOLVED[1])] = 0.45, 0.55
        return float(by_rules(shares)[0][int(SOLVED[0])])

    few, more, all_ = map(confidence, (6, 12, 81))
    assert 0.6 < few < more < all_
    assert few < 0.95
    assert all_ > 0.9999


def test_what_clearly_breaks_the_rules_is_no_sudoku():
    twice = SOLVED[:1] + SOLVED[0] + SOLVED[2:]
    with_zero = "0" + SOLVED[1:]
    table = "".join(str(digit) for digit in np.random.default_rng(0).integers(1, 10, 81))
    for text in (twice, with_zero, table, "1" * 81):
        assert by_rules(shares_of(text)) is None, text
    assert by_rules(shares_of(table, others=0.02)) is None  # unclear random digits


def test_an_empty_grid_and_a_single_digit_are_none():
    assert by_rules({}) is None
    assert by_rules(shares_of("5")) is None


def test_the_search_ends():
    hopeless = dict.fromkeys(range(81), np.array([0, 1, 1, *[1e-9] * 7], np.float32))
    same = dict.fromkeys(range(81), np.array([0, *[1] * 9], np.float32))
    began = time.perf_counter()
    assert by_rules(hopeless) is None
    known = by_rules(same)
    assert known is None or len(known) == 81
    assert time.perf_counter() - began < 20
