"""Two recipes seed by seed: differences worked by hand, and pairs that are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inkdigit.errors import UsageError
from inkdigit.measure.ledger import read_finished
from inkdigit.report.paired import pair, sentences, table
from inkdigit.report.seeds import Seeds, gather

from ..measure.made_runs import make_run


def seeds(folder: Path, wrong: dict[int, int], **fields: object) -> Seeds:
    """Runs that read so many pictures wrongly: seed → how many."""
    made = [make_run(folder / f"s{seed}", wrong=tuple(range(n)), seed=seed, **fields) for seed, n in wrong.items()]
    return gather(folder.name, [read_finished(run) for run in made])


@pytest.fixture
def first(tmp_path):
    return seeds(tmp_path / "first", {0: 5, 1: 6, 2: 4, 3: 9})


def test_the_seeds_that_both_have_make_the_pairs(first, tmp_path):
    paired = pair(first, seeds(tmp_path / "other", {7: 0, 2: 1, 0: 3, 1: 5}, epochs=9))
    assert (paired.seeds, paired.more_right, paired.pictures) == ((0, 1, 2), (2, 1, 3), (40, 40, 40))
    assert paired.differences.mean == pytest.approx(2 / 40)
    assert paired.differences.ci95 == pytest.approx((2 / 40 - 4.302653 / 40 / 3**0.5, 2 / 40 + 4.302653 / 40 / 3**0.5))
    assert (paired.p, paired.least_p, paired.verdict) == (0.25, 0.25, "no difference shown")
    found = json.loads(json.dumps(paired.to_json(), allow_nan=False))
    assert (found["run"], found["against"], found["more_right"]) == ("other", "first", [2, 1, 3])


def test_a_clear_difference_has_a_direction(first, tmp_path):
    other = seeds(tmp_path / "other", {0: 25, 1: 26, 2: 25, 3: 28}, epochs=9)
    assert pair(first, other).verdict == "worse"
    assert pair(other, first).verdict == "better"


def test_held_out_pictures_pair_where_the_seed_drew_the_same(tmp_path):
    one, other = (seeds(tmp_path / name, {0: n, 1: 3}, protocol="select", epochs=n) for name, n in (("a", 1), ("b", 2)))
    assert pair(one, other).more_right == (-1, 0)


def test_the_table_and_the_words(first, tmp_path):
    paired = pair(first, seeds(tmp_path / "other", {0: 6, 1: 6, 2: 7}, epochs=9))
    assert table(paired)[:2] == [
        ("seed", "first", "other", "points", "pictures"),
        ("0", "87.50 %", "85.00 %", "−2.50", "40"),
    ]
    head, difference, flips = sentences(paired)
    assert head == "other against first, on the same pictures of the test part, 3 seeds: no difference shown."
    assert difference.startswith("Difference −3.333 ± 3.819 points; 95 % interval −12.820 to +6.153 (Student's t)")
    assert flips == "Sign flips, exact, two-sided: p = 0.5 (the least that 3 seeds can give: 0.25)."


def test_one_pair_and_equal_pairs_show_nothing(first, tmp_path):
    one = pair(first, seeds(tmp_path / "one", {0: 30}, epochs=9))
    assert (one.p, one.verdict) == (1.0, "no difference shown")
    assert sentences(one)[1] == "Difference −62.500 points; one seed has no spread."
    equal = pair(first, seeds(tmp_path / "equal", {0: 6, 1: 7}, epochs=9))
    assert equal.verdict == "no difference shown"
    assert "all the very same" in sentences(equal)[1]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            {"sha256": "b", "data": "usps"},
            r"first and other report on other pictures\. .*with seed 0, other data \(usps",
        ),
        ({"protocol": "select"}, r"another part \(validation, not test\)"),
    ],
)
def test_other_pictures_are_refused(first, tmp_path, fields, text):
    with pytest.raises(UsageError, match=text):
        pair(first, seeds(tmp_path / "other", {0: 1, 1: 2}, **fields))


def test_no_common_seed_and_the_same_runs_are_refused(first, tmp_path):
    with pytest.raises(UsageError, match=r"no seed in common.*\[0, 1, 2, 3\] and \[8\]"):
        pair(first, seeds(tmp_path / "other", {8: 1}))
    with pytest.raises(UsageError, match="nothing to compare"):
        pair(first, first)
