"""The table of runs: what each says of itself, which belong together, and which report on the same pictures."""

from __future__ import annotations

import io
import json
import math
import os
import statistics
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inkdigit import runs
from inkdigit.errors import DataError, MalformedFile, MissingData, UsageError
from inkdigit.measure.compare import compare
from inkdigit.measure.ledger import group, read, read_all, read_finished, why_other_images

from .made_runs import LABELS, make_run


def test_a_run_says_what_it_is(tmp_path):
    entry = read(make_run(tmp_path / "one", wrong=(0, 1)))
    row = entry.to_json()
    assert row["run"] == str(tmp_path / "one")
    assert (row["state"], row["recipe"], row["data"], row["part"], row["seed"]) == (
        "finished",
        "tiny",
        "drawn",
        "test",
        0,
    )
    assert (row["n"], row["accuracy"], row["parameters"], row["train_seconds"], row["epochs"]) == (
        40,
        0.95,
        1234,
        12.5,
        2,
    )
    assert row["accuracy_ci95"][0] < 0.95 < row["accuracy_ci95"][1]


def test_an_unfinished_run_is_listed_with_what_its_recipe_says(tmp_path):
    folder = make_run(tmp_path / "one", finished=False, data="/some/where/digits", protocol="select", seed=7)
    row = read(folder).to_json()
    assert (row["state"], row["data"], row["part"], row["seed"]) == ("unfinished", "digits", "validation", 7)
    assert row["accuracy"] is None


def test_an_unfinished_run_has_nothing_to_compare(tmp_path):
    folder = make_run(tmp_path / "one", finished=False)
    with pytest.raises(UsageError, match=rf"{folder} is unfinished.*inkdigit train --resume {folder}") as caught:
        read_finished(folder)
    assert caught.value.exit_code == 2


def test_runs_of_one_name_in_two_places_are_called_differently(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    entries = [read(make_run(Path(folder))) for folder in ("b", "runs/b", "other/b", "runs/of/b")]
    assert [entry.name for entry in entries] == ["./b", "b", "other/b", "runs/of/b"]
    assert entries[1].to_json()["name"] == "b"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{",
        '{"accuracy": null}',
        '{"accuracy": 1, "accuracy_ci95": [1], "n": 3}',
        '{"accuracy": 1, "accuracy_ci95": ["0", "1"], "n": 3}',
        '{"accuracy": NaN, "accuracy_ci95": [0, 1], "n": 3}',
        '{"accuracy": 1, "accuracy_ci95": [0, 1], "n": 1' + 400 * "0" + "}",
        '{"accuracy": 1, "accuracy_ci95": [0, 1], "n": 3, "train_seconds": "long"}',
        '{"accuracy": 1, "accuracy_ci95": [0, 1], "n": 3, "model": {"parameters": "many"}}',
        '{"accuracy": 1, "accuracy_ci95": [0, 1], "n": 3, "model": [1]}',
        '{"accuracy": 1, "accuracy_ci95": [0, 1], "n": 3, "environment": "here"}',
        '{"accuracy": 1, "accuracy_ci95": [0, 1], "n": 3, "environment": {"data": []}}',
    ],
)
def test_a_broken_run_does_not_stop_the_others(tmp_path, content):
    good, bad = make_run(tmp_path / "good"), make_run(tmp_path / "bad")
    (bad / "report.json").write_text(content)
    assert [entry.state for entry in read_all([bad, good])] == ["unreadable", "finished"]
    with pytest.raises(MalformedFile, match=r"report\.json") as caught:
        read(bad)
    assert caught.value.exit_code == 4


def test_a_broken_recipe(tmp_path):
    folder = make_run(tmp_path / "one")
    (folder / runs.RECIPE).write_text("name = ")
    with pytest.raises(MalformedFile, match="This is not a recipe"):
        read(folder)


