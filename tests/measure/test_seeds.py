"""Runs that differ in their random seed alone: which belong together, their figures, and the summary of a folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inkdigit import runs
from inkdigit.errors import MalformedFile, UsageError
from inkdigit.measure.ledger import read_finished
from inkdigit.measure.seeds import format_seeds, gather, open_seeds

from .made_runs import finished, make_run


@pytest.fixture
def three(tmp_path):
    """Of 40 images 2, 4 and 3 are wrong: number 5 with every seed, numbers 1, 7, 8 and 9 with only one."""
    return gather("three", finished(tmp_path, (1, 5), (5, 6, 7, 8), (5, 6, 9), name="tiny")[::-1], {4: "Diverged: nan"})


def test_seeds_are_in_their_order_and_have_a_mean(three):
    assert three.seeds == (0, 1, 2)
    assert three.accuracy.values == (38 / 40, 36 / 40, 37 / 40)
    assert three.accuracy.mean == pytest.approx(0.925)
    assert three.accuracy.sd == pytest.approx(0.025)
    assert three.train_seconds.mean == 12.5


def test_errors_are_counted_by_the_number_of_seeds_that_make_them(three):
    assert three.wrong_with.tolist()[:10] == [0, 1, 0, 0, 0, 3, 2, 1, 1, 1]
    errors = three.to_json(Path())["errors"]
    assert errors == {"wrong_with": [34, 4, 1, 1], "pictures_wrong_with_all": [5]}


def test_the_summary_is_strict_json_and_its_paths_are_relative_to_its_folder(three, tmp_path):
    summary = json.loads(json.dumps(three.to_json(tmp_path / "summary"), allow_nan=False))
    assert (summary["recipe"], summary["data"], summary["part"]) == ("tiny", "drawn", "test")
    first = {"seed": 0, "run": "../s0", "state": "finished", "accuracy": 0.95, "n": 40, "train_seconds": 12.5}
    assert summary["runs"][0] == {**first, "wrong": 2}
    assert summary["accuracy"]["ci95"] == pytest.approx(
        [0.925 - 4.302653 * 0.025 / 3**0.5, 0.925 + 0.0621034], abs=1e-6
    )


def test_an_interval_is_cut_to_0_and_1(tmp_path):
    low, high = gather("x", finished(tmp_path, (), tuple(range(9)))).accuracy_ci95
    assert (low, high) == (0, 1)


def test_runs_that_do_not_belong_together_are_an_error(tmp_path):
    first, second = finished(tmp_path / "a", (), ())
    assert open_seeds(f"{first.folder},{second.folder}").seeds == (0, 1)
    for name, fields in {"recipe": {"epochs": 9}, "data": {"sha256": "b"}, "part": {"protocol": "select"}}.items():
        other = make_run(tmp_path / name, seed=7, **fields)
        with pytest.raises(UsageError, match="differ in more than their random seed"):
            open_seeds(f"{first.folder},{second.folder},{other}")
    with pytest.raises(UsageError, match="has a seed twice"):
        gather("x", [first, second, read_finished(make_run(tmp_path / "again", seed=1))])
    with pytest.raises(UsageError, match="x holds no finished run"):
        gather("x", [])


def test_seeds_are_written_as_they_are_given():
    texts = {(0, 1, 2, 3, 4): "0-4", (7,): "7", (0, 2, 5): "0,2,5", (0, 1, 2, 5, 8, 9): "0-2,5,8-9"}
    assert {seeds: format_seeds(seeds) for seeds in texts} == texts


def write_summary(folder: Path, rows: list) -> None:
    folder.mkdir(exist_ok=True)
    (folder / runs.SEEDS).write_text(json.dumps({"runs": rows}), encoding="utf-8")


def test_a_folder_of_seeds_is_opened_by_its_path_or_name_and_so_is_a_list(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    finished(Path("runs"), (1,), (2,))
    waiting = {"seed": 2, "run": None, "state": "unfinished", "reason": "not trained yet"}
    rows = [{"seed": seed, "run": f"../s{seed}", "state": "finished"} for seed in (0, 1)]
    write_summary(Path("runs/2026-tiny-seeds"), [*rows, waiting])
    for text in ("runs/2026-tiny-seeds", "2026-tiny-seeds", "tiny-seeds"):
        seeds = open_seeds(text)
        assert [entry.name for entry in seeds.entries] == ["s0", "s1"]
        assert seeds.missing == {2: "not trained yet"}
    assert open_seeds("s1,runs/s0").seeds == (0, 1)
    assert open_seeds("s0") is None
    assert open_seeds("no-such") is None
    make_run(Path("a,b"))
    assert open_seeds("a,b") is None  # a run of that name


def test_an_unfinished_run_in_a_list_is_named(tmp_path):
    make_run(tmp_path / "s9", finished=False)
    with pytest.raises(UsageError, match="s9 is unfinished"):
        open_seeds(f"{tmp_path / 's9'},")


NOT_SUMMARIES = (
    "",
    "{",
    "[]",
    "{}",
    "[" * 100_000,
    '{"runs": 1}',
    '{"runs": [1]}',
    '{"runs": [{}]}',
    '{"runs": [{"seed": 0, "run": 3}]}',
    '{"runs": [{"seed": "0", "state": "finished", "run": "s0"}]}',
    '{"runs": [{"seed": -1, "state": "finished", "run": "s0"}]}',
    '{"runs": [{"seed": 0, "state": "finished", "run": null}]}',
    '{"runs": [{"seed": 0, "state": "finished", "run": 7}]}',
    '{"runs": [{"seed": 0, "state": "unfinished", "run": null}]}',
    '{"runs": [{"seed": 0, "state": "elsewhere", "run": "s0"}]}',
    '{"runs": [{"seed": ' + "9" * 5000 + ', "state": "finished", "run": "s0"}]}',
)


def refusal(folder: Path, summary: str) -> str:
    """The message about a folder with this seeds.json."""
    (folder / runs.SEEDS).write_text(summary, encoding="utf-8")
    with pytest.raises(MalformedFile) as caught:
        open_seeds(str(folder))
    assert caught.value.exit_code == 4
    return str(caught.value)


def test_a_file_that_is_not_a_summary_of_seeds_is_an_error(tmp_path):
    make_run(tmp_path / "s0")
    messages = {summary[:80]: refusal(tmp_path, summary) for summary in NOT_SUMMARIES}
    assert {text: m for text, m in messages.items() if "seeds.json: This is not a summary of seeds" not in m} == {}


@pytest.mark.posix
def test_a_summary_whose_path_is_not_of_a_run_is_an_error(tmp_path):
    paths = ("", "x" * 5000, "\\u0000", "../nowhere", "/dev/null", "seeds.json")
    summaries = {path: f'{{"runs": [{{"seed": 0, "state": "finished", "run": "{path}"}}]}}' for path in paths}
    messages = {path[:80]: refusal(tmp_path, summary) for path, summary in summaries.items()}
    assert {path: m for path, m in messages.items() if "This is not a recipe" not in m} == {}
