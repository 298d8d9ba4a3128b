"""The reported split: it is what is measured, and every use of a test split is noted."""

from __future__ import annotations

import csv

import numpy as np

from inkdigit.training.data import splits_of
from inkdigit.training.evaluate import evaluate_reported
from inkdigit.training.openings import OPENINGS, log_opening

from .conftest import FINISHED


def test_a_file_is_measured_on_the_split_that_its_recipe_reports_on(finished, drawn):
    for protocol, name, n in (("final", "test", 40), ("select", "validation", 30)):
        splits = splits_of(drawn, FINISHED.change({"protocol": protocol}))
        metrics = evaluate_reported(finished.model, drawn, splits)
        predictions = finished.model.predict(splits.report.images)
        assert (metrics.split, metrics.n) == (name, n)
        assert metrics.accuracy == np.mean([p.best for p in predictions] == splits.report.labels)


def test_openings_of_the_test_split_are_appended(tmp_path):
    for seed in "01":
        log_opening(tmp_path / "run", data="drawn", name="tiny", sha256="ab", seed=seed)
    with (tmp_path / OPENINGS).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [*rows[0]] == ["date", "data", "recipe", "recipe_sha256", "seed", "run"]
    assert [(row["data"], row["recipe"], row["seed"], row["run"]) for row in rows] == [
        ("drawn", "tiny", "0", "run"),
        ("drawn", "tiny", "1", "run"),
    ]
