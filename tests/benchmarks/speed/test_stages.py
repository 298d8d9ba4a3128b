from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.common import results
from benchmarks.speed import stages, stages_tables
from inkdigit.types import Part

from ...conftest import template
from ..conftest import cells


@pytest.fixture
def todo(tiny, tmp_path):
    part = Part(np.stack([template(i) for i in range(20)]), np.arange(20) % 10)
    files = stages.write_files(tmp_path / "png", part)
    stages.write_csv(tmp_path / "test.csv", part.images)
    return stages.cases(tiny, part.images, files, tmp_path / "test.csv")


@pytest.fixture
def record():
    """Every stage takes 10 µs a picture, every whole 12; decoding is the slowest stage with 50."""
    taken = {key: [10.0, 10.0] for key in stages_tables.STAGES} | {key: [12.0, 12.0] for key in stages_tables.PATHS}
    taken |= {"decode": [50.0, 100.0], "files": [60.0, 150.0]}
    return {
        "model": "tiny",
        "pictures": 1000,
        "rounds": 2,
        "chunk": 64,
        "many": 512,
        "machine": {"cores": 2},
        "command": stages.COMMAND,
        "us": {key: results.summary(values, 2) for key, values in taken.items()},
        "times_decoding": {key: stages.over(taken, key, "decode") for key in ("files", "command", "decode_threads")},
    }


def line(record, name):
    """The cells of the row about `name`."""
    section = stages_tables.section(record)
    rows = f"{section['stages']}\n{section['paths']}".splitlines()
    (match,) = [row for row in rows if row.startswith(f"| {name} |")]
    return cells(match)


def test_every_stage_and_every_whole_is_measured_on_the_same_pictures(todo):
    assert set(todo) == set(stages_tables.STAGES) | set(stages_tables.PATHS)
    taken = stages.measure(todo, rounds=2)
    assert {len(values) for values in taken.values()} == {2}
    assert [[a.label for a in todo[key].call()] for key in ("files", "rows", "list", "answers")] == [
        [a.label for a in todo["arrays"].call()]
    ] * 4


def test_ratios_are_taken_round_by_round(record):
    assert record["times_decoding"]["files"] == {"median": 1.35, "min": 1.2, "max": 1.5}


def test_the_limit_is_that_of_the_slowest_stage(record):
    assert line(record, "read and decode a PNG file")[2] == "13,333"  # 75 µs
    assert line(record, "a list of PNG files")[3] == "71 % of: read and decode a PNG file"
    assert line(record, "an array (N, 28, 28)")[2:4] == ["83,333", "83 % of: preprocessing, all together"]


def test_bars_are_met_or_not(record):
    assert line(record, "an array (N, 28, 28)")[4:] == ["≥ 12,000 a second", "yes"]
    assert line(record, "a list of PNG files")[4:] == ["≤ 1.5 times decoding", "yes"]
    assert line(record, "a list of N arrays")[4:] == ["–", "–"]
    record["us"]["arrays"]["median"] = 84.0
    record["times_decoding"]["files"]["median"] = 1.51
    assert line(record, "an array (N, 28, 28)")[5] == line(record, "a list of PNG files")[5] == "**no**"


def test_a_smoke_run_is_written_as_one(mnist, tmp_path, monkeypatch, tiny_file):
    monkeypatch.setenv("INKDIGIT_DATA", str(mnist.parent))
    stages.main(["--smoke", "--model", str(tiny_file), "--results", str(tmp_path)])
    written = json.loads((tmp_path / "stages.json").read_text(encoding="utf-8"))
    assert (written["smoke"], written["rounds"], written["model"]) == (True, 1, "tiny")
    assert stages_tables.section(written)["model"] == "tiny"
