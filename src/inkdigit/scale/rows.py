"""The work on one part: its pictures → the bytes of a Parquet file with a row for each.

In: a part. Out: a `Finished`. The rows depend on the part, the model and the options alone: the network gets its images
in the same groups on every engine, however many pictures are decoded at a time.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from inkdigit.errors import PictureError, interleave
from inkdigit.model.recognizer import Recognizer
from inkdigit.picture.batch import read_each
from inkdigit.scale.manifest import Part
from inkdigit.scale.pictures import Entry, read_part
from inkdigit.types import Gray, Prediction, Reading

if TYPE_CHECKING:
    from pyarrow import Schema

Task = Literal["predict", "read"]
TASKS: tuple[Task, ...] = get_args(Task)
GROUP = 4096  # rows that are packed together: no more are in memory
BATCH = 256  # pictures that are decoded at a time
WINDOW_BYTES = 2**26  # of files that are in memory at a time: a few of the largest
COMPRESSION = "zstd"


@dataclass(frozen=True, slots=True)
class Options:
    """What every worker needs to know; `model` is the content of the model file, so that no machine must have it."""

    task: Task
    model: bytes
    batch: int = BATCH
    column: str | None = None
    accept_all: bool = False
    expect: str | None = None
    alphabet: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A part, and for single pictures their names."""

    part: Part
    names: Sequence[Sequence[Any]] = ()

    def __str__(self) -> str:
        """Which pictures it is about, for messages."""
        return str(self.part)


@dataclass(frozen=True, slots=True)
class Finished:
    """The file of a part, and how many of its rows are errors, or refused."""

    data: bytes
    rows: int
    errors: int
    refused: int


class Worker:
    """Does the work on parts; each process has one, with one model."""

    def __init__(self, options: Options) -> None:
        """Load the model.

        Raises:
            ModelFileError: the model cannot be used.
        """
        self._options = options
        self._sha256 = hashlib.sha256(options.model).hexdigest()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            path.write_bytes(options.model)
            self._answer = _Reads(path, options) if options.task == "read" else _Predicts(path, options)

    def __call__(self, job: Job) -> Finished:
        """The file of a part.

        Raises:
            DataError: its source cannot be read, or has changed.
        """
        from pyarrow import RecordBatch
        from pyarrow.parquet import ParquetWriter

        file, rows, errors, refused = io.BytesIO(), 0, 0, 0
        entries = read_part(job.part, job.names, column=self._options.column)
        schema = schema_of(self._options.task)
        with ParquetWriter(file, schema, compression=COMPRESSION) as writer:
            for group in self._answer.groups(entries):
                made_by = {"model": self._answer.name, "model_sha256": self._sha256}
                numbered = [{"row": job.part.first + rows + i, **row, **made_by} for i, row in enumerate(group)]
                writer.write_batch(RecordBatch.from_pylist(numbered, schema))
                rows += len(group)
                errors += sum(row["error"] is not None for row in group)
                refused += sum(row.get("reason") is not None for row in group)
        return Finished(file.getvalue(), rows, errors, refused)


class _Predicts:
    """Rows of single digits."""

    def __init__(self, path: Path, options: Options) -> None:
        self._model = Recognizer.load(path, accept_all=options.accept_all, threads=1)
        self._batch = options.batch
        self.name = self._model.name

    def groups(self, entries: Iterator[Entry]) -> Iterator[list[dict[str, Any]]]:
        """The rows of the entries, `GROUP` after `GROUP`."""
        while True:
            about, images, errors = self._prepared(entries)
            if not about:
                return
            answers = interleave(self._model.predict(images) if len(images) else [], errors)
            yield [row | _predicted(answer) for row, answer in zip(about, answers, strict=True)]

    def _prepared(self, entries: Iterator[Entry]) -> tuple[list[dict[str, Any]], Gray, dict[int, PictureError]]:
        """Of the next group its names, its prepared images (M, 28, 28), and the errors of the others."""
        about: list[dict[str, Any]] = []
        images: list[Gray] = [np.zeros((0, 28, 28), np.uint8)]
        errors: dict[int, PictureError] = {}
        while window := list(_window(entries, min(self._batch, GROUP - len(about)))):
            at = len(about)
            for some, wrong in read_each((entry.picture for entry in window), self._model.prepare):
                images.append(some)
                errors.update({at + i: exc for i, exc in wrong.items()})
                at += len(some) + len(wrong)
            about += map(_about, window)
        return about, np.concatenate(images), errors


class _Reads:
    """Rows of whole numbers."""

    def __init__(self, path: Path, options: Options) -> None:
        from inkdigit.reading.reader import Reader

        self._model = Reader.load(path)
        self._pattern = self._model.pattern(options.expect, options.alphabet)
        self.name = self._model.card.name

    def groups(self, entries: Iterator[Entry]) -> Iterator[list[dict[str, Any]]]:
        """The rows of the entries, `GROUP` after `GROUP`."""
        rows = (
            _about(entry) | _read(answer)
            for entry in entries
            for answer in self._model.read_each([entry.picture], self._pattern)
        )
        while group := list(islice(rows, GROUP)):
            yield group


def _window(entries: Iterator[Entry], most: int) -> Iterator[Entry]:
    """The next entries, `most` of them or as many as have `WINDOW_BYTES`: those of shards are in memory."""
    size = 0
    for entry in islice(entries, most):
        yield entry
        size += len(entry.picture) if isinstance(entry.picture, bytes) else 0
        if size >= WINDOW_BYTES:
            return


def _about(entry: Entry) -> dict[str, Any]:
    return {"id": entry.id, "source": entry.source}


def _predicted(answer: Prediction | PictureError) -> dict[str, Any]:
    if isinstance(answer, PictureError):
        return {"error": str(answer)}
    return {
        "label": answer.label,
        "confidence": answer.confidence,
        "probs": answer.probs,
        "score": answer.score,
        "reason": answer.reason,
        "error": None,
    }


def _read(answer: Reading | PictureError) -> dict[str, Any]:
    if isinstance(answer, PictureError):
        return {"error": str(answer)}
    numbers = [
        {"text": number.text, "confidence": number.confidence, "box": number.box, "reason": number.reason}
        for number in answer.numbers
    ]
    return {
        "text": answer.text,
        "confidence": answer.confidence,
        "numbers": numbers,
        "reason": answer.reason,
        "error": None,
    }


def schema_of(task: Task) -> Schema:
    """The columns of a job's files."""
    import pyarrow as pa

    number = [
        ("text", pa.string()),
        ("confidence", pa.float64()),
        ("box", pa.list_(pa.int32())),
        ("reason", pa.string()),
    ]
    answers: Iterable[tuple[str, Any]]
    if task == "predict":
        answers = [
            ("label", pa.string()),
            ("confidence", pa.float64()),
            ("probs", pa.list_(pa.float32())),
            ("score", pa.float64()),
        ]
    else:
        answers = [("text", pa.string()), ("confidence", pa.float64()), ("numbers", pa.list_(pa.struct(number)))]
    texts = ("reason", "error", "model", "model_sha256")
    return pa.schema(
        [
            ("row", pa.int64()),
            ("id", pa.string()),
            ("source", pa.string()),
            *answers,
            *((name, pa.string()) for name in texts),
        ]
    )
