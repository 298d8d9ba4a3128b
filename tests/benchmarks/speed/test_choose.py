"""What was tried: every candidate is a recipe of its own, and differences are taken seed by seed."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.common import results
from benchmarks.speed import choices, choose, choose_tables
from inkdigit.training.recipe import bundled


def test_every_candidate_is_another_recipe_and_none_sees_the_test_part():
    for name, hashes in choices.hashes().items():
        choice = choices.CHOICES[name]
        assert choice.base in bundled()
        assert len(set(hashes.values())) == len(hashes)
        assert next(iter(hashes)) == choose_tables.BASE
        assert all(choices.candidate(name, what).protocol == "select" for what in choice.candidates)
        assert all(set(members) <= set(choice.candidates) for members in choice.together.values())


def line(what: str, seed: int, accuracy: float, **fields: object) -> dict:
    stored = {
        "recipe": "fast",
        "candidate": what,
        "recipe_sha256": what,
        "seed": seed,
        "accuracy": accuracy,
        "n": 10_012,
    }
    stored["machine"] = {"load_before": 0.5}
    return {**stored, "smoke": False, "train_seconds": 2.0, "threads": 1, "parameters": 10, **fields}


def test_differences_are_taken_seed_by_seed_and_older_recipes_do_not_count():
    lines = [line("as it is", 0, 0.99), line("as it is", 1, 0.97), line("b", 0, 0.985), line("b", 1, 0.963)]
    lines += [line("b", 2, 0.1, recipe_sha256="old"), line("b", 3, 0.1, smoke=True)]
    hashes = {"fast": {"as it is": "as it is", "b": "b", "c": "c"}, "minute": {"as it is": "x"}}
    lines += [{**line("as it is", 0, 0.9, recipe_sha256="x", threads=2), "recipe": "minute"}]
    section = choose_tables.section(lines, hashes, only=["fast"])
    assert (section["heading"], section["threads"]) == ("## What was tried for `fast`", 1)
    (fast,) = section["tables"]
    assert (fast["title"], fast["pictures"], fast["start"]) == ("`fast`", "10,000", "")
    assert fast["table"].splitlines()[2:] == [
        "| as it is | 10 | 98.00 ± 1.41 % | – | 2.00 [2.00–2.00] | 2 |",
        "| b | 10 | 97.40 ± 1.56 % | −0.60 ± 0.14 | 2.00 [2.00–2.00] | 2 |",
    ]
    both = choose_tables.section(lines, hashes, only=["fast", "minute"])
    assert both["heading"] == "## What was tried for `fast` and `minute`"
    assert both["tables"][0] == fast
    assert both["tables"][1]["title"] == "`minute`"
    assert "the start" not in both["tables"][1]["table"]
    assert choose_tables.section([], hashes, only=["fast", "minute"]) is None


def test_the_cross_entropy_is_told_against_that_of_the_start_and_the_latest_line_of_a_seed_counts():
    lines = [line("as it is", 0, 0.9), line("as it is", 0, 0.99, nll=0.02), line("as it is", 1, 0.99, nll=0.03)]
    lines += [line("b", 0, 0.98, nll=0.018), line("b", 1, 0.98, nll=0.03), line("c", 0, 0.97)]
    section = choose_tables.section(lines, {"fast": {what: what for what in ("as it is", "b", "c")}}, only=["fast"])
    rows = [row.split(" | ") for row in section["tables"][0]["table"].splitlines()[2:]]
    assert [row[2] for row in rows] == ["99.00 ± 0.00 %", "98.00 ± 0.00 %", "97.00 %"]
    assert [row[4] for row in rows] == ["0.0250", "−5.0 ± 7.1 %", "–"]


def test_what_began_otherwise_or_is_no_recipe_says_from_what_and_what_it_is():
    hashes = {"best": {"as it is": "as it is", "b": "b"}, "members": {"as it is": "as it is", "c": "c"}}
    lines = [line(what, 0, accuracy, recipe="best") for what, accuracy in (("as it is", 0.99), ("b", 0.98))]
    lines.append(line("c", 0, 0.985, recipe="members"))
    section = choose_tables.section(lines, hashes, only=["best", "members"])
    best, members = section["tables"]
    assert section["heading"] == "## What was tried for `best`"
    assert (best["base"], best["start"]) == ("minute", "`epochs = 12`")
    assert best["table"].splitlines()[2].startswith("| the start | 10 | 99.00 % | – |")
    by_hand = line("b", 1, 0.98, recipe="best", machine={"load_before": None})
    assert not section["by_hand"]
    assert choose_tables.section([*lines, by_hand], hashes, only=["best"])["by_hand"]
    assert [row.split(" | ")[2] for row in members["table"].splitlines()[2:]] == ["99.00 %", "98.50 %"]  # trained once
    assert members["title"] == "Which networks predict well together, by the mean of their logits, for `ensemble`"


def test_the_cross_entropy_is_that_of_the_best_temperature(monkeypatch):
    labels = np.arange(1000) % 10
    held = SimpleNamespace(report=SimpleNamespace(labels=labels))
    monkeypatch.setattr(choose, "splits_of", lambda *_: held)
    monkeypatch.setattr(choose, "open_data", lambda _: None)
    logits = (
        np.random.default_rng(0).normal(size=(1000, 10)).astype(np.float32) + 3 * np.eye(10, dtype=np.float32)[labels]
    )
    one, sharper = (choose.reached(logits * scale, None) for scale in (1, 4))
    assert one["accuracy"] == sharper["accuracy"] == (logits.argmax(1) == labels).mean()
    assert one["nll"] == pytest.approx(sharper["nll"], rel=1e-6)
    plain = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    assert 0 < one["nll"] <= -plain[np.arange(1000), labels].mean()


@pytest.fixture
def trained(monkeypatch):
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

    monkeypatch.setitem(choices.CHOICES, "fast", start)
    monkeypatch.setattr(choose, "train", train)
    monkeypatch.setattr(choose, "reached", reached)
    return done


@pytest.fixture
def run(tmp_path):
    """Run the script with some words; the lines that it has left."""

    def call(*words: str) -> list[dict]:
        where = ["--runs", str(tmp_path / "runs"), "--results", str(tmp_path)]
        choose.main(["--only", "fast", *where, *words])
        return results.read_lines(tmp_path / choices.LEDGER)

    return call


def test_candidates_are_trained_once_and_then_answer_together(trained, run):
    stored = run()
    assert trained == [(False, 0), (True, 0), (False, 1), (True, 1)]
    assert [one["accuracy"] for one in stored] == [0.5, 0.5, 0.5, 0.5, 1.0, 1.0]
    assert [(one["candidate"], one["seed"]) for one in stored[4:]] == [("both", 0), ("both", 1)]
    assert [stored[4][key] for key in ("train_seconds", "parameters", "threads", "n")] == [3.0, 14, 1, 4]
    assert stored[4]["recipe_sha256"] == choices.hashes()["fast"]["both"]
    assert run() == stored
    assert len(trained) == 4


def test_two_that_share_the_work_join_each_company_once_its_members_are_there(trained, run):
    shares = [run("--share", share) for share in ("0/2", "1/2", "0/2")]
    assert [[one["candidate"] for one in stored] for stored in shares] == [
        ["as it is"] * 2,
        ["as it is"] * 2 + ["b"] * 2 + ["both"],
        ["as it is"] * 2 + ["b"] * 2 + ["both"] * 2,
    ]
    assert len(trained) == 4


def test_a_member_whose_answers_are_elsewhere_is_trained_again_and_told_once(trained, run, tmp_path):
    stored = run()
    (tmp_path / choices.LEDGER).write_text("".join(f"{json.dumps(one)}\n" for one in stored[:4]), encoding="utf-8")
    shutil.rmtree(tmp_path / "runs")
    assert [(one["candidate"], one["accuracy"]) for one in run()] == [
        (one["candidate"], one["accuracy"]) for one in stored
    ]
    assert len(trained) == 8


def test_a_smoke_run_joins_nobody(trained, run):
    assert [one["candidate"] for one in run("--smoke")] == ["as it is", "b"]
    assert len(trained) == 2
