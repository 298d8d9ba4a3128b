"""The page of bad input says what was measured, and what was not."""

from __future__ import annotations

import json

import pytest

from benchmarks.hardening import fuzz, soak
from benchmarks.hardening import page as hardening_page


@pytest.fixture
def fuzzed(about) -> dict:
    row = fuzz.Row()
    for case in range(3):
        row.add({"case": case, "outcome": "answered" if case else "hang", "seconds": 0.5, "mb": 12.0})
    kinds = {name: row.to_json() for name in fuzz.KINDS}
    return {**about, "seed": 17, "n": 12_000, "seconds": 200.0, "kinds": kinds}


@pytest.fixture
def soaked(about) -> dict:
    drills = [
        {"drill": name, "n": part.n, "resumed": 0, "whole": part.n, "failures": []} for name, part in soak.PARTS.items()
    ]
    return {**about, "seed": 17, "kills": 50, "drills": drills}


def test_nothing_was_measured():
    text = hardening_page.render(None, None)
    assert text.count("Not measured yet") == 4


def test_every_kind_and_every_drill_has_its_row(fuzzed, soaked):
    text = hardening_page.render(fuzzed, soaked)
    assert all(f"| {name} |" in text for name in (*fuzz.KINDS, *soak.PARTS))
    assert f"| hangs | 0 | {len(fuzz.KINDS)} | **no** |" in text
    assert "| tracebacks | 0 | 0 | yes |" in text
    assert "50 times a command" in text


def test_a_smoke_run_is_no_measurement(tmp_path, fuzzed):
    (tmp_path / fuzz.RESULTS).write_text(json.dumps({**fuzzed, "smoke": True}), encoding="utf-8")
    (page,) = hardening_page.files(tmp_path, tmp_path / "page.md").values()
    assert page.decode().count("Not measured yet") == 4
