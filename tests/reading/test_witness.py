"""The second witness of a line: what a model for single digits says of each of its digits."""

from __future__ import annotations

import numpy as np
import pytest

from inkdigit.reading import witness
from inkdigit.reading.ctc import align
from inkdigit.reading.reader import Reader
from inkdigit.reading.view import view

from .conftest import page, write


@pytest.fixture(scope="module")
def seen():
    sheet = page((60, 150))
    write(sheet, "4831", 10, 10)
    return view(sheet)


def aligned(reader: Reader, seen, *texts: str):
    rows = reader.log_probs(seen[None])[0].astype(np.float64)
    return [align(rows, text, 0.0, reader.alphabet) for text in texts]


def test_the_text_whose_digits_are_there_is_the_most_probable(reader, seen):
    right, *wrong = witness.judge(seen[1], aligned(reader, seen, "4831", "4837", "4031", "9831"))
    assert right > max(wrong) + witness.ALONE


def test_signs_and_no_text_at_all_say_nothing(reader, seen):
    with_sign, without, nothing = witness.judge(seen[1], aligned(reader, seen, "4831.", "4831", ""))
    assert with_sign == pytest.approx(without, abs=0.5)
    assert nothing == 0.0


def test_where_there_is_no_ink_every_digit_is_as_probable(reader, seen):
    (said,) = witness.judge(np.zeros_like(seen[1]), aligned(reader, seen, "4831"))
    assert said == pytest.approx(witness.ALONE * len(witness.MODELS) * 4 * np.log(0.1), abs=1e-4)


def test_digits_that_a_stroke_joins_count_less(reader, seen):
    texts = aligned(reader, seen, "4831", "4931")
    right, wrong = witness.judge(seen[1], texts)
    struck = seen[1].copy()
    struck[24:27] = 255  # a stroke through all of them
    joined, also = witness.judge(struck, texts)
    assert right - wrong > witness.ALONE
    assert abs(joined - also) < witness.JOINED * len(witness.MODELS) * -np.log(witness.LEAST)


def test_a_stroke_that_ends_before_a_column_does_not_join_it():
    ink = np.zeros((4, 8), bool)
    ink[0, :3] = ink[1, 3:5] = True  # one stroke, a row lower from the third column on
    ink[3, 6] = True
    assert np.flatnonzero(witness._joined(ink)).tolist() == [1, 2, 3, 4]
