"""The curves of a run, `metrics.csv` and `steps.csv`: a row per epoch, and a row every few steps.

In: the rows that the loop yields. Out: the two files. A run that is resumed cuts off the rows of epochs that it trains
again, after it has checked that the files have the columns and numbers that a run writes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path

import inkdigit.runs as runs
from inkdigit.errors import MalformedFile
from inkdigit.files import append_row, read_rows, truncate_rows
from inkdigit.measure.ledger import can_be_drawn
from inkdigit.training.network.loop import Row, Sample

EPOCH_COLUMNS = tuple(field.name for field in fields(Row) if field.name != "samples")  # of metrics.csv
STEP_COLUMNS = ("epoch", *(field.name for field in fields(Sample)))  # of steps.csv


def append(folder: Path, row: Row) -> None:
    """Append one epoch to both files.

    Raises:
        OutputError: they cannot be written.
    """
    steps_per_epoch = row.step / row.epoch
    append_row(folder / runs.METRICS, {name: getattr(row, name) for name in EPOCH_COLUMNS})
    for sample in row.samples:
        append_row(folder / runs.STEPS, {"epoch": round(sample.step / steps_per_epoch, 4), **asdict(sample)})


def cut(folder: Path, *, after_step: int) -> None:
    """Remove the rows after a step, so that the epochs that are trained again are not there twice.

    Raises:
        DataError: the files are damaged.
    """
    for name, columns in ((runs.METRICS, EPOCH_COLUMNS), (runs.STEPS, STEP_COLUMNS)):
        rows = _read(folder / name, columns)
        truncate_rows(folder / name, sum(row["step"] <= after_step for row in rows))


def read(folder: Path, *, after_step: int) -> Iterator[Row]:
    """The epochs after a step, as the loop has yielded them, without the samples of their curves.

    Raises:
        DataError: the file is damaged.
    """
    for row in _read(folder / runs.METRICS, EPOCH_COLUMNS):
        if row["step"] > after_step:
            known = {name: None if math.isnan(value) else value for name, value in row.items()}
            yield Row(**{**known, "epoch": int(row["epoch"]), "step": int(row["step"])})  # type: ignore[arg-type]


def _read(path: Path, columns: Sequence[str]) -> list[dict[str, float]]:
    """Read rows with exactly these columns: more rows would be appended under the wrong names.

    Raises:
        MalformedFile: the columns or the numbers are not those of a run, or the file cannot be read.
    """
    rows = read_rows(path)
    if rows and tuple(rows[0]) != tuple(columns):
        expected, received = ", ".join(columns), ", ".join(rows[0])[:200]
        raise MalformedFile(path, "the columns are others", where="line 1", expected=expected, received=received)
    for number, row in enumerate(rows, 2):
        if not can_be_drawn(row) or not 0 < row["step"] < math.inf:
            raise MalformedFile(path, "figures that no training has", where=f"line {number}")
    return rows
