"""Corrections by users in one SQLite file: an image, the answer of a model and the right answer; a data source as well.

In: the fields of a correction. Out: the list of corrections, a `Dataset`, a folder.

Each call opens the file and closes it again, so that threads and processes share only the file: through SQLite's
write-ahead log they write in turn while others read. When no process uses it, there is only this one file. Deleted rows
are overwritten with zeros, and the file shrinks.
"""

from __future__ import annotations

import csv
import io
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import inkdigit.runs as runs
from inkdigit.data.readers.arrays import GLIMPSES, glimpse, read_images
from inkdigit.data.readers.bounded import check_count
from inkdigit.data.readers.class_names import index_names, sorted_names
from inkdigit.data.readers.corrections_file import VERSION, connect
from inkdigit.data.readers.folders import FILE, LABEL, LABELS_FILE
from inkdigit.errors import DataError, MissingData, UsageError
from inkdigit.files import make_atomic, write_atomic, writing
from inkdigit.types import DIGITS, Dataset, Gray, Log, Part, Shape, silent

NONE = "none"  # the right answer for an image of no class: not a digit

# A foreign file may hold any type in any column; text instead of an image would be taken for a path.
_ABOUT = 'id, CAST(time AS TEXT), CAST(model AS TEXT), CAST(answered AS TEXT), CAST("right" AS TEXT), length(picture)'
_PICTURE = "CAST(picture AS BLOB)"
_OF_A_CLASS = f"FROM corrections WHERE CAST(\"right\" AS TEXT) != '{NONE}'"

# The suffix of an image file, by its first bytes.
_SUFFIXES = {
    b"\x89PNG": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"BM": ".bmp",
    b"GIF8": ".gif",
    b"II": ".tif",
    b"MM": ".tif",
    b"RIFF": ".webp",
}


