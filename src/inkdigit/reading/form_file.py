"""The file that describes a form: a TOML table for each field, and what the picture is.

In: a path, or the text of a file. Out: the text, and its tables, which `reading.fields` checks one by one. No NumPy and
no model is needed: a client can say what is wrong before it sends a text.

    page = "photo"                      # or "scan": the picture is the page, to its borders

    [amount]
    box = [0.62, 0.11, 0.93, 0.18]      # left, top, right, bottom: shares of the page's width and height
    expect = '[0-9.]+,-'                # if the value must fit a pattern
    alphabet = "0-9.,-"                 # if it has only these characters
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from inkdigit.errors import UsageError, reason_of
from inkdigit.parsing import parse_toml
from inkdigit.parsing import read_text as read

PHOTO, SCAN = "photo", "scan"
MAX_FIELDS = 1000


def read_text(path: Path) -> str:
    """The text of the file.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return read(path)
    except (OSError, ValueError) as exc:
        raise _unreadable(path, exc) from exc


def parse(text: str, *, where: object) -> tuple[str, dict[str, Any]]:
    """What the picture is, "photo" or "scan", and the table of each field; `where` they are from is named in errors.

    Raises:
        UsageError: it is not TOML, or does not describe a form.
    """
    try:
        fields = parse_toml(text)
    except ValueError as exc:
        raise _unreadable(where, exc) from exc
    page = fields.pop("page", PHOTO)
    if page not in (PHOTO, SCAN):
        raise UsageError(f"{where}: page is unknown", expected=f"{PHOTO} or {SCAN}", received=repr(page)[:80])
    if not 1 <= len(fields) <= MAX_FIELDS:
        raise UsageError(
            f"{where}: it does not describe a form",
            expected=f"1 to {MAX_FIELDS:,} tables, one for each field",
            received=len(fields),
        )
    return page, fields


def _unreadable(where: object, exc: Exception) -> UsageError:
    return UsageError(f"{where}: the fields cannot be read ({reason_of(exc)})", expected="a TOML file")
