"""What a request to read asks: numbers, a grid or a form; and that a form stops where nobody waits any more."""

from __future__ import annotations

from pathlib import Path

import pytest

from inkdigit.errors import TooSlow, UsageError
from inkdigit.model.recognizer import Recognizer
from inkdigit.picture.decode import open_picture
from inkdigit.reading.reader import Reader
from inkdigit.serve.asked import ask

NUMBERS = Path(__file__).parents[2] / "examples" / "numbers"
FIELDS = "[a]\nbox = [0, 0, 0.5, 0.5]\n[b]\nbox = [0.5, 0.5, 1, 1]\n[c]\nbox = [0, 0.5, 0.5, 1]\n"


@pytest.fixture(scope="module")
def models() -> tuple[Reader, Recognizer]:
    return Reader.load(), Recognizer.load()


def test_a_form_is_read_field_by_field_until_nobody_waits(models):
    asked = ask(*models, fields=f"page = 'scan'\n{FIELDS}")
    picture = open_picture(NUMBERS / "form.jpg")
    assert list(asked.answer(picture, lambda: None)["fields"]) == ["a", "b", "c"]
    waits = iter([True, True])

    def check_time() -> None:
        if not next(waits, False):
            raise TooSlow("nobody waits")

    with pytest.raises(TooSlow):
        asked.answer(open_picture(NUMBERS / "form.jpg"), check_time)


def test_each_answer_says_which_model_it_is_of(models):
    reader, of_cells = models
    assert ask(*models).model == ask(*models, fields=FIELDS).model == reader.card.name
    assert ask(*models, grid="9x9").model == of_cells.name


@pytest.mark.parametrize(
    "parameters",
    [
        {"as_written": True},
        {"grid": "9"},
        {"grid": "9x9", "expect": "1"},
        {"grid": "9x9", "fields": FIELDS},
        {"fields": FIELDS, "alphabet": "0-9"},
        {"fields": "= 1"},
        {"expect": "["},
    ],
    ids=str,
)
def test_what_excludes_each_other_or_is_wrong_is_one_error(models, parameters):
    with pytest.raises(UsageError):
        ask(*models, **parameters)
