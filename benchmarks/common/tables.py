"""The cells, figures and sentences that the generated pages share.

In: measurements as JSON has them. Out: text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from statistics import mean, median, stdev
from typing import Any

from benchmarks.common.results import Record

NOT_MEASURED = "not measured"
MET = {True: "yes", False: "**no**"}


def row(*cells: object) -> str:
    """One line of a table."""
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def table(header: Sequence[str], rows: Sequence[str]) -> str:
    """A table of lines that `row` made."""
    return "\n".join([row(*header), row(*["---"] * len(header)), *rows])


def spread(figures: Mapping[str, float], unit: str, digits: int) -> str:
    """Median [min–max] with the unit."""
    middle, minimum, maximum = (f"{figures[part]:,.{digits}f}" for part in ("median", "min", "max"))
    return f"{middle} {unit} [{minimum}–{maximum}]"


def percent(values: Sequence[float], digits: int = 2) -> str:
    """Mean ± standard deviation in per cent."""
    return f"{plus_minus([100 * value for value in values], digits)} %"


def plus_minus(values: Sequence[float], digits: int) -> str:
    """Mean ± standard deviation; one value has none."""
    return f"{mean(values):.{digits}f}{deviation(values, digits)}"


def deviation(values: Sequence[float], digits: int) -> str:
    """± the standard deviation; nothing for one value."""
    return f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""


def listed(names: Sequence[str]) -> str:
    """Names of code in a sentence: `a`, `b` and `c`."""
    *first, last = (f"`{name}`" for name in names)
    return " and ".join([", ".join(first), last] if first else [last])


def fields(changes: Mapping[str, Any]) -> str:
    """The changed fields of a recipe, as its file writes them."""
    return ", ".join(f"`{key} = {json.dumps(value)}`" for key, value in changes.items())


def figure(value: float | None) -> str:
    """Two digits after the point, fewer of what is large and more of what is small; – for none."""
    if value is None:
        return "–"
    digits = 3 if value < 0.0995 else 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:,.{digits}f}"


def middle(values: Sequence[float]) -> str:
    """Median [min–max], without the brackets if there is one value."""
    if len(values) == 1:
        return figure(values[0])
    return f"{figure(median(values))} [{figure(min(values))}–{figure(max(values))}]"


def machine_line(what: str, *records: Record) -> str:
    """One sentence: when, on what, with which versions; `records` differ in nothing but when, and the load then."""
    box = records[0]["machine"]
    days = sorted({record["date"][:10] for record in records})
    memory = "" if box["memory_gb"] is None else f" {box['memory_gb']:.0f} GB,"
    loads = sorted({load for record in records if (load := record["machine"]["load_before"]) is not None})
    load = f", load {span(loads)} before" if loads else ""
    libraries = ", ".join(f"{name} {version}" for name, version in records[0]["versions"].items() if version)
    return (
        f"- {what}: {span(days)}, commit {records[0]['commit'] or 'unknown'}; {box['processor']}, "
        f"{box['cores']} cores,{memory} {box['platform']}{load}; {libraries}."
    )


def span(values: Sequence[object]) -> str:
    """The first and the last, or the only one."""
    return "–".join(str(value) for value in dict.fromkeys((values[0], values[-1])))
