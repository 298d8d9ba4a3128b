"""Tables of `docs/robustness.md`: how ink is found, by rules as up to version 0.2 and by the network, and hands.

In: the lines of `results/ink.jsonl`. Out: tables as text, and sentences about what they show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.common.results import Record, latest
from benchmarks.common.tables import NOT_MEASURED, machine_line, row, table
from benchmarks.robustness.cells import MAX_OFF
from benchmarks.robustness.sweep import FACTORS

PATHS = {"old": "rules (0.2)", "new": "ink network"}
FOLDERS = {
    "photos/single": "photos of single digits",
    "cases/single": "cases: single digits",
    "cases/single, on their side": "the same, lying on their side",
    "cases/strings": "cases: several digits",
    "photos/strings": "photos of several digits",
    "cases/nondigit": "cases: not a digit",
    "cases/hard": "cases chosen because rules failed",
}
WHEN = {"old": "0.2", "new": "now"}  # rules and models of version 0.2; the ink network and today's models

Lines = Mapping[tuple[str, str], Record]  # by what was measured, and of which photo path


def shown(lines: Sequence[Record], model: str) -> Lines:
    """The last line of each measurement and photo path."""
    known = latest(lines, lambda line: (line["what"], line["path"], line["model"]))
    return {(what, path): line for (what, path, name), line in known.items() if name == model and what != "hands"}


def hands(lines: Sequence[Record]) -> str | None:
    """One row for each set and model: digits that are right, and how many are answered, before and now."""
    known = latest((line for line in lines if line["what"] == "hands"), lambda line: (line["model"], line["path"]))
    models = list(dict.fromkeys(model for model, _ in known))
    if not models:
        return None
    paths = {path: title for path, title in WHEN.items() if any(known_path == path for _, known_path in known)}
    rows = []
    for name in next(iter(known.values()))["hands"]:
        for model in models:
            sets = [known[model, path]["hands"][name] if (model, path) in known else None for path in paths]
            n = next(one["n"] for one in sets if one)
            cells = [NOT_MEASURED if one is None else _right_and_answered(one) for one in sets]
            rows.append(row(name, f"{n:,}", f"`{model}`", *cells))
    return table(["digits", "n", "model", *(f"{title}: right / answered / wrong" for title in paths.values())], rows)


def _right_and_answered(figures: Mapping[str, Any]) -> str:
    return f"{100 * figures['accuracy']:.2f} % / {100 * figures['answered']:.2f} % / {figures['wrong']:,}"


def content(known: Lines) -> dict[str, Any] | None:
    """What the template shows; None if nothing was measured with the network."""
    if not any(path == "new" for _, path in known):
        return None
    return {
        "cases": _side_by_side(_both(known, "cases", lambda line: line["sets"]), FOLDERS, per_cent=False),
        "usps": _usps(known),
        "ece": "; ".join(
            f"{known['cases', path]['ece']:.3f} with {title}"
            for path, title in PATHS.items()
            if known.get(("cases", path), {}).get("ece")
        ),
        "tight": _tight(known),
        "cells": _cells(known),
        "grids": _grids(known),
        "off": f"{100 * MAX_OFF:.0f} %",
        "sweep": _sweep(known.get(("sweep", "new"))),
        "machines": _machines(known),
    }


def _both(known: Lines, what: str, pick: Any) -> dict[str, Mapping[str, Any] | None]:
    """Old and new figures of one measurement; None where it was not made."""
    return {path: pick(known[what, path]) if (what, path) in known else None for path in PATHS}


def _side_by_side(figures: Mapping[str, Mapping[str, Any] | None], names: Mapping[str, str], *, per_cent: bool) -> str:
    """One row of counts for each name: right, wrong and refused, old and new."""
    rows = []
    for name, title in names.items():
        counts = [None if sets is None else sets.get(name) for sets in figures.values()]
        n = next((f"{one['n']:,}" for one in reversed(counts) if one), NOT_MEASURED)
        rows.append(row(title, n, *(cell for one in counts for cell in _counted(one, per_cent=per_cent))))
    header = [f"{kind}, {title}" for title in PATHS.values() for kind in ("right", "wrong", "refused")]
    return table(["images", "n", *header], rows)


def _counted(counts: Mapping[str, Any] | None, *, per_cent: bool) -> list[str]:
    if counts is None:
        return [NOT_MEASURED, "", ""]
    kinds = [counts[kind] for kind in ("right", "wrong", "refused")]
    return [f"{100 * number / counts['n']:.1f} %" if per_cent else f"{number:,}" for number in kinds]


def _usps(known: Lines) -> str:
    """Accuracy and coverage on USPS, old and new."""
    told = []
    for path, title in PATHS.items():
        figures = known.get(("cases", path), {}).get("usps")
        if figures is not None:
            share = f"{100 * figures['accuracy']:.2f} %"
            told.append(f"{share} with {title}, {figures['refused']} of {figures['n']:,} refused")
    return "; ".join(told)


def _tight(known: Lines) -> str:
    """Two rows for each source, rules and network; in each margin's column the shares that are right and wrong."""
    figures = {
        path: margins for path, margins in _both(known, "tight", lambda line: line["margins"]).items() if margins
    }
    names = list(dict.fromkeys(margin for margins in figures.values() for margin in margins))
    sources = list(
        dict.fromkeys(source for margins in figures.values() for sets in margins.values() for source in sets)
    )
    rows = []
    for source in sources:
        for path, margins in figures.items():
            counts = [margins.get(margin, {}).get(source) for margin in names]
            n = next(one["n"] for one in counts if one)
            rows.append(row(source, f"{n:,}", PATHS[path], *map(_right_and_wrong, counts)))
    return table(["digits", "n", "found by", *(f"{margin} %" for margin in names)], rows)


