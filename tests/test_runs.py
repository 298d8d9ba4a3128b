"""The run directory: names, finding, finishing; files that are whole or absent; one row an epoch."""

from __future__ import annotations

import errno
import math
import os
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inkdigit import runs
from inkdigit.errors import MalformedFile, OutputError, UsageError
from inkdigit.lock import alone


def made(root: Path, name: str) -> Path:
    run = root / name
    run.mkdir(parents=True)
    (run / runs.RECIPE).write_text("epochs = 1\n")
    return run


def inside(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


@pytest.fixture
def same_second(monkeypatch):
    """Stop the clock, so that every run wants the same name."""

    class Clock(runs.datetime):
        @classmethod
        def now(cls, tz=None):  # noqa: ARG003
            return cls(2026, 11, 20, 10, 15, 2)

    monkeypatch.setattr(runs, "datetime", Clock)


def test_a_run_is_named_after_time_recipe_and_seed(tmp_path):
    run = runs.create("fast", seed=3, root=tmp_path / "runs")
    assert run.is_dir()
    assert re.fullmatch(r"\d{8}-\d{6}-fast-s3", run.name)


@pytest.mark.usefixtures("same_second")
def test_a_name_that_is_taken_gets_a_number(tmp_path):
    names = [runs.create("fast", seed=0, root=tmp_path).name for _ in range(3)]
    assert names == ["20261120-101502-fast-s0", "20261120-101502-fast-s0-2", "20261120-101502-fast-s0-3"]


@pytest.mark.usefixtures("same_second")
def test_runs_that_start_together_never_share_a_directory(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: runs.create("fast", seed=0, root=tmp_path / "runs"), range(24)))
    assert len(set(made)) == 24


@pytest.mark.usefixtures("same_second")
def test_a_recipe_name_cannot_leave_the_root(tmp_path):
    assert runs.create("../my recipe", seed=0, root=tmp_path).parent == tmp_path


def test_out_names_the_directory_itself(tmp_path):
    out = tmp_path / "deep" / "mine"
    assert runs.create("fast", seed=0, out=out) == out
    assert runs.create("fast", seed=0, out=out) == out  # still empty
    assert out.is_dir()


