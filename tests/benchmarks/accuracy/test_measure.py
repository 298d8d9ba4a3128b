from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy import entries as accuracy_entries
from benchmarks.accuracy import measure as accuracy
from inkdigit.data.sources import open_data
from inkdigit.data.splits import set_aside
from inkdigit.measure.metrics import evaluate
from inkdigit.model.provenance import ModelFile
from inkdigit.runs import DONE, ENVIRONMENT, MODEL, PREDICTIONS, RECIPE, REPORT
from inkdigit.training.recipe import HELD_OUT_BY, Recipe, parse_changes

HEADER = "date,data,recipe,recipe_sha256,seed,run\n"


MEMBERS = [*accuracy_entries.MEMBERS]  # of the ensemble, beside `best`


@pytest.fixture
def bench(tmp_path):
    about = {"smoke": False, "date": "2026-01-01 00:00:00"}
    return accuracy.Bench(tmp_path / "runs", tmp_path / "results", "cpu", about)


@pytest.fixture
def calls(monkeypatch):
    """The commands that were called; each leaves what the real one leaves, in a blink."""
    called: list[list[str]] = []

    def call(*words: object) -> None:
        argv = [str(word) for word in words]
        called.append(argv)
        if argv[0] == "ensemble":
            file = Path(argv[argv.index("--out") + 1])
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"joined")
            return
        resumed = argv[1] == "--resume"
        folder = Path(argv[2] if resumed else argv[argv.index("--out") + 1])
        if not resumed:
            changes = parse_changes([word.removeprefix("--set=") for word in argv if word.startswith("--set=")])
            recipe = Recipe.load(argv[1], {**changes, "seed": int(argv[argv.index("--seed") + 1])})
            folder.mkdir(parents=True)
            (folder / RECIPE).write_text(recipe.to_toml(), encoding="utf-8")
            teacher = recipe.teacher and asdict(ModelFile.of(Path(recipe.teacher)))
            (folder / ENVIRONMENT).write_text(
                json.dumps({"threads": 1, "device": "cpu", "teacher": teacher}), encoding="utf-8"
            )
        figures = {"n": 4, "accuracy": 0.75, "accuracy_ci95": [0.3, 0.95], "nll": 0.1, "ece": 0.01}
        report = {**figures, "model": {"parameters": 10}, "train_seconds": 2.04, "epochs": 3}
        (folder / REPORT).write_text(json.dumps(report), encoding="utf-8")
        np.savez(folder / PREDICTIONS, probs=np.eye(4), labels=np.array([0, 1, 2, 2]))
        (folder / MODEL).write_bytes(b"model")
        (folder / DONE).touch()
        with (folder.parent / accuracy.OPENINGS).open("a", encoding="utf-8") as log:
            log.write(("" if log.tell() else HEADER) + f"{len(called)},mnist,{folder.parent.name},x,0,{folder.name}\n")

    result = {"parameters": 20, "bytes": 6, "n": 4, "accuracy": 1.0, "wrong": []}
    monkeypatch.setattr(accuracy, "call", call)
    monkeypatch.setattr(accuracy, "evaluate_file", lambda *_: result)
    return called


def ledger(bench: accuracy.Bench) -> list[dict]:
    return [json.loads(text) for text in (bench.results / accuracy.LEDGER).read_text(encoding="utf-8").splitlines()]


def settle(name: str, seed: int, bench: accuracy.Bench) -> dict:
    return accuracy.settle(accuracy_entries.entries()[name], seed, bench)


def test_what_something_is_made_of_is_trained_first_with_its_seed(calls, bench):
    line = settle("distilled", 1, bench)
    assert [(result["name"], result["group"], result["seed"]) for result in ledger(bench)] == [
        ("best", "recipes", 1),
        *((name, "members", 1) for name in MEMBERS),
        ("ensemble", "ensemble", 1),
        ("distilled", "distilled", 1),
    ]
    *members, joined, distilled = calls
    assert [words[:4] for words in members] == [["train", "best", "--seed", "1"]] * (1 + len(MEMBERS))
    assert {'--set=name="member-moments"', "--set=moments=true"} <= set(members[-1])
    paths = [str(bench.runs / name / "s1" / MODEL) for name in accuracy_entries.ENSEMBLE]
    assert joined[1 : 1 + len(paths)] == paths
    assert f'--set=teacher="{bench.runs / "ensemble" / "s1.onnx"}"' in distilled
    assert line["recipe_sha256"] == accuracy_entries.identities()["distilled"]


