"""The part of a page about what was tried for some of the recipes.

In: the lines of `speed/choose.py`, and what its choices start from. Out: blocks of Markdown.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, stdev

from benchmarks.common.tables import Record, fields, middle, percent, row, table
from benchmarks.speed.choices import CHOICES
from inkdigit.report.template import signed

BASE = "as it is"  # the candidate that changes nothing
HEADER = ("candidate", "parameters", "held-out accuracy", "difference", "seconds", "n")
ABOUT = """\
A candidate is one change, or several where its name says so, on pictures by writers that training does not see
(`protocol = "select"`); the test part is not looked at. Differences are from the recipe as it is, or from its start, in
points of accuracy, seed by seed: mean ± standard deviation. Two networks that do not differ may well be 0.05 points
apart on 10,000 pictures, 0.03 on 30,000; among candidates so close the choice was one of taste. Seconds are for scale:
of {threads} thread{s}, other work may have been going on. Repeat it with `python -m benchmarks.speed.choose`."""
TAKEN_OVER = """\
Lines of `choices.jsonl` without a load were measured by hand, by the same calls, before they were candidates there."""


def part(lines: Sequence[Record], recipes: dict[str, dict[str, str]], *, only: Sequence[str]) -> list[str]:
    """The section on some recipes, a table each, or nothing where none of them has a line.

    `recipes` is recipe → candidate → its hash as it is now: older lines do not count.
    """
    tables, shown = [], []
    for name in only:
        held = [line for line in lines if not line["smoke"] and line["recipe"] == name]
        groups = {
            what: [line for line in held if line["recipe_sha256"] == sha256] for what, sha256 in recipes[name].items()
        }
        base = {line["seed"]: line["accuracy"] for line in groups[BASE]}
        rows = [_row(what, group, base, started=bool(CHOICES[name].start)) for what, group in groups.items() if group]
        if rows:
            shown += [line for group in groups.values() for line in group]
            tables += [_about(name, shown[-1]["n"]), table(HEADER, rows)]
    if not tables:
        return []
    threads = max(line["threads"] for line in shown)
    by_hand = any(line["machine"]["load_before"] is None for line in shown)
    about = ABOUT.format(threads=threads, s="s" * (threads > 1))
    return [heading(only), about, *tables, *([TAKEN_OVER] if by_hand else [])]


def heading(only: Sequence[str]) -> str:
    """The section's first line."""
    return f"## What was tried for {' and '.join(f'`{name}`' for name in only if not CHOICES[name].about)}"


def _about(name: str, pictures: int) -> str:
    """What the candidates of a recipe are asked about, and what it was made of if it did not begin as it is now."""
    choice = CHOICES[name]
    said = f"**{choice.about or f'`{name}`'}**, on about {round(pictures, -3):,} held-out pictures"
    if not choice.start:
        return f"{said}."
    return f"{said}. *The start* is `{choice.base}` with {fields(choice.start)}."


def _row(what: str, group: Sequence[Record], base: dict[int, float], *, started: bool) -> str:
    points = [100 * (line["accuracy"] - base[line["seed"]]) for line in group if line["seed"] in base]
    against = "–"
    if what != BASE and points:
        spread = f" ± {stdev(points):.2f}" if len(points) > 1 else ""
        against = f"{signed(mean(points))}{spread}"
    reached = percent([line["accuracy"] for line in group])
    spent = middle([line["train_seconds"] for line in group])
    called = "the start" if what == BASE and started else what
    return row(called, f"{group[-1]['parameters']:,}", reached, against, spent, len(group))
