"""Corrections: stored by many at once, read as a data set, and removed without a trace when they are deleted."""

from __future__ import annotations

import io
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image

from inkdigit.data.readers import corrections_file
from inkdigit.data.readers.corrections import add, create, delete, export, read_corrections, read_list
from inkdigit.data.sources import open_data
from inkdigit.errors import DataError, MalformedFile, MissingData, OutputError, UsageError
from inkdigit.picture.batch import AT_A_TIME
from inkdigit.picture.prepare import prepare
from inkdigit.types import DIGITS

from ..conftest import draw

PICTURES = draw(200)


def encode(number: int, *, form: str = "PNG") -> bytes:
    """The file of an image of its own."""
    data = io.BytesIO()
    Image.fromarray(PICTURES[number]).save(data, form)
    return data.getvalue()


def put(path: Path, *rights: str, first: int = 0) -> list[int]:
    """Add one correction for each label, with images `first` and following."""
    return [
        add(path, picture=encode(first + i), model="tiny", answered="1", right=right) for i, right in enumerate(rights)
    ]


def execute(path: Path, *statements: str) -> None:
    """Do to a file what we never do."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


FIFTY = """
import sys
from pathlib import Path
from inkdigit.data.readers.corrections import add
for i in range(50):
    add(Path(sys.argv[1]), picture=f"<{sys.argv[2]} {i}>".encode(), model="tiny", answered=None, right="7")
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c.db"


@pytest.fixture
def three(path: Path) -> Path:
    put(path, "7", "3", "none")
    return path


def test_a_correction_is_kept_as_it_was_sent(path):
    number = add(path, picture=encode(5), model="tiny", answered=None, right="7")
    (one,) = read_list(path)
    assert one.to_json() == {
        "id": number,
        "time": one.time,
        "model": "tiny",
        "answered": None,
        "right": "7",
        "bytes": len(encode(5)),
    }
    assert one.time.endswith("Z")
    assert encode(5) in path.read_bytes()


def test_a_file_says_of_itself_what_it_is_and_is_not_made_anew(three):
    create(three)
    assert three.read_bytes()[68:72] == b"Inkd"
    assert len(read_list(three)) == 3


def test_processes_that_write_at_once_lose_nothing(path):
    create(path)
    writers = [subprocess.Popen([sys.executable, "-c", FIFTY, path, str(who)]) for who in range(4)]
    seen = [0]
    while any(writer.poll() is None for writer in writers):
        seen.append(len(read_list(path)))  # meanwhile
    assert [writer.returncode for writer in writers] == [0] * 4
    assert seen == sorted(seen)
    assert [one.id for one in read_list(path)] == list(range(1, 201))
    data = path.read_bytes()
    assert [(who, i) for who in range(4) for i in range(50) if f"<{who} {i}>".encode() not in data] == []
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_threads_that_make_the_file_at_once_lose_nothing(path):
    threads = [Thread(target=put, args=(path, *"0123456789"), kwargs={"first": 10 * i}) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_list(path)) == 80


def test_a_file_of_corrections_is_a_source(three, lines, log):
    data = open_data(three, log=log)
    assert (data.name, data.classes, data.test) == ("c", DIGITS, None)
    assert data.train.labels.tolist() == [7, 3]
    assert data.train.files == ("1", "2")
    assert np.array_equal(data.train.images, np.stack([prepare(PICTURES[i]) for i in (0, 1)]))
    assert [k for k, _ in data.glimpses] == [3, 7]
    assert np.array_equal(data.glimpses[1][1], PICTURES[0])
    assert lines == [f"{three}: 1 of 3 corrections are of no class ('none') and left out."]


def test_it_is_a_source_whatever_it_is_called_and_whatever_an_image_ends_with(tmp_path):
    ends_as_zip = encode(0) + b"PK\x05\x06" + bytes(18)
    for right in "74":
        add(tmp_path / "idx.npz", picture=ends_as_zip, model="tiny", answered=None, right=right)
    assert len(open_data(tmp_path / "idx.npz").train) == 2


def test_labels_that_are_not_digits_are_the_classes(path):
    put(path, "b", "a", "none")
    assert read_corrections(path).classes == ("a", "b")


