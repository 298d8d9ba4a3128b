"""How a model predicts the development cases: single digits, strings, what is not a digit, and what failed before.

In: a model and the data in INKDIGIT_DATA. Out: a table, each file that was not predicted as expected, and with `--as` a
line of `results/ink.jsonl`. `hard` was chosen because it failed: examples of kinds, no measure. `--usps` adds the
7,291 training images of USPS.
"""

from __future__ import annotations

import csv
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.robustness.outcomes import NOTHING, SEVERAL, Asked, Outcome, ask, count, parser, show, store
from inkdigit.data.sources import open_data
from inkdigit.measure.metrics import reliability, stack_probs
from inkdigit.model.recognizer import Recognizer
from inkdigit.types import Prediction

FOLDERS = ("photos/single", "cases/single", "cases/strings", "photos/strings", "cases/nondigit", "cases/hard")
SINGLE = ("photos/single", "cases/single")
LYING = ("100.jpg", "101.jpg", "102.jpg")  # of cases/single: phone photos on their side


def expected(label: str, folder: str) -> str:
    """What is expected of an image in `folder`, of which the table says `label`."""
    if folder.endswith("strings"):
        return SEVERAL
    return NOTHING if folder.endswith("nondigit") or label == "none" else label


def read(data: Path, folder: str) -> list[Asked]:
    """The images of one folder, with what is expected of them."""
    with (data / folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [
        Asked(str(data / folder / row["file"]), expected(row["label"], folder), f"{folder}/{row['file']}")
        for row in rows
    ]


def measure(model: Recognizer, data: Path) -> dict[str, Any]:
    """Counts of each folder, and the files that were not predicted as expected."""
    counted, missed, single = {}, [], []
    for folder in FOLDERS:
        outcomes = ask(model, read(data, folder))
        upright = [one for one in outcomes if not (folder == "cases/single" and one.asked.name.endswith(LYING))]
        counted[folder] = count(upright)
        single += upright if folder in SINGLE else []
        if len(upright) < len(outcomes):
            counted[f"{folder}, on their side"] = count(one for one in outcomes if one not in upright)
        missed += [one for one in outcomes if one.kind != "right"]
    show("Development cases (strings are right if refused as several, what is not a digit if refused)", counted)
    for outcome in missed:
        print(outcome.line())
    error = calibration_error(model, single)
    print(f"Calibration error of {' and '.join(SINGLE)} together: {error:.4f}")
    told = [
        {
            "file": one.asked.name,
            "expected": one.asked.expected,
            "label": one.label,
            "reason": one.reason or None,
        }
        for one in missed
    ]
    return {"sets": counted, "missed": told, "ece": error}


def calibration_error(model: Recognizer, outcomes: Sequence[Outcome]) -> float | None:
    """The expected calibration error over images of single digits, also of those that are refused for what they are."""
    known = [one for one in outcomes if one.best is not None]
    probs = stack_probs([one.prediction for one in known if isinstance(one.prediction, Prediction)], len(model.classes))
    return reliability(probs, np.array([model.classes.index(one.asked.expected) for one in known])).error


def usps(model: Recognizer) -> dict[str, Any]:
    """The training images of USPS: the share right by the best label, refused ones included, and the coverage."""
    split = open_data("usps").train
    asked = [Asked(image, str(label)) for image, label in zip(split.images, split.labels, strict=True)]
    outcomes = ask(model, asked)
    best = np.array([-1 if one.best is None else one.best for one in outcomes])
    accuracy = float(np.mean(best == split.labels))
    counted = count(outcomes)
    print(f"USPS: {100 * accuracy:.2f} % right by the best label, {counted['refused']} of {counted['n']} refused")
    return {"accuracy": accuracy, **counted}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and store the results."""
    made = parser(__doc__, parts=False, images=False)
    made.add_argument("--usps", action="store_true", help="the training images of USPS, too")
    options = made.parse_args(argv)
    model, began = Recognizer.load(options.model), time.perf_counter()
    figures = measure(model, Path(os.environ["INKDIGIT_DATA"]))
    if options.usps:
        figures["usps"] = usps(model)
    store(options, "cases", figures, began=began)
    return 0


if __name__ == "__main__":
    sys.exit(main())
