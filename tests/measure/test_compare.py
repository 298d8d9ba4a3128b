"""Comparing runs, and two recipes seed by seed: tests against hand-worked values, and what cannot be compared."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from inkdigit.errors import UsageError
from inkdigit.measure.compare import compare, count_discordant, pair
from inkdigit.report.compare import write_page

from .made_runs import make_run, seeds, several


def test_only_images_that_one_of_two_models_reads_count():
    first, second = np.array([1, 1, 0, 0, 1], bool), np.array([1, 0, 1, 0, 0], bool)
    assert count_discordant(first, second) == (2, 1)


@pytest.fixture
def folders(tmp_path):
    return several(tmp_path)


def test_every_other_run_is_tested_against_the_first(folders):
    comparison = compare(folders)
    worse, same = comparison.tests
    assert (worse.only_run, worse.only_against, worse.n) == (1, 10, 40)
    assert worse.p == pytest.approx(2 * 12 / 2**11)
    assert worse.p_holm == pytest.approx(2 * worse.p)
    assert (worse.verdict, same.verdict) == ("worse", "no difference shown")
    assert worse.difference == pytest.approx(
        comparison.entries[1].report["accuracy"] - comparison.entries[0].report["accuracy"]
    )
    assert comparison.untested == {str(folders[3]): "another split (validation, not test)"}
    assert [group.seeds for group in comparison.groups] == [(0, 2)]
    assert comparison.differences() == {
        "epochs": [None, 7, None, None],
        "protocol": ["final", "final", "final", "select"],
        "seed": [0, 1, 2, 0],
    }
    json.dumps(comparison.to_json(), allow_nan=False)


def test_in_the_other_direction_it_is_better(folders):
    (test,) = compare([folders[1], folders[0]]).tests
    assert (test.verdict, test.p_holm == test.p) == ("better", True)


def test_there_must_be_two_different_runs(folders):
    for names in ([], folders[:1], [folders[0], folders[0]], [*folders, folders[1]]):
        with pytest.raises(UsageError, match="nothing to compare") as caught:
            compare(names)
        assert caught.value.exit_code == 2


def test_runs_with_one_name_in_two_places_are_not_mixed_up(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_run(Path("runs/a"))
    make_run(Path("runs/b"), wrong=(0, 1))
    make_run(Path("b"), data="usps", sha256="b")
    for folders in (["runs/b", "b", "runs/a"], ["runs/a", "b", "runs/b"], ["runs/a", "runs/b", "b"]):
        comparison = compare([Path(folder) for folder in folders])
        assert list(comparison.untested) == ["./b"]
        assert [test.run for test in comparison.tests] == [
            folders[-1 if folders[1] == "b" else 1].removeprefix("runs/")
        ]
        write_page(Path("page.html"), comparison)


def test_an_unfinished_run_is_named(folders, tmp_path):
    stopped = make_run(tmp_path / "stopped", finished=False)
    with pytest.raises(UsageError, match="stopped is unfinished"):
        compare([folders[0], stopped])


@pytest.fixture
def first(tmp_path):
    return seeds(tmp_path / "first", {0: 5, 1: 6, 2: 4, 3: 9})


def test_seeds_that_both_have_are_paired(first, tmp_path):
    paired = pair(first, seeds(tmp_path / "other", {7: 0, 2: 1, 0: 3, 1: 5}, epochs=9))
    assert (paired.seeds, paired.more_right, paired.image_counts) == ((0, 1, 2), (2, 1, 3), (40, 40, 40))
    assert paired.differences.mean == pytest.approx(2 / 40)
    assert paired.differences.ci95 == pytest.approx((2 / 40 - 4.302653 / 40 / 3**0.5, 2 / 40 + 4.302653 / 40 / 3**0.5))
    assert (paired.p, paired.min_p, paired.verdict) == (0.25, 0.25, "no difference shown")
    content = json.loads(json.dumps(paired.to_json(), allow_nan=False))
    assert (content["run"], content["against"], content["more_right"]) == ("other", "first", [2, 1, 3])


def test_a_clear_difference_has_a_direction(first, tmp_path):
    six = seeds(tmp_path / "six", {0: 5, 1: 6, 2: 4, 3: 9, 4: 6, 5: 5})
    other = seeds(tmp_path / "other", {0: 25, 1: 26, 2: 25, 3: 28, 4: 24, 5: 25}, epochs=9)
    assert pair(six, other).p == 2 / 2**6
    assert pair(six, other).verdict == "worse"
    assert pair(other, six).verdict == "better"
    assert "epochs" not in repr(pair(six, other))  # whole recipes and reports, where a notebook shows it
    assert pair(first, other).verdict == "no difference shown"  # with four seeds p is 0.125, however large it is


def test_held_out_images_are_paired_if_the_seed_drew_the_same(tmp_path):
    one, other = (seeds(tmp_path / name, {0: n, 1: 3}, protocol="select", epochs=n) for name, n in (("a", 1), ("b", 2)))
    assert pair(one, other).more_right == (-1, 0)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            {"sha256": "b", "data": "usps"},
            r"first and other report on different images\. .*with seed 0, other data \(usps",
        ),
        ({"protocol": "select"}, r"another split \(validation, not test\)"),
    ],
)
def test_different_images_are_an_error(first, tmp_path, fields, text):
    with pytest.raises(UsageError, match=text):
        pair(first, seeds(tmp_path / "other", {0: 1, 1: 2}, **fields))


def test_no_common_seed_and_the_same_runs_are_an_error(first, tmp_path):
    with pytest.raises(UsageError, match=r"no seed in common.*\[0, 1, 2, 3\] and \[8\]"):
        pair(first, seeds(tmp_path / "other", {8: 1}))
    with pytest.raises(UsageError, match="nothing to compare"):
        pair(first, first)
