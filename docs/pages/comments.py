"""What a class says about its fields in comments, as their docstrings, for the reference of Python.

In: the classes that Griffe has read. Out: the same, whose fields have for docstrings the comment at the end of their
line, and the sentences in comments above it. A comment that is no sentence is a heading among fields, and stays out.
"""

from __future__ import annotations

import io
import tokenize
from functools import cache
from pathlib import Path
from typing import Any

import griffe


class Comments(griffe.Extension):
    """Reads the comments of fields."""

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Give a field of a class its comment."""
        if attr.docstring is None and attr.parent is not None and attr.parent.is_class and attr.lineno:
            path = attr.filepath
            if isinstance(path, Path) and (text := comment(path, attr.lineno, attr.endlineno or attr.lineno)):
                attr.docstring = griffe.Docstring(text, parent=attr, lineno=attr.lineno)


def comment(path: Path, first: int, last: int) -> str:
    """The comment that belongs to the lines from `first` to `last`; empty if there is none."""
    found = comments(path)
    above: list[str] = []
    line = first - 1
    while line in found and found[line][0]:
        above.insert(0, found[line][1])
        line -= 1
    parts = [" ".join(above)] if above and above[-1].endswith(".") else []
    parts += [found[line][1] for line in range(first, last + 1) if line in found and not found[line][0]]
    return sentence(" ".join(parts))


@cache
def comments(path: Path) -> dict[int, tuple[bool, str]]:
    """The comments of a file by their lines; True for those that have a line of their own."""
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
    return {
        token.start[0]: (not token.line[: token.start[1]].strip(), token.string.lstrip("# "))
        for token in tokens
        if token.type == tokenize.COMMENT
    }


def sentence(text: str) -> str:
    """A comment with a capital letter and a full stop; a value that it begins with, as in `auto: …`, stays as it is."""
    start = text[:1] if text.partition(" ")[0].endswith(":") else text[:1].upper()
    return start + text[1:] + ("." if text and not text.endswith((".", "?")) else "")