@dataclass(frozen=True, slots=True)
class Correction:
    """One correction without its image: `right` is a class or "none", `answered` None where there was no answer."""

    id: int
    time: str  # UTC
    model: str
    answered: str | None
    right: str
    bytes: int  # of the image

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON types."""
        return asdict(self)


def create(path: Path) -> None:
    """Make a file for corrections, or check that an existing one can be written.

    Raises:
        OutputError: it cannot be made or written.
        MalformedFile: the path is that of another kind of file.
    """
    runs.check_place(path)
    with connect(path, "make") as connection:
        connection.execute(f"PRAGMA user_version = {VERSION}")  # the same value again: a write that changes nothing


def add(path: Path, *, picture: bytes, model: str, answered: str | None, right: str) -> int:
    """Add a correction and return its number; the file is made if it does not exist.

    Raises:
        OutputError: it cannot be written, or holds 1 GiB already.
        MalformedFile: the path is that of another kind of file.
    """
    row = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", model, answered, right, picture
    with connect(path, "make", thorough=False) as connection:
        insert = 'INSERT INTO corrections (time, model, answered, "right", picture) VALUES (?, ?, ?, ?, ?)'
        number = connection.execute(insert, row).lastrowid
    assert number is not None
    return number


def read_list(path: Path) -> list[Correction]:
    """All corrections, the oldest first.

    Raises:
        DataError: no such file, or another kind of file.
    """
    with connect(path, "read") as connection:
        return [Correction(*row) for row in connection.execute(f"SELECT {_ABOUT} FROM corrections ORDER BY id")]


def delete(path: Path, ids: Sequence[int] | None, *, log: Log) -> int:
    """Delete the corrections with these numbers, or all if None, without a trace, and return how many they were.

    Raises:
        UsageError: there is no correction with one of the numbers; nothing is deleted.
        DataError: no such file, or another kind of file.
        OutputError: it cannot be written.
    """
    with connect(path, "write") as connection:
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("BEGIN IMMEDIATE")
        known = {number for (number,) in connection.execute("SELECT id FROM corrections")}
        deleted = known if ids is None else set(ids)
        if absent := sorted(deleted - known):
            raise UsageError(
                f"There is no correction {absent[0]} in {path}", hint=f"See them with: inkdigit corrections list {path}"
            )
        connection.executemany("DELETE FROM corrections WHERE id = ?", [(number,) for number in deleted])
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # so that the zeros are in the file before it shrinks
        connection.execute("VACUUM")
        busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        log(f"Another process is reading {path}: the rest in {path.name}-wal is removed when it closes the file.")
    return len(deleted)


def export(path: Path, out: Path) -> tuple[int, int]:
    """Write the images into a new folder with a `labels.csv`, which is a SOURCE then; return how many they were.

    Images of no class go to the sub-folder `none`, with a list of its own: the second number.

    Raises:
        DataError: no such file, or another kind of file.
        OutputError: `out` is taken, or cannot be written.
    """
    with connect(path, "read") as connection, writing(out), make_atomic(out) as aside:
        stored = connection.execute(f"SELECT {_ABOUT}, {_PICTURE} FROM corrections ORDER BY id")
        listed: dict[Path, list[tuple[str, Correction]]] = {aside: [], aside / NONE: []}
        for *about, picture in stored:
            correction = Correction(*about)
            folder = aside / NONE if correction.right == NONE else aside
            name = f"{correction.id}{_suffix(picture)}"
            with writing(folder):
                folder.mkdir(exist_ok=True)
            write_atomic(folder / name, picture)
            listed[folder].append((name, correction))
        for folder, rows in listed.items():
            if rows:
                write_atomic(folder / LABELS_FILE, _labels_csv(rows))
    return len(listed[aside]), len(listed[aside / NONE])


def read_corrections(path: Path, *, name: str | None = None, kind: str = "ink", log: Log = silent) -> Dataset:
    """Read the corrections as a data set of one split, whose files are their numbers.

    The classes are the ten digits if every label is one of them, else the labels themselves in order. Images that are
    not a digit have no class: they are left out, and the log says so.

    Raises:
        MissingData: no such file, or no corrections in it that name a class.
        MalformedFile: another kind of file.
        DataError: not one of the images can be read.
    """
    with connect(path, "read") as connection:
        connection.execute("BEGIN")  # one transaction, so that numbers and images belong together
        (total,) = connection.execute("SELECT count(*) FROM corrections").fetchone()
        rows = connection.execute(f'SELECT id, CAST("right" AS TEXT) {_OF_A_CLASS} ORDER BY id').fetchall()
        if not rows:
            others = f"{total} of no class" if total else None
            raise MissingData(f"There are no corrections in {path} to train on", received=others)
        if len(rows) < total:
            log(f"{path}: {total - len(rows)} of {total} corrections are of no class ({NONE!r}) and left out.")
        check_count(path, len(rows))
        names = {label for _, label in rows}
        classes = DIGITS if names <= set(DIGITS) else sorted_names(names)
        _, labels = index_names([label for _, label in rows], classes, path)
        stored = (picture for (picture,) in connection.execute(f"SELECT {_PICTURE} {_OF_A_CLASS} ORDER BY id"))
        images, faults = read_images(stored, len(rows), kind=kind)
        if len(faults) == len(rows):
            raise DataError(f"None of the {len(rows)} images of {path} can be read. The first: {faults[0]}")
        files = tuple(str(number) for number, _ in rows)
        part = Part(images, labels, files=files, faults=faults)
        return Dataset(name or path.stem, classes, part, None, kind, *_glimpses(connection, part))


def _glimpses(connection: sqlite3.Connection, part: Part) -> tuple[tuple[tuple[int, Gray], ...], tuple[Shape, ...]]:
    """A few images of each class as they are stored, and their sizes; they are read again: images do not stay."""
    readable, glimpses, shapes = part.readable, [], set()
    for k in np.unique(part.labels[readable]):
        for i in readable[part.labels[readable] == k][:GLIMPSES]:
            assert part.files is not None
            rows = connection.execute(f"SELECT {_PICTURE} FROM corrections WHERE id = ?", (int(part.files[i]),))
            seen, shape = glimpse(rows.fetchone()[0])
            glimpses.append((int(k), seen))
            shapes.add(shape)
    return tuple(glimpses), tuple(sorted(shapes))


def _suffix(picture: bytes) -> str:
    """The suffix of a file with this image; empty if the format is not one that is read."""
    return next((suffix for begin, suffix in _SUFFIXES.items() if picture.startswith(begin)), "")


def _labels_csv(rows: Sequence[tuple[str, Correction]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([FILE, LABEL, "answered", "model", "time"])
    writer.writerows([name, row.right, row.answered or "", row.model, row.time] for name, row in rows)
    return text.getvalue()
