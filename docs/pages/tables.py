"""Tables in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table whose cells hold Markdown; a bar within a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", r"\|") for cell in line) + " |" for line in lines)


def sentence(text: str) -> str:
    """A text of several lines as one, for a cell."""
    return " ".join(text.split())


def plain(text: str) -> str:
    """The help of an option as one line of Markdown that shows each sign as it is, outside of code."""
    parts = re.split(r"(`[^`]*`)", sentence(text))
    return "".join(part if part.startswith("`") else re.sub(r"([*_<\[])", r"\\\1", part) for part in parts)
