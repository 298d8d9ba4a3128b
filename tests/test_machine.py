"""What is known of a machine, and the time and memory of a process: its own, not those of its parent."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

import inkdigit.machine as machine

NO_PEAKS = not hasattr(os, "wait4")


def python(code: str) -> machine.Sample:
    return machine.time_process([*machine.PYTHON, "-c", code])


def test_the_time_is_that_of_the_process():
    assert python("import time; time.sleep(0.3)").wall_s > 0.3


@pytest.mark.skipif(NO_PEAKS, reason="this system does not say what a process needed")
def test_the_peak_is_that_of_the_process_and_not_of_who_asks():
    ballast = bytearray(os.urandom(1 << 20) * 200)  # this process is large
    small, large = python("pass").peak_mb, python("b = bytearray(100_000_000)").peak_mb
    assert small is not None
    assert large is not None
    assert small < 100 < large < 200 < len(ballast) / 1e6


def test_a_process_that_fails_is_an_error_with_what_it_said():
    with pytest.raises(subprocess.CalledProcessError) as caught:
        python("import sys; sys.exit('no such luck')")
    assert (caught.value.returncode, caught.value.stderr.strip()) == (1, "no such luck")


@pytest.mark.skipif(sys.platform == "win32", reason="no signals on this system")
def test_a_process_that_is_killed_is_an_error():
    with pytest.raises(subprocess.CalledProcessError):
        python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")


def test_what_a_process_prints_is_not_taken_for_the_figures():
    assert python("print('wall_s')").wall_s > 0


def test_a_file_here_that_is_called_as_a_library_is_left_alone(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit('taken for the library')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert python("import json").wall_s > 0


def test_the_processor_has_a_name(tmp_path):
    assert machine.processor()
    (tmp_path / "cpuinfo").write_text("model name\t: Some CPU @ 2: GHz\nx\nmodel name : other\n", encoding="utf-8")
    assert machine.processor(tmp_path / "cpuinfo") == "Some CPU @ 2: GHz, 2 threads"


@pytest.mark.posix
def test_where_the_system_says_little_the_rest_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    for name in ("sched_getaffinity", "getloadavg"):
        monkeypatch.delattr(os, name, raising=False)
    assert (machine.processor(tmp_path / "cpuinfo"), machine.load()) == ("riscv64", None)
    assert machine.cores() == os.cpu_count()


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system does not bind processes to processors")
def test_processors_are_those_that_this_process_may_use(monkeypatch):
    all_cores = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(all_cores)})
        assert machine.cores() == 1
    finally:
        os.sched_setaffinity(0, all_cores)
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert machine.cores() == 1


@pytest.mark.parametrize(
    ("text", "expected"), [("max 100000\n", None), ("100000 100000\n", 1), ("10000 100000\n", 1), ("junk", None)]
)
def test_a_container_may_use_fewer_cores_than_there_are(text, expected, tmp_path):
    quota = tmp_path / "cpu.max"
    quota.write_text(text, encoding="utf-8")
    assert machine.cores(quota) == (expected or machine.cores(tmp_path / "nothing"))
