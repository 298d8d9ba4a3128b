"""A stdout that is full: every command that prints.

In: an empty folder. Out: a `Drill` each; `n` counts commands. Expected are exit code 9 and one line on stderr; what a
command wrote before it printed is complete.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from benchmarks.hardening.soak_checks import compare_runs, half_written
from benchmarks.hardening.soak_commands import FULL, Drill, check_refusal, start
from benchmarks.hardening.soak_kills import adaptation, search
from benchmarks.hardening.soak_material import Material, Task

Words = Sequence[str | Path]
DEV_FULL = Path("/dev/full")


def short(drill: Drill, task: Task) -> None:
    """Let quick commands print to /dev/full."""
    _print(drill, short_prints(task.material, task.place)[: task.n], task.place)


def long(drill: Drill, task: Task) -> None:
    """Let the others print to /dev/full; what they wrote is complete."""
    place = task.place
    _print(drill, long_prints(task.material, place)[: task.n], place)
    drill.check(half_written(place), where="what was written")
    drill.check(compare_runs(place / "run", task.material.run(0)), where="train")


def short_prints(material: Material, place: Path) -> list[Words]:
    """The commands that print and need no torch."""
    picture, table, stored = material.picture, material.train_csv, material.corrections
    return [
        ["predict", picture],
        ["predict", picture, "--json"],
        ["predict", picture, "--csv"],
        ["recipes"],
        ["info"],
        ["info", "--json"],
        ["models"],
        ["data", "check", table],
        ["data", "check", table, "--json"],
        ["evaluate", "fast", "--data", table],
        ["evaluate", "fast", "--data", table, "--json"],
        ["explain", picture, "--model", "fast"],
        ["submit", material.test_csv, "--model", "fast", "--out", place / "submission.csv"],
        ["corrections", "list", stored],
        ["corrections", "list", stored, "--json"],
        ["corrections", "export", stored, "--out", place / "corrections"],
        ["predict", "--help"],
        ["--help"],
        ["--version"],
    ]


def long_prints(material: Material, place: Path) -> list[Words]:
    """The commands that print, and train or compare; the training comes first."""
    model, other, copied = material.run(0), material.run(1), place / "copy.db"
    shutil.copyfile(material.corrections, copied)
    return [
        material.train(place / "run", seed=0),
        ["compare", model, other],
        ["compare", model, other, "--json"],
        ["benchmark", model],
        ["export", model, "--format", "safetensors", "--out", place / "w.safetensors"],
        ["export", model, "--format", "onnx-int8", "--out", place / "int8.onnx"],
        ["ensemble", model, other, "--out", place / "joined.onnx"],
        [*adaptation(material, material.model, seed=0), place / "adapted.onnx"],
        ["corrections", "delete", copied, "--all"],
        ["audit", material.train_csv, "--recipe", material.start, "--folds", "2", "--out", place / "audit"],
        search(material, place / "search"),
        ["kaggle", material.train_csv, material.test_csv, "--recipe", material.recipe, "--out", place / "k.csv"],
        ["compare"],  # lists the run that it left
    ]


def _print(drill: Drill, commands: Sequence[Words], place: Path) -> None:
    if not DEV_FULL.exists():
        return
    for words in commands:
        if not drill.in_time():
            return
        with DEV_FULL.open("wb") as full:
            ended = start(words, cwd=place, stdout=full).end()
        drill.n += 1
        drill.intact += drill.check(check_refusal(ended, codes={FULL}), where="> /dev/full")
