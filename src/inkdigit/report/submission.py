"""The submission for Kaggle's Digit Recognizer: test.csv → submission.csv, with a page and a grid beside it.

In: a recogniser and a test.csv without labels. Out: `ImageId,Label`, one row for each image, ids from 1, checked before
it is moved into place.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from inkdigit.data.readers.kaggle_csv import read_kaggle_test
from inkdigit.errors import MissingExtra, UsageError
from inkdigit.files import write_atomic
from inkdigit.model.recognizer import Recognizer
from inkdigit.report import predictions as answers
from inkdigit.runs import check_place
from inkdigit.types import Gray, Log, Prediction, check_functions, silent

HEADER = "ImageId,Label"


@dataclass(frozen=True, eq=False)
class Submission:
    """A written submission; image i of the test.csv has the id i + 1. Where a path is expected, it is its `path`."""

    path: Path
    model: Recognizer
    images: Gray = field(repr=False)  # (N, 28, 28), the raw images of the CSV
    predictions: list[Prediction] = field(repr=False)  # N
    page: Path | None  # of the answers, beside it; None where the libraries for it are missing, or there is no place
    grid: Path | None  # of fifteen of them

    def __fspath__(self) -> str:
        """Its path, so that `open`, `Path` and `numpy.loadtxt` take it."""
        return os.fspath(self.path)


def submit(
    model: Recognizer | str | Path,
    csv: str | Path,
    out: str | Path = "submission.csv",
    *,
    log: Log = silent,
) -> Submission:
    """Predict every row of a Kaggle test.csv and write the submission to `out`, with a page and a grid beside it.

    Every row gets its most probable digit, even if the model would reject the image: Kaggle accepts no empty labels.
    A file that is at `out` is replaced.

    Raises:
        MalformedFile: the CSV is not Kaggle's.
        UsageError: the model's classes are not whole numbers.
        OutputError: the submission cannot be written.
    """
    check_functions(log=log)
    recognizer = Recognizer.of(model)
    names = [name for name in recognizer.classes if not name.isdecimal()]
    if names:
        raise UsageError(
            f"The model {recognizer.name!r} cannot write a submission",
            expected="classes that are whole numbers",
            received=", ".join(names[:3]),
        )
    if saw_mnist(recognizer):
        log(
            "Warning: this model was trained on MNIST, and Kaggle's test rows are part of MNIST: its score would not "
            "be honest. For an honest one: inkdigit kaggle train.csv test.csv"
        )
    out = Path(out)
    check_place(out, reads=[Path(csv)])
    images = read_kaggle_test(Path(csv))
    predictions = recognizer.predict(images)
    text = "\n".join([HEADER, *(f"{i},{_label(recognizer, p)}" for i, p in enumerate(predictions, 1))]) + "\n"
    check(text, rows=len(predictions))
    write_atomic(out, text)
    page, grid = _show(out, recognizer, images, predictions, log=log)
    return Submission(out, recognizer, images, predictions, page, grid)


def _show(
    out: Path, recognizer: Recognizer, images: Gray, predictions: list[Prediction], *, log: Log
) -> tuple[Path | None, Path | None]:
    """Write a page and a grid of the answers beside the submission, where that is possible."""
    if not out.is_file():
        return None, None  # a pipe or a device: there is no place beside it
    try:
        return answers.write(out, images, predictions, classes=recognizer.classes, model=recognizer.name)
    except MissingExtra as exc:
        log(f"No page of the answers was written: {exc}")
        return None, None


def saw_mnist(recognizer: Recognizer) -> bool:
    """Whether the model was trained on MNIST itself, according to its card."""
    return recognizer.card.provenance.saw_mnist


def _label(recognizer: Recognizer, prediction: Prediction) -> int:
    best = prediction.best  # a blank image has none: 0 is as likely as any other digit
    return 0 if best is None else int(recognizer.classes[best])


def check(text: str, *, rows: int) -> None:
    """Check that a text has the form of a submission.

    Raises:
        UsageError: the header, the number of rows, an id or a label is wrong.
    """
    header, *lines = text.splitlines()
    cells = [line.split(",") for line in lines]
    ids = [c[0] for c in cells]
    if (
        header != HEADER
        or ids != [str(i) for i in range(1, rows + 1)]
        or not all(len(c) == 2 and c[1].isdecimal() for c in cells)
    ):
        raise UsageError("The submission is not in Kaggle's form", expected=f"{HEADER} and {rows} rows, ids from 1")
