"""A file of corrections may come from anywhere: it is one of ours, or one typed error, soon and in little memory."""

from __future__ import annotations

import io
import os
import sqlite3
import struct
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from inkdigit.data.readers import bounded
from inkdigit.data.readers.corrections import add, create, delete, export, read_corrections, read_list
from inkdigit.data.readers.corrections_file import connect, is_sqlite
from inkdigit.errors import DataError, InkdigitError, MalformedFile, MissingData, OutputError

from ..conftest import draw

PAGE = 4096
JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
POSIX = pytest.mark.skipif(os.name != "posix", reason="pipes and devices are files on POSIX systems alone")


def add_one(path: Path) -> int:
    return add(path, picture=b"an image", model="tiny", answered=None, right="7")


READS: list[Callable[[Path], object]] = [
    read_list,
    read_corrections,
    lambda path: delete(path, None, log=lambda _: None),
    lambda path: export(path, path.parent / "out"),
]
CALLS = [*READS, create, add_one]


@cache
def sound() -> bytes:
    """A file with a dozen corrections, some over several pages."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.db"
        for number, gray in enumerate([*draw(10), *draw(2, side=130)]):
            file = io.BytesIO()
            Image.fromarray(gray).save(file, "PNG")
            add(path, picture=file.getvalue(), model="tiny", answered="1", right=str(number % 10))
        return path.read_bytes()


def soon(call: Callable[[Path], object], path: Path) -> None:
    """Whatever the file: an answer or an error of ours, in less than two seconds of the processor."""
    begin = time.process_time()
    with suppress(InkdigitError):
        call(path)
    assert time.process_time() - begin < 2


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "c.db").write_bytes(sound())
    return tmp_path / "c.db"


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def left_by_a_kill(statement: str, mode: str) -> dict[str, bytes]:
    """The file and what is beside it, as whoever is killed in the middle of `statement` leaves them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.db"
        path.write_bytes(sound())
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for pragma in (f"journal_mode = {mode}", "cache_size = 1", "wal_autocheckpoint = 0"):
                connection.execute(f"PRAGMA {pragma}")
            if mode == "DELETE":
                connection.execute("BEGIN")
            connection.execute(statement)
            return {file.name: file.read_bytes() for file in path.parent.iterdir() if not file.name.endswith("-shm")}


def mutate(data: bytes, mutations: list[tuple[float, bytes]]) -> bytes:
    changed = bytearray(data)
    for place, written in mutations:
        at = int(place * len(changed))
        changed[at : at + len(written) if written else None] = written
    return bytes(changed)


