"""The page of scale says what was measured, and what was not."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.common import results
from benchmarks.scale import measure, page


def text(folder: Path) -> str:
    (content,) = page.files(folder, folder / "scale.md").values()
    return content.decode()


def test_without_results_it_says_so(tmp_path):
    assert text(tmp_path).count("Not measured yet") == 4


def test_rates_and_costs_are_those_of_the_results(tmp_path):
    seconds = {"whole": 0.01, "decode": 0.002, "ink": 0.005, "network": 0.002, "rest": 0.001}
    about = results.stamp(("numpy",))
    record = {"smoke": False, "parts": {"kinds": {**about, "figures": {"crop read": seconds}}}}
    (tmp_path / measure.RESULT).write_text(json.dumps(record), encoding="utf-8")
    assert "| crop of a form, PNG | `read` | 100 | 20 % | 50 % | 20 % | 10 % | 2,778 |" in text(tmp_path)
