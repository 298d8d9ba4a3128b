"""The drills judge rightly: what is half-written, lost or mixed is a failure; and the short ones go well."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import sys
import time
import zipfile
from collections import Counter
from contextlib import closing
from itertools import product
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("uvicorn")
pytest.importorskip("safetensors")
pytest.importorskip("onnx")
pytest.importorskip("resource", reason="limits and process groups are those of POSIX")

from safetensors.numpy import save_file

from benchmarks.hardening import (
    soak,
    soak_checks,
    soak_commands,
    soak_corrections,
    soak_disk,
    soak_kills,
    soak_material,
    soak_pairs,
)
from benchmarks.hardening.soak_commands import Drill, Ended, Moment
from inkdigit import runs
from inkdigit.data.readers import corrections
from inkdigit.files import write_atomic
from inkdigit.model.recognizer import find

LINE = "Error: X is taken.\n"
PYTHON = (sys.executable, "-c")  # runs its only word


def ended(code: int | None = 0, err: str = "", out: str = "") -> Ended:
    return Ended(("train",), code, out, err, 1.0)


@pytest.fixture
def write(tmp_path):
    """Write a whole file of a kind; each is long enough that half of it is not one."""

    def make(name: str, seed: int = 0) -> Path:
        path, values = tmp_path / name, np.random.default_rng(seed).random(4000)
        path.parent.mkdir(parents=True, exist_ok=True)
        match path.suffix:
            case ".json":
                path.write_text(json.dumps({"accuracy": values[0], "n": 10, "title": "a run"}), encoding="utf-8")
            case ".toml":
                path.write_text(f'name = "soak"\nseed = {seed}\nabout = "as before"\n', encoding="utf-8")
            case ".csv":
                path.write_text(
                    "epoch,train_loss,seconds\n" + "".join(f"{i},{values[i]},1\n" for i in range(1, 4)),
                    encoding="utf-8",
                )
            case ".html":
                path.write_text("<html><body>a page</body></html>\n", encoding="utf-8")
            case ".png":
                Image.fromarray((values * 255).astype(np.uint8).reshape(50, 80)).save(path)
            case ".npz":
                np.savez(path, probs=values, labels=values)
            case ".safetensors":
                save_file({"net/weight": values}, path)
            case ".keras" | ".pt2":
                with zipfile.ZipFile(path, "w") as archive:
                    archive.writestr("weights", values.tobytes())
            case ".db":
                with closing(sqlite3.connect(path)) as connection, connection:
                    connection.execute("CREATE TABLE numbers (value REAL)")
                    connection.executemany("INSERT INTO numbers VALUES (?)", [(value,) for value in values])
            case ".onnx":
                shutil.copyfile(find("tiny" if seed == 0 else "fast"), path)
            case _:
                path.write_text("2026-01-01 00:00:00\n", encoding="utf-8")
        return path

    return make


@pytest.fixture
def a_run(write, tmp_path):
    """Write the files of a finished run; the figures are those of a seed, the times are not."""

    def make(name: str, seed: int = 0) -> Path:
        for file in (*soak_checks.OF_A_RUN, str(soak_checks.CHECKPOINT), "plots/loss.png"):
            write(f"{name}/{file}", seed)
        metrics = tmp_path / name / runs.METRICS
        metrics.write_text(
            metrics.read_text(encoding="utf-8").replace(",1\n", f",{time.monotonic()}\n"), encoding="utf-8"
        )
        return tmp_path / name

    return make


SUFFIXES = ["json", "toml", "html", "png", "npz", "safetensors", "keras", "pt2", "db", "onnx"]
SHARES = [0.0, 0.5, 0.97]  # of a file that are written; a database of no bytes is a new one


@pytest.mark.parametrize("suffix", [*SUFFIXES, "csv"])
def test_a_whole_file_is_well(write, suffix):
    assert soak_checks.broken(write(f"a.{suffix}")) is None


@pytest.mark.parametrize(("suffix", "share"), [pair for pair in product(SUFFIXES, SHARES) if pair != ("db", 0.0)])
def test_a_half_written_file_is_a_failure(write, suffix, share):
    path = write(f"a.{suffix}")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * (len(content) - 1))])
    assert (problem := soak_checks.broken(path))
    assert soak_checks.half_written(path.parent) == [problem]
    assert soak_kills.old_or_complete(path, None) == soak_kills.old_or_complete(path, b"the old file") == problem


def test_a_row_that_is_cut_off_is_a_failure(write):
    path = write("a.csv")
    path.write_text(path.read_text(encoding="utf-8")[:-4], encoding="utf-8")
    assert "cut off" in soak_checks.broken(path)


def test_a_file_that_is_absent_old_or_whole_is_well(write):
    path = write("a.npz")
    assert soak_kills.old_or_complete(path, b"the old file") is None
    path.write_bytes(b"the old file")
    assert soak_kills.old_or_complete(path, b"the old file") is None
    path.unlink()
    assert soak_kills.old_or_complete(path, None) is None
    assert "gone" in soak_kills.old_or_complete(path, b"the old file")


def test_rows_that_grow_and_temporary_files_are_no_failure(write, tmp_path):
    write("run/metrics.csv").write_text("epoch,loss\n1,0.", encoding="utf-8")
    (tmp_path / "run" / ".abc.part").write_bytes(b"half")
    assert soak_checks.half_written(tmp_path) == []
    assert [path.name for path in soak_checks.left_aside(tmp_path)] == [".abc.part"]


def test_the_same_run_is_well_whatever_time_it_took(a_run):
    assert soak_checks.compare_runs(a_run("one"), a_run("other")) == []


@pytest.mark.parametrize("name", [*soak_checks.OF_A_RUN, str(soak_checks.CHECKPOINT)])
def test_a_run_that_lacks_a_file_is_a_failure(a_run, name):
    run, reference = a_run("one"), a_run("other")
    (run / name).unlink()
    assert name in soak_checks.compare_runs(run, reference)[0]


@pytest.mark.parametrize(
    "name",
    [
        *(runs.RECIPE, runs.METRICS, runs.STEPS, runs.MODEL, runs.PREDICTIONS, runs.REPORT),
        str(soak_checks.CHECKPOINT),
    ],
)
def test_a_run_with_a_file_of_another_is_a_failure(a_run, name):
    run, reference, another = a_run("one"), a_run("other"), a_run("another", seed=1)
    shutil.copyfile(another / name, run / name)
    assert soak_checks.compare_runs(run, reference)


def test_rows_of_two_trainings_are_a_failure(a_run):
    run, reference = a_run("one"), a_run("other")
    with (run / runs.METRICS).open("a", encoding="utf-8") as file:
        file.write("3,0.5,1\n")
    (problem,) = soak_checks.compare_runs(run, reference)
    assert runs.METRICS in problem


def test_a_plot_that_is_missing_is_a_failure(a_run):
    run, reference = a_run("one"), a_run("other")
    (run / "plots" / "loss.png").unlink()
    assert "plots" in soak_checks.compare_runs(run, reference)[0]


def test_one_line_with_its_exit_code_is_a_refusal():
    assert soak_commands.check_refusal(ended(9, f"Opening the data.\n{LINE}"), codes={9}) is None


@pytest.mark.parametrize(
    ("code", "err"),
    [
        *((0, LINE), (1, LINE), (-9, LINE), (None, LINE), (9, ""), (9, LINE + LINE), (9, f"{LINE}and more\n")),
        (9, f"Traceback (most recent call last):\n{LINE}"),
    ],
)
def test_every_other_end_is_not(code, err):
    assert soak_commands.check_refusal(ended(code, err), codes={2, 9})


def test_what_succeeds_says_no_traceback():
    assert soak_commands.check_success(ended(0, "Written.")) is None
    assert soak_commands.check_success(ended(1))
    assert soak_commands.check_success(ended(0, "Exception ignored in: <function>"))


def test_of_two_at_once_one_wins():
    assert soak_pairs.one_wins([ended(0), ended(9, LINE)]) == []
    assert soak_pairs.one_wins([ended(0), ended(0)])
    assert soak_pairs.one_wins([ended(9, LINE), ended(9, LINE)])
    assert soak_pairs.one_wins([ended(0), ended(1, "Traceback (most recent call last):\n")])


def test_moments_are_spread_over_the_phases_and_the_same_for_a_seed():
    made = soak_kills.moments(9, ("trials", "comparison", "page"), Random("a"))
    assert made == soak_kills.moments(9, ("trials", "comparison", "page"), Random("a"))
    assert made != soak_kills.moments(9, ("trials", "comparison", "page"), Random("b"))
    assert Counter(moment.phase for moment in made) == {"trials": 3, "comparison": 3, "page": 3}
    assert all(0 <= moment.share < 1 for moment in made)


def test_there_are_fifty_kills_and_those_of_training_are_spread():
    phases = Counter(phase for chain in soak_kills.CHAINS * 2 for phase in chain)
    assert phases.total() == soak.PARTS["killed: train"].n
    assert min(phases[phase] for phase in ("training", "export", "report")) >= 6
    assert sum(part.n for name, part in soak.PARTS.items() if name.startswith("killed")) == 50


def test_files_say_how_far_a_training_is(tmp_path):
    def phase(before: dict[str, tuple[int, int]]) -> str:
        return soak_material.training_phase(tmp_path, before)

    seen = [phase({})]
    (tmp_path / soak_checks.CHECKPOINT).parent.mkdir()
    for name, text in (
        (str(soak_checks.CHECKPOINT), "x"),
        (runs.METRICS, "epoch\n" + soak_material.EPOCHS * "1\n"),
        (runs.MODEL, "x"),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
        seen.append(phase({}))
    assert seen == ["start", "training", "export", "report"]
    before = soak_material.files_of(tmp_path)
    assert phase(before) == "start"  # a command that resumes has written nothing yet
    write_atomic(tmp_path / runs.METRICS, "epoch\n1\n")
    assert phase(before) == "training"
    (tmp_path / runs.DONE).touch()
    assert phase(before) == "done"


def test_a_kill_reaches_what_the_command_has_started(tmp_path):
    source = (
        "import subprocess, sys, time; "
        "worker = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
        "open('worker', 'w').write(str(worker.pid)); time.sleep(60)"
    )

    def phase() -> str:
        return (
            "late" if (tmp_path / "worker").exists() and (tmp_path / "worker").read_text(encoding="utf-8") else "early"
        )

    struck = soak_commands.strike(
        [source],
        Moment("late", 0.5),
        cwd=tmp_path,
        phase=phase,
        phases=("early", "late"),
        usual={"late": 0.1},
        program=PYTHON,
    )
    assert struck.code == soak_commands.KILLED == -signal.SIGKILL
    state = Path(f"/proc/{(tmp_path / 'worker').read_text(encoding='utf-8')}/stat")
    assert not state.exists() or state.read_text(encoding="utf-8").split()[2] == "Z"


def test_a_command_that_is_over_before_its_moment_is_not_killed(tmp_path):
    struck = soak_commands.strike(
        ["print('done')"],
        Moment("late", 1),
        cwd=tmp_path,
        phase=lambda: "early",
        phases=("early", "late"),
        usual={},
        program=PYTHON,
    )
    assert (struck.code, struck.out) == (0, "done\n")


def test_a_correction_is_found_again_by_its_picture(tmp_path):
    for number in (0, 7, 123_456):
        (tmp_path / "a.png").write_bytes(soak_corrections.picture(number))
        assert soak_corrections.number_of(tmp_path / "a.png") == number


def test_corrections_that_are_lost_or_there_twice_are_failures(tmp_path):
    file, sent = tmp_path / "stored.db", soak_corrections.Sent()
    for number in (1, 2, 2):
        picture, right = soak_corrections.picture(number), soak_corrections.right_of(number)
        stored = corrections.add(file, picture=picture, model="fast", answered=None, right=right)
        sent.sent.add(number)
        sent.acknowledged.setdefault(number, stored)
    assert soak_corrections.judge(file, sent, place=tmp_path)[0] == "image 2 is there twice, or was never sent"
    corrections.delete(file, [3], log=print)
    assert soak_corrections.judge(file, sent, place=tmp_path) == []
    sent.acknowledged[5] = 9
    assert soak_corrections.judge(file, sent, place=tmp_path) == ["1 corrections of 3 were acknowledged and are lost"]


def test_a_small_disk_is_full_and_gone_afterwards(tmp_path):
    with soak_disk.small_disk(tmp_path / "disk") as disk:
        limit = disk.leave(soak_disk.PAGE)
        if disk.mounted:
            assert limit is None
            about = os.statvfs(disk.folder)
            assert about.f_bavail * about.f_frsize == soak_disk.PAGE
    assert not (tmp_path / "disk").is_mount()


def test_where_nothing_can_be_mounted_files_are_limited(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")  # without the commands that mount a disk
    with soak_disk.small_disk(tmp_path / "disk") as disk:
        assert not disk.mounted
        assert disk.leave(4096) == 4096
    source = "import time; time.sleep(0.3); open('a', 'wb').write(bytes(10_000))"
    assert "File too large" in soak_commands.run([source], cwd=tmp_path, program=PYTHON, limit=4096).err


def call(folder: Path, *words: str) -> tuple[int, dict]:
    code = soak.main(["--results", str(folder), *words])
    return code, json.loads((folder / soak.RESULTS).read_text(encoding="utf-8"))


def test_one_failure_is_told_and_is_the_exit_code(tmp_path, monkeypatch, capsys):
    def work(drill: Drill, task: soak_material.Task) -> None:
        drill.n = task.n
        drill.check("a file is half-written", where="killed in export")

    monkeypatch.setitem(soak.PARTS, "killed: a drill that fails", soak.Part(work, 3, 0, trained=False))
    code, record = call(tmp_path, "--only", "a drill that fails")
    assert code == 1
    assert record["kills"] == 3
    assert record["drills"][0]["failures"] == ["killed in export: a file is half-written"]
    assert {"command", "machine", "seed", "versions"} <= set(record)
    printed = capsys.readouterr()
    assert "1 FAILED" in printed.out
    assert "half-written" in printed.err


@pytest.mark.slow
def test_the_short_drills_go_well(tmp_path):
    code, record = call(tmp_path, "--smoke", "--only", "serve", "commands without torch")
    assert [failure for drill in record["drills"] for failure in drill["failures"]] == []
    assert code == 0
    assert record["smoke"]
    assert record["kills"] == 1
    assert all(drill["n"] == drill["whole"] > 0 for drill in record["drills"])
