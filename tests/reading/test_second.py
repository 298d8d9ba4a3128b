"""The second reader of a line: what it sees, and that it reads."""

from __future__ import annotations

import numpy as np
import pytest

from inkdigit.reading import second
from inkdigit.reading.ctc import agree
from inkdigit.reading.reader import Reader
from inkdigit.reading.view import LEANS, LEAST_ROWS, LOW_PX, low, view
from inkdigit.types import ALPHABET

from .conftest import page, write


def seen_with(rows: slice, width: int = 96):
    seen = np.zeros((2, 48, width), np.uint8)
    seen[:, rows, 20:40] = 255
    return seen


def test_a_low_view_has_the_rows_of_the_ink():
    tall = low(seen_with(slice(8, 40)))
    assert tall.shape[:2] == (2, LOW_PX)
    assert tall.shape[2] % 16 == 0
    inked = tall[1, :, tall.shape[2] * 30 // 96] > 100
    assert inked[1:-1].all()  # from the top to the bottom, but for a row of paper


def test_a_dash_is_not_enlarged_to_the_height_of_a_digit():
    dash = low(seen_with(slice(22, 26)))
    inked = (dash[1].max(axis=1) > 100).sum()
    assert inked == pytest.approx(4 * LOW_PX / LEAST_ROWS, abs=2)
    for rows in (slice(0, 3), slice(46, 48)):  # also at an edge
        assert (low(seen_with(rows))[1].max(axis=1) > 100).sum() < LOW_PX // 3


def test_a_view_without_ink_is_seen_whole():
    assert low(np.zeros((2, 48, 96), np.uint8)).shape == (2, LOW_PX, 64)


def test_it_reads_a_number_upright_and_leaning():
    sheet = page((60, 150))
    write(sheet, "4831", 10, 10)
    rows = second.look(view(sheet))
    assert len(rows) == 1 + len(LEANS)
    assert {each.shape[1] for each in rows} == {1 + len(ALPHABET)}
    assert agree(rows, ALPHABET).text == "4831"


def test_the_bundled_reader_asks_it_and_a_reader_of_somebody_else_does_not(reader, tmp_path, monkeypatch):
    sheet, asked, look = page((60, 150)), [], second.look
    write(sheet, "4831", 10, 10)
    monkeypatch.setattr("inkdigit.reading.reader.SURE", 1.1)  # nothing is
    monkeypatch.setattr(second, "look", lambda seen: asked.append(seen.shape) or look(seen))
    own = tmp_path / "own.onnx"
    own.write_bytes(reader.path.read_bytes())
    assert Reader.load(own).read(sheet)[0].text == "4831"
    assert not asked
    assert reader.read(sheet)[0].text == "4831"
    assert len(asked) == 1
