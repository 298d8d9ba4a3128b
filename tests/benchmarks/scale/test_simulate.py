"""The simulation drives the code that ships, and notices what it must."""

from __future__ import annotations

import json

import pytest

from benchmarks.scale import simulate
from inkdigit.scale.manifest import Manifest


@pytest.mark.parametrize(("stragglers", "failures"), [(False, False), (True, True)])
def test_every_row_is_there_once_whatever_happens(stragglers, failures, tmp_path):
    found = simulate.simulate(
        tmp_path / "out", 0.001, workers=20, parts=150, seed=3, stragglers=stragglers, failures=failures
    )
    assert found["rows"] == 150 * simulate.ROWS
    assert found["calls"] == (1 + simulate.DRIVER_DEATHS if failures else 1)
    assert (found["begun_again"] > 0) is failures
    assert found["over_ideal"] >= 0.99


def test_a_part_that_is_stored_twice_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(Manifest, "finished", lambda _: {})  # a planner that forgets what is finished
    with pytest.raises(AssertionError, match="stored twice"):
        simulate.simulate(tmp_path / "out", 0.001, workers=20, parts=150, seed=3, stragglers=False, failures=True)


def test_rows_that_are_there_twice_are_noticed(tmp_path):
    for number in range(2):
        (tmp_path / f"part-{number:06}.parquet").write_text(json.dumps(["shard", 0, 10]), encoding="utf-8")
    with pytest.raises(AssertionError, match="there twice"):
        simulate.rows_of(tmp_path)
