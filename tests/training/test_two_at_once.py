"""Two trainings at once: the second is an error, and the files of the first are not mixed with others."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from inkdigit import runs
from inkdigit.errors import UsageError
from inkdigit.files import LOCK
from inkdigit.training import run
from inkdigit.training.network import checkpoint
from inkdigit.training.seeds import train_seeds

from .conftest import drawn_digits, tiny

RECIPE = tiny(epochs=3, batch=20)

# It trains on until it is told to go on: nothing is left to chance.
TRAIN = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)  # as in these tests: a resumed run sets as many as it began with
sys.path.insert(0, sys.argv[1])
from tests.training.conftest import drawn_digits, tiny
from inkdigit.training import run

def wait(tick):
    if tick.epoch == 2:
        print("in the middle", flush=True)
        sys.stdin.read()

run.train(tiny(epochs=3, batch=20), data=drawn_digits(), out=Path(sys.argv[2]), device="cpu", on_tick=wait)
"""


@contextmanager
def training(out: Path) -> Iterator[None]:
    """Another process is in the middle of a training into `out`; at the end of the block it is killed."""
    words = [sys.executable, "-c", TRAIN, str(Path(__file__).parents[2]), str(out)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8") as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "in the middle\n"
        yield
        other.send_signal(signal.SIGKILL)


@pytest.mark.usefixtures("only_training")
def test_what_is_being_trained_is_left_alone_until_its_process_ends(tmp_path):
    data, out = drawn_digits(), tmp_path / "runs" / "s0"
    with training(out):
        before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
        for begin in (
            lambda: run.train(RECIPE, data=data, out=out, seed=7, device="cpu"),
            lambda: run.resume(out, data=data, device="cpu"),
            lambda: train_seeds(RECIPE, [0], data=data, out=out.parent, device="cpu"),
        ):
            with pytest.raises(UsageError, match="is running in"):
                begin()
        assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    done = run.resume(out, data=data, device="cpu")
    whole = run.train(RECIPE, data=data, out=tmp_path / "whole", device="cpu")
    assert (out / checkpoint.FILE).read_bytes() == (whole.folder / checkpoint.FILE).read_bytes()
    assert [row["epoch"] for row in done.history] == [1, 2, 3]
    assert not (out / LOCK).exists()


@pytest.mark.usefixtures("only_training")
def test_a_run_that_came_to_its_end_meanwhile_is_not_resumed(tmp_path, monkeypatch):
    """Between the look at the directory and the lock, another process finishes the run."""
    data = drawn_digits()
    out = run.train(RECIPE, data=data, out=tmp_path / "run", device="cpu").folder
    finished = iter([False, True])
    monkeypatch.setattr(runs, "is_finished", lambda _: next(finished))
    with pytest.raises(UsageError, match="is finished"):
        run.resume(out, data=data, device="cpu")


@pytest.mark.usefixtures("only_training")
def test_an_empty_directory_is_claimed_by_one_alone(tmp_path, monkeypatch):
    """Both find it empty; one trains in it, from beginning to end, before the other takes the lock."""
    data, create = drawn_digits(), runs.create

    def slow(name: str, *, seed: int, out: Path) -> Path:
        folder = create(name, seed=seed, out=out)
        if seed == 7:  # the other has 0
            run.train(RECIPE, data=data, out=out, device="cpu")
        return folder

    monkeypatch.setattr(runs, "create", slow)
    with pytest.raises(runs.OutputError, match="is taken"):
        run.train(RECIPE, data=data, out=tmp_path / "run", seed=7, device="cpu")
    assert run.Recipe.load(tmp_path / "run").seed == 0
