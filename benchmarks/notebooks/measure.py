"""The claims of the five notebooks, and the bigger families beside `classic`, seed by seed.

In: MNIST where `inkdigit` finds it. Out: one line a seed in `results/notebooks.jsonl`, written as soon as the seed is
done. A later run skips the seeds that are there for the same recipe, so it continues where it was stopped.

Each seed is the command that `docs/notebooks.md` names, in a process of its own. `--jobs 2` trains two seeds at a time
with one thread each: more seeds an hour, but no times to be quoted. `--time` takes those: on a quiet machine and with
all its threads, a few epochs of each recipe, into `results/notebooks-times.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.common import machine, results
from benchmarks.common.runs import read_run
from benchmarks.notebooks import kaggle_split
from inkdigit.data.sources import find
from inkdigit.files import read_rows
from inkdigit.runs import METRICS, RECIPE
from inkdigit.training.recipe import Recipe

LEDGER, TIMES = "notebooks.jsonl", "notebooks-times.json"
TIMED_EPOCHS = 3  # the first one warms up, the others count
LIBRARIES = ("inkdigit", "torch", "numpy", "onnxruntime")
SMOKE_CHANGES = {"epochs": 1, "validation": 0.9}


@dataclass(frozen=True, slots=True)
class Row:
    """What is trained: a recipe, on which data, how many seeds."""

    recipe: str
    seeds: int
    data: str = "mnist"  # `kaggle`: the 42,000 rows, scored on the 28,000 others

    @property
    def command(self) -> str:
        """The command that repeats one seed, as a user types it."""
        if self.data == "kaggle":
            return f"inkdigit kaggle train.csv test.csv --recipe {self.recipe} --seed S"
        source = "" if self.data == "mnist" else f" --data {self.data}"
        return f"inkdigit train {self.recipe}{source} --seed S"


ROWS = (
    Row("classic", 5),
    Row("explorer", 5),
    Row("rmsprop", 5),
    Row("annealed", 3),
    Row("deepdigits", 3, data="kaggle"),
    Row("vgg", 3),
    Row("resnet", 3),
    Row("classic", 3, data="usps"),
)


def train(row: Row, seed: int, *, threads: int, kaggle: Path, changes: dict[str, Any]) -> dict[str, Any]:
    """Train one seed in a process of its own and return its line."""
    changed = [f"--set={key}={value}" for key, value in changes.items()]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if row.data == "kaggle":
            words = ["kaggle", str(kaggle / "train.csv"), str(kaggle / "test.csv"), "--recipe", row.recipe]
        else:
            words = ["train", row.recipe, "--data", row.data, "--out", str(folder / "runs" / "run")]
        argv = [str(machine.INKDIGIT), *words, "--seed", str(seed), "--device", "cpu", *changed]
        env = {**os.environ, "OMP_NUM_THREADS": str(threads), "CUDA_VISIBLE_DEVICES": "-1"}
        data = find("mnist" if row.data == "kaggle" else row.data)
        if data is not None:
            env["INKDIGIT_DATA"] = str(data.resolve())
        done = subprocess.run(argv, capture_output=True, encoding="utf-8", env=env, cwd=folder)
        if done.returncode:
            raise RuntimeError(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
        (run,) = (path for path in (folder / "runs").iterdir() if path.is_dir())
        line = read(run)
        if row.data == "mnist" and line["part"] == "validation":  # for scale: the claim is about the validation split
            command = [str(machine.INKDIGIT), "evaluate", str(run), "--data", "mnist", "--json"]
            done = subprocess.run(command, capture_output=True, encoding="utf-8", env=env, check=True)
            line["test_accuracy"] = json.loads(done.stdout)["accuracy"]
        if row.data == "kaggle":
            right, wrong = kaggle_split.score(folder / "submission.csv", kaggle / "solution.csv")
            line |= {"part": "kaggle", "n": 70_000 - kaggle_split.ROWS, "accuracy": right, "wrong": wrong}
    return {"row": row.recipe, "data": row.data, "command": row.command, "seed": seed, **line}


def read(run: Path) -> dict[str, Any]:
    """The figures of a finished run; `wrong` are the indices of the images that it got wrong, for paired tests."""
    report, about, wrong = read_run(run)
    return {
        "part": report["report_name"],
        "n": report["n"],
        "accuracy": report["accuracy"],
        "nll": report["nll"],
        "epochs": report["epochs"],
        "last_epoch": report["final_epoch"],
        "train_seconds": round(report["train_seconds"], 1),
        "epoch_seconds": [round(epoch["seconds"], 2) for epoch in read_rows(run / METRICS)],
        "parameters": report["model"]["parameters"],
        "threads": about["threads"],
        "recipe_sha256": identity(Recipe.load(run / RECIPE)),
        "wrong": wrong,
    }


def identity(recipe: Recipe) -> str:
    """The recipe's hash, whatever data it is trained on and by whichever protocol."""
    return recipe.change({"name": "", "data": "", "protocol": "select", "validation": 0.1, "test_fraction": 0.2}).sha256


