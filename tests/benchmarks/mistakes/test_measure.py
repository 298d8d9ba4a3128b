"""What `mistakes/measure.py` finds in runs: counts, faults, labels set right, writers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.mistakes import measure as mistakes
from inkdigit import runs
from inkdigit.errors import UsageError

from ...data.conftest import write_idx_part

VOTED = mistakes.Vote(label=0, voted="1", votes=4, for_label=1)


def answering(*seeds: list[int], sure: float = 0.9) -> np.ndarray:
    """Probabilities (S, N, 3) with which each seed answers so; the next digit has the rest."""
    answers = np.array(seeds)
    probs = np.zeros((*answers.shape, 3), np.float32)
    np.put_along_axis(probs, answers[..., None], sure, axis=2)
    np.put_along_axis(probs, (answers[..., None] + 1) % 3, 1 - sure, axis=2)
    return probs


def make_run(folder: Path, answers: np.ndarray, labels: np.ndarray, **recipe: Any) -> Path:
    """A finished run that answers so, as training leaves it."""
    fields = {"name": "tiny", "data": "mnist", "seed": 0, "protocol": "final", **recipe}
    folder.mkdir(parents=True)
    (folder / runs.RECIPE).write_text(
        "".join(f"{key} = {json.dumps(value)}\n" for key, value in fields.items()), encoding="utf-8"
    )
    report = {
        "report_name": "validation" if fields["protocol"] == "select" else "test",
        "accuracy": float((answers == labels).mean()),
        "accuracy_ci95": [0.9, 1.0],
        "n": len(labels),
        "data": fields["data"],
        "nll": 0.02,
        "ece": 0.003,
        "model": {"parameters": 1234, "temperature": 1.1, "calibrated_on": "3,000 held-out training pictures"},
        "environment": {"data": {"sha256": "a", "test": 10000}},
    }
    (folder / runs.REPORT).write_text(json.dumps(report), encoding="utf-8")
    probs = np.full((len(labels), 10), 0.01, np.float32)
    probs[np.arange(len(labels)), answers] = 0.91
    np.savez(folder / runs.PREDICTIONS, probs=probs, labels=labels)
    runs.finish(folder)
    return folder


@pytest.fixture
def test_part():
    """10,000 labels that hold those that the published votes speak of."""
    labels = np.arange(mistakes.N) % 10
    for index, vote in mistakes.read_readings().votes.items():
        labels[index] = vote.label
    return labels


@pytest.fixture
def run(tmp_path):
    """Run the script and return what it wrote."""

    def run(*words: object) -> dict[str, Any]:
        mistakes.main([*map(str, words), "--results", str(tmp_path / "results")])
        return json.loads((tmp_path / "results" / "mistakes.json").read_text(encoding="utf-8"))

    return run


def test_a_label_is_wrong_if_a_majority_says_so_and_the_eye_does_not_read_it():
    votes = dict.fromkeys(range(4), VOTED) | {4: mistakes.Vote(label=0, voted="?", votes=2, for_label=2)}
    readings = mistakes.Readings(votes, {0: "0", 1: "1", 2: "?", 4: "1"})
    assert readings.set_right == {1: 1, 2: 1, 3: 1}
    assert readings.agreed == {1: 1}


@pytest.mark.parametrize(
    ("index", "answer", "fault"),
    [
        (0, 1, "label"),  # as the majority reads it
        (0, 2, "network"),  # as nobody does
        (1, 1, "doubtful"),  # no majority
        (2, 1, "network"),  # the eye reads the label
        (3, 1, "doubtful"),  # the eye cannot tell
        (4, 1, "doubtful"),  # the eye reads the answer, but nobody was asked
        (5, 1, "not judged"),
    ],
)
def test_whose_fault_a_mistake_is(index, answer, fault):
    votes = {0: VOTED, 1: mistakes.Vote(label=0, voted="?", votes=2, for_label=2)}
    readings = mistakes.Readings(votes, {0: "1", 1: "0", 2: "0", 3: "?", 4: "1"})
    assert readings.fault(index, 0, answer) == fault


def test_the_committed_list_of_wrong_labels_is_fixed():
    readings = mistakes.read_readings()
    assert len(readings.votes) == 15
    assert readings.set_right == {
        **{947: 9, 1621: 6, 1901: 4, 2462: 0, 2597: 3, 3558: 0, 5937: 3, 6651: 6, 6783: 6, 9729: 6},
    }
    assert sorted(readings.agreed) == [947, 1901, 2597, 6651, 9729]


def test_what_is_wrong_is_counted_by_seeds():
    labels = np.array([0, 1, 2, 0, 1])
    probs = answering([0, 1, 2, 1, 2], [0, 2, 2, 1, 2], [0, 1, 2, 2, 2])
    record = mistakes.summarise(probs, labels, mistakes.Readings({3: VOTED}, {3: "1", 4: "1"}))
    assert record["wrong"] == [2, 3, 2]
    assert (record["wrong_in_all"], record["wrong_in_most"], record["wrong_in_some"]) == (2, 2, 3)
    assert [one["index"] for one in record["pictures"]] == [1, 3, 4]
    assert record["pairs"] == [[1, 2, 4], [0, 1, 2], [0, 2, 1]]
    assert record["accuracy"] == {
        "as labelled": [0.6, 0.4, 0.6],
        "set right": [0.8, 0.6, 0.6],
        "agreed": [0.8, 0.6, 0.6],
    }
    (label,) = record["labels"]
    assert (label["set_right"], label["answers"]) == (1, [1, 1, 2])


def test_a_picture_tells_the_most_frequent_wrong_answer_and_what_is_most_probable():
    probs = np.array([[0.2, 0.7, 0.1], [0.5, 0.4, 0.1], [0.1, 0.8, 0.1]], np.float32)
    one = mistakes.describe(7, probs, 0, mistakes.Readings({}, {7: "?"}))
    assert (one["answer"], one["wrong_in"], one["confidence"]) == (1, 2, 0.75)
    assert one["top"] == [[1, 0.6333], [0, 0.2667]]
    assert (one["judged"], one["fault"]) == ("?", "doubtful")


def test_leaving_out_the_least_sure_leaves_out_their_mistakes():
    probs = answering([0, 1, 2, 0])
    probs[0, 3] = [0.5, 0.3, 0.2]
    wrong = np.array([[False, True, False, True]])
    assert mistakes.without_least_confident(probs, wrong, 0) == [0.5]
    assert mistakes.without_least_confident(probs, wrong, 0.25) == [pytest.approx(2 / 3)]


def test_confidence_is_told_of_right_and_wrong_and_by_groups():
    record = mistakes.summarise(answering([0, 1, 0]), np.array([0, 1, 1]), mistakes.Readings({}, {}))["confidence"]
    assert record["right"] == record["wrong"] == [pytest.approx(0.9, abs=1e-6)]
    (group,) = record["groups"]
    assert (group["n"], group["accuracy"]) == (3, pytest.approx(2 / 3))
    perfect = mistakes.summarise(answering([0]), np.array([0]), mistakes.Readings({}, {}))["confidence"]
    assert perfect["wrong"] == [None]


def test_mistakes_that_gather_at_few_writers_are_told_from_those_that_do_not():
    writers = np.repeat(np.arange(2095, 2105, dtype=np.int32), 20)
    gathered, spread = np.zeros(200, bool), np.zeros(200, bool)
    gathered[:10], spread[::20] = True, True
    one, other = mistakes.by_writer(writers, gathered), mistakes.by_writer(writers, spread)
    assert (one["writers"], one["wrong"], one["without"]) == (10, 10, 9)
    assert one["worst"] == [[2095, 20, 10]]
    assert one["p"] < 0.001
    assert one["employees"] == [100, 10]
    assert one["students"] == [100, 0]
    assert (other["without"], other["p"]) == (0, 1.0)
    mean, low, high = one["by_chance"]
    assert low <= mean <= high < 9


def test_final_runs_become_a_record(run, tmp_path, test_part):
    answers = test_part.copy()
    answers[[947, 100]] = 9, (test_part[100] + 1) % 10
    first = make_run(tmp_path / "s1", test_part, test_part, seed=1)
    second = make_run(tmp_path / "s0", answers, test_part, seed=0)
    record = run("--runs", first, second)
    assert (record["smoke"], record["recipe"], record["seeds"]) == (False, "tiny", [0, 1])
    assert record["wrong"] == [2, 0]
    assert record["accuracy"]["set right"] == [0.999, 0.999]  # one of ten won and a mistake, and ten lost
    assert [half["wrong"] for half in record["halves"]] == [[2, 0], [0, 0]]
    assert record["select"] == []
    assert run("--runs", first, "--smoke")["smoke"] is True


@pytest.fixture
def small_mnist(tmp_path, monkeypatch) -> Path:
    """The folder of a MNIST of 200 training images by 20 writers."""
    folder = tmp_path / "data" / "mnist"
    write_idx_part(folder, "train-", np.zeros((200, 28, 28), np.uint8), np.arange(200) % 10)
    np.savez(folder / "train-writers.npz", writer=np.repeat(np.arange(2090, 2110, dtype=np.int32), 10))
    monkeypatch.setenv("INKDIGIT_DATA", str(tmp_path / "data"))
    return folder


def test_select_runs_tell_of_writers(run, tmp_path, test_part, small_mnist):
    labels = np.arange(50) % 10
    answers = labels.copy()
    answers[0] = 5
    final = make_run(tmp_path / "final", test_part, test_part)
    select = make_run(tmp_path / "select", answers, labels, protocol="select", validation=50)
    (record,) = run("--runs", final, "--select", select)["select"]
    assert (record["seed"], record["n"], record["writers"], record["without"], record["wrong"]) == (0, 50, 5, 4, 1)
    other = make_run(tmp_path / "other", np.arange(40) % 10, np.arange(40) % 10, protocol="select", validation=50)
    with pytest.raises(SystemExit, match="other images than its recipe holds out"):
        run("--runs", final, "--select", other)
    (small_mnist / "train-writers.npz").unlink()
    with pytest.raises(SystemExit, match="did not hold out writers"):
        run("--runs", final, "--select", select)


def test_runs_that_do_not_belong_here_end_the_script(tmp_path, test_part):
    good = make_run(tmp_path / "good", test_part, test_part)
    usps = make_run(tmp_path / "usps", test_part, test_part, data="usps")
    with pytest.raises(SystemExit, match="reports on the test split of usps"):
        mistakes.read_runs([usps], "test")
    with pytest.raises(SystemExit, match="not MNIST's validation split"):
        mistakes.read_runs([good], "validation")
    longer = make_run(tmp_path / "longer", test_part, test_part, seed=1, epochs=20)
    with pytest.raises(SystemExit, match="differ in more than their seed"):
        mistakes.read_runs([good, longer], "test")
    with pytest.raises(UsageError, match="a seed twice"):
        mistakes.read_runs([good, good], "test")
    (tmp_path / "good" / runs.DONE).unlink()
    with pytest.raises(UsageError, match="unfinished"):
        mistakes.read_runs([good], "test")


def test_other_labels_than_those_that_were_voted_on_end_the_script(run, tmp_path, test_part):
    turned = make_run(tmp_path / "turned", test_part, test_part[::-1], seed=1)
    with pytest.raises(SystemExit, match=r"wrong-labels\.csv is about MNIST's 10,000 test images"):
        run("--runs", turned)
    with pytest.raises(SystemExit, match="report on different images"):
        run("--runs", turned, make_run(tmp_path / "good", test_part, test_part))
