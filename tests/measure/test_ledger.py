"""The table of runs: the fields of a run, which runs belong together, and which report on the same images."""

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


def test_a_finished_run_has_the_figures_of_its_report(tmp_path):
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


def test_an_unfinished_run_is_listed_with_the_fields_of_its_recipe(tmp_path):
    folder = make_run(tmp_path / "one", finished=False, data="/some/where/digits", protocol="select", seed=7)
    row = read(folder).to_json()
    assert (row["state"], row["data"], row["part"], row["seed"]) == ("unfinished", "digits", "validation", 7)
    assert row["accuracy"] is None


def test_an_unfinished_run_has_nothing_to_compare(tmp_path):
    folder = make_run(tmp_path / "one", finished=False)
    with pytest.raises(UsageError, match=rf"{folder} is unfinished.*inkdigit train --resume {folder}") as caught:
        read_finished(folder)
    assert caught.value.exit_code == 2


def test_runs_with_one_name_in_two_places_have_different_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    entries = [read(make_run(Path(folder))) for folder in ("b", "runs/b", "other/b", "runs/of/b")]
    assert [entry.name for entry in entries] == ["./b", "b", "other/b", "runs/of/b"]
    assert entries[1].to_json()["name"] == "b"


NOT_REPORTS = (
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
    "[" * 100_000,
    '{"accuracy": ' + "9" * 5000 + "}",
)
NOT_RECIPES = (
    "name = ",
    "x" + ".x" * 50_000 + " = 1",
    "seed = " + "9" * 5000,
    "seed = -1",
    "name = 3",
    "made = 1979-05-27",
)


def test_a_run_whose_files_are_damaged_is_unreadable_and_does_not_stop_the_others(tmp_path):
    good = make_run(tmp_path / "good")
    for i, (name, content) in enumerate(
        [*((runs.REPORT, text) for text in NOT_REPORTS), *((runs.RECIPE, text) for text in NOT_RECIPES)]
    ):
        bad = make_run(tmp_path / f"bad{i}")
        (bad / name).write_text(content, encoding="utf-8")
        assert [entry.state for entry in read_all([bad, good])] == ["unreadable", "finished"], content[:80]
        with pytest.raises(MalformedFile, match=name) as caught:
            compare([good, bad])
        assert caught.value.exit_code == 4
        assert len(str(caught.value)) < 400, content[:80]


def test_a_broken_recipe(tmp_path):
    folder = make_run(tmp_path / "one")
    (folder / runs.RECIPE).write_text("name = ", encoding="utf-8")
    with pytest.raises(MalformedFile, match="This is not a recipe"):
        read(folder)


def test_runs_that_differ_only_in_their_seed_belong_together(tmp_path):
    made = [
        make_run(tmp_path / "a", seed=0, wrong=(1,)),
        make_run(tmp_path / "b", seed=1, wrong=(1, 2, 3)),
        make_run(tmp_path / "c", seed=2, epochs=9),  # another recipe
        make_run(tmp_path / "d", seed=3, sha256="b"),  # other data
        make_run(tmp_path / "e", seed=4, protocol="select"),  # another split
        make_run(tmp_path / "f", seed=5, finished=False),
        make_run(tmp_path / "g", seed=2, epochs=9),  # the same seed again is a repetition
    ]
    (grouped,) = group(read_all(made))
    assert (grouped.recipe, grouped.seeds) == ("tiny", (0, 1))
    assert grouped.mean == pytest.approx(0.95)
    assert grouped.sd == pytest.approx(statistics.stdev([39 / 40, 37 / 40]))


def test_a_field_that_a_later_version_added_separates_seeds_only_if_it_is_on(tmp_path):
    made = [make_run(tmp_path / name, seed=seed) for seed, name in enumerate("abc")]
    for folder, line in zip(made[1:], ("moments = false", "moments = true"), strict=True):
        with (folder / runs.RECIPE).open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
    (grouped,) = group(read_all(made))
    assert grouped.seeds == (0, 1)


