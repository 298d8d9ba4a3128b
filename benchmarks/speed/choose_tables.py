"""The part of a page about what was tried for some of the recipes.

In: the lines of `speed/choose.py`, and what its choices start from. Out: what the template `choices.md.j2` shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean
from typing import Any

from benchmarks.common.results import Record, latest
from benchmarks.common.tables import deviation, fields, listed, middle, percent, row, table
from benchmarks.speed.choices import CHOICES
from inkdigit.report.numbers import signed

BASE = "as it is"  # the candidate that changes nothing
CROSS_ENTROPY, NOTHING = "cross-entropy", "–"
HEADER = ("candidate", "parameters", "held-out accuracy", "difference", CROSS_ENTROPY, "seconds", "n")


def section(
    lines: Sequence[Record], recipes: dict[str, dict[str, str]], *, only: Sequence[str]
) -> dict[str, Any] | None:
    """The section on some recipes, a table each; None where none of them has a line.

    `recipes` is recipe → candidate → its hash as it is now: older lines do not count. A candidate of several tables
    was trained for one of them.
    """
    measured = list(latest(lines, lambda line: (line["recipe_sha256"], line["seed"])).values())
    tables, shown = [], []
    for name in only:
        groups = {
            what: [line for line in measured if line["recipe_sha256"] == sha256]
            for what, sha256 in recipes[name].items()
        }
        base = {line["seed"]: line for line in groups[BASE]}
        choice = CHOICES[name]
        rows = [_cells(what, group, base, started=bool(choice.start)) for what, group in groups.items() if group]
        if rows:
            shown += [line for group in groups.values() for line in group]
            tables.append(
                {
                    "title": choice.about or f"`{name}`",
                    "pictures": f"{round(shown[-1]['n'], -3):,}",
                    "base": choice.base,
                    "start": fields(choice.start),
                    "table": _table(rows),
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


def _table(rows: Sequence[Sequence[str]]) -> str:
    """A row for each candidate; without the column of cross-entropies where no line has any."""
    columns = [
        column
        for column in zip(HEADER, *rows, strict=True)
        if column[0] != CROSS_ENTROPY or set(column[1:]) != {NOTHING}
    ]
    header, *body = zip(*columns, strict=True)
    return table(header, [row(*cells) for cells in body])


def _cells(what: str, group: Sequence[Record], base: dict[int, Record], *, started: bool) -> list[str]:
    pairs = [(line, base[line["seed"]]) for line in group if line["seed"] in base and what != BASE]
    points = [100 * (line["accuracy"] - start["accuracy"]) for line, start in pairs]
    against = signed(mean(points)) + deviation(points, 2) if points else NOTHING
    reached = percent([line["accuracy"] for line in group])
    spent = middle([line["train_seconds"] for line in group])
    called = "the start" if what == BASE and started else what
    return [called, f"{group[-1]['parameters']:,}", reached, against, _loss(group, pairs), spent, str(len(group))]


def _loss(group: Sequence[Record], pairs: Sequence[tuple[Record, Record]]) -> str:
    """The cross-entropy of the start; that of others in per cent of it, seed by seed. Older lines have none."""
    parts = [100 * (line["nll"] / start["nll"] - 1) for line, start in pairs if "nll" in line and "nll" in start]
    if parts:
        return f"{signed(mean(parts), 1)}{deviation(parts, 1)} %"
    losses = [line["nll"] for line in group if "nll" in line]
    return f"{mean(losses):.4f}" if losses and not pairs else NOTHING
