"""Results and ledgers: what every measurement says about itself, and how it is written and read again.

In: a folder of results. Out: JSON, one measurement a file, or JSON lines, one measurement a line (a ledger). A smoke
run measures nothing: no reader shows it. Imports no NumPy: the peak memory of a child process starts at that of its
parent.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from filelock import FileLock

from benchmarks.common import machine
from inkdigit.files import write_atomic

RESULTS = machine.ROOT / "benchmarks" / "results"
Record = dict[str, Any]  # one measurement, as JSON has it
Key = TypeVar("Key", bound=Hashable)


def parser(about: str | None, *, smoke: str | None = None) -> argparse.ArgumentParser:
    """The options of a script that measures: `--results`, and `--smoke` where the script can be tried out."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    if smoke is not None:
        parser.add_argument("--smoke", action="store_true", help=f"{smoke}: measure nothing")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder of the results")
    return parser


def stamp(libraries: Sequence[str], *, smoke: bool = False, command: str | None = None) -> Record:
    """What a measurement that begins now says about itself: machine, versions of `libraries`, commit, date, command."""
    return {"smoke": smoke, **({"command": command} if command else {}), **machine.describe(libraries)}


def write(path: Path, record: Record) -> None:
    """Write one measurement; the file is never half-written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    print(f"Written: {path}")


def read(path: Path) -> Record | None:
    """The measurement in a file; None without one, or if it was a smoke run."""
    if not path.exists():
        return None
    record: Record = json.loads(path.read_text(encoding="utf-8"))
    return None if record["smoke"] else record


def append(ledger: Path, record: Record) -> None:
    """Add one line, which is on the disk when this returns; several processes may add at a time."""
    with locked(ledger), ledger.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_lines(ledger: Path) -> list[Record]:
    """All lines of a ledger, smoke runs included; an empty list if the file does not exist."""
    if not ledger.exists():
        return []
    return [json.loads(line) for line in ledger.read_text(encoding="utf-8").splitlines() if line]


def latest(lines: Iterable[Record], key: Callable[[Record], Key]) -> dict[Key, Record]:
    """The last line of each key, in the order in which the keys come first; smoke runs do not count."""
    return {key(line): line for line in lines if not line["smoke"]}


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of `path`, a file beside it, once every other process has released it, or has ended."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        yield


def summary(values: Sequence[float], digits: int) -> dict[str, float]:
    """Median, minimum and maximum."""
    figures = {"median": median(values), "min": min(values), "max": max(values)}
    return {name: round(value, digits) for name, value in figures.items()}
