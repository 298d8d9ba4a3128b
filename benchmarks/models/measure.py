"""The cost of prediction with each bundled model: `inkdigit benchmark --json`, several times in a process of its own.

In: the bundled models; MNIST, if it is installed. Out: `results/models.json`: of each figure the median, minimum and
maximum over those processes, and the hash of the file.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import results
from inkdigit.model.recognizer import bundled

LIBRARIES = ("inkdigit", "numpy", "onnxruntime")
RUNS = 5
# Figure → where `inkdigit benchmark --json` has it, and the digits that are stored.
FIGURES = {
    "pictures_per_s": (("batch", "pictures_per_s"), 0),
    "array_p50_ms": (("array", "p50_ms"), 4),
    "array_p99_ms": (("array", "p99_ms"), 4),
    "png_p50_ms": (("png", "p50_ms"), 4),
    "cold_start_s": (("cold_start", "cold_start_s"), 4),
}
COUNTS = {"calls": ("array", "calls"), "batch": ("batch", "batch"), "rounds": ("batch", "rounds")}


def benchmark(names: list[str]) -> list[dict[str, Any]]:
    """The report of one process on each model."""
    command = [sys.executable, "-m", "inkdigit", "benchmark", *names, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", check=True)
    models: list[dict[str, Any]] = json.loads(done.stdout)["models"]
    return models


def gather(name: str, path: Path, reports: list[dict[str, Any]]) -> dict[str, Any]:
    """One model: the figures of all processes."""
    first = reports[0]
    return {
        "model": name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "threads": first["threads"],
        **{count: first[part][field] for count, (part, field) in COUNTS.items()},
        **{
            figure: results.summary([report[part][field] for report in reports], digits)
            for figure, ((part, field), digits) in FIGURES.items()
        },
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, and write the results."""
    parser = results.parser(__doc__, smoke="one process")
    parser.add_argument("--runs", type=int, default=RUNS, help="processes, one after another")
    options = parser.parse_args(argv)
    runs, paths = 1 if options.smoke else options.runs, bundled()
    about = results.stamp(LIBRARIES, smoke=options.smoke, command="python -m benchmarks.models.measure")
    reports = [benchmark(list(paths)) for _ in range(runs)]
    models = [gather(name, path, [report[i] for report in reports]) for i, (name, path) in enumerate(paths.items())]
    results.write(options.results / "models.json", {**about, "runs": runs, "models": models})


if __name__ == "__main__":
    main()
