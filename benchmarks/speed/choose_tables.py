"""The part of a page about what was tried for some of the recipes.

In: the lines of `speed/choose.py`, and what its choices start from. Out: what the template `choices.md.j2` shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean
from typing import Any

from benchmarks.common.results import Record
from benchmarks.common.tables import deviation, fields, listed, middle, percent, row, table
from benchmarks.speed.choices import CHOICES
from inkdigit.report.numbers import signed

BASE = "as it is"  # the candidate that changes nothing
HEADER = ("candidate", "parameters", "held-out accuracy", "difference", "seconds", "n")


def section(
    lines: Sequence[Record], recipes: dict[str, dict[str, str]], *, only: Sequence[str]
) -> dict[str, Any] | None:
    """The section on some recipes, a table each; None where none of them has a line.

    `recipes` is recipe → candidate → its hash as it is now: older lines do not count.
    """
    tables, shown = [], []
    for name in only:
        held = [line for line in lines if not line["smoke"] and line["recipe"] == name]
        groups = {
            what: [line for line in held if line["recipe_sha256"] == sha256] for what, sha256 in recipes[name].items()
        }
        base = {line["seed"]: line["accuracy"] for line in groups[BASE]}
        choice = CHOICES[name]
        rows = [_row(what, group, base, started=bool(choice.start)) for what, group in groups.items() if group]
        if rows:
            shown += [line for group in groups.values() for line in group]
            tables.append(
                {
                    "title": choice.about or f"`{name}`",
                    "pictures": f"{round(shown[-1]['n'], -3):,}",
                    "base": choice.base,
                    "start": fields(choice.start),
                    "table": table(HEADER, rows),
                }
            )
    if not tables:
        return None
    return {
        "heading": heading(only),
        "threads": max(line["threads"] for line in shown),
        "tables": tables,
        "by_hand": any(line["machine"]["load_before"] is None for line in shown),
    }


def heading(only: Sequence[str]) -> str:
    """The section's first line."""
    return f"## What was tried for {listed([name for name in only if not CHOICES[name].about])}"


def _row(what: str, group: Sequence[Record], base: dict[int, float], *, started: bool) -> str:
    points = [100 * (line["accuracy"] - base[line["seed"]]) for line in group if line["seed"] in base]
    against = "–"
    if what != BASE and points:
        against = signed(mean(points)) + deviation(points, 2)
    reached = percent([line["accuracy"] for line in group])
    spent = middle([line["train_seconds"] for line in group])
    called = "the start" if what == BASE and started else what
    return row(called, f"{group[-1]['parameters']:,}", reached, against, spent, len(group))