def test_many_images_keep_their_order(path):
    put(path, *"0123", "none", *"4567")
    put(path, *"01234567" * (AT_A_TIME // 8), first=9)
    part = read_corrections(path).train
    assert part.labels.tolist() == [*range(8)] * (1 + AT_A_TIME // 8)
    shown = [0, 1, 2, 3, *range(5, 9 + AT_A_TIME)]
    assert np.array_equal(part.images, np.stack([prepare(PICTURES[i]) for i in shown]))


def test_an_image_that_cannot_be_read_stops_no_other(three):
    execute(three, "UPDATE corrections SET picture = x'00' WHERE id = 1")
    data = read_corrections(three)
    assert set(data.train.faults) == {0}
    assert [k for k, _ in data.glimpses] == [3]
    execute(three, "UPDATE corrections SET picture = x'00'")
    with pytest.raises(DataError, match="None of the 2 images"):
        read_corrections(three)


def test_text_in_place_of_an_image_opens_no_file(three, tmp_path):
    (tmp_path / "secret.png").write_bytes(encode(9))
    execute(three, f"UPDATE corrections SET picture = '{tmp_path / 'secret.png'}' WHERE id = 1")
    assert set(read_corrections(three).train.faults) == {0}
    export(three, tmp_path / "out")
    assert (tmp_path / "out" / "1").read_text(encoding="utf-8") == str(tmp_path / "secret.png")


def test_an_export_is_the_same_source(path, tmp_path):
    put(path, *"0123456789")
    add(path, picture=encode(20, form="JPEG"), model="tiny", answered="9", right="4")
    add(path, picture=encode(21, form="TIFF"), model="tiny", answered=None, right="4")
    put(path, "none", first=30)
    assert export(path, tmp_path / "out") == (12, 1)
    stored, data = read_corrections(path), open_data(tmp_path / "out")
    assert data.classes == stored.classes
    assert np.array_equal(data.train.images, stored.train.images)
    assert np.array_equal(data.train.labels, stored.train.labels)
    assert data.train.files[-2:] == ("11.jpg", "12.tif")
    assert (tmp_path / "out" / "3.png").read_bytes() == encode(2)
    assert (tmp_path / "out" / "none" / "13.png").read_bytes() == encode(30)
    header, *_, last = (tmp_path / "out" / "labels.csv").read_text(encoding="utf-8").splitlines()
    assert header == "file,label,answered,model,time"
    assert last.startswith("12.tif,4,,tiny,20")


def test_an_export_overwrites_nothing(three, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "1.png").write_bytes(b"mine")
    with pytest.raises(OutputError, match="is taken"):
        export(three, tmp_path / "out")
    assert (tmp_path / "out" / "1.png").read_bytes() == b"mine"


@pytest.mark.parametrize("number", [1, 2])
def test_nothing_stays_of_what_is_deleted(path, log, number):
    rng = np.random.default_rng(0)
    large = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (200, 200), np.uint8)).save(large, "PNG")  # over several pages
    for picture in (large.getvalue(), encode(1), encode(2)):
        add(path, picture=picture, model="tiny", answered="1", right="secret" if picture == encode(1) else "7")
    before = path.stat().st_size
    assert delete(path, [number], log=log) == 1
    assert [one.id for one in read_list(path)] == [n for n in (1, 2, 3) if n != number]
    bytes_of_all = b"".join(file.read_bytes() for file in path.parent.iterdir())
    gone = {1: large.getvalue(), 2: encode(1)}[number]
    assert [at for at in range(0, len(gone) - 64, 64) if gone[at : at + 64] in bytes_of_all] == []
    assert (b"secret" in bytes_of_all) == (number == 1)
    assert encode(2) in bytes_of_all
    assert number == 2 or path.stat().st_size < before - 30_000
    assert put(path, "5") == [4]  # a number is not given twice


def test_a_number_that_is_not_there_deletes_nothing(three, log):
    with pytest.raises(UsageError, match="no correction 4"):
        delete(three, [1, 4], log=log)
    assert len(read_list(three)) == 3


def test_who_reads_meanwhile_is_told_of_and_takes_the_rest_along(three, log, lines, monkeypatch):
    monkeypatch.setattr(corrections_file, "WAIT_S", 0.1)
    with closing(sqlite3.connect(three)) as reader:
        rows = reader.execute("SELECT picture FROM corrections")
        next(rows)
        assert delete(three, [1], log=log) == 1
        assert "Another process is reading" in lines[0]
        rows.close()
    assert encode(0) not in b"".join(file.read_bytes() for file in three.parent.iterdir())


def test_a_file_that_is_full_takes_no_more_and_loses_nothing(path, monkeypatch):
    monkeypatch.setattr(corrections_file, "MAX_BYTES", 40_000)
    with pytest.raises(OutputError, match="the file has reached") as caught:
        put(path, *["1"] * 200)
    assert (caught.value.exit_code, caught.value.http_status) == (9, 507)
    stored = read_list(path)
    assert len(stored) > 20
    assert path.stat().st_size <= 40_000


def test_a_file_that_may_only_be_read_takes_none(three, monkeypatch):
    connect = sqlite3.connect  # in a read-only folder SQLite opens a file for reading only
    monkeypatch.setattr(sqlite3, "connect", lambda name, **how: connect(name.replace("=rwc", "=ro"), **how))
    for write in (lambda: create(three), lambda: put(three, "1")):
        with pytest.raises(OutputError, match="read-only"):
            write()


def test_a_place_that_cannot_be_written(tmp_path):
    for place, message in ((tmp_path / "no" / "c.db", "folder does not exist"), (tmp_path, "is a directory")):
        with pytest.raises(OutputError, match=message):
            create(place)
        with pytest.raises(OutputError):
            put(place, "1")


def test_a_process_that_never_stops_writing(three, monkeypatch):
    monkeypatch.setattr(corrections_file, "WAIT_S", 0.05)
    with closing(sqlite3.connect(three, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OutputError, match="other processes were writing"):
            put(three, "1")
        assert len(read_list(three)) == 3  # who reads need not wait


def test_a_read_only_folder_can_be_read(three, monkeypatch):
    monkeypatch.setattr("os.access", lambda *_: False)
    assert len(read_list(three)) == 3
    with corrections_file.connect(three, "read") as connection:
        connection.execute("SELECT * FROM corrections").fetchall()
        assert_alone(three)


def assert_alone(path: Path) -> None:
    """No file beside it, which could not be made in such a place."""
    assert [file.name for file in path.parent.iterdir()] == [path.name]


READS = [
    read_list,
    read_corrections,
    lambda path: delete(path, None, log=print),
    lambda path: export(path, path.parent / "x"),
]
WRITES = [create, lambda path: put(path, "1")]


@pytest.mark.parametrize("read", READS)
def test_a_file_that_is_not_there(tmp_path, read):
    with pytest.raises(MissingData, match="There is no file"):
        read(tmp_path / "absent.db")
    assert list(tmp_path.iterdir()) == []


def assert_error(path: Path, call: Callable[[Path], object]) -> None:
    """One error that names the file, which stays as it was and alone."""
    before = path.read_bytes()
    with pytest.raises(MalformedFile, match=path.name) as caught:
        call(path)
    assert caught.value.exit_code == 4
    assert path.read_bytes() == before
    assert_alone(path)


@pytest.mark.parametrize("call", READS + WRITES)
def test_another_kind_of_file(path, call):
    path.write_bytes(b"no database at all, but long enough to be looked at" * 40)
    assert_error(path, call)
    path.unlink()
    execute(path, "CREATE TABLE corrections (id INTEGER)")
    assert_error(path, call)


@pytest.mark.parametrize("call", READS + WRITES)
def test_a_file_of_another_release(three, call):
    execute(three, "PRAGMA user_version = 9")
    assert_error(three, call)


@pytest.mark.parametrize("call", [*READS, WRITES[1]])
def test_a_file_without_its_table(three, call):
    execute(three, "DROP TABLE corrections")
    assert_error(three, call)


def test_a_damaged_file(path):
    put(path, *["1"] * 50)
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)
    with pytest.raises(MalformedFile, match="damaged"):
        read_list(path)


@pytest.mark.parametrize(("rights", "message"), [((), r"train on\.$"), (("none", "none"), "2 of no class")])
def test_nothing_to_learn_from(path, rights, message):
    create(path)
    put(path, *rights)
    with pytest.raises(MissingData, match=message):
        open_data(path)