def test_a_line_tells_figures_mistakes_and_what_it_took(calls, bench):
    line = settle("best", 0, bench)
    assert line["recipe_sha256"] == Recipe.load("best").sha256
    assert (line["accuracy"], line["wrong"], line["parameters"], line["bytes"]) == (0.75, [3], 10, 5)
    assert (line["train_seconds"], line["epochs"], line["threads"]) == (2.0, 3, 1)
    assert line["precision"] in ("float32", "bfloat16")
    assert settle("ensemble", 0, bench)["train_seconds"] == 2.0 * (1 + len(MEMBERS))
    assert len(calls) == len(MEMBERS) + 2


def test_what_the_ledger_has_is_not_trained_again(calls, bench):
    settle("member-5x5", 0, bench)
    assert settle("member-5x5", 0, bench) == ledger(bench)[0]
    assert len(calls) == len(ledger(bench)) == 1


def test_a_training_that_was_stopped_is_gone_on_with_and_a_finished_one_taken_over(calls, bench):
    settle("member-5x5", 0, bench)
    run = bench.runs / "member-5x5" / "s0"
    (bench.results / accuracy.LEDGER).unlink()
    settle("member-5x5", 0, bench)
    assert len(calls) == 1
    (run / DONE).unlink()
    (bench.results / accuracy.LEDGER).unlink()
    settle("member-5x5", 0, bench)
    assert calls[1:] == [["train", "--resume", str(run), "--device", "cpu"]]


def test_a_network_is_taught_by_one_that_held_the_same_images_out():
    known = accuracy_entries.entries()
    taught = [entry for entry in known.values() if entry.teacher]
    assert taught
    for entry in taught:
        for member in known[entry.teacher].members:
            assert entry.loaded({}).differs_in(HELD_OUT_BY, known[member].loaded({})) is None


def test_a_recipe_that_was_changed_is_measured_anew_but_overwrites_no_run(calls, bench, monkeypatch):
    settle("member-5x5", 0, bench)
    before = accuracy_entries.identities()
    base, changes = accuracy_entries.MEMBERS["member-5x5"]
    monkeypatch.setitem(accuracy_entries.MEMBERS, "member-5x5", (base, {**changes, "filters": [8, 16, 24]}))
    after = accuracy_entries.identities()
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"member-5x5", "ensemble", "ensemble-views5", "distilled"}
    with pytest.raises(RuntimeError, match=r"member-5x5/s0 holds another recipe .* move .*member-5x5 away"):
        settle("member-5x5", 0, bench)
    assert len(calls) == 1


@pytest.mark.parametrize("stopped", [False, True])
def test_a_run_that_learns_from_another_file_than_the_ensemble_is_now_is_not_taken_over(calls, bench, stopped):
    settle("distilled", 0, bench)
    run, result = bench.runs / "distilled" / "s0", ledger(bench)
    lines = [json.dumps(line) for line in result if line["name"] != "distilled"]
    (bench.results / accuracy.LEDGER).write_text("\n".join([*lines, ""]), encoding="utf-8")
    settle("distilled", 0, bench)
    assert ledger(bench) == result
    (bench.results / accuracy.LEDGER).write_text("\n".join([*lines, ""]), encoding="utf-8")
    (bench.runs / "ensemble" / "s0.onnx").write_bytes(b"joined anew")
    if stopped:
        (run / DONE).unlink()
    with pytest.raises(RuntimeError, match=r"distilled/s0 was trained by another file .* move .*distilled away"):
        settle("distilled", 0, bench)
    assert len(calls) == len(MEMBERS) + 3
    assert len(ledger(bench)) == len(MEMBERS) + 2


def test_what_is_made_of_models_that_are_not_here_has_them_trained_again_and_told_once(calls, bench):
    settle("ensemble", 0, bench)
    result = ledger(bench)
    shutil.rmtree(bench.runs)
    assert [settle(line["name"], 0, bench) for line in result] == result  # nobody asks for a model
    before = len(calls)
    assert before == len(result) == len(MEMBERS) + 2
    settle("distilled", 0, bench)
    again = [words[0] for words in calls[before:]]
    assert again == ["train"] * (1 + len(MEMBERS)) + ["ensemble", "train"]
    assert [line["name"] for line in ledger(bench)] == ["best", *MEMBERS, "ensemble", "distilled"]
    before = len(calls)
    settle("ensemble-views5", 0, bench)
    assert [words[0] for words in calls[before:]] == ["ensemble"]


