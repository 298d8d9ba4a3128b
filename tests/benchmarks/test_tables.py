from __future__ import annotations

import json

import pytest

import tables


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "–"),
        (0.0042, "0.004"),
        (0.5, "0.50"),
        (9.994, "9.99"),
        (9.996, "10.0"),
        (99.96, "100"),
        (1234.5, "1,234"),
    ],
)
def test_a_figure_has_the_digits_that_count(value, said):
    assert tables.figure(value) == said


def test_one_value_has_no_spread():
    assert tables.middle([3.0]) == "3.00"
    assert tables.middle([3.0, 1.0, 20.0]) == "3.00 [1.00–20.0]"
    assert tables.percent([0.99]) == "99.00 %"
    assert tables.percent([0.99, 0.992]) == "99.10 ± 0.14 %"


def test_a_smoke_run_counts_as_not_measured(tmp_path):
    path = tmp_path / "a.json"
    assert tables.load(path) is None
    path.write_text(json.dumps({"smoke": True}))
    assert tables.load(path) is None
    path.write_text(json.dumps({"smoke": False, "n": 1}))
    assert tables.load(path) == {"smoke": False, "n": 1}
