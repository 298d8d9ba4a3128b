"""Worker processes: what they report, and that the others go on when one dies."""

from __future__ import annotations

import multiprocessing
import os
import signal

import pytest

from inkdigit.errors import TrainingError
from inkdigit.tune import pool
from inkdigit.tune.pool import End, Training
from inkdigit.tune.space import Budget
from inkdigit.tune.splits import divide

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no such signals on Windows")


@pytest.fixture(scope="module")
def trainings(start, digits):
    """Trainings by key; `bad` describes no possible network."""
    splits = divide(digits, start, Budget(60, 0)).trial
    recipes = {"a": start, "b": start, "bad": start.change({"filters": (4,) * 6})}
    return {key: Training(key, recipe, splits, 3) for key, recipe in recipes.items()}


def test_each_training_reports_its_epochs_and_its_end(trainings):
    waiting, epochs, ends = list(trainings.values()), [], {}

    def on_epoch(training: Training, epoch: int, accuracy: float) -> bool:
        epochs.append((training.key, epoch))
        assert 0 <= accuracy <= 1
        return training.key != "b" or epoch < 2

    pool.train_all(
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


def test_a_worker_that_dies_loses_one_training_and_three_in_a_row_are_an_error(trainings):
    waiting, ends = [trainings["a"], trainings["b"]], []

    def on_epoch(training: Training, *_: float) -> bool:
        if training.key == "a" and len(ends) != 1:
            (worker,) = multiprocessing.active_children()
            os.kill(worker.pid or 0, signal.SIGKILL)
        return True

    def on_end(training: Training, end: End) -> None:
        ends.append((training.key, end.died))
        if end.died:
            assert "code -9" in str(end.problem)
        if len(ends) >= 2:
            waiting.append(trainings["a"])

    with pytest.raises(TrainingError, match="3 workers died one after the other"):
        pool.train_all(lambda: waiting.pop(0) if waiting else None, jobs=1, on_epoch=on_epoch, on_end=on_end)
    assert ends == [("a", True), ("b", False), ("a", True), ("a", True), ("a", True)]
    assert multiprocessing.active_children() == []
