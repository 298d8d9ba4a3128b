"""Accuracy and training time of the `fast` recipe on MNIST, and its training time against the peer's.

In: MNIST where `inkdigit` finds it, and with `--peer-python` an interpreter that has TensorFlow. Out: one line a seed
in `results/fast.jsonl`, written as soon as the seed is done, and `results/fast-vs-keras.json`.

A later run skips the seeds that it finds there for the same recipe. The ratio never mixes two runs of this script: it
takes the trainings just before and just after each run of the peer, repeating seeds where none are left to do.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import machine
from inkdigit.data.sources import find
from inkdigit.training.recipe import Recipe, parse_changes

LIBRARIES = ("inkdigit", "torch", "numpy", "onnxruntime")
PEER = Path(__file__).resolve().parent / "peers" / "keras_convnet.py"
# Everything runs and nothing is measured.
SMOKE_CHANGES = ("validation=59000", "min_steps=1")
SMOKE_PEER = ("--epochs", "1", "--pictures", "640")


def order(pending: list[int], seeds: list[int], *, peer_runs: int, around: int) -> tuple[list[int], list[int | None]]:
    """The seeds that are trained first, then those of the ratio with None where the peer runs.

    `around` trainings come before each run of the peer and after the last; the last pending seeds are taken for them,
    and where these do not suffice, seeds are trained again.
    """
    wanted = around * (peer_runs + 1)
    counted = [*pending[-wanted:], *islice(cycle(seeds), max(0, wanted - len(pending)))]
    sandwich: list[int | None] = []
    for begin in range(0, wanted, around):
        sandwich += [*([None] if begin else []), *counted[begin : begin + around]]
    return pending[:-wanted], sandwich


def train_fast(seed: int, *, smoke: bool) -> dict[str, Any]:
    """Train `fast` in a process of its own and return what its report says."""
    changes = [part for change in SMOKE_CHANGES if smoke for part in ("--set", change)]
    command = ["train", "fast", "--seed", str(seed), "--device", "cpu"]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        began = time.perf_counter()
        run([str(machine.INKDIGIT), *command, *changes, "--out", str(out)])
        seconds = time.perf_counter() - began
        report = json.loads((out / "report.json").read_text(encoding="utf-8"))
        about = json.loads((out / "env.json").read_text(encoding="utf-8"))
        recipe = Recipe.load(out / "recipe.toml")
    return {
        "seed": seed,
        "accuracy": report["accuracy"],
        "n": report["n"],
        "train_seconds": round(report["train_seconds"], 3),
        "process_seconds": round(seconds, 3),
        "parameters": report["model"]["parameters"],
        "threads": about["threads"],
        "recipe_sha256": recipe.sha256,
        "command": f"inkdigit {' '.join(command)}",
    }


def train_peer(python: Path, *, smoke: bool) -> dict[str, Any]:
    """Train the peer with its own interpreter and return the line that it prints."""
    folder = find("mnist")
    if folder is None:
        sys.exit("The peer needs MNIST on this machine: inkdigit data get mnist")
    printed = run([str(python), str(PEER), str(folder), *(SMOKE_PEER if smoke else ())])
    peer: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return peer


def run(argv: list[str]) -> str:
    """Run a command on the processor alone and return its stdout; stop everything if it fails."""
    # -1 hides every GPU from both sides.
    done = subprocess.run(argv, capture_output=True, text=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"})
    if done.returncode:
        sys.exit(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return done.stdout


class Bench:
    """One run of this script: what it was asked for, and what every record of it shares."""

    def __init__(self, asked: argparse.Namespace) -> None:
        """Look at the machine and the recipe before anything is measured."""
        self.asked = asked
        self.recipe = Recipe.load("fast", parse_changes(list(SMOKE_CHANGES) if asked.smoke else []))
        self.ledger: Path = asked.results / "fast.jsonl"
        self.about = {"smoke": asked.smoke, "recipe_sha256": self.recipe.sha256, **machine.describe(LIBRARIES)}

    def lines(self) -> dict[int, dict[str, Any]]:
        """The latest line of each seed for this recipe."""
        lines = machine.read_lines(self.ledger)
        return {line["seed"]: line for line in lines if line["recipe_sha256"] == self.recipe.sha256}

    def train(self, seed: int) -> dict[str, Any]:
        """Train one seed and keep its line."""
        line = train_fast(seed, smoke=self.asked.smoke)
        if line["recipe_sha256"] != self.recipe.sha256:
            sys.exit("The recipe was changed while this script ran: begin anew.")
        machine.append_line(self.ledger, {**self.about, **line})
        print(f"seed {seed}: {line['accuracy'] * 100:.2f} %, trained in {line['train_seconds']:.2f} s", flush=True)
        return line

    def compare(self, sandwich: list[int | None]) -> None:
        """Run the ratio's trainings and the peer in their order, and write what came of it."""
        ours, theirs = [], []
        for seed in sandwich:
            if seed is not None:
                ours.append(self.train(seed))
                continue
            print("the peer: minutes", flush=True)
            theirs.append(train_peer(self.asked.peer_python, smoke=self.asked.smoke))
            print(f"the peer: {theirs[-1]['accuracy'] * 100:.2f} %, trained in {theirs[-1]['train_seconds']:.1f} s")
        self._write(ours, theirs)

    def _write(self, ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> None:
        lines = [line for seed, line in sorted(self.lines().items()) if seed in self.asked.seeds]
        accuracies = [line["accuracy"] for line in lines]
        fast, peer = (round(median(row["train_seconds"] for row in rows), 3) for rows in (ours, theirs))
        record = {
            **self.about,
            "command": "python benchmarks/fast.py --peer-python PYTHON",
            "fast": ours,
            "peer": theirs,
            "fast_median_seconds": fast,
            "peer_median_seconds": peer,
            "peer_over_fast": round(peer / fast, 3),
            "accuracy": {
                "seeds": [line["seed"] for line in lines],
                "mean": round(mean(accuracies), 6),
                "sd": round(stdev(accuracies), 6) if len(accuracies) > 1 else None,
            },
        }
        machine.write_json(self.asked.results / "fast-vs-keras.json", record)


def main() -> None:
    """Train the seeds that are missing, then measure the ratio if there is a peer."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    options.add_argument("--peer-python", type=Path, help="an interpreter with benchmarks/requirements-peers.txt")
    options.add_argument("--peer-runs", type=int, default=1)
    options.add_argument("--around", type=int, default=3, help="trainings before and after each run of the peer")
    options.add_argument("--again", action="store_true", help="train also the seeds that are there already")
    options.add_argument("--smoke", action="store_true", help="tiny settings: prove that it runs, measure nothing")
    options.add_argument("--results", type=Path, default=machine.RESULTS)
    asked = options.parse_args()
    if asked.peer_runs < 1 or asked.around < 1:
        options.error("--peer-runs and --around are at least 1")

    bench = Bench(asked)
    pending = [seed for seed in asked.seeds if asked.again or seed not in bench.lines()]
    first: list[int] = pending
    sandwich: list[int | None] = []
    if asked.peer_python:
        first, sandwich = order(pending, asked.seeds, peer_runs=asked.peer_runs, around=asked.around)
    for seed in first:
        bench.train(seed)
    if sandwich:
        bench.compare(sandwich)


if __name__ == "__main__":
    main()
