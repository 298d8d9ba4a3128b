"""An int8 file compared with the float file that it was made from: accuracy, size, time.

In: model files or run directories (default: the bundled `fast`) and the data they were trained on. Out:
`results/int8.json`. Each pair is timed in one run, float and int8 in turns, on the same images.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime as ort

from benchmarks.common import results
from inkdigit.data.sources import open_data
from inkdigit.model.recognizer import Recognizer
from inkdigit.training.convert.int8 import quantize

LIBRARIES = ("inkdigit", "numpy", "onnxruntime", "onnx")
COMMAND = "python -m benchmarks.speed.int8 RUN…"
PICTURES = 512  # images predicted at once
VNNI = ("avx512_vnni", "avx_vnni", "avx512vnni")


def session(path: Path, threads: int) -> ort.InferenceSession:
    """The network alone, without preprocessing, on so many threads."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def measure(model: str, *, rounds: int, threads: int) -> dict[str, Any]:
    """Quantise one model, and time both files in turns."""
    recognizer = Recognizer.load(model)
    dataset = open_data(recognizer.card.provenance.data.name, prepare=recognizer.prepare)
    made = quantize(recognizer, dataset)
    images = np.ascontiguousarray(dataset.train.images[:PICTURES])
    taken: dict[str, list[float]] = {"float32": [], "int8": []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        path.write_bytes(made.data)
        sessions = {"float32": session(recognizer.path, threads), "int8": session(path, threads)}
        for number in range(-3, rounds):  # three warm-ups
            for name, network in sessions.items():
                began = time.perf_counter()
                network.run(["probs"], {"image": images})
                if number >= 0:
                    taken[name].append((time.perf_counter() - began) * 1e3)
    milliseconds = {name: {"median": median(values), "least": min(values)} for name, values in taken.items()}
    return {
        "model": recognizer.name,
        "parameters": recognizer.card.parameters,
        "part": made.after.split,
        "n": made.after.n,
        "accuracy": {"float32": made.before.accuracy, "int8": made.after.accuracy},
        "bytes": {"float32": recognizer.path.stat().st_size, "int8": len(made.data)},
        "milliseconds": milliseconds,
        "times_faster": {k: milliseconds["float32"][k] / milliseconds["int8"][k] for k in ("median", "least")},
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measure each model and write the results."""
    parser = results.parser(__doc__)
    parser.add_argument("models", nargs="*", default=["fast"], help="model files or run directories")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(argv)
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text(encoding="utf-8").split() if cpuinfo.exists() else []
    about = {**results.stamp(LIBRARIES, command=COMMAND), "vnni": any(flag in flags for flag in VNNI)}
    rows = []
    for model in options.models:
        rows.append(measure(model, rounds=options.rounds, threads=options.threads))
        print(rows[-1], flush=True)
    shape = {"pictures": PICTURES, "rounds": options.rounds, "threads": options.threads}
    results.write(options.results / "int8.json", {**about, **shape, "models": rows})


if __name__ == "__main__":
    main()