# Anywhere, in the header of the file, or where its first pages begin; few bytes, or what reads as a huge number.
PLACES = (
    st.floats(0, 1) | st.floats(0, 100 / len(sound())) | st.sampled_from([k * PAGE / len(sound()) for k in range(5)])
)
Mutations = st.lists(st.tuples(PLACES, st.binary(max_size=4) | st.just(b"\xff" * 9)), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(Mutations, st.sampled_from(CALLS))
def test_a_damaged_file_is_a_list_or_one_error(mutations, call):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.db"
        path.write_bytes(mutate(sound(), mutations))
        soon(call, path)


@settings(max_examples=30, deadline=None)
@given(Mutations, st.sampled_from(CALLS), st.sampled_from(["-wal", "-journal"]))
def test_what_is_damaged_beside_a_file_is_one_error_at_most(mutations, call, suffix):
    mode = "WAL" if suffix == "-wal" else "DELETE"
    files = left_by_a_kill("UPDATE corrections SET model = 'other', picture = picture || picture", mode)
    with tempfile.TemporaryDirectory() as folder:
        for name, data in files.items():
            (Path(folder) / name).write_bytes(mutate(data, mutations) if name.endswith(suffix) else data)
        soon(call, Path(folder) / "c.db")


def inner_page(child: int, *, header: bytes = b"") -> bytes:
    """An inner page of a table's tree, all of whose hundred children are the same page."""
    cells = b"".join(struct.pack(">IB", child, row) for row in range(1, 100))
    begin = PAGE - len(cells)
    pointers = b"".join(struct.pack(">H", begin + 5 * i) for i in range(99))
    page = header + struct.pack(">BHHHBI", 5, 0, 99, begin, 0, child) + pointers
    return page + bytes(begin - len(page)) + cells


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("first", [1, 2])
def test_a_tree_that_never_ends_is_not_climbed(path, call, first):
    data = path.read_bytes()
    pages = len(data) // PAGE
    tree = b"".join(inner_page(pages + level) for level in range(2, 10)) + data[(first - 1) * PAGE : first * PAGE]
    top = inner_page(pages + 1, header=data[:100] if first == 1 else b"")
    path.write_bytes(data[: (first - 1) * PAGE] + top + data[first * PAGE :] + tree)  # 100^9 rows
    soon(call, path)


OTHER_SCHEMAS = {
    "a trigger": "CREATE TRIGGER t AFTER INSERT ON corrections BEGIN DELETE FROM corrections; END",
    "a view": "CREATE VIEW v AS SELECT 1",
    "an index": "CREATE INDEX i ON corrections (time)",
    "a table": "CREATE TABLE other (id)",
    "a column": "ALTER TABLE corrections ADD COLUMN more",
    "another name": "ALTER TABLE corrections RENAME TO other",
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("statement", OTHER_SCHEMAS.values(), ids=OTHER_SCHEMAS)
def test_a_file_holds_our_table_and_nothing_else(path, call, statement):
    execute(path, statement)
    with pytest.raises(MalformedFile, match="nothing else"):
        call(path)


@pytest.mark.parametrize("call", READS)
def test_a_value_that_is_missing(path, call):
    time_and_model = b"\x00\x35\x15"  # how the header of a row says that a text of 20 and one of 4 follow
    assert time_and_model in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(time_and_model, b"\x00\x00\x3d"))  # nothing, and one of 24
    with pytest.raises(MalformedFile, match=r"NULL value in corrections\.time"):
        call(path)


def test_text_that_is_not_text_is_shown_as_such(path, tmp_path):
    execute(path, "UPDATE corrections SET model = x'74ff', \"right\" = x'80' WHERE id = 1")
    assert (read_list(path)[0].model, read_list(path)[0].right) == ("t\ufffd", "\ufffd")
    assert "\ufffd" in read_corrections(path).classes
    export(path, tmp_path / "out")
    assert "\n1.png,\ufffd,1,t\ufffd," in (tmp_path / "out" / "labels.csv").read_text("utf-8")


def test_labels_of_thousands_of_digits_are_an_error(path):
    execute(path, f"UPDATE corrections SET \"right\" = '{'9' * 5000}'")
    with pytest.raises(MalformedFile, match="name that cannot be used"):
        read_corrections(path)


def test_tiny_rows_are_not_taken_by_the_million(path, monkeypatch):
    monkeypatch.setattr(bounded, "MIN_LIMIT_BYTES", 7_840)
    monkeypatch.setattr(bounded, "MAX_EXPANSION", 0)
    with pytest.raises(MalformedFile, match=r"more images.*at most 10"):
        read_corrections(path)


def test_an_image_larger_than_any_that_is_read_is_not_kept(path):
    with pytest.raises(OutputError, match="more than 64 MiB"):
        add(path, picture=bytes(66 * 2**20), model="tiny", answered=None, right="7")
    assert len(read_list(path)) == 12


@pytest.mark.posix
@POSIX
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", ["wal", "shm", "journal"])
def test_what_lies_beside_a_file_is_a_file_too(path, call, kind):
    beside = Path(f"{path}-{kind}")
    mine = path.parent / "mine"
    mine.write_bytes(b"precious")
    for make in (lambda: os.mkfifo(beside), lambda: beside.symlink_to("/dev/zero"), lambda: beside.symlink_to(mine)):
        make()
        with pytest.raises(MalformedFile, match=f"{kind}: This is not a regular file"):
            call(path)
        beside.unlink()
    assert mine.read_bytes() == b"precious"


@pytest.mark.parametrize("call", CALLS)
def test_a_journal_deletes_nothing(path, call):
    mine = path.parent / "mine"
    mine.write_bytes(b"precious")
    name = str(mine).encode()  # SQLite takes it for the journal over several files, and deletes it after the last
    header = JOURNAL_MAGIC + struct.pack(">5I", 0, 1, 0, 512, PAGE)
    end = struct.pack(">I", 1) + name + struct.pack(">II", len(name), sum(name)) + JOURNAL_MAGIC
    Path(f"{path}-journal").write_bytes(header.ljust(512, b"\0") + end)
    with pytest.raises(MalformedFile, match="not written by Inkdigit"):
        call(path)
    assert mine.read_bytes() == b"precious"


@pytest.mark.parametrize("call", CALLS)
def test_a_journal_changes_nothing(path, call):
    for name, data in left_by_a_kill("DELETE FROM corrections", "DELETE").items():
        (path.parent / name).write_bytes(data)
    before = path.read_bytes()
    with pytest.raises(MalformedFile, match="not written by Inkdigit"):
        call(path)
    assert path.read_bytes() == before


def test_whoever_was_killed_while_making_the_file_makes_it_again(tmp_path):
    path = tmp_path / "c.db"
    path.write_bytes(sound()[:PAGE])
    Path(f"{path}-journal").write_bytes((JOURNAL_MAGIC + struct.pack(">5I", 0, 1, 0, 512, PAGE)).ljust(512, b"\0"))
    create(path)
    assert add_one(path) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["c.db"]


def test_a_write_ahead_log_that_a_kill_left_counts(tmp_path):
    for name, data in left_by_a_kill("DELETE FROM corrections WHERE id > 3", "WAL").items():
        (tmp_path / name).write_bytes(data)
    assert [one.id for one in read_list(tmp_path / "c.db")] == [1, 2, 3]


@pytest.mark.posix
@POSIX
def test_a_file_is_neither_a_pipe_nor_a_device(tmp_path):
    (tmp_path / "c.db").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.db")
    for name in ("c.db", "pipe.db"):
        assert not is_sqlite(tmp_path / name)
        for call in READS:
            with pytest.raises(MissingData, match="not a regular file"):
                call(tmp_path / name)
        with pytest.raises(OutputError, match="not a regular file"):
            add_one(tmp_path / name)


def test_adding_does_not_look_at_the_whole_file(path):
    seen: list[str] = []
    with connect(path, "make", thorough=False) as connection:
        connection.set_trace_callback(seen.append)
        connection.execute("SELECT 1")
    assert not [statement for statement in seen if "quick_check" in statement]
    with pytest.raises(DataError), connect(path, "read") as connection:
        connection.execute(
            "WITH RECURSIVE more(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM more) SELECT max(n) FROM more"
        )
