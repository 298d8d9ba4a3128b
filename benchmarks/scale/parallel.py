"""One run by two processes that share each batch, against one process: what it costs in accuracy, and whether it pays.

In: an installed `inkdigit[scale]`, MNIST. Out: `results/parallel.json`. The recipe `fast` is trained on the same images
with the same seeds in turns: by one process with one thread, by one with two threads, and by two workers with one
thread each, on the two cores of this machine. Batch norm sees half a batch in each worker: the accuracies say whether
that matters. The accuracy is that on the validation split; no test split is opened.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path
from statistics import mean, stdev

from benchmarks.common import results
from benchmarks.common.machine import INKDIGIT, environment
from benchmarks.common.results import Record
from benchmarks.common.runs import read_run
from inkdigit.machine import load

RESULT = "parallel.json"
LIBRARIES = ("inkdigit", "torch", "ray")
RECIPE, DATA, SEEDS = "fast", "mnist", 3
TIMEOUT_S = 900
# The threads of the process, and the further options of the command.
SIDES: dict[str, tuple[int, list[str]]] = {
    "one process, one thread": (1, []),
    "one process, two threads": (2, []),
    "two workers, one thread each": (1, ["--engine", "ray", "--workers", "2"]),
}


def train(side: str, seed: int, folder: Path, *, smoke: bool) -> Record:
    """Train one run; its accuracy, the seconds of its steps, and those of the whole command."""
    threads, options = SIDES[side]
    data, changes = ("sklearn-digits", ["--set", "min_steps=0"]) if smoke else (DATA, [])
    out = folder / f"{side.replace(' ', '-')}-{seed}"
    began, waiting = time.perf_counter(), load() or 0.0
    subprocess.run(
        [
            *(INKDIGIT, "train", RECIPE, "--data", data, "--seed", str(seed), "--set", "protocol=select", *changes),
            *("--device", "cpu", "--out", out, *options),
        ],
        env={**environment(), "OMP_NUM_THREADS": str(threads)},
        check=True,
        capture_output=True,
        timeout=TIMEOUT_S,
    )
    report = read_run(out)[0]
    measured = {
        "side": side,
        "seed": seed,
        "accuracy": report["accuracy"],
        "n": report["n"],
        "train_s": round(report["train_seconds"], 2),
        "command_s": round(time.perf_counter() - began, 2),
        "load_before": round(waiting, 2),
    }
    print(measured, flush=True)
    return measured


def summarise(runs: list[Record]) -> Record:
    """For each side the mean accuracy with its standard deviation, and the times."""
    sides = {side: [run for run in runs if run["side"] == side] for side in SIDES}
    return {
        side: {
            "accuracy_mean": round(mean(run["accuracy"] for run in own), 5),
            "accuracy_sd": round(stdev(run["accuracy"] for run in own), 5) if len(own) > 1 else None,
            "train_s": results.summary([run["train_s"] for run in own], 2),
            "command_s": results.summary([run["command_s"] for run in own], 2),
        }
        for side, own in sides.items()
    }


def main() -> None:
    """Measure, and write the result."""
    arguments = results.parser(__doc__, smoke="one seed of a few steps").parse_args()
    record = results.stamp(LIBRARIES, smoke=arguments.smoke, command="python -m benchmarks.scale.parallel")
    seeds = 1 if arguments.smoke else SEEDS
    with tempfile.TemporaryDirectory() as folder:
        # In turns, so that a busy machine slows all sides.
        runs = [train(side, seed, Path(folder), smoke=arguments.smoke) for seed in range(seeds) for side in SIDES]
    settings = {"recipe": RECIPE, "data": DATA, "seeds": seeds, "protocol": "select"}
    results.write(arguments.results / RESULT, {**record, **settings, "sides": summarise(runs), "runs": runs})


if __name__ == "__main__":
    main()
