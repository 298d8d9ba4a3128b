"""Whole commands as a user waits for them: a training, the same beside another program, the first run of `make run`.

In: an installed `inkdigit`, MNIST, a quiet machine. Out: `results/whole.json`. In each round every command is run once,
in a new folder. The other program is a Python loop that keeps one core busy all the time; the weights must be the same
with and without it.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import machine, results

COMMAND = "python -m benchmarks.speed.whole"
LIBRARIES = ("inkdigit", "torch", "onnxruntime", "matplotlib")
STAGES_FROM = "report.json"  # of the run directory
QUIET, BESIDE, FIRST = "quiet", "beside", "first_run"


@contextmanager
def other_program() -> Iterator[None]:
    """Another program that takes all it can get of one core."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def run_command(words: Sequence[str], folder: Path) -> dict[str, float]:
    """Wall and processor seconds of one command, run in `folder`; stop everything if it fails."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment["INKDIGIT_DATA"] = str(Path(os.environ.get("INKDIGIT_DATA", machine.ROOT / "data")).resolve())
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as err:
        process = subprocess.Popen(words, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            err.seek(0)
            sys.exit(f"{' '.join(words)} ended with {process.returncode}:\n{err.read()[-2000:]}")
    return {"wall_s": wall, "cpu_s": usage.ru_utime + usage.ru_stime}


def train(folder: Path, options: Sequence[str]) -> dict[str, Any]:
    """Train `fast` once: seconds, those of the stages, and the SHA-256 of what the model predicts."""
    out = folder / "run"
    taken: dict[str, Any] = run_command([str(machine.INKDIGIT), "train", "fast", "--out", str(out), *options], folder)
    taken["stages"] = json.loads((out / STAGES_FROM).read_text(encoding="utf-8"))["seconds"]
    logits = np.load(out / "predictions.npz")["logits"]
    taken["sha256"] = hashlib.sha256(logits.tobytes()).hexdigest()
    return taken


def one_round(options: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Every command once."""
    taken: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        taken[QUIET] = train(Path(folder), options)
    with tempfile.TemporaryDirectory() as folder, other_program():
        taken[BESIDE] = train(Path(folder), options)
    with tempfile.TemporaryDirectory() as folder:
        examples = str(machine.ROOT / "examples")
        taken[FIRST] = run_command([str(machine.INKDIGIT), "first-run", examples], Path(folder))
    return taken


def main(argv: Sequence[str] | None = None) -> None:
    """Run the rounds, write and print the results."""
    parser = results.parser(__doc__, smoke="one round on few images")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(argv)
    if options.rounds < 1:
        parser.error("--rounds is at least 1")
    about = results.stamp(LIBRARIES, smoke=options.smoke, command=COMMAND)
    few = ["--data", "sklearn-digits", "--set", "min_steps=0"] if options.smoke else []
    rounds = []
    for number in range(1 if options.smoke else options.rounds):
        rounds.append(one_round(few))
        shown = ", ".join(f"{key} {taken['wall_s']:.1f} s" for key, taken in rounds[-1].items())
        print(f"round {number + 1}: {shown}", file=sys.stderr, flush=True)
    if len({taken["sha256"] for one in rounds for key, taken in one.items() if key != FIRST}) != 1:
        sys.exit("The trainings did not end with the same weights")
    record: dict[str, Any] = {**about, "rounds": len(rounds)}
    for key in (QUIET, BESIDE, FIRST):
        record[key] = {field: results.summary([one[key][field] for one in rounds], 3) for field in ("wall_s", "cpu_s")}
    for key in (QUIET, BESIDE):
        stages = {stage: [one[key]["stages"][stage] for one in rounds] for stage in rounds[0][key]["stages"]}
        record[key]["stages"] = {stage: results.summary(seconds, 3) for stage, seconds in stages.items()}
    trainings = [(one[BESIDE]["stages"]["train"], one[QUIET]["stages"]["train"]) for one in rounds]
    record["beside_over_quiet"] = results.summary([beside / quiet for beside, quiet in trainings], 3)
    results.write(options.results / "whole.json", record)


if __name__ == "__main__":
    main()
