"""The log of every use of a test split: a figure is worth nothing once someone has chosen by it.

In: a run directory or a file that was measured on a test split. Out: a row in `test-openings.csv` beside it.
"""

from __future__ import annotations

import csv
import io
from datetime import datetime
from pathlib import Path

from inkdigit.files import writing

OPENINGS = "test-openings.csv"  # beside the run directories: how often a test split was opened, and by which recipe


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
