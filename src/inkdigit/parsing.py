"""Text that others wrote → plain values: a text file, TOML, JSON, with bounds on size and depth.

In: a path or a text. Out: dictionaries, lists, strings and numbers. Every problem is one `ValueError` with a short
message; the caller makes an error of the tree of it. No text can cause deep recursion, or take more time or memory than
is proportional to its length.
"""

from __future__ import annotations

import json
import os
import reprlib
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

MAX_TEXT_BYTES = 2**20  # of a report, a list of class names: ours have a few kilobytes
MAX_TOML_CHARACTERS = 2**16  # of a recipe, a search space: ours have two thousand
# The time and memory of Python's parser grow with the square of the parts of a dotted key: 50,000 take a minute.
MAX_DOTS = 512  # in a line
MAX_NUMBER = 2**63  # a whole number must be below: TOML has no larger ones, and Python does not print huge ones
MAX_DEPTH = 32  # of nested lists and tables: ours have at most eight

TOO_MANY_DIGITS = "a number in it has too many digits"


def open_regular(path: Path) -> BinaryIO:
    """Open a file that has an end: not a pipe, not a device.

    Raises:
        OSError: there is no such file, or it cannot be read.
        ValueError: it is not a regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError("it is not a regular file")
    return os.fdopen(descriptor, "rb")


def read_bytes(path: Path, *, max_bytes: int) -> bytes:
    """The bytes of a regular file.

    Raises:
        OSError: there is no such file, or it cannot be read.
        ValueError: it is not a regular file, or larger than `max_bytes`.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        data = file.read(max_bytes + 1) if size <= max_bytes else b""
    if size > max_bytes or len(data) > max_bytes:
        raise ValueError(f"it is larger than {max_bytes:,} bytes")
    return data


def read_text(path: Path, *, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """The text of a regular file in UTF-8.

    Raises:
        OSError: there is no such file, or it cannot be read.
        ValueError: it is not a regular file, larger than `max_bytes`, or not UTF-8.
    """
    return read_bytes(path, max_bytes=max_bytes).decode("utf-8-sig")


def parse_toml(text: str) -> dict[str, Any]:
    """The table that a TOML text describes.

    Raises:
        ValueError: it is not TOML, nested too deep, or a number in it has too many digits.
    """
    import tomllib  # answering does not need it

    if len(text) > MAX_TOML_CHARACTERS:
        raise ValueError(f"it is longer than {MAX_TOML_CHARACTERS:,} characters")
    if any(line.count(".") > MAX_DOTS for line in text.split("\n")):  # other ends of lines may stand in a quoted key
        raise ValueError(f"a line in it has more than {MAX_DOTS} dots")
    with _bounded():
        table = tomllib.loads(text)
    check_plain(table)
    return table


def parse_json(text: str | bytes) -> Any:
    """The value that a JSON text describes.

    Raises:
        ValueError: it is not JSON, nested too deep, or a number in it has too many digits.
    """
    with _bounded():
        value = json.loads(text)
    check_plain(value)
    return value


@contextmanager
def _bounded() -> Iterator[None]:
    """Give the errors of Python's parsers a message of ours."""
    try:
        yield
    except RecursionError as exc:
        raise ValueError("it is nested too deep") from exc
    except ValueError as exc:
        if "integer string conversion" in str(exc):
            raise ValueError(TOO_MANY_DIGITS) from exc
        raise


def check_plain(value: Any) -> None:
    """Check that a value is nested at most `MAX_DEPTH` deep, and that its strings and numbers can be written again.

    Raises:
        ValueError: it is deeper, a whole number is too large, or a string holds half of a character (a surrogate).
    """
    level = [value]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner += item.keys()
                inner += item.values()
            elif isinstance(item, list):
                inner += item
            elif isinstance(item, str) and not item.isascii():
                item.encode()  # UnicodeEncodeError is a ValueError
            elif isinstance(item, int) and abs(item) >= MAX_NUMBER:
                raise ValueError(TOO_MANY_DIGITS)
        if not inner:
            return
        level = inner
    raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")


def shorten(value: Any) -> str:
    """A value as an error shows it: a few hundred characters at most, however large or nested it is."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = 120
    short.maxlong = 40
    short.maxlist = short.maxtuple = 12
    try:
        return short.repr(value)
    except ValueError:  # Python does not print numbers of more than 4,300 digits
        return "a number of too many digits"