def test_runs_that_differ_in_their_seed_alone_belong_together(tmp_path):
    made = [
        make_run(tmp_path / "a", seed=0, wrong=(1,)),
        make_run(tmp_path / "b", seed=1, wrong=(1, 2, 3)),
        make_run(tmp_path / "c", seed=2, epochs=9),  # another recipe
        make_run(tmp_path / "d", seed=3, sha256="b"),  # other data
        make_run(tmp_path / "e", seed=4, protocol="select"),  # another split
        make_run(tmp_path / "f", seed=5, finished=False),
        make_run(tmp_path / "g", seed=2, epochs=9),  # the same seed again says nothing new
    ]
    (found,) = group(read_all(made))
    assert (found.recipe, found.seeds) == ("tiny", (0, 1))
    assert found.mean == pytest.approx(0.95)
    assert found.sd == pytest.approx(statistics.stdev([39 / 40, 37 / 40]))


def test_a_field_that_a_later_version_added_parts_no_seeds_unless_it_is_on(tmp_path):
    made = [make_run(tmp_path / name, seed=seed) for seed, name in enumerate("abc")]
    for folder, says in zip(made[1:], ("moments = false", "moments = true"), strict=True):
        with (folder / runs.RECIPE).open("a", encoding="utf-8") as file:
            file.write(f"{says}\n")
    (found,) = group(read_all(made))
    assert found.seeds == (0, 1)


def test_of_one_seed_the_latest_run_counts(tmp_path):
    made = [
        make_run(tmp_path / "a", seed=0, wrong=(1,)),
        make_run(tmp_path / "b", seed=1),
        make_run(tmp_path / "c", seed=0, wrong=(1, 2, 3)),
    ]
    for folder, age in zip(made, (3, 2, 1), strict=True):
        os.utime(folder / runs.RECIPE, (1_000 - age, 1_000 - age))
    for order in (made, made[::-1]):
        (found,) = group(read_all(order))
        assert sorted(found.seeds) == [0, 1]
        assert found.mean == pytest.approx(statistics.fmean([37 / 40, 1.0]))
        assert found.sd == pytest.approx(statistics.stdev([37 / 40, 1.0]))


def test_a_picture_without_an_answer_is_wrong(tmp_path):
    right, labels = read(make_run(tmp_path / "one", wrong=(3, -1))).right_and_labels
    assert np.flatnonzero(~right).tolist() == [3, 39]
    assert np.array_equal(labels, LABELS)


def test_predictions_that_are_missing_or_broken(tmp_path):
    entry = read(make_run(tmp_path / "one"))
    array = io.BytesIO()
    np.save(array, LABELS)
    for broken in (b"", b"no zip", b"PK\x03\x04 half of one", array.getvalue()):
        (entry.folder / "predictions.npz").write_bytes(broken)
        with pytest.raises(MalformedFile, match=r"predictions\.npz.*an .npz file with probs and labels"):
            _ = entry.right_and_labels
    np.savez(entry.folder / "predictions.npz", probs=np.zeros((3, 2)))
    with pytest.raises(MalformedFile, match=r"predictions\.npz.*an .npz file with probs and labels"):
        _ = entry.right_and_labels
    (entry.folder / "predictions.npz").unlink()
    with pytest.raises(MissingData, match=r"has no predictions\.npz"):
        _ = entry.right_and_labels


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"data": "usps", "sha256": "b"}, "other data (usps, not drawn)"),
        ({"sha256": "b"}, "other images in the data"),
        ({"data": "the-same-by-another-name"}, None),
        ({"protocol": "select"}, "another split (validation, not test)"),
        ({"labels": LABELS[::-1]}, "other labels in predictions.npz"),
        ({"labels": LABELS[:30]}, "other labels in predictions.npz"),
        ({"seed": 5}, None),
    ],
)
def test_test_parts_of_the_same_pictures(tmp_path, fields, reason):
    one, other = read(make_run(tmp_path / "one")), read(make_run(tmp_path / "other", **fields))
    assert why_other_images(one, other) == reason


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"seed": 5}, "another validation split (seed 5, not 0)"),  # though the labels are the same
        ({"validation_split": "stratified"}, "another validation split (validation_split stratified, not auto)"),
        ({"learning_rate": 0.1}, None),
    ],
)
def test_validation_parts_are_drawn_by_the_recipe(tmp_path, fields, reason):
    one = read(make_run(tmp_path / "one", protocol="select"))
    other = read(make_run(tmp_path / "other", protocol="select", **fields))
    assert why_other_images(one, other) == reason


