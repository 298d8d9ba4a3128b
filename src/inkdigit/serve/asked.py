"""What a request to read asks of each image: its numbers, the cells of a grid, or the fields of a form.

In: the parameters of the request, and what reads. Out: a function from an image to what `inkdigit read --json` prints
of it. This file does not know HTTP.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from inkdigit.errors import UsageError
from inkdigit.model.recognizer import Recognizer
from inkdigit.picture.decode import Opened, decode_page
from inkdigit.reading.cells import parse_size, read_grid
from inkdigit.reading.fields import Form
from inkdigit.reading.pattern import Pattern
from inkdigit.reading.reader import Reader, in_pixels_of

MAX_FIELDS = 100  # of a form in a request: a pattern may take a tenth of a second before the first field is read

Found = dict[str, Any]  # what is found in one image, as JSON
CheckTime = Callable[[], None]  # raises TooSlow where nobody waits for the answer any more


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of each image, and the name of the model that answers."""

    model: str
    answer: Callable[[Opened, CheckTime], Found]


def ask(
    reader: Reader,
    of_cells: Recognizer,
    *,
    expect: str | None = None,
    alphabet: str | None = None,
    grid: str | None = None,
    as_written: bool = False,
    fields: str | None = None,
) -> Asked:
    """What the parameters of a request ask; they are those of `inkdigit read`, and `fields` is a text of TOML.

    Raises:
        UsageError: they exclude each other, or one is not what it has to be.
    """
    if as_written and grid is None:
        raise UsageError("as_written is for the cells of a grid", expected="grid with it")
    if grid is not None:
        if expect is not None or fields is not None:
            raise UsageError("grid excludes expect and fields")
        return _cells(of_cells, parse_size(grid), alphabet, as_written=as_written)
    if fields is not None:
        if expect is not None or alphabet is not None:
            raise UsageError("fields excludes expect and alphabet", hint="Each field may have its own.")
        return _values(Form.parse(fields, reader, where="fields", max_fields=MAX_FIELDS))
    return _numbers(reader, reader.pattern(expect, alphabet))


def _numbers(reader: Reader, pattern: Pattern | None) -> Asked:
    def answer(picture: Opened, _: CheckTime) -> Found:
        gray, size = decode_page(picture)
        return in_pixels_of(size, reader.read_gray(gray, pattern), gray).to_json()

    return Asked(reader.card.name, answer)


def _cells(model: Recognizer, size: tuple[int, int], alphabet: str | None, *, as_written: bool) -> Asked:
    def answer(picture: Opened, _: CheckTime) -> Found:
        return read_grid(picture, *size, model=model, alphabet=alphabet, as_written=as_written).to_json()

    return Asked(model.name, answer)


def _values(form: Form) -> Asked:
    def answer(picture: Opened, check_time: CheckTime) -> Found:
        values = {}
        for name, reading in form.values(form.page(decode_page(picture)[0])):
            check_time()
            values[name] = reading.to_json()
        return {"fields": values}

    return Asked(form.reader.card.name, answer)
