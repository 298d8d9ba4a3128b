"""A small search: drawn digits, a tiny recipe and space, and trainings in this process instead of workers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inkdigit.errors import InkdigitError
from inkdigit.training import trial
from inkdigit.training.network import loop
from inkdigit.training.recipe import Recipe
from inkdigit.tuning import pool
from inkdigit.tuning.pool import End, Training
from inkdigit.types import Dataset

from ..training.conftest import CPU, draw, one_thread, tiny

__all__ = ["one_thread"]

SPACE = """\
learning_rate = { low = 1e-3, high = 1e-1, log = true }
filters = { choices = [[4, 8], [4, 4]] }
[budget]
pictures = 60
epochs = 2
"""


@pytest.fixture(scope="session")
def start() -> Recipe:
    return tiny(validation=0.1, epochs=3)


@pytest.fixture
def space_file(tmp_path: Path) -> Path:
    path = tmp_path / "space.toml"
    path.write_text(SPACE, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def digits() -> Dataset:
    return Dataset("drawn", ("0", "1", "2"), draw(144), draw(30, seed=1))


TrainAll = Callable[..., None]


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Callable[[TrainAll], None]:
    """Set what trains instead of processes of their own, which take seconds to start."""
    return lambda train_all: monkeypatch.setattr(pool, "train_all", train_all)


@pytest.fixture
def in_turn(workers: Callable[[TrainAll], None]) -> list[Training]:
    """Train in this process, one after the other; the list holds what was trained."""
    trained: list[Training] = []

    def train_all(
        next_training: Callable[[], Training | None],
        *,
        jobs: int,  # noqa: ARG001
        on_epoch: Callable[[Training, int, float], bool],
        on_end: Callable[[Training, End], None],
    ) -> None:
        while (training := next_training()) is not None:
            trained.append(training)
            on_end(training, _train(training, on_epoch))

    workers(train_all)
    return trained


def _train(training: Training, on_epoch: Callable[[Training, int, float], bool]) -> End:
    recipe, splits = training.recipe, training.splits
    try:
        state = loop.start(trial.build(recipe, splits, training.classes), recipe)
        for row in trial.epochs(state, recipe, splits, CPU):
            value: Any = row.validation_accuracy
            if not on_epoch(training, row.epoch, value):
                return End(seconds=1.0)
        return End(trial.accuracy(state, recipe, splits.report, CPU), 1.0)
    except InkdigitError as exc:
        return End(problem=str(exc))