def test_the_latest_run_of_a_seed_counts(tmp_path):
    made = [
        make_run(tmp_path / "a", seed=0, wrong=(1,)),
        make_run(tmp_path / "b", seed=1),
        make_run(tmp_path / "c", seed=0, wrong=(1, 2, 3)),
    ]
    for folder, age in zip(made, (3, 2, 1), strict=True):
        os.utime(folder / runs.RECIPE, (1_000 - age, 1_000 - age))
    for order in (made, made[::-1]):
        (grouped,) = group(read_all(order))
        assert sorted(grouped.seeds) == [0, 1]
        assert grouped.mean == pytest.approx(statistics.fmean([37 / 40, 1.0]))
        assert grouped.sd == pytest.approx(statistics.stdev([37 / 40, 1.0]))


def test_an_image_without_an_answer_is_wrong(tmp_path):
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


def reason_against(folder: Path, fields: dict, **common: object) -> str | None:
    """Why a run with other fields reports on other images than one without them."""
    pair = [read(make_run(folder / name, **(common | more))) for name, more in (("one", {}), ("other", fields))]
    return why_other_images(*pair)


def test_runs_on_a_test_split_report_on_the_same_images_if_their_data_are_the_same(tmp_path):
    cases = [
        ({"data": "usps", "sha256": "b"}, "other data (usps, not drawn)"),
        ({"sha256": "b"}, "other images in the data"),
        ({"data": "the-same-by-another-name"}, None),
        ({"protocol": "select"}, "another split (validation, not test)"),
        ({"labels": LABELS[::-1]}, "other labels in predictions.npz"),
        ({"labels": LABELS[:30]}, "other labels in predictions.npz"),
        ({"seed": 5}, None),
    ]
    for i, (fields, reason) in enumerate(cases):
        assert reason_against(tmp_path / str(i), fields) == reason, fields


def test_a_validation_split_is_drawn_by_the_recipe(tmp_path):
    cases = [
        ({"seed": 5}, "another validation split (seed 5, not 0)"),  # though the labels are the same
        ({"validation": 0.05}, "another validation split (validation 0.05, not 0.0)"),
        ({"validation_split": "stratified"}, "another validation split (validation_split stratified, not auto)"),
        ({"learning_rate": 0.1}, None),
    ]
    for i, (fields, reason) in enumerate(cases):
        assert reason_against(tmp_path / str(i), fields, protocol="select") == reason, fields


def test_without_a_test_split_the_recipe_sets_one_aside(tmp_path):
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
def test_any_report_is_shown_or_an_error(one_and_other, changes, inside):
    one, other = one_and_other
    report = json.loads((one / runs.REPORT).read_text(encoding="utf-8"))
    before = dict(report)
    if inside:
        report["environment"]["data"].update(changes)
        report["model"].update(changes)
    else:
        report.update(changes)
    (one / runs.REPORT).write_text(json.dumps(report), encoding="utf-8")
    listed, _ = read_all([one, other])
    json.dumps(listed.to_json())
    with suppress(DataError):
        json.dumps(compare([one, other]).to_json())
        json.dumps([each.to_json() for each in group(read_all([one, other]))])
        assert listed.state == "finished"
    (one / runs.REPORT).write_text(json.dumps(before), encoding="utf-8")


@pytest.fixture(scope="module")
def one_and_other(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return make_run(folder / "one"), make_run(folder / "other", seed=1)


@pytest.mark.posix
def test_a_pipe_in_place_of_a_report_does_not_block(tmp_path):
    run = make_run(tmp_path / "run")
    (run / runs.REPORT).unlink()
    os.mkfifo(run / runs.REPORT)
    assert [entry.state for entry in read_all([run])] == ["unreadable"]


def test_curves_that_cannot_be_drawn_are_an_error(tmp_path):
    histories = (
        "train_loss\n1\n",
        "epoch,train_loss\ninf,1\n",
        "epoch,train_loss\n1,1e300\n",
        "epoch\n-1\n",
        "epoch\n\n",
    )
    for i, history in enumerate(histories):
        entry = read(make_run(tmp_path / str(i), history=history))
        with pytest.raises(MalformedFile, match="These are not the figures of epochs"):
            _ = entry.history


def test_predictions_for_another_number_of_images_than_in_the_report_are_an_error(tmp_path):
    one, other = make_run(tmp_path / "one"), make_run(tmp_path / "other", labels=LABELS[:20])
    (other / runs.REPORT).write_text((one / runs.REPORT).read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(MalformedFile, match="20 of 40 images"):
        compare([one, other])
