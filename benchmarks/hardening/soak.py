"""Kills, full disks, and two processes at once: is anything lost, half-written or mixed.

In: an installed `inkdigit[tune,serve]`; for the full disks, permission to mount a tmpfs (without it a limit on the
size of files replaces them). Out: one line for each drill, and `results/soak.json`: how many, how many were resumed,
how many left every file complete, and a description of each failure. Exits with 1 if there is one. Drills run side by
side, one a core.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.common import results
from benchmarks.hardening import soak_corrections, soak_disk, soak_kills, soak_material, soak_pairs, soak_print
from benchmarks.hardening.soak_commands import Drill
from benchmarks.hardening.soak_material import Material, Task
from inkdigit.machine import cores

RESULTS = "soak.json"
LIBRARIES = ("inkdigit", "numpy", "torch", "onnxruntime", "optuna", "filelock", "safetensors", "uvicorn")
SEED = 17
ALL = 1_000  # more commands than there are
SECONDS = 3_600.0  # nothing new begins after an hour; half an hour is usual on two busy cores


@dataclass(frozen=True)
class Part:
    """One drill: its function, how often, how often in a smoke run, and whether it needs trained runs."""

    work: Callable[[Drill, Task], None]
    n: int
    smoke: int
    trained: bool = True


# The longest first, so that the cores end together. There are fifty kills.
PARTS = {
    "killed: train": Part(soak_kills.training, 24, 1),
    "full disk: commands with torch": Part(soak_disk.long_files, ALL, 0),
    "stdout full: commands with torch": Part(soak_print.long, ALL, 0),
    "two at once: train": Part(soak_pairs.train, 3, 0),
    "killed: tune": Part(soak_kills.tune, 5, 0),
    "full disk: train, then resume": Part(soak_disk.training, 5, 0),
    "full disk: temporary files": Part(soak_disk.temporary, ALL, 0),
    "full disk: tune, then go on": Part(soak_disk.searching, 2, 0),
    "killed: export, ensemble": Part(soak_kills.export, 7, 0),
    "killed: adapt": Part(soak_kills.adapt, 5, 0),
    "two at once: train --resume": Part(soak_pairs.resume, 2, 0),
    "two at once: train --seeds": Part(soak_pairs.seeds, 1, 0),
    "killed: train --seeds": Part(soak_kills.seeds, 2, 0),
    "two at once: tune": Part(soak_pairs.tune, 1, 0),
    "two at once: adapt": Part(soak_pairs.adapt, 1, 0),
    "two at once: one new folder": Part(soak_pairs.folders, 3, 0),
    "two at once: one file": Part(soak_pairs.files, 2, 0, trained=False),
    "killed: serve --collect": Part(soak_corrections.kill, 7, 1, trained=False),
    "full disk: commands without torch": Part(soak_disk.short_files, ALL, 2, trained=False),
    "stdout full: commands without torch": Part(soak_print.short, ALL, 5, trained=False),
    "full disk: serve --collect": Part(soak_disk.collecting, 1, 1, trained=False),
    "two at once: serve --collect": Part(soak_corrections.both, 2, 1, trained=False),
    "two at once: serve on one port": Part(soak_pairs.one_port, 2, 1, trained=False),
}


def perform(name: str, part: Part, material: Material, *, seed: int, smoke: bool, deadline: float) -> Drill:
    """Do one drill and print its results."""
    drill = Drill(name, deadline)
    place = material.folder / "".join(letter if letter.isalnum() else "-" for letter in name)
    place.mkdir()
    if part.trained:
        material.train_runs()
    began = time.monotonic()
    try:
        part.work(drill, Task(material, place, Random(f"{seed} {name}"), part.smoke if smoke else part.n))
    except SystemExit as exc:  # a service that does not start
        drill.check(str(exc), where="it could not go on")
    drill.seconds = time.monotonic() - began
    state = f"{len(drill.failures)} FAILED" if drill.failures else "well"
    numbers = f"n {drill.n}, whole {drill.intact}" + (f", resumed {drill.resumed}" if drill.resumed else "")
    print(f"{name:<38} {state:<9} {numbers}  ({drill.seconds:.0f} s)", flush=True)
    for failure in drill.failures:
        print(f"    {failure}", file=sys.stderr)
    return drill


@contextmanager
def working_folder() -> Iterator[Path]:
    """A folder for all files, the temporary files of the commands included: killed commands leave theirs."""
    before = os.environ.get("TMPDIR")
    with tempfile.TemporaryDirectory(prefix="inkdigit-soak-", ignore_cleanup_errors=True) as name:
        (Path(name) / "tmp").mkdir()
        os.environ["TMPDIR"] = str(Path(name) / "tmp")
        try:
            yield Path(name)
        finally:
            os.environ.pop("TMPDIR")
            if before is not None:
                os.environ["TMPDIR"] = before


def soak(names: list[str], *, seed: int, seconds: float, jobs: int, smoke: bool) -> list[Drill]:
    """Do the drills that are named, some at a time, in their order."""
    deadline = time.monotonic() + seconds
    with working_folder() as folder, ThreadPoolExecutor(jobs) as pool:
        material = soak_material.make(folder)
        waiting = [
            pool.submit(perform, name, PARTS[name], material, seed=seed, smoke=smoke, deadline=deadline)
            for name in names
        ]
        return [future.result() for future in waiting]


def summary(drills: list[dict[str, Any]], *, seconds: float) -> dict[str, Any]:
    """The results of all drills."""
    return {
        "kills": sum(drill["n"] for drill in drills if drill["drill"].startswith("killed")),
        "n": sum(drill["n"] for drill in drills),
        "failures": sum(len(drill["failures"]) for drill in drills),
        "seconds": round(seconds, 1),
        "drills": drills,
    }


def put_in(record: dict[str, Any], again: list[dict[str, Any]], *, commit: str | None) -> dict[str, Any]:
    """A record of all drills in which some were done again, each of these with the commit of its code."""
    newer = {drill["drill"]: {**drill, "commit": commit} for drill in again}
    drills = [newer.pop(drill["drill"], drill) for drill in record["drills"]]
    return {**record, **summary([*drills, *newer.values()], seconds=record["seconds"])}


def main(argv: Sequence[str] | None = None) -> int:
    """Do the drills and write the results; 1 if there is a failure."""
    parser = results.parser(__doc__, smoke="each of the short drills once")
    parser.add_argument("--seed", type=int, default=SEED, help="of the moments of the kills")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="no drill begins after this time")
    parser.add_argument("--jobs", type=int, default=cores(), help="drills side by side")
    parser.add_argument(
        "--only", nargs="+", metavar="WORDS", help="only these; their results replace those that are there"
    )
    options = parser.parse_args(argv)
    if options.jobs < 1 or options.seconds <= 0:
        parser.error("--jobs and --seconds are above 0")
    names = [name for name, part in PARTS.items() if part.smoke or not options.smoke]
    names = [name for name in names if not options.only or any(word in name for word in options.only)]
    if not names:
        parser.error(f"--only names no drill: {', '.join(PARTS)}")
    about = results.stamp(LIBRARIES, smoke=options.smoke, command="python -m benchmarks.hardening.soak")
    began = time.monotonic()
    drills = soak(names, seed=options.seed, seconds=options.seconds, jobs=options.jobs, smoke=options.smoke)
    done = [drill.to_json() for drill in drills]
    record = {**about, "seed": options.seed, **summary(done, seconds=time.monotonic() - began)}
    before = results.read(options.results / RESULTS) if options.only and not options.smoke else None
    results.write(options.results / RESULTS, put_in(before, done, commit=about["commit"]) if before else record)
    return int(record["failures"] > 0)


if __name__ == "__main__":
    sys.exit(main())
