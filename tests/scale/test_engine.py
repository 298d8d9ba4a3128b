"""Both engines: every job once, errors, processes that die, and nothing that is left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from inkdigit.errors import DataError, MalformedFile, MissingExtra, UsageError, WorkersDied
from inkdigit.scale import engine as port
from inkdigit.scale.engine import MAX_DEATHS, Engine, open_engine

ENGINES = ["local", "ray"]


class Doubles:
    """Work that needs nothing."""

    def __call__(self, job: int) -> tuple[int, int]:
        return 2 * job, os.getpid()


class Fails:
    """Work that raises an error of ours."""

    def __call__(self, job: int) -> int:
        if job == 3:
            raise MalformedFile("shard.tar", "damaged", where="byte 7")
        return job


class DiesOnce:
    """Work whose process is killed the first time that it has the job 2."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, job: int) -> int:
        mark = self.folder / "died"
        if job == 2 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return job


class AlwaysDies:
    """Work that always kills its process."""

    def __call__(self, job: int) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return job


def _cannot_begin() -> Doubles:
    raise DataError("This machine lacks something")


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine with two processes."""
    if request.param == "ray":
        request.getfixturevalue("local_ray")
    with open_engine(request.param, workers=2) as opened:
        yield opened


def test_every_job_has_its_result_once_from_several_processes(engine):
    results = dict(engine.run(Doubles, range(40)))
    assert {job: doubled for job, (doubled, _) in results.items()} == {job: 2 * job for job in range(40)}
    assert os.getpid() not in {pid for _, pid in results.values()}


def test_an_error_of_ours_comes_out_as_it_is(engine):
    with pytest.raises(MalformedFile, match="byte 7") as caught:
        list(engine.run(Fails, range(6)))
    assert caught.value.where == "byte 7"


def test_so_does_one_of_the_beginning(engine):
    with pytest.raises(DataError, match="lacks something"):
        list(engine.run(_cannot_begin, range(3)))


def test_a_job_whose_process_dies_is_done_again(engine, tmp_path):
    results = sorted(job for job, _ in engine.run(partial(DiesOnce, tmp_path), range(8)))
    assert results == list(range(8))
    assert (tmp_path / "died").exists()


def test_jobs_are_taken_as_there_are_processes_for_them():
    taken = []

    def jobs():
        for job in range(1000):
            taken.append(job)
            yield job

    with open_engine("local", workers=2) as opened:
        results = opened.run(Doubles, jobs())
        for _ in range(3):
            next(results)
        assert len(taken) < 20
        results.close()


def give_up(name: str) -> None:
    """Work that never ends well is given up."""
    given_up = f"{MAX_DEATHS} processes died with the same work"
    with open_engine(name, workers=1) as opened, pytest.raises(WorkersDied, match=given_up):
        list(opened.run(AlwaysDies, range(2)))


def test_work_that_kills_its_process_again_and_again_is_given_up():
    give_up("local")


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_so_is_that_of_a_cluster():
    give_up("ray")


def _is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> bool:
    """Whether a condition becomes true in time."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def test_the_processes_end_when_their_parent_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(
        "import os, time\n"
        "from inkdigit.scale.local import Local\n"
        "class Slow:\n"
        "    def __call__(self, job):\n"
        "        print(os.getpid(), flush=True); time.sleep(60)\n"
        "if __name__ == '__main__':\n"
        "    list(Local(2).run(Slow, range(2)))\n",
        encoding="utf-8",
    )
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, encoding="utf-8")
    assert parent.stdout is not None
    children = [int(parent.stdout.readline()) for _ in range(2)]
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert wait_for(lambda: all(map(_is_gone, children)))


def test_unknown_engines_and_addresses_are_one_error(monkeypatch):
    with pytest.raises(UsageError, match=r"Did you mean local\?"), open_engine("locl"):
        pass
    with pytest.raises(UsageError, match="has no address"), open_engine("local", address="127.0.0.1:6379"):
        pass
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"\[scale\]"), open_engine("ray"):
        pass


def test_the_port_names_both():
    assert list(port.ENGINES) == ENGINES
