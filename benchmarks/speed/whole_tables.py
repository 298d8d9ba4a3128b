"""The part of `docs/benchmarks.md` about whole commands: a training, the same beside another program, the first run.

In: what `speed/whole.py` wrote. Out: rows with bars, and a table of where the seconds of a training go.
"""

from __future__ import annotations

from benchmarks.common.results import Record
from benchmarks.common.tables import MET, NOT_MEASURED, row, spread, table
from benchmarks.speed.whole import BESIDE, COMMAND, FIRST, QUIET

# Key, field, figure, unit, bar.
BARS = (
    (QUIET, "wall_s", "`train fast`, the whole command", "s", 8.0),
    (
        BESIDE,
        "over_quiet",
        "… training beside a program that takes one core, over that alone: the largest",
        "times",
        2.5,
    ),
    (FIRST, "wall_s", "`make run`, everything installed", "s", 10.0),
)


def bars(whole: Record | None) -> list[str]:
    """The rows of the figures that have a bar."""
    rows = []
    for key, field, figure, unit, bar in BARS:
        limit = f"≤ {bar:g} {unit}"
        if whole is None:
            rows.append(row(figure, limit, NOT_MEASURED, "–", "–", f"`{COMMAND}`"))
            continue
        taken = whole["beside_over_quiet"] if field == "over_quiet" else whole[key][field]
        counts = taken["max" if field == "over_quiet" else "median"]
        rows.append(row(figure, limit, spread(taken, unit, 1), MET[counts <= bar], whole["rounds"], f"`{COMMAND}`"))
    return rows


def section(whole: Record) -> str:
    """The seconds of each stage of `train fast`, alone and beside another program."""
    alone, beside = whole[QUIET], whole[BESIDE]
    known = alone["stages"]
    rows = [row(stage, *(spread(part["stages"][stage], "s", 2) for part in (alone, beside))) for stage in known]
    rows.append(row("the whole command", *(spread(part["wall_s"], "s", 2) for part in (alone, beside))))
    rows.append(row("… its processor time", *(spread(part["cpu_s"], "s", 2) for part in (alone, beside))))
    return table(["stage", "two quiet cores", "one core taken by another program"], rows)
