"""How well numbers are read: whole numbers that are right, single characters, and how honest the confidence is.

In: a reader, pictures and what is written in them. Out: `ReadingMetrics`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inkdigit.errors import DataError, PictureError, reason_of
from inkdigit.measure.metrics import reliability_of
from inkdigit.measure.stats import wilson
from inkdigit.parsing import read_text
from inkdigit.reading.pattern import TIMES
from inkdigit.reading.reader import Reader
from inkdigit.types import DIGITS, Reading

MAX_LIST_BYTES = 2**26  # of a labels.csv
LEVELS = (0.99, 0.999)  # accuracies at which the coverage is told


@dataclass(frozen=True, slots=True)
class ReadingMetrics:
    """The figures of a reader on labelled pictures. Shares are from 0 to 1."""

    model: str
    n: int
    digits_right: float  # pictures whose digits are right, in order; every other character is left out on both sides
    digits_right_ci95: tuple[float, float]  # Wilson's interval
    text_right: float  # pictures of which every character is right, spaces left out
    character_errors: float  # wrong, missing and added digits, in shares of all digits
    answered: float
    right_of_answered: float | None
    coverage: dict[
        str, float | None
    ]  # at these accuracies of the digits: the most confident ones; None if there is none
    ece: float | None  # of the confidences of those that are answered

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON types."""
        return {**asdict(self), "digits_right_ci95": list(self.digits_right_ci95)}


def read_labels(path: Path) -> list[tuple[Path, str]]:
    """The pictures and texts of a CSV with the columns `file` and `label`; files are beside it.

    Raises:
        DataError: it cannot be read, or lacks a column.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path, max_bytes=MAX_LIST_BYTES))))
    except (OSError, ValueError, csv.Error) as exc:
        raise DataError(f"{path} cannot be read: {reason_of(exc)}") from exc
    if not rows or not {"file", "label"} <= rows[0].keys():
        raise DataError(f"{path} is not a list of labelled pictures", expected="CSV with the columns file and label")
    if any(row["file"] is None or row["label"] is None for row in rows):
        raise DataError(f"{path}: a row has no label", expected="a file and a label in each row")
    return [(path.parent / row["file"], row["label"]) for row in rows]


def evaluate(reader: Reader, labelled: Iterable[tuple[Any, str]]) -> ReadingMetrics:
    """Measure a reader on pictures and their texts; × may be written as x.

    Raises:
        DataError: there are no pictures.
        PictureError: one of them cannot be read.
    """
    known = list(labelled)
    readings = []
    for answer in reader.read_each(picture for picture, _ in known):
        if isinstance(answer, PictureError):
            raise answer
        readings.append(answer)
    return metrics(readings, [label for _, label in known], model=reader.card.name)


def metrics(readings: Sequence[Reading], labels: Sequence[str], *, model: str) -> ReadingMetrics:
    """The figures of readings. Raises DataError if there are none."""
    n = len(labels)
    if not n:
        raise DataError("There is nothing to measure", expected="labelled pictures", received=0)
    pairs = [(digits_of(one.text), digits_of(label)) for one, label in zip(readings, labels, strict=True)]
    right = np.array([seen == true for seen, true in pairs])
    same = [one.text.replace(" ", "") == _plain(label) for one, label in zip(readings, labels, strict=True)]
    errors = sum(_distance(seen, true) for seen, true in pairs) / max(1, sum(len(true) for _, true in pairs))
    confidence = np.array([one.confidence for one in readings])
    answered = np.array([one.reason is None for one in readings])
    low, high = wilson(int(right.sum()), n)
    return ReadingMetrics(
        model=model,
        n=n,
        digits_right=float(right.mean()),
        digits_right_ci95=(low, high),
        text_right=float(np.mean(same)),
        character_errors=float(errors),
        answered=float(answered.mean()),
        right_of_answered=float(right[answered].mean()) if answered.any() else None,
        coverage={f"{level:g}": _coverage(right, confidence, level) for level in LEVELS},
        ece=reliability_of(confidence[answered], right[answered]).error,
    )


def digits_of(text: str) -> str:
    """The digits of a text, in order."""
    return "".join(character for character in text if character in DIGITS)


def _plain(label: str) -> str:
    return label.replace(" ", "").lower().replace(*TIMES)


def _distance(a: str, b: str) -> int:
    """How many characters must be changed, added or left out to make `b` of `a` (Levenshtein 1966)."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(before + (x != y), row[j] + 1, row[j - 1] + 1)
    return row[-1]


def _coverage(right: NDArray[np.bool_], confidence: NDArray[np.float64], level: float) -> float | None:
    """The largest share of the pictures, by confidence, that is right with an accuracy of `level`."""
    order = np.argsort(-confidence, kind="stable")
    accuracy = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero(accuracy >= level)
    return float((enough[-1] + 1) / len(order)) if enough.size else None