def pending(rows: list[Row], ledger: Path, *, smoke: bool) -> list[tuple[Row, int]]:
    """The seeds that have no line yet for the recipe as it is now."""
    done = {(line["row"], line["data"], line["seed"], line["recipe_sha256"]) for line in results.read_lines(ledger)}
    todo = []
    for row in rows:
        sha256 = identity(Recipe.load(row.recipe, SMOKE_CHANGES if smoke else {}))
        todo += [(row, seed) for seed in range(row.seeds) if (row.recipe, row.data, seed, sha256) not in done]
    return todo


def measure_times(rows: list[Row], *, kaggle: Path) -> dict[str, Any]:
    """Seconds of an epoch of each recipe, minimum and median, with all threads and nothing else running."""
    times = {}
    for row in rows:
        taken = train(row, 0, threads=os.cpu_count() or 1, kaggle=kaggle, changes={"epochs": TIMED_EPOCHS})
        counted = taken["epoch_seconds"][1:]
        times[row.recipe] = {
            "least": min(counted),
            "median": median(counted),
            "n": len(counted),
            "threads": taken["threads"],
        }
        print(f"{row.recipe}: {times[row.recipe]['median']:.1f} s an epoch", flush=True)
    return times


def train_all(jobs: list[tuple[Row, int]], options: argparse.Namespace, *, about: dict[str, Any], kaggle: Path) -> None:
    """Train each row's seed, `--jobs` at a time; a seed that fails does not stop the others."""
    ledger, threads = options.results / LEDGER, max(1, (os.cpu_count() or 1) // options.jobs)
    changes = SMOKE_CHANGES if options.smoke else {}

    def train_one(job: tuple[Row, int]) -> None:
        line = train(*job, threads=threads, kaggle=kaggle, changes=changes)
        results.append(ledger, {**about, **line})
        outcome = f"{line['accuracy'] * 100:.3f} % ({line['part']}), trained in {line['train_seconds']:.0f} s"
        print(f"{line['row']} on {line['data']}, seed {line['seed']}: {outcome}", flush=True)

    with ThreadPoolExecutor(options.jobs) as pool:
        for done in [pool.submit(train_one, job) for job in jobs]:
            if (problem := done.exception()) is not None:
                print(problem, file=sys.stderr, flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Train the seeds that are missing, or take the times."""
    parser = results.parser(__doc__, smoke="one epoch on little data")
    parser.add_argument("--rows", nargs="+", help="recipes; the default is all of them")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time")
    parser.add_argument("--time", action="store_true", help="take times instead; needs a quiet machine")
    options = parser.parse_args(argv)
    rows = [row for row in ROWS if not options.rows or row.recipe in options.rows]
    if not rows:
        parser.error(f"--rows takes {', '.join(dict.fromkeys(row.recipe for row in ROWS))}")
    about = {**results.stamp(LIBRARIES, smoke=options.smoke), "jobs": options.jobs}
    with tempfile.TemporaryDirectory() as name:
        kaggle = Path(name)
        jobs = [(row, 0) for row in rows if row.data != "usps"]
        if not options.time:
            jobs = pending(rows, options.results / LEDGER, smoke=options.smoke)
        if any(row.data == "kaggle" for row, _ in jobs):
            print(f"Kaggle's split: {kaggle_split.build(kaggle)}", flush=True)
        if options.time:
            times = measure_times([row for row, _ in jobs], kaggle=kaggle)
            results.write(options.results / TIMES, {**about, "recipes": times})
        else:
            train_all(jobs, options, about=about, kaggle=kaggle)


if __name__ == "__main__":
    main()