def _right_and_wrong(counts: Mapping[str, Any] | None) -> str:
    if counts is None:
        return NOT_MEASURED
    return " / ".join(f"{100 * counts[kind] / counts['n']:.1f}" for kind in ("right", "wrong"))


def _cells(known: Lines) -> str:
    """One row for each kind of cell and each size."""
    figures = _both(known, "cells", lambda line: line["cells"])
    names = list(dict.fromkeys(name for sets in figures.values() if sets for name in sets))
    return _side_by_side(figures, {name: name for name in names}, per_cent=True)


def _grids(known: Lines) -> str:
    """In how many sudoku photos the grid was found."""
    found = known.get(("cells", "new"), {}).get("grids", {})
    return " and ".join(f"{one['found']} of {one['n']} in `{name}`" for name, one in found.items())


def _sweep(line: Record | None) -> dict[str, Any] | None:
    """How right and wrong answers change with each number of the photo path."""
    if line is None:
        return None
    before = line["as_is"]
    by_name: dict[str, dict[float, Record]] = {}
    for one in line["changed"]:
        by_name.setdefault(one["name"], {})[one["factor"]] = one
    rows = []
    for name, tries in by_name.items():
        value = next(iter(tries.values()))["value"]
        cells = [_changed(tries[factor]["sets"], before) if factor in tries else "the same" for factor in FACTORS]
        rows.append(row(f"`{name.removeprefix('inkdigit.picture.photo.')}`", f"{value:g}", *cells))
    totals = [sum(counts[kind] for counts in before.values()) for kind in ("n", "right", "wrong")]
    return {
        "n": f"{totals[0]:,}",
        "right": f"{totals[1]:,}",
        "wrong": f"{totals[2]:,}",
        "table": table(["number", "value", *(f"{100 * factor:.0f} % of it" for factor in FACTORS)], rows),
    }


def _changed(sets: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    """By how many images right and wrong answers differ, over all sets."""
    right, wrong = (sum(sets[name][kind] - before[name][kind] for name in before) for kind in ("right", "wrong"))
    return f"{right:+d} right, {wrong:+d} wrong" if right or wrong else "0"


def _machines(known: Lines) -> list[str]:
    return [
        machine_line(f"`python -m benchmarks.robustness.{what}`, {PATHS[path]}", line)
        for (what, path), line in sorted(known.items())
    ]
