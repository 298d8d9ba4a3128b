"""What was tried: every candidate is a recipe of its own, and differences are taken seed by seed."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import choices
import choose
import choose_page
import machine
from inkdigit.training.recipe import bundled


def test_every_candidate_is_another_recipe_and_none_sees_the_test_part():
    for name, hashes in choices.hashes().items():
        choice = choices.CHOICES[name]
        assert choice.base in bundled()
        assert len(set(hashes.values())) == len(hashes)
        assert next(iter(hashes)) == choose_page.BASE
        assert all(choices.candidate(name, what).protocol == "select" for what in choice.candidates)
        assert all(set(members) <= set(choice.candidates) for members in choice.together.values())
        assert list(hashes) == [*choice.candidates, *choice.together]


def line(what: str, seed: int, accuracy: float, **fields: object) -> dict:
    told = {"recipe": "fast", "candidate": what, "recipe_sha256": what, "seed": seed, "accuracy": accuracy, "n": 10_012}
    return {**told, "smoke": False, "train_seconds": 2.0, "threads": 1, "parameters": 10, **fields}


def test_differences_are_taken_seed_by_seed_and_older_recipes_do_not_count():
    lines = [line("as it is", 0, 0.99), line("as it is", 1, 0.97), line("b", 0, 0.985), line("b", 1, 0.963)]
    lines += [line("b", 2, 0.1, recipe_sha256="old"), line("b", 3, 0.1, smoke=True)]
    hashes = {"fast": {"as it is": "as it is", "b": "b", "c": "c"}, "minute": {"as it is": "x"}}
    lines += [{**line("as it is", 0, 0.9, recipe_sha256="x", threads=2), "recipe": "minute"}]
    title, about, fast, table = choose_page.part(lines, hashes, only=["fast"])
    assert title == "## What was tried for `fast`"
    assert "1 thread," in about
    assert "several where its name says so" in about
    assert fast == "**`fast`**, on about 10,000 held-out pictures."
    assert table.splitlines()[2:] == [
        "| as it is | 10 | 98.00 ± 1.41 % | – | 2.00 [2.00–2.00] | 2 |",
        "| b | 10 | 97.40 ± 1.56 % | −0.60 ± 0.14 | 2.00 [2.00–2.00] | 2 |",
    ]
    both = choose_page.part(lines, hashes, only=["fast", "minute"])
    assert both[0] == "## What was tried for `fast` and `minute`"
    assert both[2:4] == [fast, table]
    assert both[4].startswith("**`minute`**")
    assert "the start" not in both[-1]
    assert choose_page.part([], hashes, only=["fast", "minute"]) == []


def test_what_began_otherwise_or_is_no_recipe_says_from_what_and_what_it_is():
    hashes = {name: {"as it is": "as it is", "b": "b"} for name in ("best", "members")}
    lines = [
        line(what, 0, accuracy, recipe=name) for name in hashes for what, accuracy in (("as it is", 0.99), ("b", 0.98))
    ]
    title, _, start, table, members, _ = choose_page.part(lines, hashes, only=["best", "members"])
    assert title == "## What was tried for `best`"
    assert start.endswith(". *The start* is `minute` with `epochs = 12`.")
    assert table.splitlines()[2].startswith("| the start | 10 | 99.00 % | – |")
    assert members.startswith("**Which networks answer well together, for `ensemble`**, on about 10,000")


@pytest.fixture
def trained(monkeypatch, tmp_path):
    """Two candidates, each sure and right about other pictures than the other one; training takes a blink."""
    start = choices.Choice("fast", 2, {"as it is": {}, "b": {"batch": 7}}, together={"both": ("as it is", "b")})
    labels, done = np.array([0, 1, 2, 3]), []
    right, wrong = np.eye(10)[labels], np.eye(10)[labels + 1]

    def train(recipe):
        done.append((recipe.batch == 7, recipe.seed))
        sure = (labels < 2) == (recipe.batch == 7)
        logits = np.where(sure[:, None], 2 * right, wrong)
        return {**reached(logits, recipe), "train_seconds": 1.5, "threads": 1, "parameters": 7}, logits

    def reached(logits, _):
        return {"accuracy": float((logits.argmax(1) == labels).mean()), "n": len(labels)}

    for module in (choices, choose):
        monkeypatch.setattr(module, "CHOICES", {"fast": start})
    monkeypatch.setattr(choose, "train", train)
    monkeypatch.setattr(choose, "reached", reached)
    monkeypatch.setattr(sys, "argv", ["choose.py", "--runs", str(tmp_path / "runs"), "--results", str(tmp_path)])
    return done


def test_candidates_are_trained_once_and_then_answer_together(trained, tmp_path):
    choose.main()
    assert trained == [(False, 0), (True, 0), (False, 1), (True, 1)]
    told = machine.read_lines(tmp_path / choices.LEDGER)
    assert [one["accuracy"] for one in told] == [0.5, 0.5, 0.5, 0.5, 1.0, 1.0]
    assert [(one["candidate"], one["seed"]) for one in told[4:]] == [("both", 0), ("both", 1)]
    assert [told[4][key] for key in ("train_seconds", "parameters", "threads", "n")] == [3.0, 14, 1, 4]
    assert told[4]["recipe_sha256"] == choices.hashes()["fast"]["both"]
    choose.main()
    assert len(trained) == 4
    assert machine.read_lines(tmp_path / choices.LEDGER) == told
