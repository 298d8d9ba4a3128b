"""Write `docs/hardening.md`: limits, decisions, and tests with bad input, kills and full disks.

In: `results/fuzz.json` and `results/soak.json`, whichever are there; a smoke run counts as not measured. Out: the page;
with `--check` nothing is written, and the exit code is 1 if it is stale.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import machine, pages, results
from benchmarks.common.results import Record
from benchmarks.common.tables import MET, machine_line, row, table
from benchmarks.hardening import fuzz, soak
from inkdigit import parsing
from inkdigit.data.readers import bounded, corrections_file
from inkdigit.model import card, schema, session
from inkdigit.picture import decode

PAGE = machine.ROOT / "docs" / "hardening.md"
FUZZ, SOAK = "python -m benchmarks.hardening.fuzz", "python -m benchmarks.hardening.soak"
MIN_INPUTS = 10_000
DRILLS = {"kills": "killed", "disks": ("full disk", "stdout full"), "pairs": "two at once"}
FAULTS = {
    "traceback": "tracebacks",
    "hang": "hangs",
    "killed": "processes that died",
    "large": f"more than {fuzz.MAX_MB / 1000:g} GB beyond what importing takes",
    "slow": f"more than {fuzz.MAX_SECONDS:g} s of processor time",
    "unclear": "errors that are not one line",
}


def render(fuzzed: Record | None, soaked: Record | None) -> str:
    """The page."""
    values = {
        "limits": limits(),
        "fuzz": fuzzed and fuzz_part(fuzzed),
        "drills": soaked and {part: _drills(soaked, names) for part, names in DRILLS.items()},
    }
    return pages.render("hardening/page.md.j2", values)


def limits() -> str:
    """The limits of a file, as the code has them."""
    rows = [
        row("bytes of an image file", _mib(decode.MAX_BYTES)),
        row("pixels of an image; of a WebP", f"{decode.MAX_PIXELS:,}; {decode.MAX_WEBP_PIXELS:,}"),
        row("pixels a side", f"{decode.MAX_SIDE_PX:,}"),
        row("pixels that all threads of a process decode at a time", f"{decode.MAX_PIXELS:,}"),
        row("pieces of an image file", f"{decode.MAX_READS:,}"),
        row("bytes of a model file", _mib(session.MAX_BYTES)),
        row("characters of its card; images of its self test", f"{card.MAX_CHARACTERS:,}; {schema.MAX_SELF_TEST}"),
        row("memory of all networks of a process", _mib(session.MAX_MEMORY_BYTES)),
        row(
            "unpacked size of a packed data file (`.npz`, `.gz`, `.bz2`)",
            f"{_mib(bounded.MIN_LIMIT_BYTES)}, or {bounded.MAX_EXPANSION} times its size if that is more",
        ),
        row("characters of a recipe or a search space", f"{parsing.MAX_TOML_CHARACTERS:,}"),
        row("nested lists and tables; an integer", f"{parsing.MAX_DEPTH}; below 2⁶³"),
        row("bytes of a file of corrections", _mib(corrections_file.MAX_BYTES)),
    ]
    return table(["what", "at most"], rows)


def _mib(size: int) -> str:
    return f"{size >> 20:,} MiB"


def fuzz_part(record: Record) -> dict[str, Any]:
    """The results of each kind of input."""
    kinds = record["kinds"]
    faults = {fault: sum(kind[fault] for kind in kinds.values()) for fault in FAULTS}
    bars = [row("inputs", f"≥ {MIN_INPUTS:,}", f"{record['n']:,}", MET[record["n"] >= MIN_INPUTS])]
    bars += [row(words, 0, faults[fault], MET[not faults[fault]]) for fault, words in FAULTS.items()]
    rows = [
        row(
            *(name, fuzz.KINDS[name].words, f"{kind['n']:,}", f"{kind['answered']:,}", f"{kind['refused']:,}"),
            *(sum(kind[fault] for fault in FAULTS), f"{kind['most_s']:.2f} s", f"{kind['most_mb']:,} MB"),
        )
        for name, kind in kinds.items()
    ]
    header = ["kind", "what was changed or tried", "n", "answered", "refused", "faults", "longest", "max memory"]
    return {
        "n": f"{record['n']:,}",
        "seconds": f"{record['seconds']:,.0f}",
        "bars": table(["figure", "bar", "measured", "met"], bars),
        "table": table(header, rows),
        "machine": machine_line(f"`{FUZZ}`, seed {record['seed']}", record),
    }


def _drills(record: Record, names: str | tuple[str, ...]) -> dict[str, Any]:
    """Each kind of drill: how often, and its results."""
    drills = [drill for drill in record["drills"] if drill["drill"].startswith(names)]
    rows = [
        row(drill["drill"], drill["n"], drill["resumed"] or "–", drill["whole"], len(drill["failures"]))
        for drill in drills
    ]
    again = [drill for drill in drills if "commit" in drill]
    return {
        "count": record["kills"],
        "table": table(["drill", "n", "resumed", "whole", "failures"], rows),
        "machines": [
            machine_line(f"`{SOAK}`, seed {record['seed']}", record),
            *(f"- Done again, alone, with commit {drill['commit']}: {drill['drill']}." for drill in again),
        ],
    }


def files(folder: Path, page: Path) -> pages.Files:
    """The page, with what it should hold."""
    return pages.beside(page, render(results.read(folder / fuzz.RESULTS), results.read(folder / soak.RESULTS)), {})


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page, or check it."""
    return pages.main(__doc__, PAGE, files, script="benchmarks.hardening.page", argv=argv)


if __name__ == "__main__":
    sys.exit(main())
