from __future__ import annotations

import pytest
import torch

from benchmarks.peers import form
from benchmarks.speed import curve
from inkdigit.training import trial
from inkdigit.training.data import open_for, splits_of
from inkdigit.training.network import loop
from inkdigit.training.recipe import Recipe

SMALL = {"data": "sklearn-digits", "min_steps": 0, "epochs": 3, "filters": (4, 8, 8), "seed": 3, "precision": "float32"}
# An average of the weights: between epochs they are put into the network, and taken out again.
CHANGES = {**SMALL, "batch": 256, "ema_decay": 0.9, "validation": 0.1}


@pytest.fixture(scope="module")
def measured():
    return curve.measure("fast", CHANGES, entrant="tiny", device="cpu", clock=form.Clock())


def test_there_is_a_point_an_epoch_and_the_last_is_what_ships(measured):
    assert [epoch for epoch, _, _ in measured["curve"]] == [1, 2, 3]
    seconds = [at for _, at, _ in measured["curve"]]
    assert seconds == sorted(seconds)
    assert seconds[-1] == measured["train_seconds"]
    assert measured["curve"][-1][2] == measured["accuracy"]


def test_looking_at_the_test_part_between_epochs_changes_nothing(measured):
    recipe, cpu = Recipe.load("fast", CHANGES), torch.device("cpu")
    dataset = open_for(recipe, recipe.data, log=lambda _: None)
    parts = splits_of(dataset, recipe)
    state = loop.start(trial.build(recipe, parts, len(dataset.classes)), recipe)
    for _ in trial.epochs(state, recipe, parts, cpu):
        pass
    accuracy = loop.evaluate(state.net, loop.Tensors.of(parts.report, cpu), bfloat16=False)[1]
    assert measured["accuracy"] == pytest.approx(accuracy, abs=1e-6)
    assert measured["n"] == len(parts.report)


def test_stages_are_told_apart(measured):
    assert (measured["entrant"], measured["kind"]) == ("tiny", "recipe")
    assert measured["recipe_sha256"] == Recipe.load("fast", CHANGES).sha256
    assert measured["import_seconds"] >= 0  # here everything is imported already
    for stage in ("load", "train", "export", "answer"):
        assert measured[f"{stage}_seconds"] > 0
    assert measured["versions"]["torch"]


def test_a_recipe_that_is_not_there_is_one_line():
    with pytest.raises(SystemExit, match="There is no recipe 'fats'"):
        curve.main(["fats"])
