"""Worker processes, of this machine and of Ray: what they report, and that the others go on when one dies."""

from __future__ import annotations

import multiprocessing
import os
import signal

import pytest

from inkdigit.errors import TrainingError
from inkdigit.tuning import pool, ray_tune
from inkdigit.tuning.pool import End, TrainAll, Training
from inkdigit.tuning.space import Budget
from inkdigit.tuning.splits import divide

from ..scale.conftest import local_ray
from ..training.conftest import ray_processes

__all__ = ["local_ray"]

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no such signals on Windows")


@pytest.fixture(params=["local", pytest.param("ray", marks=pytest.mark.slow)])  # test_tune has a cluster, too
def train_all(request) -> TrainAll:
    """Both implementations."""
    if request.param == "local":
        return pool.train_all
    request.getfixturevalue("local_ray")
    return ray_tune.train_all


def worker(others: set[int]) -> int:
    """The only process that trains; `others` work at something else."""
    (pid,) = [child.pid or 0 for child in multiprocessing.active_children()] or {*ray_processes()} - others
    return pid


@pytest.fixture(scope="module")
def trainings(start, digits):
    """Trainings by key; `bad` describes no possible network."""
    splits = divide(digits, start, Budget(60, 0)).trial
    recipes = {"a": start, "b": start, "bad": start.change({"filters": (4,) * 6})}
    return {key: Training(key, recipe, splits, 3) for key, recipe in recipes.items()}


def test_each_training_reports_its_epochs_and_its_end(trainings, train_all):
    waiting, epochs, ends = list(trainings.values()), [], {}

    def on_epoch(training: Training, epoch: int, accuracy: float) -> bool:
        epochs.append((training.key, epoch))
        assert 0 <= accuracy <= 1
        return training.key != "b" or epoch < 2

    train_all(
        lambda: waiting.pop(0) if waiting else None,
        jobs=2,
        on_epoch=on_epoch,
        on_end=lambda training, end: ends.update({training.key: end}),
    )
    assert sorted(epochs) == [("a", 1), ("a", 2), ("a", 3), ("b", 1), ("b", 2)]
    assert ends["a"].accuracy is not None
    assert ends["a"].seconds > 0
    assert (ends["b"].accuracy, ends["b"].problem) == (None, None)
    assert "leaves nothing of the image" in ends["bad"].problem
    assert multiprocessing.active_children() == []


@pytest.mark.posix
@pytest.mark.parametrize("train_all", ["local", pytest.param("ray", marks=pytest.mark.slow)], indirect=True)
def test_a_worker_that_dies_loses_one_training_and_several_in_a_row_are_an_error(trainings, train_all, monkeypatch):
    monkeypatch.setattr(pool, "MAX_DEATHS_IN_A_ROW", 2)  # a process of Ray takes seconds to start
    waiting, ends, others = [trainings["a"], trainings["b"]], [], {*ray_processes()}

    def on_epoch(training: Training, *_: float) -> bool:
        if training.key == "a" and len(ends) != 1:
            os.kill(worker(others), signal.SIGKILL)
        return True

    def on_end(training: Training, end: End) -> None:
        ends.append((training.key, end.died))
        if end.died:
            assert "code -9" in str(end.problem) or "is gone" in str(end.problem)
        if len(ends) >= 2:
            waiting.append(trainings["a"])

    with pytest.raises(TrainingError, match="2 workers died one after the other"):
        train_all(lambda: waiting.pop(0) if waiting else None, jobs=1, on_epoch=on_epoch, on_end=on_end)
    assert ends == [("a", True), ("b", False), ("a", True), ("a", True)]
    assert multiprocessing.active_children() == []


def test_an_error_of_the_caller_comes_out_as_it_is(trainings, train_all):
    def on_end(*_: object) -> None:
        raise TrainingError("The disk is full")

    waiting = [trainings["bad"]]
    with pytest.raises(TrainingError, match=r"^The disk is full\.$"):
        train_all(lambda: waiting.pop(0) if waiting else None, jobs=1, on_epoch=lambda *_: True, on_end=on_end)
