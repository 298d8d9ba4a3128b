"""A trial trains exactly what a run trains."""

from __future__ import annotations

import pytest
import torch

from inkdigit.data.splits import split
from inkdigit.errors import UsageError
from inkdigit.training import trial
from inkdigit.training.data import splits_of
from inkdigit.training.network import checkpoint, loop, nets

from .conftest import CPU, FINISHED, drawn_digits, tiny, weights


def test_it_ends_at_the_weights_of_a_run(finished):
    dataset = drawn_digits()
    parts = splits_of(dataset, FINISHED)
    state = loop.start(trial.build(FINISHED, parts, 3), FINISHED)
    rows = list(trial.epochs(state, FINISHED, parts, CPU))
    stored = checkpoint.read(finished.folder, nets.build(FINISHED, 3), FINISHED, device=CPU)
    assert [row.epoch for row in rows] == [1, 2, 3, 4]
    assert weights(state.net) == weights(stored.net)


def test_its_accuracy_is_that_of_its_final_weights(easy):
    recipe = tiny(epochs=4, keep="best", validation=0.25, learning_rate=0.05)
    parts = split(drawn_digits(), protocol="final", validation=0.25, seed=0)
    state = loop.start(trial.build(recipe, parts, 3), recipe)
    rows = list(trial.epochs(state, recipe, parts, CPU))
    best = min(rows, key=lambda row: row.validation_loss)
    assert parts.validation is not None
    assert trial.accuracy(state, recipe, parts.validation, CPU) == pytest.approx(best.validation_accuracy)
    assert 0 <= trial.accuracy(state, recipe, easy, CPU) <= 1


def test_pytorch_is_as_it_was_when_a_training_is_left_in_the_middle():
    recipe = tiny(epochs=3)
    parts = split(drawn_digits(), protocol="select", validation=0, seed=0)
    rows = trial.epochs(loop.start(trial.build(recipe, parts, 3), recipe), recipe, parts, CPU)
    next(rows)
    assert torch.are_deterministic_algorithms_enabled()
    rows.close()
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_network_that_cannot_be_is_a_usage_error():
    parts = split(drawn_digits(), protocol="select", validation=0, seed=0)
    with pytest.raises(UsageError, match="leaves nothing of the image"):
        trial.build(tiny(filters=(4,) * 6), parts, 3)
