"""The fields of a form: named boxes on a page, one value each.

In: a TOML file that names the boxes (`reading.form_file` shows one), a photo or a scan of the form, and a line reader.
Out: a `Reading` for each name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inkdigit.errors import UsageError, did_you_mean
from inkdigit.page.sheet import flatten
from inkdigit.picture.decode import Picture, decode_page
from inkdigit.reading import form_file
from inkdigit.reading.pattern import Pattern
from inkdigit.reading.reader import Reader
from inkdigit.types import Box, Gray, Reading

KEYS = ("box", "expect", "alphabet")
TAKEN = ("file", "error")  # columns of CSV
MAX_SIZE = 400_000  # of all patterns together: twice what one may have, 15 MB, a fifth of a second


@dataclass(frozen=True, slots=True)
class Field:
    """One box of a form."""

    name: str
    box: tuple[float, float, float, float]  # left, top, right, bottom in shares of the page
    pattern: Pattern | None

    def place(self, page: Gray) -> Box:
        """The box in the pixels of a page (h, w)."""
        h, w = page.shape
        left, top = min(w - 1, round(self.box[0] * w)), min(h - 1, round(self.box[1] * h))
        return top, left, max(top + 1, round(self.box[3] * h)), max(left + 1, round(self.box[2] * w))


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a form, and the reader of their values."""

    fields: tuple[Field, ...]
    reader: Reader
    is_photo: bool

    @classmethod
    def load(cls, path: Path, reader: Reader) -> Form:
        """The form that a TOML file describes.

        Raises:
            UsageError: the file cannot be read, or it does not describe a form.
        """
        return cls.parse(form_file.read_text(path), reader, where=path)

    @classmethod
    def parse(cls, text: str, reader: Reader, *, where: object) -> Form:
        """The form that a TOML text describes; `where` it is from is named in errors.

        Raises:
            UsageError: it does not describe a form, or its patterns together are too large.
        """
        page, tables = form_file.parse(text, where=where)
        fields: list[Field] = []
        size = 0
        for name, entry in tables.items():
            field = _field(f"{where}: [{name}]", name, entry, reader)
            size += field.pattern.size if field.pattern else 0
            if size > MAX_SIZE:
                raise UsageError(
                    f"{where}: the patterns of the fields are too large", hint="Make some of them simpler."
                )
            fields.append(field)
        return cls(tuple(fields), reader, page == form_file.PHOTO)

    def read(self, gray: Gray) -> dict[str, Reading]:
        """The value of each field in a picture (H, W); boxes are in pixels of the page, seen from straight above."""
        return self.read_page(self.page(gray))

    def page(self, gray: Gray) -> Gray:
        """The page (h, w) of a picture (H, W), seen from straight above."""
        return flatten(gray) if self.is_photo else gray

    def read_page(self, page: Gray) -> dict[str, Reading]:
        """The value of each field of a page (h, w); boxes are in its pixels."""
        return dict(self.values(page))

    def values(self, page: Gray) -> Iterator[tuple[str, Reading]]:
        """The name and the value of one field of a page (h, w) after the other."""
        for field in self.fields:
            yield field.name, self._value(page, field)

    def _value(self, page: Gray, field: Field) -> Reading:
        top, left, bottom, right = field.place(page)
        reading = self.reader.read_gray(page[top:bottom, left:right], field.pattern)
        return reading.placed(offset=(top, left))


def read_form(picture: Picture, fields: str | Path, *, model: Reader | str | Path = "default") -> dict[str, Reading]:
    """Read the named boxes of a form, which the TOML file `fields` describes; the result has a reading for each name.

    Raises:
        PictureError: the picture cannot be read, or the page is not found in it.
        UsageError: the file does not describe a form, or there is no such model.
    """
    return Form.load(Path(fields), Reader.of(model)).read(decode_page(picture)[0])


def _field(where: str, name: str, entry: Any, reader: Reader) -> Field:
    """A field from its table. Raises UsageError if it is not one."""
    if not isinstance(entry, dict):
        raise UsageError(f"{where} is not a field", expected="a table with a box")
    if name in TAKEN:
        raise UsageError(f"{where}: this name is taken", expected=f"another name than {' and '.join(TAKEN)}")
    if unknown := sorted(entry.keys() - set(KEYS)):
        raise UsageError(
            f"{where} has an unknown key {unknown[0]!r}", expected=", ".join(KEYS), hint=did_you_mean(unknown[0], KEYS)
        )
    box: Any = entry.get("box")
    is_numbers = isinstance(box, list) and len(box) == 4 and all(type(side) in (int, float) for side in box)
    if not is_numbers or not (0 <= box[0] < box[2] <= 1 and 0 <= box[1] < box[3] <= 1):
        raise UsageError(
            f"{where}: the box is not on the page",
            expected="[left, top, right, bottom] from 0 to 1, left < right and top < bottom",
            received=repr(box)[:80],
        )
    limits = {key: entry.get(key) for key in ("expect", "alphabet")}
    if not all(value is None or isinstance(value, str) for value in limits.values()):
        raise UsageError(f"{where}: expect and alphabet are texts")
    try:
        pattern = reader.pattern(limits["expect"], limits["alphabet"])
    except UsageError as exc:
        raise UsageError(f"{where}: {exc}") from exc
    return Field(name, (box[0], box[1], box[2], box[3]), pattern)
