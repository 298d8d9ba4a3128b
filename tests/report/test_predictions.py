"""The page and the grid next to a submission: which images are on them, with which text."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inkdigit.errors import MissingExtra, OutputError
from inkdigit.report import predictions
from inkdigit.types import Prediction

CLASSES = ("0", "1", "<i>2")


def predict(*probs: float) -> Prediction:
    best = int(np.argmax(probs))
    return Prediction(CLASSES[best], max(probs), np.array(probs, np.float32))


NO_INK = Prediction(None, reason="no ink")
PREDICTIONS = [predict(0.98, 0.02, 0.0), predict(0.1, 0.5, 0.4), NO_INK, predict(0.05, 0.03, 0.92)]
IMAGES = np.arange(4 * 784, dtype=np.uint16).reshape(4, 28, 28).astype(np.uint8)


def write(beside: Path, images: np.ndarray = IMAGES, made: list[Prediction] = PREDICTIONS) -> str:
    page, grid = predictions.write(beside, images, made, classes=CLASSES, model="tiny & co")
    with Image.open(grid) as drawn:
        assert drawn.format == "PNG"
    return page.read_text(encoding="utf-8")


def test_the_least_confident_come_first_after_those_without_an_answer():
    assert predictions.least_confident(PREDICTIONS, 60).tolist() == [2, 1, 3, 0]
    assert predictions.least_confident(PREDICTIONS, 2).tolist() == [2, 1]


def test_the_sample_is_the_same_every_time():
    first, again = predictions.draw_sample(28_000), predictions.draw_sample(28_000)
    assert np.array_equal(first, again)
    assert (len(set(first.tolist())), first.max() < 28_000) == (15, True)
    assert sorted(predictions.draw_sample(4).tolist()) == [0, 1, 2, 3]


def test_classes_are_counted_by_the_most_probable_one():
    assert predictions.count_classes(PREDICTIONS, CLASSES) == {"0": 1, "1": 1, "<i>2": 1}
    assert predictions.count_classes([NO_INK], CLASSES) == {"0": 0, "1": 0, "<i>2": 0}


def test_the_page_shows_answer_runner_up_and_confidence(tmp_path):
    text = write(tmp_path / "submission.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["submission-answers.html", "submission-answers.png"]
    assert "<script" not in text
    assert "tiny &amp; co" in text
    assert "or &lt;i&gt;2, 40.00 %" in text
    assert text.count("<li>") == 4 + 4  # the random selection and the least confident
    lowest = text[text.index("The least confident") :]
    assert lowest.index("row 3<") < lowest.index("row 2<") < lowest.index("row 4<")
    assert "no ink" in lowest


def test_a_small_probability_of_the_second_is_not_written_as_0(tmp_path):
    text = write(tmp_path / "s.csv", IMAGES[:2], [predict(0.99999, 1e-5, 0.0), NO_INK])
    assert "or 1, under 0.01 %" in text
    assert "<b>—</b>" in text


def test_a_single_image_without_ink_makes_a_page(tmp_path):
    text = write(tmp_path / "s.csv", np.zeros((1, 28, 28), np.uint8), [NO_INK])
    assert "median confidence" not in text


def test_the_page_does_not_replace_the_submission(tmp_path):
    for name in ("submission.html", "submission.png", "no-suffix", "v1.2"):
        (tmp_path / name).write_text("mine", encoding="utf-8")
        write(tmp_path / name)
        assert (tmp_path / name).read_text(encoding="utf-8") == "mine"
        assert (tmp_path / f"{name}-answers.html").is_file()


def test_a_grid_of_three_rows_of_five(tmp_path):
    many = np.zeros((40, 28, 28), np.uint8)
    few, full = tmp_path / "few.csv", tmp_path / "full.csv"
    write(few, many[:5], [predict(0.9, 0.1, 0.0)] * 5)
    write(full, many, [predict(0.9, 0.1, 0.0)] * 40)
    with Image.open(tmp_path / "few-answers.png") as one_row, Image.open(tmp_path / "full-answers.png") as three_rows:
        assert one_row.width == three_rows.width
        assert 2.5 < three_rows.height / one_row.height < 3.5


@pytest.mark.parametrize("library", ["jinja2", "matplotlib"])
def test_without_its_libraries_nothing_is_written(tmp_path, monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtra, match=r"\[report\]"):
        predictions.write(tmp_path / "s.csv", IMAGES, PREDICTIONS, classes=CLASSES, model="tiny")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "s-answers.html").mkdir()
    with pytest.raises(OutputError) as caught:
        predictions.write(tmp_path / "s.csv", IMAGES, PREDICTIONS, classes=CLASSES, model="tiny")
    assert caught.value.exit_code == 9
