"""Write `docs/hardening.md`: what is bounded, what was decided, and how bad input, kills and full disks were tried.

In: `results/fuzz.json` and `results/soak.json`, whichever are there; a smoke run counts as not measured. Out: the page;
with `--check` nothing is written, and the exit code is 1 if it is not what they say.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from benchmarks.common import machine, pages
from benchmarks.common.results import Record
from benchmarks.common.tables import MET, machine_line, row, table
from benchmarks.hardening import fuzz, soak
from inkdigit import parsing
from inkdigit.data.readers import bounded, corrections_db
from inkdigit.model import card, schema, session
from inkdigit.picture import decode

PAGE = machine.ROOT / "docs" / "hardening.md"
WORDS = Path(__file__).with_name("page.md.j2")
NO_RESULTS = "Not measured yet: `{}`."
FUZZ, SOAK = "python -m benchmarks.hardening.fuzz", "python -m benchmarks.hardening.soak"
LEAST_INPUTS = 10_000
FAULTS = {
    "traceback": "tracebacks",
    "hang": "hangs",
    "killed": "processes that died",
    "large": f"more than {fuzz.MAX_MB / 1000:g} GB beside what importing takes",
    "slow": f"more than {fuzz.MAX_SECONDS:g} s of processor time",
    "unclear": "errors that are not one line",
}

ABOUT_FUZZ = """\
{n:,} inputs in {seconds:,.0f} s, the same for every seed: something good with bytes, words, numbers or nested values
changed, and small files that were built to cost much. Each kind has a process of its own, whose memory and processor
time are read for each input. *Refused* is one line with an error of [the tree](../src/inkdigit/errors.py). Left out is
what training takes: a recipe that is one builds its network and takes two steps on 32 pictures; a run is resumed after
its last epoch."""


def render(fuzzed: Record | None, soaked: Record | None) -> str:
    """The whole page."""
    parts = {"limits": limits(), "fuzz": fuzz_part(fuzzed), **soak_parts(soaked)}
    text = WORDS.read_text(encoding="utf-8")
    return re.sub(r"<!-- (\w+) -->", lambda found: parts[found[1]], text)


def limits() -> str:
    """What a file may be, by the code."""
    rows = [
        row("bytes of a picture file", _mib(decode.MAX_BYTES)),
        row("pixels of a picture; of a WebP", f"{decode.MAX_PIXELS:,}; {decode.WEBP_PIXELS:,}"),
        row("pixels a side", f"{decode.MAX_SIDE:,}"),
        row("pixels that all threads of a process decode at a time", f"{decode.MAX_PIXELS:,}"),
        row("pieces that a picture file consists of", f"{decode.MAX_READS:,}"),
        row("bytes of a model file", _mib(session.MAX_BYTES)),
        row("characters of its card; pictures of its self test", f"{card.MAX_CHARACTERS:,}; {schema.MAX_SELF_TEST}"),
        row("memory of all networks of a process", _mib(session.MAX_MEMORY)),
        row(
            "what a packed data file (`.npz`, `.gz`, `.bz2`) comes to",
            f"{_mib(bounded.MIN_LIMIT_BYTES)}, or {bounded.MAX_EXPANSION} times its size if that is more",
        ),
        row("characters of a recipe or a search space", f"{parsing.MAX_TOML_CHARACTERS:,}"),
        row("lists and tables in each other; a whole number", f"{parsing.MAX_DEPTH}; below 2⁶³"),
        row("bytes of a file of corrections", _mib(corrections_db.MAX_BYTES)),
    ]
    return table(["what", "at most"], rows)


def _mib(size: int) -> str:
    return f"{size >> 20:,} MiB"


def fuzz_part(record: Record | None) -> str:
    """What became of each kind of input."""
    if record is None:
        return NO_RESULTS.format(FUZZ)
    kinds = record["kinds"]
    faults = {fault: sum(kind[fault] for kind in kinds.values()) for fault in FAULTS}
    bars = [row("inputs", f"≥ {LEAST_INPUTS:,}", f"{record['n']:,}", MET[record["n"] >= LEAST_INPUTS])]
    bars += [row(words, 0, faults[fault], MET[not faults[fault]]) for fault, words in FAULTS.items()]
    rows = [
        row(
            *(name, fuzz.KINDS[name].words, f"{kind['n']:,}", f"{kind['answered']:,}", f"{kind['refused']:,}"),
            *(sum(kind[fault] for fault in FAULTS), f"{kind['most_s']:.2f} s", f"{kind['most_mb']:,} MB"),
        )
        for name, kind in kinds.items()
    ]
    header = ["kind", "what was changed or tried", "n", "answered", "refused", "faults", "longest", "most memory"]
    return "\n\n".join(
        [
            ABOUT_FUZZ.format(n=record["n"], seconds=record["seconds"]),
            table(["figure", "bar", "measured", "met"], bars),
            table(header, rows),
            machine_line(f"`{FUZZ}`, seed {record['seed']}", record),
        ]
    )


ABOUT_SOAK = {
    "kills": """\
{kills} times a command and all its processes were killed (SIGKILL) at a random moment of its usual duration. *Resumed*
was gone on with by the command that it names, to the very weights, bit for bit, of a run that nobody disturbed;
*whole* left each file as it was before, or as it would have been afterwards.""",
    "disks": """\
A tmpfs that is full, and `/dev/full` as the place where answers are printed. *Whole* said in one line what is wrong,
with its exit code, and left nothing half-written.""",
    "pairs": """\
The same command twice at the same moment, into one place. *Whole*: one of them won, the other was refused in one line,
or both are there; no file is of neither alone.""",
}
DRILLS = {"kills": "killed", "disks": ("full disk", "stdout full"), "pairs": "two at once"}


def soak_parts(record: Record | None) -> dict[str, str]:
    """Each kind of drill: how often, and what it left."""
    if record is None:
        return dict.fromkeys(DRILLS, NO_RESULTS.format(SOAK))
    return {part: _drills(record, part, names) for part, names in DRILLS.items()}


def _drills(record: Record, part: str, names: str | tuple[str, ...]) -> str:
    again = [drill for drill in record["drills"] if drill["drill"].startswith(names) and "commit" in drill]
    lines = [machine_line(f"`{SOAK}`, seed {record['seed']}", record)]
    lines += [f"- Done again, alone, with commit {drill['commit']}: {drill['drill']}." for drill in again]
    rows = [
        row(drill["drill"], drill["n"], drill["resumed"] or "–", drill["whole"], len(drill["failures"]))
        for drill in record["drills"]
        if drill["drill"].startswith(names)
    ]
    return "\n\n".join(
        [
            ABOUT_SOAK[part].format(kills=record["kills"]),
            table(["drill", "n", "resumed", "whole", "failures"], rows),
            "\n".join(lines),
        ]
    )


def files(results: Path, at: Path) -> pages.Files:
    """The page, with what it should hold."""
    return pages.beside(at, render(results.read(results / fuzz.RESULTS), results.read(results / soak.RESULTS)), {})


def main() -> int:
    """Write the page, or check it."""
    return pages.main(__doc__, PAGE, files, script="benchmarks.hardening.page")


if __name__ == "__main__":
    sys.exit(main())
