"""The figures of a model file on the split that its recipe reports on, and the log of every use of a test split.

In: a model file, its data, their split. Out: `Metrics`, measured by `Recognizer` on the file itself; and a row in
`test-openings.csv`, because a figure is worth nothing once someone has chosen by it.
"""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from inkdigit.data.splits import Splits
from inkdigit.files import writing
from inkdigit.measure.metrics import evaluate
from inkdigit.model.recognizer import Recognizer
from inkdigit.types import Dataset, Metrics

OPENINGS = "test-openings.csv"  # beside the run directories: how often a test split was opened, and by which recipe


def evaluate_reported(model: Recognizer | Path, dataset: Dataset, splits: Splits) -> Metrics:
    """Measure a model file on the split that its recipe reports on."""
    reported = replace(dataset, train=splits.train, test=splits.report)
    return replace(evaluate(model, reported), split=splits.report_name)


def log_opening(made: Path, *, data: str, name: str, sha256: str, seed: str) -> None:
    """Note beside `made` that a test split was opened: choosing by its figures would make them worthless.

    `name`, `sha256` and `seed` are those of the recipe behind the run or file `made`.

    Raises:
        OutputError: the log cannot be written.
    """
    path, text = made.parent / OPENINGS, io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    with writing(path), path.open("a", encoding="utf-8") as file:
        if file.tell() == 0:
            writer.writerow(["date", "data", "recipe", "recipe_sha256", "seed", "run"])
        now = f"{datetime.now():%Y-%m-%d %H:%M:%S}"
        writer.writerow([now, data, name, sha256, seed, made.name])
        file.write(text.getvalue())
