"""The list and the page of an audit: every issue is on them, with its place, the worst first."""

from __future__ import annotations

import csv
import io
import re
import sys

import numpy as np
import pytest

from inkdigit.errors import MissingExtra, OutputError
from inkdigit.measure.wrong_labels import Audit, AuditedSplit, Doubts, Issue, Place
from inkdigit.report import audit, template
from inkdigit.types import Dataset, Part

CLASSES = ("0", "1", "<i>2")


def part(n: int, *, seed: int, **more: object) -> Part:
    rng = np.random.default_rng(seed)
    images = np.zeros((n, 28, 28), np.uint8)
    images[:, 6:22, 6:22] = rng.integers(1, 256, (n, 16, 16))
    return Part(images, np.arange(n, dtype=np.int64) % 3, **more)


def predict(labels: np.ndarray, **wrong: tuple[int, float]) -> Doubts:
    """All as labelled with 0.9, but `p<i>`: (class, probability) at index `i`."""
    probs = np.full((len(labels), 3), 0.05)
    probs[np.arange(len(labels)), labels] = 0.9
    for name, (k, p) in wrong.items():
        i = int(name[1:])
        probs[i] = 0.0
        probs[i, labels[i]], probs[i, k] = 1 - p, p
    return Doubts(labels, probs)


@pytest.fixture
def audited() -> Audit:
    """Training: 4 is unreadable, 5 suspected, 7 doubtful. Test: 1 suspected more, 2 is training 3, with its label."""
    train = part(9, seed=0, files=tuple(f"t/{i}<.png" for i in range(9)), faults={4: "broken"})
    test = part(6, seed=1)
    test.images[2] = train.images[3]  # labels 2 and 0
    test.images[4] = np.clip(train.images[1] * 0.8, 0, 255).astype(np.uint8)  # both 1
    index = np.array([0, 1, 2, 3, 5, 6, 7, 8])
    dataset = Dataset("a & b", CLASSES, train, test)
    looked = (
        AuditedSplit("train", train, index, predict(train.labels[index], p4=(0, 0.97), p6=(0, 0.6))),
        AuditedSplit("test", test, np.arange(6), predict(test.labels, p1=(2, 0.99))),
    )
    return Audit(dataset, looked, "recipe tiny, 5 folds")


def rows(audited: Audit) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(audit.to_csv(audited))))


def test_the_list_names_every_issue_worst_first(audited):
    labels, copies = rows(audited)[:3], rows(audited)[3:]
    assert [(r["part"], r["index"], r["label"], r["suggested"], r["kind"]) for r in labels] == [
        ("test", "1", "1", "<i>2", "label"),
        ("train", "5", "<i>2", "0", "label"),
        ("train", "7", "1", "0", "doubt"),
    ]
    assert [(r["p_label"], r["p_suggested"], r["file"]) for r in labels[:2]] == [
        ("0.010000", "0.990000", ""),
        ("0.030000", "0.970000", "t/5<.png"),
    ]
    assert [
        (r["kind"], r["part"], r["index"], r["other_part"], r["other_index"], r["other_label"]) for r in copies
    ] == [
        ("copy", "test", "2", "train", "3", "0"),
        ("near copy", "test", "4", "train", "1", "1"),
    ]
    assert copies[0]["distance"] == "0.000000"
    assert copies[0]["suggested"] == copies[0]["p_suggested"] == ""


def test_contradictions_and_leaks(audited):
    contradiction, leak = audited.copies
    assert (contradiction.conflict, contradiction.leak) == (True, True)
    assert (leak.conflict, leak.leak) == (False, True)
    assert (audited.contradictions, audited.leaks) == (1, 2)
    assert (audited.count("label", "train"), audited.count("doubt", "train"), audited.count("label", "test")) == (
        1,
        1,
        1,
    )
    assert (audited.count("copy", "test"), audited.count("near copy", "test"), audited.count("copy", "train")) == (
        1,
        1,
        0,
    )


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.99996, "7: 99.9 % · 1: under 0.1 %"), (0.9, "7: 90.0 % · 1: 9.9 %"), (1.0, "7: 100.0 % · 1: under 0.1 %")],
)
def test_only_certainty_is_written_100(p, text):
    at = Place("test", 3, "1")
    assert audit.describe_reading(Issue("label", at, "", 1 - p, "7", p)) == text


def test_the_prediction_for_every_image_is_stored(audited, tmp_path):
    audit.write(tmp_path, audited, top=10)
    with np.load(tmp_path / audit.PROBS) as stored:
        assert stored["train_index"].tolist() == [0, 1, 2, 3, 5, 6, 7, 8]
        assert stored["train_labels"].tolist() == audited.dataset.train.labels[stored["train_index"]].tolist()
        assert stored["test_probs"].shape == (6, 3)
        assert stored["train_probs"].dtype == np.float32
    assert (tmp_path / audit.ISSUES).read_text(encoding="utf-8") == audit.to_csv(audited)


def test_the_page_shows_images_labels_and_readings(audited, tmp_path):
    audit.write(tmp_path, audited, top=10)
    html = (tmp_path / audit.PAGE).read_text(encoding="utf-8")
    assert "<s>1</s> → <b>&lt;i&gt;2</b>" in html
    assert html.count("data:image/png;base64,") == 3 + 2 * 2
    assert "<i>2" not in html
    assert "t/5&lt;.png" in html
    assert "a &amp; b" in html
    assert "http" not in html
    assert "<script" not in html
    assert re.findall(r'<li class="(\w+) given-\d">', html) == ["label", "label", "doubt"]


def test_the_page_filters_by_the_given_label_with_anchors_only(audited, tmp_path):
    audit.write(tmp_path, audited, top=10)
    html = (tmp_path / audit.PAGE).read_text(encoding="utf-8")
    for k in (1, 2):
        assert f'id="given-{k}" href="#given-{k}"' in html
        assert f"body:has(#given-{k}:target)" in html
    assert 'href="#given-0"' not in html  # no image with that label is shown


def test_the_page_shows_only_the_worst_and_the_list_shows_all(audited, tmp_path):
    audit.write(tmp_path, audited, top=1)
    html = (tmp_path / audit.PAGE).read_text(encoding="utf-8")
    assert "The 1 worst of 3" in html
    assert html.count("data:image/png;base64,") == 1 + 2
    assert len((tmp_path / audit.ISSUES).read_text(encoding="utf-8").splitlines()) == 1 + 5


def test_a_data_set_without_issues_says_so(tmp_path):
    train = part(6, seed=0)
    audit.write(
        tmp_path,
        Audit(Dataset("d", CLASSES, train), (AuditedSplit("train", train, np.arange(6), predict(train.labels)),), ""),
        top=5,
    )
    html = (tmp_path / audit.PAGE).read_text(encoding="utf-8")
    assert "Every image is read as it is labelled." in html
    assert "No image repeats another" in html
    assert len((tmp_path / audit.ISSUES).read_text(encoding="utf-8").splitlines()) == 1


def test_without_jinja_everything_except_the_page_is_written(audited, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtra, match=r"\[report\]"):
        template.require_jinja()
    with pytest.raises(MissingExtra, match=r"\[report\]"):
        audit.write(tmp_path, audited, top=5)
    assert {path.name for path in tmp_path.iterdir()} == {audit.ISSUES, audit.PROBS}


def test_a_place_that_cannot_be_written(audited, tmp_path):
    with pytest.raises(OutputError):
        audit.write(tmp_path / "none", audited, top=5)
