"""Run directories: names, finding, finishing."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from inkdigit import runs
from inkdigit.errors import OutputError, UsageError
from inkdigit.files import locked


def made(root: Path, name: str) -> Path:
    run = root / name
    run.mkdir(parents=True)
    (run / runs.RECIPE).write_text("epochs = 1\n", encoding="utf-8")
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


def test_out_that_is_taken_is_an_error(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("mine", encoding="utf-8")
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match=r"full is taken.*thesis\.tex.*nothing is overwritten"):
        runs.create("fast", seed=0, out=tmp_path / "full")
    with pytest.raises(OutputError, match="there is a file with that name"):
        runs.create("fast", seed=0, out=tmp_path / "file")
    with pytest.raises(OutputError, match="its folder is a file"):
        runs.create("fast", seed=0, out=tmp_path / "file" / "run")
    with pytest.raises(OutputError, match="there is a file with that name"):
        runs.create("fast", seed=0, root=tmp_path / "file")
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"


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
    made(Path("runs"), "20261120-101502-wide-s0")
    with pytest.raises(UsageError, match=r"More than one run is called '-s0'.*wide-s0"):
        runs.find("-s0")
    with pytest.raises(UsageError, match=r"There is no run called 'best'.*The latest run is"):
        runs.find("best")
    with pytest.raises(UsageError, match="There are no runs under none/ yet"):
        runs.find("best", root=Path("none"))


def test_a_place_that_will_do_is_left_as_it_was(tmp_path):
    (tmp_path / "old.html").write_text("old", encoding="utf-8")
    for name in ("new.html", "old.html"):
        runs.check_place(tmp_path / name, reads=[tmp_path / "read.csv"])
    runs.check_place(Path(os.devnull))
    assert [path.name for path in tmp_path.iterdir()] == ["old.html"]
    assert (tmp_path / "old.html").read_text(encoding="utf-8") == "old"


@pytest.mark.posix
@pytest.mark.parametrize(
    "place", ["folder", "nowhere/new.html", "read.csv", "link.csv", "run/model.onnx", "x" * 300 + ".html"]
)
def test_a_place_that_will_not_do_is_known_before_the_work(tmp_path, place):
    (tmp_path / "folder").mkdir()
    (tmp_path / "run").mkdir()
    for name in ("read.csv", "run/recipe.toml", "run/model.onnx"):
        (tmp_path / name).write_text("kept", encoding="utf-8")
    (tmp_path / "link.csv").symlink_to(tmp_path / "read.csv")
    with pytest.raises(OutputError):
        runs.check_place(tmp_path / place, reads=[tmp_path / "read.csv"])
    assert (
        (tmp_path / "run" / "model.onnx").read_text(encoding="utf-8")
        == (tmp_path / "read.csv").read_text(encoding="utf-8")
        == "kept"
    )


@pytest.mark.usefixtures("same_second")
def test_a_folder_for_several_runs_has_a_name_of_its_own(tmp_path):
    names = [runs.create_named("fast: new-seeds", root=tmp_path / "runs").name for _ in range(2)]
    assert names == ["20261120-101502-fast-new-seeds", "20261120-101502-fast-new-seeds-2"]


def test_seeds_are_found_by_path_name_or_part_of_it_but_a_run_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = Path("runs")
    for folder in (root / "1-fast-seeds", root / "2-wide-seeds", Path("mine")):
        folder.mkdir(parents=True)
        (folder / runs.SEEDS).write_text("{}", encoding="utf-8")
    for name in ("1-fast-s0", "2-wide-s0", "2-wide-s1"):
        made(root, name)
    assert runs.find_seeds("runs/1-fast-seeds") == runs.find_seeds("1-fast-seeds") == root / "1-fast-seeds"
    assert runs.find_seeds("mine") == Path("mine")
    assert runs.find_seeds("wide") == root / "2-wide-seeds"  # two runs are called so, and one folder of seeds
    assert runs.find_seeds("fast") is None  # one run is
    assert runs.find_seeds("seeds") is None  # two folders are
    assert runs.find_seeds("1-fast-s0") is None
    (root / "2-wide-seeds" / runs.RECIPE).write_text("", encoding="utf-8")
    assert runs.find_seeds("2-wide-seeds") is None
    with pytest.raises(UsageError, match="cannot be looked up"):
        runs.find_seeds(300 * "x")


def test_a_directory_in_use_is_told_apart_from_one_that_is_taken(tmp_path):
    (tmp_path / runs.RECIPE).write_text("", encoding="utf-8")
    with locked(tmp_path, "training"), pytest.raises(UsageError, match="is running in"):
        runs.create("fast", seed=0, out=tmp_path)
    with pytest.raises(OutputError, match="is taken"):
        runs.create("fast", seed=0, out=tmp_path)


def test_the_lock_of_a_finished_run_goes_once_it_is_finished(tmp_path):
    with locked(tmp_path, "training"):
        runs.finish(tmp_path)
        assert inside(tmp_path) == [runs.DONE]
    assert inside(tmp_path) == [runs.DONE]


@pytest.mark.parametrize("name", ["x" * 100, "é" * 100, "\U0001d4b3" * 100, "..", "a/b\x00c"])
def test_whatever_a_recipe_is_called_its_runs_have_a_directory(tmp_path, name):
    run = runs.create(name, seed=2**31 - 1, root=tmp_path)
    assert run.is_dir()
    assert run.parent == tmp_path


@pytest.mark.posix
def test_a_pipe_is_not_a_run(tmp_path):
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / runs.RECIPE)
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone" / runs.RECIPE).symlink_to("nowhere")
    assert runs.list_runs(tmp_path) == []


def test_of_several_runs_of_one_recipe_and_seed_the_newest_is_taken_and_told(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    names = [
        "20261120-101502-fast-s1",
        "20261121-101502-fast-s1",
        "20261120-101502-fast-s1-2",
        "20261120-101502-fast-s10",
    ]
    for age, name in enumerate(names):
        os.utime(made(Path("runs"), name) / runs.RECIPE, (age, age))
    assert runs.find("fast-s10").name == names[3]
    assert caplog.text == ""
    assert runs.find("fast-s1").name == names[2]  # though fast-s10 has the word in its name, too
    assert f"3 runs are called fast-s1: the newest is taken, {Path('runs') / names[2]}" in caplog.text
    assert runs.is_called("fast-s1")
    assert not runs.is_called("fast")


def test_of_several_runs_of_a_name_a_finished_one_is_taken_where_one_is_needed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("20261120-101502-fast-s0", "20261121-101502-fast-s0"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / runs.RECIPE).touch()
    old, new = sorted(Path("runs").iterdir())
    runs.finish(old)
    os.utime(old / runs.RECIPE, (1, 1))
    assert runs.find("fast-s0") == new
    assert runs.find("fast-s0", finished=True) == old
