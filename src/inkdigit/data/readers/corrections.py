"""What people said was the right answer, in one SQLite file: a data source like any other.

In: a picture, what a model answered, what is right. Out: the list of them, a `Dataset`, a folder.

Each call opens the file and closes it again, so that threads and processes share nothing but the file: through SQLite's
write-ahead log they write in turn while others read. When nobody is at it, the one file is all there is. What is
deleted is overwritten with zeros, and the file shrinks.
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
from inkdigit.data.readers.arrays import GLIMPSES, read_pictures, thin
from inkdigit.data.readers.bounded import check_count
from inkdigit.data.readers.class_names import index_names, sorted_names
from inkdigit.data.readers.corrections_db import VERSION, connect
from inkdigit.data.readers.folders import FILE, LABEL, LABELS_FILE
from inkdigit.errors import DataError, MissingData, UsageError
from inkdigit.files import make_atomic, write_atomic, writing
from inkdigit.picture.decode import decode
from inkdigit.types import DIGITS, Dataset, Gray, Log, Part, silent

NONE = "none"  # what is right where the picture is of no class: no digit

# A file that others made may hold any type in any column; text in place of a picture would be taken for a path.
_ABOUT = 'id, CAST(time AS TEXT), CAST(model AS TEXT), CAST(answered AS TEXT), CAST("right" AS TEXT), length(picture)'
_PICTURE = "CAST(picture AS BLOB)"
_OF_A_CLASS = f"FROM corrections WHERE CAST(\"right\" AS TEXT) != '{NONE}'"

# What a picture's file is called at its end, by how it begins.
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
    """One correction without its picture: `right` is a class or "none", `answered` None where there was no answer."""

    id: int
    time: str  # UTC
    model: str
    answered: str | None
    right: str
    bytes: int  # of the picture

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON types."""
        return asdict(self)


def create(path: Path) -> None:
    """Make a file for corrections, or check that the one which is there can take more.

    Raises:
        OutputError: it cannot be made or written.
        MalformedFile: another kind of file is there.
    """
    runs.check_place(path)
    with connect(path, "make") as connection:
        connection.execute(f"PRAGMA user_version = {VERSION}")  # what it is already: this writes, and changes nothing


def add(path: Path, *, picture: bytes, model: str, answered: str | None, right: str) -> int:
    """Keep a correction and return its number; the file is made where it is not there.

    Raises:
        OutputError: it cannot be written, or holds 1 GiB already.
        MalformedFile: another kind of file is there.
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
    """Delete the corrections with these numbers, or all by None, so that nothing of them stays; return how many.

    Raises:
        UsageError: there is no correction of such a number; nothing is deleted then.
        DataError: no such file, or another kind of file.
        OutputError: it cannot be written.
    """
    with connect(path, "write") as connection:
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("BEGIN IMMEDIATE")
        known = {number for (number,) in connection.execute("SELECT id FROM corrections")}
        gone = known if ids is None else set(ids)
        if absent := sorted(gone - known):
            raise UsageError(
                f"{path} holds no correction {absent[0]}", hint=f"See them with: inkdigit corrections list {path}"
            )
        connection.executemany("DELETE FROM corrections WHERE id = ?", [(number,) for number in gone])
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the zeros are in the file before it shrinks
        connection.execute("VACUUM")
        busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        log(f"Somebody else is reading {path}: what is left of them in {path.name}-wal goes when they close it.")
    return len(gone)


def export(path: Path, out: Path) -> tuple[int, int]:
    """Write the pictures into a new folder with a `labels.csv`, so that it is a SOURCE; return how many.

    Those that are of no class go to the sub-folder `none`, with a list of their own: the second number.

    Raises:
        DataError: no such file, or another kind of file.
        OutputError: `out` is taken, or cannot be written.
    """
    with connect(path, "read") as connection, writing(out), make_atomic(out) as aside:
        stored = connection.execute(f"SELECT {_ABOUT}, {_PICTURE} FROM corrections ORDER BY id")
        listed: dict[Path, list[tuple[str, Correction]]] = {aside: [], aside / NONE: []}
        for *about, picture in stored:
            one = Correction(*about)
            folder = aside / NONE if one.right == NONE else aside
            name = f"{one.id}{_suffix(picture)}"
            with writing(folder):
                folder.mkdir(exist_ok=True)
            write_atomic(folder / name, picture)
            listed[folder].append((name, one))
        for folder, rows in listed.items():
            if rows:
                write_atomic(folder / LABELS_FILE, _labels_csv(rows))
    return len(listed[aside]), len(listed[aside / NONE])


def read_corrections(path: Path, *, name: str | None = None, kind: str = "ink", log: Log = silent) -> Dataset:
    """Read the corrections as a data set of one part, whose files are their numbers.

    Classes are the ten digits if every label is one of them, else the labels themselves in order. Pictures that are no
    digit have no class: they are left out, and the log is told.

    Raises:
        MissingData: no such file, or no corrections in it that name a class.
        MalformedFile: another kind of file.
        DataError: not one of the pictures can be read.
    """
    with connect(path, "read") as connection:
        connection.execute("BEGIN")  # numbers and pictures of the same moment
        (total,) = connection.execute("SELECT count(*) FROM corrections").fetchone()
        rows = connection.execute(f'SELECT id, CAST("right" AS TEXT) {_OF_A_CLASS} ORDER BY id').fetchall()
        if not rows:
            others = f"{total} that are of no class" if total else None
            raise MissingData(f"{path} holds no corrections to learn from", received=others)
        if len(rows) < total:
            log(f"{path}: {total - len(rows)} of {total} corrections are of no class ({NONE!r}), and left out.")
        check_count(path, len(rows))
        found = {label for _, label in rows}
        classes = DIGITS if found <= set(DIGITS) else sorted_names(found)
        _, labels = index_names([label for _, label in rows], classes, path)
        stored = (picture for (picture,) in connection.execute(f"SELECT {_PICTURE} {_OF_A_CLASS} ORDER BY id"))
        images, faults = read_pictures(stored, len(rows), kind=kind)
        if len(faults) == len(rows):
            raise DataError(f"Not one of the {len(rows)} pictures of {path} can be read. The first: {faults[0]}")
        files = tuple(str(number) for number, _ in rows)
        part = Part(images, labels, files=files, faults=faults)
        return Dataset(name or path.stem, classes, part, prepare=kind, glimpses=_glimpses(connection, part))


def _glimpses(connection: sqlite3.Connection, part: Part) -> tuple[tuple[int, Gray], ...]:
    """A few pictures of each class as they are kept; read anew, for the others are not kept."""
    readable, glimpses = part.readable, []
    for k in np.unique(part.labels[readable]):
        for i in readable[part.labels[readable] == k][:GLIMPSES]:
            assert part.files is not None
            one = connection.execute(f"SELECT {_PICTURE} FROM corrections WHERE id = ?", (int(part.files[i]),))
            glimpses.append((int(k), thin(decode(one.fetchone()[0]))))
    return tuple(glimpses)


def _suffix(picture: bytes) -> str:
    """What a file of this picture is called at its end; nothing where it is of no format that is read."""
    return next((suffix for begin, suffix in _SUFFIXES.items() if picture.startswith(begin)), "")


def _labels_csv(rows: Sequence[tuple[str, Correction]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([FILE, LABEL, "answered", "model", "time"])
    writer.writerows([name, one.right, one.answered or "", one.model, one.time] for name, one in rows)
    return text.getvalue()
