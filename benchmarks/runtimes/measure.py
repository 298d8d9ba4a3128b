"""How far files of other runtimes are from the model file: every bundled model in every format, on drawn digits.

In: the bundled models; the libraries of the extras `tflite`, `openvino` and `coreml`. Out: `results/runtimes.json`: of
each file its size, the largest difference of each output, and how many images it labels otherwise. Nothing is timed, so
a busy machine measures the same.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import results
from inkdigit.model.recognizer import Recognizer, bundled
from inkdigit.training.convert.export import export
from inkdigit.training.convert.formats import CORE_ML, LITERT, ONNX, OPENVINO
from inkdigit.training.convert.model_file import drawn_pictures, run_bytes
from inkdigit.training.convert.runtimes import coreml_run, openvino, tflite
from inkdigit.training.convert.runtimes.compare import differences, output_names
from inkdigit.types import Floats, Gray

LIBRARIES = ("inkdigit", "numpy", "onnx", "onnxruntime", "openvino", "ai-edge-litert", "coremltools", "torch")
RESULTS = "runtimes.json"
IMAGES, SMOKE_IMAGES = 1000, 20
Run = Callable[[Gray], Sequence[Floats]]
# Format → what opens its file.
OPENED: dict[str, Callable[[Path, Sequence[str]], Run]] = {
    ONNX: lambda path, _: lambda images: run_bytes(path.read_bytes(), images),
    LITERT: lambda path, _: tflite.runner(path.read_bytes()),
    OPENVINO: lambda path, _: openvino.runner(path),
    CORE_ML: coreml_run.runner,
}


def measure(model: str, path: Path, images: Gray) -> list[dict[str, Any]]:
    """One bundled model in every format."""
    recognizer = Recognizer.load(path)
    expected = run_bytes(recognizer.path.read_bytes(), images)
    names = output_names(len(expected))
    records = []
    for name, opened in OPENED.items():
        with tempfile.TemporaryDirectory() as folder:
            end = {OPENVINO: ".xml", CORE_ML: ".mlpackage"}.get(name, "")
            exported = export(recognizer, name, Path(folder) / f"model{end}")
            run = opened(exported.path, names)
            worst = differences(recognizer, run, images)
            labels = int((run(images)[0].argmax(1) != expected[0].argmax(1)).sum())
        record = {"model": model, "format": name, "bytes": exported.bytes, "other_labels": labels}
        records.append({**record, "differences": dict(zip(names, np.float64(worst).tolist(), strict=True))})
        print(records[-1])
    return records


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and write the results."""
    options = results.parser(__doc__, smoke=f"{SMOKE_IMAGES} images of one model").parse_args(argv)
    warnings.simplefilter("ignore")  # of the libraries
    record = results.stamp(LIBRARIES, smoke=options.smoke)
    images = drawn_pictures("ink", SMOKE_IMAGES if options.smoke else IMAGES)
    models = dict(list(bundled().items())[:1] if options.smoke else bundled())
    record["images"] = len(images)
    record["files"] = {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in models.items()
    }  # figures of other files do not count
    record["formats"] = [entry for model, path in models.items() for entry in measure(model, path, images)]
    results.write(options.results / RESULTS, record)
    return 0


if __name__ == "__main__":
    sys.exit(main())