def test_an_opening_is_kept_whatever_fails_after_it(calls, bench):
    settle("tiny", 0, bench)
    shutil.rmtree(bench.results)
    (bench.runs / "tiny" / "s0" / PREDICTIONS).unlink()  # the run cannot be read
    with pytest.raises(FileNotFoundError, match=PREDICTIONS):
        settle("tiny", 0, bench)
    assert len(calls) == 1
    assert (bench.results / accuracy.OPENINGS).read_text(encoding="utf-8") == HEADER + "1,mnist,tiny,x,0,s0\n"
    assert not (bench.results / accuracy.LEDGER).exists()


def test_openings_are_added_once(calls, bench):
    settle("tiny", 0, bench)
    settle("member-5x5", 0, bench)
    settle("tiny", 1, bench)
    logged = (bench.results / accuracy.OPENINGS).read_text(encoding="utf-8")
    assert logged == HEADER + "1,mnist,tiny,x,0,s0\n2,mnist,member-5x5,x,0,s0\n3,mnist,tiny,x,0,s1\n"
    assert len(calls) == 3


def test_a_command_that_fails_is_told_with_its_words():
    accuracy.call("--version")
    with pytest.raises(RuntimeError, match=r"inkdigit models 7 ended with 2"):
        accuracy.call("models", 7)


def test_first_comes_everybody_s_first_seed():
    chosen = [accuracy_entries.Entry("fast", "recipes", 2), accuracy_entries.Entry("distilled", "distilled", 3)]
    names = [(entry.name, seed) for entry, seed in accuracy.plan(chosen, None)]
    assert names == [("fast", 0), ("distilled", 0), ("fast", 1), ("distilled", 1), ("distilled", 2)]
    assert [seed for _, seed in accuracy.plan(chosen[:1], [4, 2])] == [2, 4]


def test_a_recipe_that_is_not_written_yet_has_no_hash_and_fails_alone(calls, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(accuracy_entries.RECIPES, "to-come", 1)
    assert "to-come" not in accuracy_entries.identities()
    where = ["--runs", str(tmp_path / "runs"), "--results", str(tmp_path)]
    assert accuracy.main(["--only", "to-come", "tiny", "--seeds", "0", *where]) == 1
    assert "to-come, seed 0, failed: There is no recipe 'to-come'" in capsys.readouterr().err
    assert [line["name"] for line in accuracy.results.read_lines(tmp_path / accuracy.LEDGER)] == ["tiny"]
    assert len(calls) == 1


@pytest.mark.parametrize("words", [["--only", "nobody"], ["--seeds", "many"]])
def test_what_cannot_be_asked_for_ends_before_anything_begins(calls, words, capsys):
    with pytest.raises(SystemExit):
        accuracy.main(words)
    assert words[1] in capsys.readouterr().err
    assert calls == []


def test_an_ensemble_s_file_is_answered_as_evaluate_does(tiny_file):
    result = accuracy.evaluate_file(tiny_file, Recipe.load("fast", {"data": "sklearn-digits", "test_fraction": 0.5}))
    evaluated = evaluate(tiny_file, set_aside(open_data("sklearn-digits"), 0.5))
    assert result["n"] == evaluated.n
    assert result["nll"] == evaluated.nll
    assert result["accuracy"] == evaluated.accuracy
    assert len(result["wrong"]) == round(evaluated.n * (1 - evaluated.accuracy))
    assert result["bytes"] == tiny_file.stat().st_size


@pytest.mark.slow
def test_smoke_trains_for_real_and_keeps_apart(tmp_path, capsys):
    words = ["--only", "curve-1k", "--seeds", "3", "--device", "cpu", "--runs", str(tmp_path)]
    assert accuracy.main(["--smoke", *words]) == 0
    (line,) = accuracy.results.read_lines(tmp_path / accuracy.LEDGER)
    assert line["smoke"]
    assert (line["name"], line["seed"], line["parameters"]) == ("curve-1k", 3, 747)
    assert len(line["wrong"]) == round(line["n"] * (1 - line["accuracy"]))
    run = tmp_path / "curve-1k" / "s3"
    assert line["bytes"] == (run / MODEL).stat().st_size
    assert "curve-1k, seed 3: " in capsys.readouterr().out
    log = (tmp_path / accuracy.OPENINGS).read_text(encoding="utf-8").splitlines()
    assert len(log) == 2
