from __future__ import annotations

import pytest

from benchmarks.common import tables


@pytest.mark.parametrize(
    ("value", "expected"),
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
def test_a_figure_has_the_digits_that_count(value, expected):
    assert tables.figure(value) == expected


def test_one_value_has_no_spread():
    assert tables.middle([3.0]) == "3.00"
    assert tables.middle([3.0, 1.0, 20.0]) == "3.00 [1.00–20.0]"
    assert tables.percent([0.99]) == "99.00 %"
    assert tables.percent([0.99, 0.992]) == "99.10 ± 0.14 %"
    assert tables.plus_minus([3, 5], 1) == "4.0 ± 1.4"


def test_measurements_of_one_machine_share_a_line_that_tells_the_days_and_the_load():
    box = {"processor": "Chip", "cores": 2, "memory_gb": 24.7, "platform": "Linux"}
    records = [
        {
            "date": date,
            "commit": "abc",
            "machine": {**box, "load_before": load},
            "versions": {"torch": "2", "keras": None},
        }
        for date, load in (("2026-01-02 10:00:00", 0.5), ("2026-01-01 09:00:00", 3.0), ("2026-01-01 08:00:00", 1.0))
    ]
    expected = "commit abc; Chip, 2 cores, 25 GB, Linux, load"
    assert tables.machine_line("it", records[0]) == f"- it: 2026-01-02, {expected} 0.5 before; torch 2."
    assert tables.machine_line("it", *records) == f"- it: 2026-01-01–2026-01-02, {expected} 0.5–3.0 before; torch 2."
