"""What a request to read asks: numbers, a grid or a form; and that a form stops where nobody waits any more."""

from __future__ import annotations

from pathlib import Path

import pytest

from inkdigit.errors import TooSlow, UsageError
from inkdigit.model.recognizer import Recognizer
from inkdigit.picture.decode import open_picture
from inkdigit.reading.reader import Reader
from inkdigit.serve.asked import Asked

NUMBERS = Path(__file__).parents[2] / "examples" / "numbers"
FIELDS = "[a]\nbox = [0, 0, 0.5, 0.5]\n[b]\nbox = [0.5, 0.5, 1, 1]\n[c]\nbox = [0, 0.5, 0.5, 1]\n"


@pytest.fixture(scope="module")
def models() -> tuple[Reader, Recognizer]:
    return Reader.load(), Recognizer.load()


def test_a_form_is_read_field_by_field_until_nobody_waits(models, monkeypatch):
    read = []
    look = Reader.read_gray
    monkeypatch.setattr(Reader, "read_gray", lambda *words: read.append(1) or look(*words))
    asked = Asked.of(*models, fields=f"page = 'scan'\n{FIELDS}")
    answer = asked.answer(open_picture(NUMBERS / "form.jpg"), lambda: None)
    assert (list(answer["fields"]), len(read)) == (["a", "b", "c"], 3)
    waits = iter([True])

    def check_time() -> None:
        if not next(waits, False):
            raise TooSlow("nobody waits")

    with pytest.raises(TooSlow):
        asked.answer(open_picture(NUMBERS / "form.jpg"), check_time)
    assert len(read) == 3 + 2


def test_each_answer_says_which_model_it_is_of(models):
    reader, cell_model = models
    assert Asked.of(*models).model == Asked.of(*models, fields=FIELDS).model == reader.card.name
    assert Asked.of(*models, grid="20x20").model == cell_model.name


@pytest.mark.parametrize(
    "parameters",
    [
        {"as_written": True},
        {"grid": "9"},
        {"grid": "21x20"},
        {"grid": "9x9", "expect": "1"},
        {"grid": "9x9", "alphabet": "abc"},
        {"grid": "9x9", "fields": FIELDS},
        {"fields": FIELDS, "alphabet": "0-9"},
        {"fields": "= 1"},
        {"expect": "["},
    ],
    ids=str,
)
def test_what_excludes_each_other_or_is_wrong_is_one_error(models, parameters):
    with pytest.raises(UsageError):
        Asked.of(*models, **parameters)
