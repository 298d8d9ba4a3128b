"""Files that are complete or absent; rows of numbers; a lock that ends with its process."""

from __future__ import annotations

import errno
import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inkdigit import files, runs
from inkdigit.errors import MalformedFile, OutputError, UsageError
from inkdigit.files import LOCK, append_row, check_free, check_unlocked, locked, read_rows, truncate_rows, write_atomic

HOLD = """
import sys
from pathlib import Path
from inkdigit.files import locked
with locked(Path(sys.argv[1]), "training"):
    print("held", flush=True)
    sys.stdin.read()
"""


def inside(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


@pytest.mark.parametrize("data", [b"\x00\r\n", "é\n", b"", ""])
def test_a_file_is_written_whole(tmp_path, data):
    path = tmp_path / "out.bin"
    path.write_text("old", encoding="utf-8")
    write_atomic(path, data)
    assert path.read_bytes() == (data.encode() if isinstance(data, str) else data)
    assert inside(tmp_path) == ["out.bin"]


def test_a_written_file_has_the_usual_permissions(tmp_path):
    write_atomic(tmp_path / "a", "x")
    (tmp_path / "b").write_text("x", encoding="utf-8")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


@pytest.mark.posix
def test_a_link_is_followed(tmp_path):
    (tmp_path / "real").write_text("old", encoding="utf-8")
    (tmp_path / "link").symlink_to("real")
    write_atomic(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text(encoding="utf-8") == "new"


def test_a_device_is_written_straight():
    write_atomic(Path(os.devnull), "x")
    assert not Path(os.devnull).is_file()


def test_what_cannot_be_written_is_said_and_nothing_stays_behind(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="folder cannot be written: it is a directory"):
        write_atomic(tmp_path / "folder", "x")
    with pytest.raises(OutputError, match="its folder does not exist"):
        write_atomic(tmp_path / "none" / "out", "x")
    with pytest.raises(OutputError, match="the name is too long"):
        write_atomic(tmp_path / ("a" * 300), "x")
    assert inside(tmp_path) == ["folder"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_said():
    with pytest.raises(OutputError, match="the disk is full"):
        write_atomic(Path("/dev/full"), "x")


@pytest.mark.parametrize(
    ("number", "text"),
    [(errno.ENOSPC, "the disk is full"), (errno.EACCES, "no permission"), (errno.EIO, "Input/output error")],
)
def test_a_failure_in_mid_write_keeps_the_old_file(tmp_path, monkeypatch, number, text):
    path = tmp_path / "out"
    path.write_text("old", encoding="utf-8")

    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(OutputError, match=text) as caught:
        write_atomic(path, "new")
    assert (caught.value.exit_code, caught.value.http_status) == (9, 507)
    assert path.read_text(encoding="utf-8") == "old"
    assert inside(tmp_path) == ["out"]


def test_ctrl_c_in_mid_write_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "out", "new")
    assert inside(tmp_path) == []


def test_rows_come_back_as_they_went(tmp_path):
    path = tmp_path / runs.METRICS
    assert read_rows(path) == []
    append_row(path, {"epoch": 1, "loss": 0.1 + 0.2, "val_accuracy": None})
    append_row(path, {"epoch": 2, "loss": 1e-9, "val_accuracy": 0.99})
    first, second = read_rows(path)
    assert (first["epoch"], first["loss"]) == (1.0, 0.1 + 0.2)
    assert math.isnan(first["val_accuracy"])
    assert second == {"epoch": 2.0, "loss": 1e-9, "val_accuracy": 0.99}
    assert path.read_text(encoding="utf-8").startswith("epoch,loss,val_accuracy\n1,")


@pytest.mark.parametrize(("keep", "epochs"), [(0, []), (1, [1]), (2, [1, 2]), (9, [1, 2])])
def test_a_resumed_run_keeps_the_rows_up_to_its_checkpoint(tmp_path, keep, epochs):
    path = tmp_path / runs.METRICS
    truncate_rows(path, keep)
    assert not path.exists()
    path.write_text("epoch,loss\n1,0.5\n2,0.4\n3,0.", encoding="utf-8")  # killed while it wrote the third row
    truncate_rows(path, keep)
    assert [row["epoch"] for row in read_rows(path)] == epochs
    append_row(path, {"epoch": keep + 1, "loss": 0.3})
    assert read_rows(path)[-1] == {"epoch": keep + 1, "loss": 0.3}


@pytest.mark.parametrize("line", ["2,abc", "2", "2,0.4,7", "\xff\xfe,1"])
def test_a_damaged_row_is_named(tmp_path, line):
    path = tmp_path / runs.METRICS
    path.write_text(f"epoch,loss\n1,0.5\n{line}\n", encoding="latin-1")
    with pytest.raises(MalformedFile, match=r"metrics\.csv, line 3: .*Expected: 2 numbers \(epoch, loss\)"):
        read_rows(path)


def test_a_row_that_cannot_be_written_is_said(tmp_path):
    with pytest.raises(OutputError, match="its folder does not exist"):
        append_row(tmp_path / "none" / runs.METRICS, {"epoch": 1})


@pytest.mark.posix
def test_a_pipe_is_written_straight():
    read, write = os.pipe()
    write_atomic(Path(f"/dev/fd/{write}"), "through")
    os.close(write)
    with os.fdopen(read, encoding="utf-8") as pipe:
        assert pipe.read() == "through"


def test_a_lock_that_is_left_over_takes_no_directory(tmp_path):
    (tmp_path / LOCK).write_text("", encoding="utf-8")
    assert runs.create("fast", seed=0, out=tmp_path) == tmp_path
    (tmp_path / "thesis.tex").write_text("mine", encoding="utf-8")
    with locked(tmp_path, "training"), pytest.raises(OutputError, match="is taken"):
        check_free(tmp_path)


@given(st.binary(max_size=60) | st.text("0123456789,.en-\n", max_size=60).map(str.encode))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_file_of_rows_holds_it_is_read_or_an_error(tmp_path, content):
    path = tmp_path / runs.METRICS
    path.write_bytes(content)
    with suppress(MalformedFile):
        rows = read_rows(path)
        truncate_rows(path, len(rows))
        assert str(read_rows(path)) == str(rows)


def test_rows_without_an_end_are_an_error(tmp_path, monkeypatch):
    path = tmp_path / runs.METRICS
    monkeypatch.setattr(files, "MAX_ROWS", 49)
    path.write_text("a,b\n" + "1,2\n" * 49, encoding="utf-8")
    assert len(read_rows(path)) == 49
    path.write_text("a,b\n" + "1,2\n" * 50, encoding="utf-8")
    with pytest.raises(MalformedFile, match="more than 49 rows"):
        read_rows(path)
    os.truncate(path, files.MAX_ROWS_BYTES + 1)  # zeros that take no space
    with pytest.raises(MalformedFile, match="larger than 134,217,728 bytes"):
        read_rows(path)


def test_two_never_do_the_same_work_in_a_folder(tmp_path):
    with locked(tmp_path, "training"):
        message = f"Another training is running in {re.escape(str(tmp_path))}"
        with pytest.raises(UsageError, match=message), locked(tmp_path, "training"):
            pass
    with locked(tmp_path, "training"):
        pass


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir])
def test_where_no_lock_can_be_made_it_is_said(tmp_path, make: Callable[[Path], None]):
    folder = tmp_path / "folder"
    folder.mkdir()
    if make is Path.mkdir:
        (folder / LOCK).mkdir()
    else:
        folder = tmp_path / "file"
        folder.touch()
    with pytest.raises(OutputError, match="cannot be written"), locked(folder, "training"):
        pass


def test_checking_for_a_lock_leaves_nothing(tmp_path):
    check_unlocked(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_lock_dies_with_its_process(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match="is running in"):
            check_unlocked(tmp_path)
        holder.send_signal(signal.SIGKILL)
    with locked(tmp_path, "training"):
        assert (tmp_path / LOCK).exists()
