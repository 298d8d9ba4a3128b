"""The SQLite file of corrections: it is made, opened, and checked before its content is used.

In: a path. Out: a connection. A file may come from anywhere, and SQLite trusts its content. So it must hold our table
and nothing else, SQLite has bounds on lengths and on steps, and the structure is checked before anything is read: in a
sound file each page belongs to one place, so that reading comes to an end.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal

from inkdigit.data.readers.bounded import reading
from inkdigit.errors import InkdigitError, MalformedFile, MissingData, OutputError
from inkdigit.files import looking_up
from inkdigit.picture.decode import MAX_BYTES as MAX_PICTURE_BYTES

MAX_BYTES = 2**30  # of the file: users who send corrections must not fill the disk
MAX_ROW_BYTES = MAX_PICTURE_BYTES + 2**20  # of a row, or a value: the bound of an image, and room for the other columns
WAIT_S = 5.0  # for other processes to finish a write, which takes milliseconds

MAGIC = b"SQLite format 3\0"
APPLICATION_ID = int.from_bytes(b"Inkd", "big")  # in bytes 68 to 71 of the file: it is one of ours
VERSION = 1  # of the table
# Its text, comments included, is part of the file format: files are compared with it.
_TABLE = """
CREATE TABLE corrections (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- the number of a deleted one is not given again
    time TEXT NOT NULL,                    -- UTC
    model TEXT NOT NULL,
    answered TEXT,                         -- NULL where the model did not answer
    "right" TEXT NOT NULL,
    picture BLOB NOT NULL                  -- a gray PNG, without what its file told besides
)"""
_SCHEMA = [
    ("table", "corrections", "corrections", _TABLE.strip()),
    ("table", "sqlite_sequence", "sqlite_sequence", "CREATE TABLE sqlite_sequence(name,seq)"),
]
_MAX_SQL = 10_000  # characters of a statement, of ours or in the file: ours have under a thousand

# Steps of SQLite's virtual machine: a row takes some twenty, and a machine does 10 million a second.
_STEPS, _STEPS_A_BYTE = 10_000_000, 4
_STEPS_AT_A_TIME = 100_000  # between two checks of the bound: 10 ms

_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
_JOURNAL_PAGES = slice(16, 20)  # of the journal: the number of pages that the file had before

_BROKEN = {
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_SCHEMA,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_TOOBIG,
}
_CAUSES = {
    sqlite3.SQLITE_FULL: f"the disk is full, or the file has reached {MAX_BYTES >> 30} GiB",
    sqlite3.SQLITE_BUSY: f"other processes were writing for longer than {WAIT_S:.0f} s",
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_TOOBIG: f"an image has more than {MAX_PICTURE_BYTES >> 20} MiB",
}

Mode = Literal["read", "write", "make"]


def is_sqlite(path: Path) -> bool:
    """Whether a file can be read and begins like those of SQLite."""
    try:
        with reading(path) as file:
            return file.read(len(MAGIC)) == MAGIC
    except MissingData:
        return False


@contextmanager
def connect(path: Path, mode: Mode, *, thorough: bool = True) -> Iterator[sqlite3.Connection]:
    """Open a file of corrections; errors of SQLite in the block are translated.

    A `thorough` opening checks each page of the file: a second for some hundred megabytes. Without it the file must
    have been checked before, and must not be read in the block.

    Raises:
        DataError: no such file, another kind of file, or a damaged one.
        OutputError: it cannot be written, or holds 1 GiB already.
    """
    with looking_up(path):
        if path.exists() and not path.is_file():
            problem = f"{path} is not a regular file"
            raise OutputError(problem, hint="Name another file.") if mode == "make" else MissingData(problem)
        if mode != "make" and not path.exists():
            raise MissingData(f"There is no file {path}", expected="a file that inkdigit serve --collect wrote")
        place = path.resolve()
        size = _check_files(place)
        # A reader opens the file as a writer, too: the last one to close it moves the write-ahead log into the file. In
        # a folder that is read-only, SQLite opens the file as one that does not change.
        immutable = mode == "read" and not os.access(place.parent, os.W_OK) and not Path(f"{place}-wal").exists()
        uri = f"{place.as_uri()}?mode={'ro&immutable=1' if immutable else 'rwc' if mode == 'make' else 'rw'}"
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=WAIT_S, isolation_level=None)) as connection:
            _set_bounds(connection, size)
            if mode == "read":
                connection.execute("PRAGMA query_only = ON")
            if mode == "make":
                _make(connection)
            _check(connection, path)
            if thorough:
                _check_pages(connection, path)
            if mode != "read":
                _make_ready(connection)
            yield connection
    except (sqlite3.Error, UnicodeDecodeError) as exc:  # the second where an error quotes bytes of the file
        raise _translated(exc, path, mode) from exc


def _check_files(place: Path) -> int:
    """Check a file, if it exists, and those that SQLite puts beside it; return the number of their bytes.

    Raises:
        MalformedFile: the file is too large, or one beside it is not a regular file or a journal that is not ours.
    """
    size = 0
    for beside in (place, *(Path(f"{place}-{kind}") for kind in ("wal", "shm", "journal"))):
        try:
            status = beside.lstat()
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(status.st_mode):
            raise MalformedFile(beside, "This is not a regular file")
        if beside == place and status.st_size > MAX_BYTES:
            expected = f"at most {MAX_BYTES:,} bytes"
            raise MalformedFile(place, "This file is too large", expected=expected, received=f"{status.st_size:,}")
        size += status.st_size
    _check_journal(Path(f"{place}-journal"))
    return size


def _check_journal(journal: Path) -> None:
    """Check that the journal is that of a new file: all later writes go to the write-ahead log.

    SQLite restores the pages of a journal. A journal may also name another file, which SQLite would delete.
    """
    try:
        with reading(journal) as file:
            begin = file.read(_JOURNAL_PAGES.stop)
            file.seek(max(0, os.fstat(file.fileno()).st_size - len(_JOURNAL_MAGIC)))
            end = file.read(len(_JOURNAL_MAGIC))
    except MissingData:  # the usual case; it may also have been deleted by now
        return
    undoes = begin.startswith(_JOURNAL_MAGIC) and any(begin[_JOURNAL_PAGES])
    if undoes or end == _JOURNAL_MAGIC:
        raise MalformedFile(journal, "This journal was not written by Inkdigit", hint="Move it to another place first.")


def _set_bounds(connection: sqlite3.Connection, size: int) -> None:
    """Set bounds for a file of `size` bytes: on SQLite's memory, on its steps, and on what it trusts."""
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_ROW_BYTES)
    connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, _MAX_SQL)
    rounds = iter(range((_STEPS + _STEPS_A_BYTE * size) // _STEPS_AT_A_TIME))
    connection.set_progress_handler(lambda: next(rounds, None) is None, _STEPS_AT_A_TIME)
    connection.text_factory = lambda data: data.decode("utf-8", "replace")
    for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0"):
        connection.execute(f"PRAGMA {pragma}")


def _make(connection: sqlite3.Connection) -> None:
    """Make the table in an empty file."""
    if not _is_empty(connection):
        return
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")
    if _is_empty(connection):  # checked again: another process may have been faster
        connection.execute(_TABLE)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def _make_ready(connection: sqlite3.Connection) -> None:
    """Prepare for writing: with a write-ahead log, and up to the largest size."""
    connection.execute("PRAGMA journal_mode = WAL")
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    connection.execute(f"PRAGMA max_page_count = {MAX_BYTES // page_bytes}")


def _is_empty(connection: sqlite3.Connection) -> bool:
    (version,) = connection.execute("PRAGMA schema_version").fetchone()
    return bool(version == 0)


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """Check that a file is marked as one of ours, and that it holds our table and nothing else."""
    kind, version, pages, page_bytes = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("application_id", "user_version", "page_count", "page_size")
    )
    if kind != APPLICATION_ID:
        expected = "a file that inkdigit serve --collect wrote"
        raise MalformedFile(path, "This SQLite file does not hold corrections", expected=expected)
    if version != VERSION:
        raise MalformedFile(
            path,
            "Another release wrote these corrections",
            expected=VERSION,
            received=version,
            hint="Upgrade inkdigit.",
        )
    if pages * page_bytes > MAX_BYTES:
        raise MalformedFile(path, "Its header says that it is too large", expected=f"at most {MAX_BYTES:,} bytes")
    query = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name LIMIT ?"
    if connection.execute(query, (len(_SCHEMA) + 1,)).fetchall() != _SCHEMA:
        raise MalformedFile(path, "It must hold the table of corrections, and nothing else")


def _check_pages(connection: sqlite3.Connection, path: Path) -> None:
    """Check that the pages of a file fit together, and that no value is missing."""
    problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if problem != "ok":
        raise MalformedFile(path, "This file of corrections is damaged", received=_one_line(problem))


def _one_line(text: object) -> str:
    """A message of SQLite as one line: it may quote the file."""
    words = " ".join(str(text).removeprefix("*** in database main ***").split())
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in words)[:100]


def _translated(exc: sqlite3.Error | UnicodeDecodeError, path: Path, mode: Mode) -> InkdigitError:
    code = getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in _BROKEN and not (code == sqlite3.SQLITE_TOOBIG and mode == "make"):
        return MalformedFile(path, "This is not a file of corrections, or it is damaged", received=_one_line(exc))
    if mode == "read":
        return MissingData(f"{path} cannot be read: {_one_line(exc)}")
    return OutputError(f"{path} cannot be written: {_CAUSES.get(code, _one_line(exc))}", hint="Put that right first.")
