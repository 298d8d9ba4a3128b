"""The page of corrupted images: its content, and where it cannot be written."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inkdigit.errors import MissingExtra, OutputError, UsageError
from inkdigit.measure.corruptions import KINDS
from inkdigit.measure.metrics import Metrics, measure
from inkdigit.measure.robustness import Robustness, Row
from inkdigit.report import robustness
from inkdigit.types import Prediction


def metrics(right: int) -> Metrics:
    """`right` of twenty images, the last of which is not answered."""
    probs = np.eye(2, dtype=np.float32)
    shown = [Prediction("ab"[i >= right], 1.0, probs[int(i >= right)], 1.0) for i in range(19)]
    shown.append(Prediction(None, 1.0, probs[int(right < 20)], 0.0, "unsure"))
    labels = np.zeros(20, np.int64)
    return measure(shown, labels, classes=("a", "b"), model="<tiny>", data="drawn", split="test")


def make(*, in_training: bool | None = False, undone: str | None = None) -> Robustness:
    rows = []
    for kind in KINDS[8:11]:  # translate, stripe, fog
        levels = tuple(metrics(19 - i) for i in range(len(kind.strengths)))
        images = np.zeros((len(levels), 28, 28), np.uint8)
        rows.append(Row(kind, levels, in_training, undone, images, images))
    return Robustness(metrics(20), "test", 10_000, tuple(rows))


def write(folder: Path, measured: Robustness) -> str:
    robustness.claim(folder)
    return robustness.write(folder, measured).read_text(encoding="utf-8")


def words(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_the_page_and_its_figures_are_written(tmp_path):
    measured = make()
    text = write(tmp_path / "new" / "folder", measured)
    folder = tmp_path / "new" / "folder"
    assert sorted(path.name for path in folder.iterdir()) == ["corruptions.html", "corruptions.json"]
    assert json.loads((folder / "corruptions.json").read_text(encoding="utf-8")) == json.loads(
        json.dumps(measured.to_json())
    )
    assert "<script" not in text
    assert "&lt;tiny&gt; on drawn (test)" in text
    assert not re.search(r"(src|href)=\"(?!data:|#)", text)  # it needs no other file


def test_every_level_has_its_two_images_and_its_figure(tmp_path):
    text = write(tmp_path, make())
    assert text.count("<img") == 2 * (5 + 1 + 5)
    assert text.count('class="named"') == 3
    assert ">95.0<" in text
    assert "Translate" in text
    assert "inverted." in text


def test_the_means_head_the_page(tmp_path):
    text = words(write(tmp_path, make()))
    assert "85.00 %" in text  # of 17, 19 and 15 of 20
    assert "The first 20 of the 10,000 images" in text
    assert "75.00 % lowest: fog" in text
    assert "95.00 % answered" in text


def test_kinds_that_resemble_training_are_marked(tmp_path):
    measured = make()
    one = replace(measured, rows=(replace(measured.rows[0], in_training=True), *measured.rows[1:]))
    shown = words(write(tmp_path, one))
    assert "unseen: over the 2 kinds neither in training nor undone" in shown
    assert shown.count("† in training") == 1
    assert "Training did nothing similar to any of them." in words(write(tmp_path, make()))
    silent = words(write(tmp_path, make(in_training=None)))
    assert "The card does not say" in silent
    assert "†" not in silent


def test_the_claim_of_unseen_is_shown_if_a_kind_is_unseen(tmp_path):
    for in_training, expected in ((False, True), (True, False), (None, False)):
        text = words(write(tmp_path, make(in_training=in_training)))
        assert ("no step of the preprocessing undoes it" in text) is expected


def test_what_the_preprocessing_undoes_is_marked_and_not_counted_as_unseen(tmp_path):
    measured = make()
    one = replace(
        measured, rows=(measured.rows[0], replace(measured.rows[1], undone="turned <back>"), measured.rows[2])
    )
    html = write(tmp_path, one)
    shown = words(html)
    assert one.mean_unseen == pytest.approx((measured.rows[0].named.accuracy + measured.rows[2].named.accuracy) / 2)
    assert shown.count("‡ undone by the preprocessing") == 1
    assert "Undone: turned &lt;back&gt;." in html
    assert "unseen: over the 2 kinds" in shown
    assert "unseen:" not in words(write(tmp_path, make(undone="all of it")))
    assert make(undone="all of it").mean_unseen is None


def test_images_that_trained_the_model_have_a_warning_on_the_page(tmp_path):
    assert 'class="warning"' not in write(tmp_path, make())
    assert "These images trained &amp;" in write(tmp_path, replace(make(), warning="These images trained & so on."))


def test_a_place_that_cannot_be_written_is_known_before_the_work(tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(OutputError):
        robustness.claim(tmp_path / "file")
    (tmp_path / "corruptions.json").mkdir()
    with pytest.raises(OutputError) as caught:
        robustness.claim(tmp_path)
    assert caught.value.exit_code == 9


def test_without_jinja_nothing_is_begun(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtra, match=r"\[report\]"):
        robustness.claim(tmp_path / "folder")
    assert list(tmp_path.iterdir()) == []


def test_two_do_not_evaluate_into_one_folder_and_no_lock_is_left(tmp_path):
    page = tmp_path / "page"
    with robustness.claimed(page), pytest.raises(UsageError, match="Another"), robustness.claimed(page):
        pass
    assert not list(page.iterdir())
