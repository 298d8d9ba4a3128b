"""Write `docs/reading.md` from what the scripts beside this one measured.

In: `results/reading.json`, `reading-peers.json` and `reading-gallery.json`, the bundled models, and the figures in
`docs/reading/`. What was only tried out, or measured with a file that no longer ships, counts as not measured. Out:
the page; with `--check` nothing is written, and the exit code is 1 if it is stale.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import machine, pages, results
from benchmarks.common.results import Record
from benchmarks.common.tables import NOT_MEASURED, machine_line, row, spread, table
from benchmarks.reading.gallery import FAILURES, SAMPLES
from benchmarks.reading.gallery import RESULT as GALLERY
from benchmarks.reading.lattice import RESULT as LATTICE
from benchmarks.reading.measure import (
    COMMAND,
    EXAMPLE,
    FOLDERS,
    RESULT,
    SETS,
    sha256,
    sha256_for_cells,
    sha256_for_lines,
)
from benchmarks.reading.peers import RESULT as PEERS
from inkdigit.model.recognizer import Recognizer
from inkdigit.reading.reader import Reader
from inkdigit.report.numbers import percent, percent_range

PAGE = machine.ROOT / "docs" / "reading.md"
OURS = "inkdigit"  # the reader in `reading-peers.json` against which the others are compared
NONE = "–"
WHAT = {
    "orand-even": "amounts of cheques (ORAND-CAR-2014 A), even file numbers",
    "orand-odd": "the same, odd file numbers",
    "photos": "photos of numbers from other projects",
    "cases": "development cases: forms, sheets, cheques",
    "spaced": "five MNIST digits in a row, with gaps",
    "overlapping": "the same, overlapping by up to 30 %",
    "sudoku-printed": "printed, many cells empty",
    "sudoku-mixed": "printed, and filled in by hand",
    "line": "a line, PNG",
    "page": "a page with ten numbers, JPEG",
}

Parts = Mapping[str, Record]


def shipped() -> dict[str, str]:
    """The hashes of the files that read lines, single digits, and the cells of grids."""
    return {
        "line": sha256_for_lines(Reader.load().path),
        "digits": sha256(Recognizer.load().path),
        "cells": sha256_for_cells(),
    }


def measured(record: Record | None, files: Mapping[str, str]) -> Parts:
    """The parts that were measured with the files that ship."""
    parts: Parts = {} if record is None else record["parts"]
    return {
        name: part
        for name, part in parts.items()
        if not part["smoke"] and part["model"]["sha256"] == files["cells" if name in FOLDERS else "line"]
    }


def share(value: float | None) -> str:
    """A share in per cent; a dash for none."""
    return NONE if value is None else f"{percent(value)} %"


def interval(value: float, limits: Sequence[float]) -> str:
    """A share in per cent with its interval."""
    return f"{percent(value)} % [{percent_range(limits, 1)}]"


def sets(parts: Parts) -> str | None:
    """The sets of whole numbers; None if none is measured."""
    known = {part: parts[part]["figures"] for part in SETS if part in parts}
    header = ["pictures", "n", "digits right", "all characters right", "character errors", "answered"]
    header += ["right of answered", "coverage at 99 %", "… at 99.9 %", "calibration error"]
    rows = [
        row(
            WHAT[part],
            f"{one['n']:,}",
            interval(one["digits_right"], one["digits_right_ci95"]),
            share(one["text_right"]),
            share(one["character_errors"]),
            share(one["answered"]),
            share(one["right_of_answered"]),
            *(share(one["coverage"][level]) for level in ("0.99", "0.999")),
            NONE if one["ece"] is None else f"{one['ece']:.3f}",
        )
        for part, one in known.items()
    ]
    return table(header, rows) if rows else None


def grids(parts: Parts) -> dict[str, Any] | None:
    """The sudokus; None if none is measured."""
    known = {part: parts[part]["figures"] for part in FOLDERS if part in parts}
    if not known:
        return None
    header = ["sudokus", "photos", "grid found", "whole puzzles right", "cells right", "cells wrong", "cells refused"]
    rows = [
        row(
            f"{WHAT[part]}{how}",
            one["n"],
            one["found"],
            f"{of['puzzles_right']}: {interval(of['puzzles_right'] / one['n'], of['puzzles_right_ci95'])}",
            interval(of["cells_right"] / one["cells"], of["cells_right_ci95"]),
            of["cells_wrong"],
            of["cells_refused"],
        )
        for part, one in known.items()
        for of, how in ((one["ruled"], ""), (one["as_written"], "; `--as-written`"))
    ]
    return {"table": table(header, rows), "lying": sum(one["lying"] for one in known.values())}


def times(parts: Parts) -> str | None:
    """The cost of a line and a page; None if neither is measured."""
    known = {part: parts[part]["figures"] for part in ("line", "page") if part in parts}
    header = ["what", "pixels", "numbers read right", "time, warm", "mean ± sd", "runs", "peak memory, fresh process"]
    rows = [
        row(
            WHAT[part],
            f"{one['width']:,} × {one['height']:,}",
            f"{one['numbers_right']} of {one['numbers']}",
            spread(one["ms"], "ms", 1),
            f"{one['ms']['mean']:.1f} ± {one['ms']['sd']:.1f} ms",
            one["runs"],
            spread(one["peak_mb"], "MB", 0),
        )
        for part, one in known.items()
    ]
    return table(header, rows) if rows else None


def start(parts: Parts) -> dict[str, str] | None:
    """The cold start against the libraries alone."""
    if "start" not in parts:
        return None
    one = parts["start"]["figures"]
    return {
        "command": one["command"],
        "against": one["against"],
        "runs": one["runs"],
        "read": spread(one["read_s"], "s", 3),
        "libraries": spread(one["libraries_s"], "s", 3),
        "ratio": spread(one["ratio"], "times", 2),
    }


def peers(record: Record | None, files: Mapping[str, str]) -> dict[str, Any] | None:
    """Readers side by side; None if they were not measured with the reader that ships."""
    if record is None or record["readers"][OURS]["model"]["sha256"] != files["line"]:
        return None
    names = list(record["readers"][OURS]["sets"])
    full = {name: told["n"] for name, told in record["readers"][OURS]["sets"].items()}

    def cells(show: Callable[[Record], str]) -> list[str]:
        return [
            row(reader["title"], *(show(reader["sets"][name]) if name in reader["sets"] else NONE for name in names))
            for reader in record["readers"].values()
        ]

    def right(one: Record, name: str) -> str:
        few = f" (n = {one['n']:,})" if one["n"] != full[name] else ""
        return f"{interval(one['right'] / one['n'], one['right_ci95'])}{few}"

    rows = [
        row(
            reader["title"],
            *(right(reader["sets"][name], name) if name in reader["sets"] else NONE for name in names),
        )
        for reader in record["readers"].values()
    ]
    others = [
        f"{reader['title']}: {str(reader['date'])[:10]}, {_versions(reader)}"
        for reader in record["readers"].values()
        if "date" in reader
    ]
    return {
        "right": table(["reader", *(f"{name} (n = {full[name]:,})" for name in names)], rows),
        "ms": table(["reader", *names], cells(lambda one: f"{one['cpu_ms']:,.1f} ms")),
        "others": others,
    }


def _versions(reader: Record) -> str:
    return f"version {reader['version']}" if reader.get("version") else "version unknown"


def gallery(record: Record | None, files: Mapping[str, str]) -> dict[str, Any] | None:
    """How many composed lines were wrong; None if they were not read by the reader that ships."""
    if record is None or record["model"]["sha256"] != files["line"]:
        return None
    n, wrong, refused = record["lines"], record["wrong"], record["refused"]
    return {
        "n": f"{n:,}",
        "right": interval(1 - (wrong + refused) / n, record["right_ci95"]),
        "wrong": f"{wrong:,}",
        "refused": f"{refused:,}",
        "shown": record["shown"],
    }


def lattice(record: Record | None, shipped: Mapping[str, str]) -> str | None:
    """What cutting into digits reads; None if it was not measured with the models that ship."""
    if record is None or record["models"] != {name: shipped[name] for name in record["models"]}:
        return None
    rows = [
        row(name, f"{one['n']:,}", *(share(one[key] / one["n"]) for key in ("lattice", "reader", "agree")), _of(one))
        for name, one in record["sets"].items()
    ]
    return table(["pictures", "n", "cut into digits", "line reader", "both agree", "right of these"], rows)


def _of(one: Record) -> str:
    return share(one["right_of_agreeing"] / one["agree"]) if one["agree"] else NONE


def machines(parts: Parts, told: Record | None, shown: Record | None) -> list[str]:
    """When, on what and with which versions; parts that differ in nothing but when are one line."""
    alike: dict[str, list[tuple[str, Record]]] = {}
    for name, part in parts.items():
        same = {**part["machine"], "load_before": None}
        key = json.dumps([part["commit"], same, part["versions"]], sort_keys=True)
        alike.setdefault(key, []).append((name, part))
    found = [
        machine_line(f"`{COMMAND}` ({', '.join(name for name, _ in group)})", *(part for _, part in group))
        for group in alike.values()
    ]
    return [
        *found,
        *([machine_line("`python -m benchmarks.reading.peers`", told)] if told else []),
        *([machine_line("`python -m benchmarks.reading.gallery`", shown)] if shown else []),
    ]


def render(
    record: Record | None,
    told: Record | None,
    shown: Record | None,
    cut: Record | None,
    *,
    shipped: Mapping[str, str],
    figures: Path,
) -> str:
    """The page; `figures` is the folder where the pictures are."""
    parts = measured(record, shipped)
    compared, failures = peers(told, shipped), gallery(shown, shipped)
    return pages.render(
        "reading/page.md.j2",
        {
            "example": EXAMPLE,
            "command": COMMAND,
            "not_measured": NOT_MEASURED,
            "sets": sets(parts),
            "grids": grids(parts),
            "times": times(parts),
            "start": start(parts),
            "peers": compared,
            "lattice": lattice(cut, shipped),
            "gallery": failures,
            "samples": f"{figures.name}/{SAMPLES}" if (figures / SAMPLES).exists() else None,
            "failures": f"{figures.name}/{FAILURES}" if failures and (figures / FAILURES).exists() else None,
            "machines": machines(parts, told if compared else None, shown if failures else None),
        },
    )


def files(folder: Path, page: Path) -> pages.Files:
    """What the page should hold."""
    record, told, shown, cut = (results.read(folder / name) for name in (RESULT, PEERS, GALLERY, LATTICE))
    text = render(record, told, shown, cut, shipped=shipped(), figures=PAGE.with_suffix(""))
    return pages.beside(page, text, {})


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page, or check it."""
    return pages.main(__doc__, PAGE, files, script="benchmarks.reading.page", argv=argv)


if __name__ == "__main__":
    sys.exit(main())
