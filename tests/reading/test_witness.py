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
    assert right > max(wrong) + 1


def test_signs_and_no_text_at_all_say_nothing(reader, seen):
    with_sign, without, nothing = witness.judge(seen[1], aligned(reader, seen, "4831.", "4831", ""))
    assert with_sign == pytest.approx(without, abs=0.5)
    assert nothing == 0.0


def test_where_there_is_no_ink_every_digit_is_as_probable(reader, seen):
    (said,) = witness.judge(np.zeros_like(seen[1]), aligned(reader, seen, "4831"))
    assert said == pytest.approx(len(witness.MODELS) * 4 * np.log(0.1), abs=1e-4)
