"""`train --seeds`: from one command to a run a seed and their summary, and what it says when one fails."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from inkdigit import runs
from inkdigit.errors import Diverged
from inkdigit.training import trial

from .conftest import assert_one_error


@pytest.fixture
def seed_1_diverges(monkeypatch):
    epochs = trial.epochs

    def diverge(state, recipe, *rest, **options):
        if recipe.seed == 1:
            raise Diverged("The loss is nan at step 7")
        return epochs(state, recipe, *rest, **options)

    monkeypatch.setattr(trial, "epochs", diverge)


@pytest.mark.usefixtures("seed_1_diverges")
def test_one_command_trains_sums_up_and_fails_where_a_seed_did(inkdigit, recipe, source, tmp_path):
    out = tmp_path / "out"
    output = inkdigit("train", recipe, "--data", source, "--out", out, "--seeds", "0-1")
    assert output.code == 6
    header, first, failed, *rest = output.out.splitlines()
    report = json.loads((out / "s0" / "report.json").read_text(encoding="utf-8"))
    right = sum(report["confusion"][i][i] for i in range(3))
    assert header.split()[:3] == ["seed", "accuracy", "wrong"]
    assert first.split()[:5] == ["0", f"{100 * right / 12:.2f}", "%", str(12 - right), "12"]
    assert failed.endswith("Diverged: The loss is nan at step 7")
    assert "Protocol final: the figures are on the test split of digits." in rest
    assert rest[-1] == f"Summary     {out / 'seeds.md'}"
    assert f"Seed 1, 2 of 2: {out / 's1'}" in output.err
    assert output.err.splitlines()[-1].startswith("Error: 1 of 2 seeds failed. Received: seed 1, Diverged")
    assert [path.parent.name for path in out.glob("*/DONE")] == ["s0"]
    assert json.loads((out / runs.SEEDS).read_text(encoding="utf-8"))["accuracy"]["values"] == [right / 12]
    with (out / "test-openings.csv").open(encoding="utf-8") as file:
        assert [(row["seed"], row["run"]) for row in csv.DictReader(file)] == [("0", "s0")]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["fast", "--seeds", "0-1", "--seed", "3"], "no --seed and no --resume"),
        (["--resume", "x", "--seeds", "0-1"], "no --seed and no --resume"),
        (["fast", "--seeds", "0-1", "--set", "seed=3"], "no --set seed="),
        (["fast", "--seeds", "x"], "numbers from 0 up"),
        (["fast", "--seeds", "0,0"], "each once"),
        (["fast", "--seeds", "2147483648"], "seed: Input should be less"),
        (["fast", "--seeds", "0-1", "--workers", "2"], "The engine local has no workers"),
        (["fast", "--seeds", "0-1", "--address", "host:6379"], "The engine local has no address"),
        (["fast", "--seeds", "0-1", "--engine", "rai"], "Did you mean ray?"),
    ],
)
def test_what_excludes_the_seeds_is_one_error(inkdigit, tmp_path, monkeypatch, words, text):
    monkeypatch.chdir(tmp_path)
    assert_one_error(inkdigit("train", *words), 2, text)
    assert list(tmp_path.iterdir()) == []


def test_a_seed_that_is_taken_is_one_error_before_the_training(inkdigit, recipe, source, tmp_path):
    (tmp_path / "out" / "s1").mkdir(parents=True)
    (tmp_path / "out" / "s1" / "thesis.tex").write_text("mine", encoding="utf-8")
    output = inkdigit("train", recipe, "--data", source, "--out", tmp_path / "out", "--seeds", "0-1")
    assert_one_error(output, 9, "s1 is taken")
    assert [path.name for path in Path(tmp_path / "out").iterdir()] == ["s1"]