def test_of_a_set_of_one_part_the_recipe_sets_the_test_part_aside(tmp_path):
    one = read(make_run(tmp_path / "one", test=None, test_fraction=0.2))
    other = read(make_run(tmp_path / "other", test=None, test_fraction=0.3))
    assert why_other_images(one, other) == "another test split (test_fraction 0.3, not 0.2)"


JUNK = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, 10**9, 2**70, 1e-320, 1e300, math.inf, math.nan, "", "../..", "\\x00"])
    | st.floats()
    | st.text(max_size=3)
    | st.just([])
    | st.just({})
    | st.lists(st.floats(0, 1), max_size=3)
)
FIELDS = ("accuracy", "accuracy_ci95", "n", "data", "report_name", "train_seconds", "epochs", "model", "environment")


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.dictionaries(st.sampled_from(FIELDS), JUNK, min_size=1, max_size=2), inside=st.booleans())
def test_whatever_a_report_says_it_is_shown_or_refused(one_and_other, changes, inside):
    one, other = one_and_other
    report = json.loads((one / runs.REPORT).read_text())
    kept = dict(report)
    if inside:
        report["environment"]["data"].update(changes)
        report["model"].update(changes)
    else:
        report.update(changes)
    (one / runs.REPORT).write_text(json.dumps(report))
    listed, _ = read_all([one, other])
    json.dumps(listed.to_json())
    with suppress(DataError):
        json.dumps(compare([one, other]).to_json())
        json.dumps([each.to_json() for each in group(read_all([one, other]))])
        assert listed.state == "finished"
    (one / runs.REPORT).write_text(json.dumps(kept))


@pytest.fixture(scope="module")
def one_and_other(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return make_run(folder / "one"), make_run(folder / "other", seed=1)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (runs.RECIPE, "x" + ".x" * 50_000 + " = 1"),
        (runs.RECIPE, "seed = " + "9" * 5000),
        (runs.RECIPE, "seed = -1"),
        (runs.RECIPE, "name = 3"),
        (runs.RECIPE, "made = 1979-05-27"),
        (runs.REPORT, "[" * 100_000),
        (runs.REPORT, "[]"),
        (runs.REPORT, '{"accuracy": ' + "9" * 5000 + "}"),
    ],
)
def test_a_run_whose_files_are_damaged_is_unreadable_and_does_not_stop_the_others(tmp_path, name, content):
    good, bad = make_run(tmp_path / "good"), make_run(tmp_path / "bad")
    (bad / name).write_text(content)
    assert [entry.state for entry in read_all([good, bad])] == ["finished", "unreadable"]
    with pytest.raises(MalformedFile, match=name) as caught:
        compare([good, bad])
    assert len(str(caught.value)) < 400


def test_a_pipe_in_the_place_of_a_report_does_not_hold_anybody_up(tmp_path):
    run = make_run(tmp_path / "run")
    (run / runs.REPORT).unlink()
    os.mkfifo(run / runs.REPORT)
    assert [entry.state for entry in read_all([run])] == ["unreadable"]


@pytest.mark.parametrize(
    "rows", ["train_loss\n1\n", "epoch,train_loss\ninf,1\n", "epoch,train_loss\n1,1e300\n", "epoch\n-1\n", "epoch\n\n"]
)
def test_curves_that_cannot_be_drawn_are_refused(tmp_path, rows):
    entry = read(make_run(tmp_path / "run", history=rows))
    with pytest.raises(MalformedFile, match="These are not the figures of epochs"):
        _ = entry.history


def test_predictions_of_other_pictures_than_the_report_counts_are_refused(tmp_path):
    one, other = make_run(tmp_path / "one"), make_run(tmp_path / "other", labels=LABELS[:20])
    (other / runs.REPORT).write_text((one / runs.REPORT).read_text())
    with pytest.raises(MalformedFile, match="20 of 40 images"):
        compare([one, other])
