"""What a request to read asks of each image: its numbers, the cells of a grid, or the fields of a form.

In: the parameters of the request, and what reads. Out: a function from an image to what `inkdigit read --json` prints
of it. This file does not know HTTP.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

from inkdigit.errors import UsageError
from inkdigit.model.recognizer import Recognizer
from inkdigit.picture.decode import Opened, decode_page
from inkdigit.reading.cells import parse_digits, parse_size, read_grid
from inkdigit.reading.fields import Form
from inkdigit.reading.pattern import Pattern
from inkdigit.reading.reader import Reader, in_pixels_of

MAX_CELLS = 400  # of a grid: a cell takes a hundredth of a second, and nothing stops before the last one

Found = dict[str, Any]  # what is found in one image, as JSON
CheckTime = Callable[[], None]  # raises TooSlow where nobody waits for the answer any more


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of each image, and the name of the model that answers."""

    model: str
    answer: Callable[[Opened, CheckTime], Found]

    @classmethod
    def of(
        cls,
        reader: Reader,
        cell_model: Recognizer,
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
        if grid is not None and (expect is not None or fields is not None):
            raise UsageError("grid excludes expect and fields", expected="at most alphabet and as_written beside grid")
        if fields is not None and (expect is not None or alphabet is not None):
            raise UsageError("fields excludes expect and alphabet", hint="Each field may have its own.")
        if grid is not None:
            return _cells(cell_model, _size(grid), alphabet, as_written=as_written)
        if fields is not None:
            return _values(Form.parse(fields, reader, where="fields"))
        return _numbers(reader, reader.pattern(expect, alphabet))


def _numbers(reader: Reader, pattern: Pattern | None) -> Asked:
    def answer(picture: Opened, _: CheckTime) -> Found:
        gray, size = decode_page(picture)
        return in_pixels_of(size, reader.read_gray(gray, pattern), gray).to_json()

    return Asked(reader.card.name, answer)


def _size(grid: str) -> tuple[int, int]:
    """Rows and columns, not too many."""
    size = parse_size(grid)
    if prod(size) > MAX_CELLS:
        hint = "`inkdigit read --grid` on your own machine reads larger ones."
        raise UsageError("The grid is too large", expected=f"at most {MAX_CELLS} cells", received=grid, hint=hint)
    return size


def _cells(model: Recognizer, size: tuple[int, int], alphabet: str | None, *, as_written: bool) -> Asked:
    parse_digits(alphabet)  # an error in it comes before any picture

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
