"""Figures of readings: digits in order, whole texts, single characters, coverage and calibration."""

from __future__ import annotations

import pytest

from inkdigit.errors import DataError
from inkdigit.measure.reading import digits_of, metrics, read_labels
from inkdigit.types import Reading


def said(text: str, confidence: float = 0.9, reason: str | None = None) -> Reading:
    return Reading(text, confidence, (), reason)


def test_digits_and_texts_are_counted_apart():
    measured = metrics([said("1.250"), said("3×4"), said("77")], ["1250", "3x4", "71"], model="m")
    assert measured.digits_right == pytest.approx(2 / 3)
    assert measured.text_right == pytest.approx(1 / 3)
    assert measured.character_errors == pytest.approx(1 / 8)
    assert measured.digits_right_ci95[0] < 2 / 3 < measured.digits_right_ci95[1]


def test_missing_and_added_digits_are_errors():
    measured = metrics([said("12"), said("1234")], ["123", "123"], model="m")
    assert measured.character_errors == pytest.approx(2 / 6)


def test_coverage_is_of_the_most_confident_ones():
    readings = [said("1", 0.99), said("2", 0.98), said("0", 0.5), said("4", 0.4)]
    measured = metrics(readings, ["1", "2", "3", "4"], model="m")
    assert measured.coverage == {"0.99": 0.5, "0.999": 0.5}
    assert metrics([said("0")], ["1"], model="m").coverage["0.99"] is None


def test_refusals_are_not_answered_and_have_no_part_in_the_calibration():
    measured = metrics([said("1", 0.8), said("", 0.0, "no ink")], ["1", "2"], model="m")
    assert measured.answered == 0.5
    assert measured.right_of_answered == 1
    assert measured.ece == pytest.approx(0.2)
    assert metrics([said("", 0.0, "no ink")], ["2"], model="m").right_of_answered is None


def test_nothing_to_measure_is_an_error():
    with pytest.raises(DataError, match="nothing to measure"):
        metrics([], [], model="m")


def test_a_list_has_files_and_labels(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("file,label\na.png,1.5\n", encoding="utf-8")
    assert read_labels(path) == [(tmp_path / "a.png", "1.5")]
    path.write_text("name,text\na.png,1.5\n", encoding="utf-8")
    with pytest.raises(DataError, match="is not a list"):
        read_labels(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_labels(tmp_path / "none.csv")


def test_digits_of_a_text_are_in_order():
    assert digits_of("10/20/2019") == "10202019"
