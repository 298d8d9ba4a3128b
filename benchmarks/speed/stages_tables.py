"""The part of `docs/benchmarks.md` about prediction, stage by stage.

In: what `stages.py` measured. Out: tables, and the figures that the template quotes.
"""

from __future__ import annotations

from typing import Any

from benchmarks.common.results import Record
from benchmarks.common.tables import MET, row, spread, table

ARRAYS_BAR, FILES_BAR = 12_000, 1.5  # images a second; times decoding alone
# Each stage: its key in the record, and what the page calls it, with numbers of the record.
STAGES = {
    "read": "read a PNG file",
    "decode": "read and decode a PNG file",
    "decode_threads": "… in two threads",
    "csv": "read a row of a CSV",
    "prepare_one": "preprocessing, one by one",
    "prepare": "preprocessing, all together",
    "graph_one": "the network, one at a time",
    "graph_chunk": "the network, {chunk} at a time",
    "graph_many": "the network, {many} at a time",
    "graph": "the network, {chunk} at a time on all cores",
    "answers": "making the predictions",
}
# Each path that a user calls: what the page calls it, and the stages it goes through.
PATHS = {
    "arrays": ("an array (N, 28, 28)", ("prepare", "graph", "answers")),
    "list": ("a list of N arrays", ("prepare", "graph", "answers")),
    "files": ("a list of PNG files", ("decode", "prepare", "graph", "answers")),
    "command": ("`inkdigit predict FOLDER…`, start included", ("decode", "prepare", "graph", "answers")),
    "rows": ("the rows of a CSV", ("csv", "prepare", "graph", "answers")),
    "data": ("a folder opened as data", ("decode", "prepare")),
}


def section(record: Record) -> dict[str, Any]:
    """The section of the page."""
    names = {key: text.format(**record) for key, text in STAGES.items()}
    times = {key: spread(figures, "", 2).replace("  ", " ") for key, figures in record["times_decoding"].items()}
    return {
        "model": record["model"],
        "pictures": f"{record['pictures']:,}",
        "rounds": record["rounds"],
        "cores": record["machine"]["cores"],
        "stages": _stages(record["us"], names),
        "paths": _paths(record, names),
        "times": times,
    }


def _stages(us: Record, names: dict[str, str]) -> str:
    rows = [row(names[key], spread(us[key], "µs", 1), f"{1e6 / us[key]['median']:,.0f}") for key in STAGES]
    return table(("stage", "per image", "limit, images/s"), rows)


def _paths(record: Record, names: dict[str, str]) -> str:
    us, files = record["us"], record["times_decoding"]["files"]
    bars = {
        "arrays": (f"≥ {ARRAYS_BAR:,} a second", MET[1e6 / us["arrays"]["median"] >= ARRAYS_BAR]),
        "files": (f"≤ {FILES_BAR} times decoding", MET[files["median"] <= FILES_BAR]),
    }
    rows = []
    for key, (what, through) in PATHS.items():
        slowest = max(through, key=lambda stage: us[stage]["median"])
        near = f"{100 * us[slowest]['median'] / us[key]['median']:.0f} % of: {names[slowest]}"
        figures = (spread(us[key], "µs", 1), f"{1e6 / us[key]['median']:,.0f}")
        rows.append(row(what, *figures, near, *bars.get(key, ("–", "–"))))
    return table(("path", "per image", "images/s", "share of the limit", "bar", "met"), rows)