def test_out_that_is_taken_is_refused(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("mine")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match=r"full is taken.*thesis\.tex.*nothing is overwritten"):
        runs.create("fast", seed=0, out=tmp_path / "full")
    with pytest.raises(OutputError, match="a file of that name is in the way"):
        runs.create("fast", seed=0, out=tmp_path / "file")
    with pytest.raises(OutputError, match="what should be its folder is a file"):
        runs.create("fast", seed=0, out=tmp_path / "file" / "run")
    with pytest.raises(OutputError, match="a file of that name is in the way"):
        runs.create("fast", seed=0, root=tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_run_is_finished_once_done_is_there(tmp_path):
    run = runs.create("fast", seed=0, root=tmp_path)
    assert not runs.is_finished(run)
    runs.finish(run)
    assert runs.is_finished(run)
    assert runs.model_path(run) == run / "model.onnx"


def test_runs_are_listed_oldest_first_and_other_folders_left_out(tmp_path):
    assert runs.list_runs(tmp_path / "none") == []
    for age, name in enumerate(["mine", "20261120-101502-fast-s0-10", "20261120-101502-fast-s0-9"]):
        os.utime(made(tmp_path, name) / runs.RECIPE, (age, age))
    (tmp_path / "notes").mkdir()
    assert [run.name for run in runs.list_runs(tmp_path)] == [
        "mine",
        "20261120-101502-fast-s0-10",
        "20261120-101502-fast-s0-9",
    ]


def test_a_run_is_found_by_path_name_or_part_of_the_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = made(Path("runs"), "20261120-101502-fast-s0")
    second = made(Path("runs"), "20261120-101502-fast-s0-2")
    other = made(Path("elsewhere"), "best")
    assert runs.find(str(first)) == first
    assert runs.find("20261120-101502-fast-s0") == first  # though the second starts like it
    assert runs.find("s0-2") == second
    assert runs.find(other) == other
    with pytest.raises(UsageError, match=r"More than one run is called 'fast'.*fast-s0, 20261120-101502-fast-s0-2"):
        runs.find("fast")
    with pytest.raises(UsageError, match=r"There is no run called 'best'.*The latest run is"):
        runs.find("best")
    with pytest.raises(UsageError, match="There are no runs under none/ yet"):
        runs.find("best", root=Path("none"))


@pytest.mark.parametrize("data", [b"\x00\r\n", "é\n", b"", ""])
def test_a_file_is_written_whole(tmp_path, data):
    path = tmp_path / "out.bin"
    path.write_text("old")
    runs.write_aside(path, data)
    assert path.read_bytes() == (data.encode() if isinstance(data, str) else data)
    assert inside(tmp_path) == ["out.bin"]


def test_a_written_file_has_the_usual_permissions(tmp_path):
    runs.write_aside(tmp_path / "a", "x")
    (tmp_path / "b").write_text("x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_a_link_is_followed(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    runs.write_aside(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_a_device_is_written_straight():
    runs.write_aside(Path(os.devnull), "x")
    assert not Path(os.devnull).is_file()


def test_what_cannot_be_written_is_said_and_nothing_stays_behind(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="folder cannot be written: it is a directory"):
        runs.write_aside(tmp_path / "folder", "x")
    with pytest.raises(OutputError, match="its folder does not exist"):
        runs.write_aside(tmp_path / "none" / "out", "x")
    with pytest.raises(OutputError, match="the name is too long"):
        runs.write_aside(tmp_path / ("a" * 300), "x")
    assert inside(tmp_path) == ["folder"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_said():
    with pytest.raises(OutputError, match="the disk is full"):
        runs.write_aside(Path("/dev/full"), "x")


@pytest.mark.parametrize(
    ("number", "text"),
    [(errno.ENOSPC, "the disk is full"), (errno.EACCES, "no permission"), (errno.EIO, "Input/output error")],
)
def test_a_failure_in_mid_write_keeps_the_old_file(tmp_path, monkeypatch, number, text):
    path = tmp_path / "out"
    path.write_text("old")

    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(runs.os, "fsync", fail)
    with pytest.raises(OutputError, match=text) as caught:
        runs.write_aside(path, "new")
    assert (caught.value.exit_code, caught.value.http_status) == (9, 507)
    assert path.read_text() == "old"
    assert inside(tmp_path) == ["out"]


def test_ctrl_c_in_mid_write_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runs.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        runs.write_aside(tmp_path / "out", "new")
    assert inside(tmp_path) == []


def test_rows_come_back_as_they_went(tmp_path):
    path = tmp_path / runs.METRICS
    assert runs.read_rows(path) == []
    runs.append_row(path, {"epoch": 1, "loss": 0.1 + 0.2, "val_accuracy": None})
    runs.append_row(path, {"epoch": 2, "loss": 1e-9, "val_accuracy": 0.99})
    first, second = runs.read_rows(path)
    assert (first["epoch"], first["loss"]) == (1.0, 0.1 + 0.2)
    assert math.isnan(first["val_accuracy"])
    assert second == {"epoch": 2.0, "loss": 1e-9, "val_accuracy": 0.99}
    assert path.read_text().startswith("epoch,loss,val_accuracy\n1,")


@pytest.mark.parametrize(("keep", "epochs"), [(0, []), (1, [1]), (2, [1, 2]), (9, [1, 2])])
def test_a_resumed_run_keeps_the_rows_up_to_its_checkpoint(tmp_path, keep, epochs):
    path = tmp_path / runs.METRICS
    runs.truncate_rows(path, keep)
    assert not path.exists()
    path.write_text("epoch,loss\n1,0.5\n2,0.4\n3,0.")  # killed while it wrote the third row
    runs.truncate_rows(path, keep)
    assert [row["epoch"] for row in runs.read_rows(path)] == epochs
    runs.append_row(path, {"epoch": keep + 1, "loss": 0.3})
    assert runs.read_rows(path)[-1] == {"epoch": keep + 1, "loss": 0.3}


@pytest.mark.parametrize("line", ["2,abc", "2", "2,0.4,7", "\xff\xfe,1"])
def test_a_damaged_row_is_named(tmp_path, line):
    path = tmp_path / runs.METRICS
    path.write_text(f"epoch,loss\n1,0.5\n{line}\n", encoding="latin-1")
    with pytest.raises(MalformedFile, match=r"metrics\.csv, line 3: .*Expected: 2 numbers \(epoch, loss\)"):
        runs.read_rows(path)


def test_a_row_that_cannot_be_written_is_said(tmp_path):
    with pytest.raises(OutputError, match="its folder does not exist"):
        runs.append_row(tmp_path / "none" / runs.METRICS, {"epoch": 1})


def test_a_place_that_will_do_is_left_as_it_was(tmp_path):
    (tmp_path / "old.html").write_text("old")
    for name in ("new.html", "old.html"):
        runs.check_place(tmp_path / name, reads=[tmp_path / "read.csv"])
    runs.check_place(Path(os.devnull))
    assert [path.name for path in tmp_path.iterdir()] == ["old.html"]
    assert (tmp_path / "old.html").read_text() == "old"


@pytest.mark.parametrize(
    "place", ["folder", "nowhere/new.html", "read.csv", "link.csv", "run/model.onnx", "x" * 300 + ".html"]
)
def test_a_place_that_will_not_do_is_known_before_the_work(tmp_path, place):
    (tmp_path / "folder").mkdir()
    (tmp_path / "run").mkdir()
    for name in ("read.csv", "run/recipe.toml", "run/model.onnx"):
        (tmp_path / name).write_text("kept")
    (tmp_path / "link.csv").symlink_to(tmp_path / "read.csv")
    with pytest.raises(OutputError):
        runs.check_place(tmp_path / place, reads=[tmp_path / "read.csv"])
    assert (tmp_path / "run" / "model.onnx").read_text() == (tmp_path / "read.csv").read_text() == "kept"


def test_a_pipe_is_written_straight():
    read, write = os.pipe()
    runs.write_aside(Path(f"/dev/fd/{write}"), "through")
    os.close(write)
    with os.fdopen(read) as pipe:
        assert pipe.read() == "through"


@pytest.mark.usefixtures("same_second")
def test_a_folder_for_several_runs_has_a_name_of_its_own(tmp_path):
    names = [runs.create_named("fast: new-seeds", root=tmp_path / "runs").name for _ in range(2)]
    assert names == ["20261120-101502-fast-new-seeds", "20261120-101502-fast-new-seeds-2"]


def test_seeds_are_found_by_path_name_or_part_of_it_but_a_run_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = Path("runs")
    for folder in (root / "1-fast-seeds", root / "2-wide-seeds", Path("mine")):
        folder.mkdir(parents=True)
        (folder / runs.SEEDS).write_text("{}")
    for name in ("1-fast-s0", "2-wide-s0", "2-wide-s1"):
        made(root, name)
    assert runs.find_seeds("runs/1-fast-seeds") == runs.find_seeds("1-fast-seeds") == root / "1-fast-seeds"
    assert runs.find_seeds("mine") == Path("mine")
    assert runs.find_seeds("wide") == root / "2-wide-seeds"  # two runs are called so, and one folder of seeds
    assert runs.find_seeds("fast") is None  # one run is
    assert runs.find_seeds("seeds") is None  # two folders are
    assert runs.find_seeds("1-fast-s0") is None
    (root / "2-wide-seeds" / runs.RECIPE).write_text("")
    assert runs.find_seeds("2-wide-seeds") is None
    with pytest.raises(UsageError, match="cannot be looked up"):
        runs.find_seeds(300 * "x")


def test_a_lock_that_is_left_over_takes_no_directory(tmp_path):
    (tmp_path / runs.LOCK).write_text("")
    assert runs.create("fast", seed=0, out=tmp_path) == tmp_path
    (tmp_path / "thesis.tex").write_text("mine")
    with alone(tmp_path, "training"), pytest.raises(OutputError, match="is taken"):
        runs.check_free(tmp_path)


def test_a_directory_in_use_is_told_apart_from_one_that_is_taken(tmp_path):
    (tmp_path / runs.RECIPE).write_text("")
    with alone(tmp_path, "training"), pytest.raises(UsageError, match="at work"):
        runs.create("fast", seed=0, out=tmp_path)
    with pytest.raises(OutputError, match="is taken"):
        runs.create("fast", seed=0, out=tmp_path)


def test_the_lock_of_a_finished_run_goes_once_it_is_finished(tmp_path):
    with alone(tmp_path, "training"):
        runs.finish(tmp_path)
        assert inside(tmp_path) == [runs.DONE]
    assert inside(tmp_path) == [runs.DONE]


@pytest.mark.parametrize("name", ["x" * 100, "é" * 100, "\U0001d4b3" * 100, "..", "a/b\x00c"])
def test_whatever_a_recipe_is_called_its_runs_have_a_directory(tmp_path, name):
    run = runs.create(name, seed=2**31 - 1, root=tmp_path)
    assert run.is_dir()
    assert run.parent == tmp_path


@given(st.binary(max_size=60) | st.text("0123456789,.en-\n", max_size=60).map(str.encode))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_file_of_rows_holds_it_is_read_or_refused(tmp_path, content):
    path = tmp_path / runs.METRICS
    path.write_bytes(content)
    with suppress(MalformedFile):
        rows = runs.read_rows(path)
        runs.truncate_rows(path, len(rows))
        assert str(runs.read_rows(path)) == str(rows)


def test_rows_without_an_end_are_refused(tmp_path, monkeypatch):
    path = tmp_path / runs.METRICS
    path.write_text("a,b\n" + "1,2\n" * 50)
    monkeypatch.setattr(runs, "MAX_ROWS", 50)
    assert len(runs.read_rows(path)) == 50
    monkeypatch.setattr(runs, "MAX_ROWS", 49)
    with pytest.raises(MalformedFile, match="more than 49 rows"):
        runs.read_rows(path)
    monkeypatch.setattr(runs, "MAX_ROWS_BYTES", 50)
    with pytest.raises(MalformedFile, match="larger than 50 bytes"):
        runs.read_rows(path)


def test_a_pipe_is_not_a_run(tmp_path):
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / runs.RECIPE)
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone" / runs.RECIPE).symlink_to("nowhere")
    assert runs.list_runs(tmp_path) == []
