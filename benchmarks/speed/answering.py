"""Time and memory of complete processes: predict, evaluate, submit; and the time of preprocessing alone.

In: an installed `inkdigit`, MNIST, a model (the bundled one unless `--model` names another). Out:
`results/answering.json`. Every command is a new process each time, from a warm disk cache. Wall time and peak memory
are those that the operating system accounts to the process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.common import machine, results
from inkdigit.machine import PEAK_UNIT

COMMAND = "python -m benchmarks.speed.answering"
LIBRARIES = ("inkdigit", "numpy", "pillow", "onnxruntime", "polars")
WARM_UPS = 2
CLEAN = Path("examples") / "0-mnist-like.png"
PHOTO = Path("examples") / "7-pen-on-paper.png"


@dataclass(frozen=True)
class Case:
    """A command to be timed: its key in the results, how a user types it, its words, and a text that it must print."""

    key: str
    shown: str
    argv: tuple[str, ...]
    expected: str = ""


@dataclass(frozen=True)
class Sample:
    """One process: wall and processor seconds, peak resident megabytes (10^6 bytes)."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def cases(model: str | None, *, csv: Path) -> list[Case]:
    """The commands, in the order of the table."""
    path = str(Path(model).resolve()) if model and Path(model).exists() else model
    choice = ("--model", path) if path else ()
    name = Path(path).name if path else "fast"
    option = f" --model {name}" if path else ""
    inkdigit, submission = str(machine.INKDIGIT), str(csv.with_name("submission.csv"))
    clean, photo = str(machine.ROOT / CLEAN), str(machine.ROOT / PHOTO)
    bare, libraries = "pass", "import numpy, PIL.Image, onnxruntime"
    return [
        Case("python", "python -c pass", (sys.executable, "-c", bare)),
        Case("libraries", f'python -c "{libraries}"', (sys.executable, "-c", libraries)),
        Case("predict_clean", f"inkdigit predict {CLEAN}{option}", (inkdigit, "predict", clean, *choice), "png  0  "),
        Case("predict_photo", f"inkdigit predict {PHOTO}{option}", (inkdigit, "predict", photo, *choice), "png  7  "),
        Case(
            "evaluate",
            f"inkdigit evaluate {name} --data mnist --json",
            (inkdigit, "evaluate", path or "fast", "--data", "mnist", "--json"),
            '"n": 10000',
        ),
        Case(
            "submit",
            f"inkdigit submit {csv.name} --model {name}",
            (inkdigit, "submit", str(csv), "--model", path or "fast", "--force", "--out", submission),
            "Submission",
        ),
    ]


def sample(case: Case) -> Sample:
    """Run the command once; stop everything if it fails or does not print what it must."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as out, tempfile.TemporaryFile("w+", encoding="utf-8") as err:
        began = time.perf_counter()
        # Compiled modules are kept, as a user's are: to compile ours anew would be a fifth of a cold answer.
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        process = subprocess.Popen(case.argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        printed = out.read()
        if process.returncode or case.expected not in printed:
            sys.exit(f"{case.shown} ended with {process.returncode}:\n{printed[-500:]}\n{err.read()[-2000:]}")
    return Sample(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * PEAK_UNIT / 1e6)


def measure(todo: list[Case], *, runs: int) -> dict[str, dict[str, Any]]:
    """Run each command `runs` times after the warm-ups, in rounds, so that a slow minute affects all of them."""
    samples: dict[str, list[Sample]] = {case.key: [] for case in todo}
    for number in range(-WARM_UPS, runs):
        print(f"round {number + 1} of {runs}" if number >= 0 else "warm-up", file=sys.stderr, flush=True)
        for case in todo:
            taken = sample(case)
            if number >= 0:
                samples[case.key].append(taken)
    record = {case.key: {"command": case.shown, **summary(samples[case.key])} for case in todo}
    limit = samples["libraries"]  # the time that no answer can be under: what it loads must be loaded
    for key in ("predict_clean", "predict_photo"):
        for field in ("wall_s", "cpu_s"):
            ratios = [getattr(a, field) / getattr(b, field) for a, b in zip(samples[key], limit, strict=True)]
            record[key][f"{field}_over_libraries"] = results.summary(ratios, 3)
    return record


def summary(samples: list[Sample]) -> dict[str, Any]:
    """Median, minimum and maximum of each figure."""
    figures: dict[str, Any] = {"n": len(samples)}
    for field, digits in (("wall_s", 4), ("cpu_s", 4), ("peak_mb", 1)):
        figures[field] = results.summary([getattr(taken, field) for taken in samples], digits)
    return figures


def main(argv: Sequence[str] | None = None) -> None:
    """Write the CSV, run every command, time the preprocessing, write the results."""
    parser = results.parser(__doc__, smoke="one run, a short CSV")
    parser.add_argument(
        "--model", help="a bundled model, a run directory or an .onnx file; the default is the bundled `fast`"
    )
    parser.add_argument("--runs", type=int, default=20)
    options = parser.parse_args(argv)
    if options.runs < 1:
        parser.error("--runs is at least 1")

    about = results.stamp(LIBRARIES, smoke=options.smoke, command=COMMAND)
    about["model"] = Path(options.model).name if options.model else "fast"
    with tempfile.TemporaryDirectory() as folder:
        csv = Path(folder) / "test.csv"
        rows = ["100"] if options.smoke else []
        subprocess.run(machine.script("speed.inside", "csv", csv, *rows), env=machine.environment(), check=True)
        processes = measure(cases(options.model, csv=csv), runs=1 if options.smoke else options.runs)
    prepared = subprocess.run(
        machine.script("speed.inside", "prepare"),
        env=machine.environment(),
        check=True,
        capture_output=True,
        encoding="utf-8",
    )
    results.write(
        options.results / "answering.json", {**about, "processes": processes, "door": json.loads(prepared.stdout)}
    )


if __name__ == "__main__":
    main()
