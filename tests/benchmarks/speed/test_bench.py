from __future__ import annotations

import json
import sys

import pytest

from benchmarks.speed import bench
from inkdigit.training.recipe import Recipe

PEER = """\
#!/bin/sh
case "$1" in
  *sklearn_svm.py) echo "no memory" >&2; exit 3;;
esac
name=$(basename "$1" .py)
echo talk
echo '{"entrant": "'$name'", "seed": '$4', "accuracy": 0.5, "train_seconds": 2.0, "device": "cpu", "versions": {}}'
"""


@pytest.fixture(autouse=True)
def mnist(tmp_path, monkeypatch):
    """A folder with the names of MNIST's files: the peers of these tests read nothing."""
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"):
        (folder / name).touch()
    monkeypatch.setenv("INKDIGIT_DATA", str(tmp_path / "data"))


@pytest.fixture
def run(tmp_path):
    """Run the script with a peer interpreter that answers at once."""
    peer = tmp_path / "python"
    peer.write_text(PEER, encoding="utf-8")
    peer.chmod(0o755)

    def run(*words: str) -> int:
        return bench.main(["--results", str(tmp_path), "--peer-python", str(peer), *words])

    return run


@pytest.fixture
def ledger(tmp_path):
    def read() -> list[dict]:
        return [json.loads(text) for text in (tmp_path / bench.LEDGER).read_text(encoding="utf-8").splitlines()]

    return read


def test_every_peer_takes_part_and_every_bundled_recipe_that_is_not_measured_elsewhere():
    everybody = bench.entrants()
    assert {one.recipe for one in everybody.values() if one.recipe} == set(bench.bundled()) - {"micro", "tiny", "best"}
    scripts = {path.stem for path in bench.PEER_SCRIPTS.glob("*.py")} - {"form", "readers", "__init__"}
    assert {name for name, one in everybody.items() if not one.recipe} == scripts


def test_a_round_holds_one_seed_of_everybody_that_has_so_many():
    often, once = bench.Entrant("a", seeds=3), bench.Entrant("b")
    assert bench.rounds([often, once]) == [(often, 0), (once, 0), (often, 1), (often, 2)]
    assert bench.rounds([often, once], 2) == [(often, 0), (once, 0), (often, 1), (once, 1)]


def test_lines_come_one_by_one_with_their_run_and_machine(run, ledger):
    assert run("--only", "sklearn_knn", "zoo_cnn", "--seeds", "2") == 0
    lines = ledger()
    order = [("sklearn_knn", 0), ("zoo_cnn", 0), ("sklearn_knn", 1), ("zoo_cnn", 1)]
    assert [(line["entrant"], line["seed"]) for line in lines] == order
    assert len({line["run"] for line in lines}) == 1
    assert all(line["machine"]["cores"] and line["process_seconds"] and not line["smoke"] for line in lines)


def test_one_that_fails_is_told_and_does_not_stop_the_others(run, ledger, capsys):
    assert run("--only", "sklearn_svm", "sklearn_knn") == 1
    assert [line["entrant"] for line in ledger()] == ["sklearn_knn"]
    printed = capsys.readouterr().err
    assert "no memory" in printed
    assert "1 of 2 failed" in printed


def test_a_run_can_be_gone_on_with(run, ledger, capsys):
    run("--only", "sklearn_knn")
    stamp = ledger()[0]["run"]
    assert run("--only", "sklearn_knn", "zoo_cnn", "--seeds", "2", "--go-on") == 0
    assert [(line["entrant"], line["seed"], line["run"]) for line in ledger()[1:]] == [
        ("zoo_cnn", 0, stamp),
        ("sklearn_knn", 1, stamp),
        ("zoo_cnn", 1, stamp),
    ]
    capsys.readouterr()
    assert run("--only", "sklearn_knn", "--go-on", stamp) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "words", [["--go-on", "20010101-000000"], ["--go-on", "--smoke"], ["--go-on", "--device=cuda"]]
)
def test_a_run_that_was_another_is_not_gone_on_with(run, words):
    run("--only", "zoo_cnn", "--seeds", "1")
    with pytest.raises(SystemExit, match=r"There is no run|was another"):
        run("--only", "zoo_cnn", *words)


def test_there_is_no_last_run_in_an_empty_ledger(run):
    with pytest.raises(SystemExit, match="There is no run"):
        run("--only", "zoo_cnn", "--go-on")


def test_a_line_of_a_recipe_that_was_changed_is_measured_again():
    fast = bench.entrants()["fast"]
    lines = [{"entrant": "fast", "seed": 0, "recipe_sha256": "then"}]
    assert bench.lacking([(fast, 0)], lines, sha256={"fast": "now"}) == [(fast, 0)]
    assert bench.lacking([(fast, 0)], lines, sha256={"fast": "then"}) == []


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (["--only", "nobody"], "there is no entrant 'nobody'"),
        (["--seeds", "0"], "--seeds is at least 1"),
        (["--peer-python", "nowhere/python"], "make bench"),
    ],
)
def test_what_cannot_be_run_is_said_before_anything_is_measured(run, capsys, words, printed):
    with pytest.raises(SystemExit) as stopped:
        run(*words)
    assert stopped.value.code == 2
    assert printed in capsys.readouterr().err


def test_peers_need_mnist_on_this_machine(run, tmp_path, monkeypatch, capsys):
    elsewhere = tmp_path / "a" / "b"  # no folder data/ is beside it
    elsewhere.mkdir(parents=True)
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("INKDIGIT_DATA", "")
    monkeypatch.setenv("INKDIGIT_CACHE", str(tmp_path / "cache"))
    with pytest.raises(SystemExit):
        run("--only", "zoo_cnn")
    assert "inkdigit data get mnist" in capsys.readouterr().err


def test_on_a_gpu_those_are_left_out_that_have_nothing_to_do_there():
    options = bench.parse_arguments(["--device", "cuda", "--peer-python", sys.executable])
    chosen = [one.name for one in options.chosen]
    assert {"fast", "zoo_cnn"} <= set(chosen)
    assert not {"keras_convnet", "sklearn_svm", "sklearn_knn"} & set(chosen)


def test_a_smoke_run_changes_what_every_recipe_knows():
    for name in bench.bundled():
        assert Recipe.load(name, bench.parse_changes(bench.SMOKE_CHANGES)).epochs == 1
