"""Grids: the sudoku that our code draws, cell by cell, and a grid that is not there."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from inkdigit.errors import PictureError, UsageError
from inkdigit.picture.decode import decode_page
from inkdigit.reading import cell_network
from inkdigit.reading.cells import read_grid

from .conftest import page

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_sudoku_of_the_examples_is_read_with_its_empty_cells(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    puzzle = runpy.run_path(str(EXAMPLES / "draw_numbers.py"))["PUZZLE"]
    goal = [["" if c == "." else c if c.isdigit() else chr(ord(c) - 48) for c in row] for row in puzzle]
    gray, _ = decode_page(EXAMPLES / "numbers" / "sudoku.jpg")
    table = read_grid(gray, 9, 9)
    assert table.rows == goal
    content = json.loads(json.dumps(table.to_json()))
    assert [[cell is not None for cell in row] for row in content["confidences"]] == [
        [bool(c) for c in row] for row in goal
    ]


def test_many_cells_are_seen_as_few_are():
    rng = np.random.default_rng(0)
    cells = [rng.integers(0, 256, (40, 40), dtype=np.uint8) for _ in range(cell_network.CHUNK + 3)]
    alone = np.concatenate([cell_network.look([cell]) for cell in cells[-5:]])
    np.testing.assert_allclose(cell_network.look(cells)[-5:], alone, atol=1e-5)


@pytest.mark.parametrize("size", [(8, 8), (9, 8), (4, 4)])
def test_a_part_of_a_grid_is_not_one(size):
    gray, _ = decode_page(EXAMPLES / "numbers" / "sudoku.jpg")
    with pytest.raises(PictureError, match=r"Received: 9 rows and 9 columns"):
        read_grid(gray, *size)


@pytest.mark.parametrize("picture", [page((300, 300)), np.zeros((1, 1), np.uint8)])
def test_without_a_grid_there_is_one_error(picture):
    with pytest.raises(PictureError, match=r"The grid was not found.*9 rows and 9 columns.*no grid"):
        read_grid(picture, 9, 9)


def test_a_cell_holds_a_digit_of_the_alphabet():
    gray, _ = decode_page(EXAMPLES / "numbers" / "sudoku.jpg")
    free, limited = (read_grid(gray, 9, 9, alphabet=digits).rows for digits in (None, "1-4"))
    known = {digit for row in limited for digit in row if digit}
    assert known <= {*"1234"}
    for row, same in zip(free, limited, strict=True):
        assert all((digit == "") == (other == "") for digit, other in zip(row, same, strict=True))
        assert all(digit == other for digit, other in zip(row, same, strict=True) if digit in {*"1234"})


@pytest.mark.parametrize("alphabet", ["", "0-9.", "abc"])
def test_an_alphabet_that_is_not_of_digits_is_an_error(alphabet):
    with pytest.raises(UsageError, match="A cell of a grid holds a digit"):
        read_grid(EXAMPLES / "numbers" / "sudoku.jpg", 9, 9, alphabet=alphabet)
