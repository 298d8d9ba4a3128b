"""Finished runs, and the log of how often the test split was opened.

In: run directories. Out: their figures; the openings that they logged, in `results/test-openings.csv`.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from benchmarks.common.results import Record, locked
from inkdigit.runs import ENVIRONMENT, PREDICTIONS, REPORT

OPENINGS = "test-openings.csv"


def read_run(run: Path) -> tuple[Record, Record, list[int]]:
    """The report of a finished run, its environment, and the indices of the images that it got wrong."""
    report, environment = (json.loads((run / name).read_text(encoding="utf-8")) for name in (REPORT, ENVIRONMENT))
    with np.load(run / PREDICTIONS) as stored:
        wrong = np.flatnonzero(stored["probs"].argmax(1) != stored["labels"])
    return report, environment, wrong.tolist()


def add_openings(logged: Path, log: Path) -> None:
    """Add the lines of one log of test openings that another does not hold yet, its header first."""
    if not logged.exists():
        return
    with locked(log), log.open("a", encoding="utf-8") as file:
        held = set(log.read_text(encoding="utf-8").splitlines())
        lines = logged.read_text(encoding="utf-8").splitlines()
        file.writelines(f"{line}\n" for line in lines if line not in held)
