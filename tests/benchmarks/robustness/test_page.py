"""The page of pictures that are not MNIST says what was measured, whatever was by_name; what it asks about is there."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.robustness import adapting, rejection
from benchmarks.robustness import measure as robustness
from benchmarks.robustness import page as robustness_page
from inkdigit.training.network import nets
from inkdigit.training.recipe import Recipe
from inkdigit.types import DIGITS, Dataset, Part

from ...conftest import template

FIGURES = {"n": 40, "auroc": 0.99, "refused_at_99": 0.95, "refused": 0.9}
KINDS = ("notmnist", "letters by hand", "scribbles", "letters and scribbles")


def kind(name: str, levels: int, *, in_training: bool | None) -> dict:
    fields = [{"accuracy": 0.9 + i / 100} for i in range(levels)]
    undone = "turned back" if name == "stripe" else None
    return {"kind": name, "in_training": in_training, "undone": undone, "named_level": levels, "levels": fields}


@pytest.fixture
def record(about) -> dict:
    """What `robustness/measure.py` writes."""
    mnist = {"accuracy": 0.9971, "ece": 0.002, "answered": 9975, "n": 10_000}
    mnist |= {"nll": 0.01, "brier": 0.005, "aurc": 2.5e-5, "coverage_at_999": 0.991}
    photo = {"file": "a.png", "label": "7", "best": None, "reason": "no ink"}
    other = {"file": "b.png", "label": "1", "best": "7", "reason": None}
    return {
        **about,
        "held_out": False,
        "model": "general",
        "threshold": {"keeps": 0.9975, "fitted_on": "2,971 held-out training pictures"},
        "digits": "10,000 test pictures of MNIST",
        "photos": {
            **{"n": 9, "right": 7, "wrong": 1, "refused": 1},
            "sources": {
                "one": {"n": 4, "right": 3, "wrong": 0, "refused": 1},
                "two": {"n": 5, "right": 4, "wrong": 1, "refused": 0},
            },
            "missed": [photo, other],
        },
        "usps": {"n": 7291, "accuracy": 0.99, "answered": 0.98},
        "mnist": mnist,
        "corruptions": {
            **{"mean": 0.9812, "standard_deviation": 0.01, "mean_unseen": 0.97, "unseen": 1, "clean": 0.997, "n": 500},
            "answered": 0.96,
            "kinds": [
                kind("motion_blur", 5, in_training=True),
                kind("stripe", 1, in_training=False),
                kind("glass_blur", 1, in_training=False),
            ],
        },
        "outliers": dict.fromkeys(KINDS, FIGURES),
        "door": {"photo_12mp_ms": 120.4, "clean_28_ms": 0.03},
    }


@pytest.fixture
def compared(about) -> dict:
    """What `robustness/rejection.py` writes."""
    areas = {**dict.fromkeys(KINDS, 0.98), "mean": 0.981}
    fields = {"about": rejection.ABOUT, "scores": {"energy, without outliers": areas, "log odds": areas}}
    fields |= {"networks": [{"recipe": "general", "epochs": 12, "commit": "abc"}] * 2}
    return {**about, **fields}


@pytest.fixture
def adapted(about) -> list[dict]:
    """What `robustness/adapting.py` writes for one user and two seeds."""
    change = {"n": 1000, "before": 700, "after": 900, "answered_before": 500, "answered_after": 800}
    fields = {
        "model": "general",
        "user": "askew",
        "learnt": 50,
        "own": change,
        "old": {**change, "n": 10_000, "after": 690},
        "seconds": 31.4,
    }
    fields |= {"refused_before": {"a": 1.0, "b": 0.98}, "refused_after": {"a": 0.98, "b": 0.98}}
    return [{**about, **fields, "seed": 0}, {**about, **fields, "seed": 1, "seconds": 40.0}]


def words(text: str) -> str:
    return " ".join(text.split())


def test_without_a_measurement_the_page_says_so():
    assert "Not measured: `python -m benchmarks.robustness.measure`." in robustness_page.render(None, None)


def test_what_was_measured_is_told(record, compared):
    text = robustness_page.render(record, compared)
    assert "| photos of single digits | predicted right, none rejected wrongly | ≥ 67 | 7 | **no** |" in text
    assert "| preprocessing, clean 28×28 | time | ≤ 60 µs | 30 µs | yes |" in text
    assert "| two | 5 | 4 | 1 | 0 |" in text
    assert "| motion blur | yes | no | 90.00 | 91.00 | 92.00 | 93.00 | **94.00** |" in text
    assert "| stripe | no | yes | **90.00** |  |  |  |  |" in text
    assert "| log odds | 0.9800 | 0.9800 | 0.9800 | 0.9800 | 0.9810 |" in text
    assert "- `python -m benchmarks.robustness.rejection` (`general` of commit abc, 12 epochs): 2026-01-01" in text
    sentences = words(text)
    assert "from 2 other projects" in sentences
    assert "Missed: `a.png` (a 7: no ink), `b.png` (a 1: predicted 7)." in sentences
    assert "over the only kind unseen: 97.00 %; coverage 96.00 %" in sentences
    assert "What the preprocessing undoes says little about the network: stripe (turned back)." in sentences
    assert "For these two there is no figure with a source left out" in sentences


def test_what_the_threshold_promised_is_what_the_card_says(record):
    promise = "fitted for a coverage of 99.75 % of 2,971 held-out training pictures, at which coverage of those digits"
    assert f"that ships, {promise} is 99.75 %" in words(robustness_page.render(record, None))
    record["threshold"] = {"keeps": None, "fitted_on": "the select twin of this recipe"}
    assert "that ships, at which coverage of those digits is 99.75 %" in words(robustness_page.render(record, None))


def test_what_is_not_known_is_left_out(record):
    record["corruptions"] |= {"mean_unseen": None, "unseen": 0}
    record["mnist"]["coverage_at_999"] = None
    record["photos"]["missed"] = []
    text = robustness_page.render(record, None)
    assert "unseen:" not in text
    assert "coverage at 99.9 % accuracy not measured" in words(text)
    assert "Missed" not in text
    assert "## Which score" not in text


def test_what_adapting_gave_and_cost(record, adapted, tmp_path):
    (tmp_path / "robustness.json").write_text(json.dumps(record), encoding="utf-8")
    again = [*adapted, {**adapted[1], "smoke": True, "seconds": 1.0}, {**adapted[1], "model": "fast", "seconds": 1.0}]
    (tmp_path / adapting.LEDGER).write_text("".join(json.dumps(one) + "\n" for one in again), encoding="utf-8")
    (text,) = robustness_page.files(tmp_path, tmp_path / "robustness.md").values()
    cells = "70.00 ± 0.00 % → 90.00 ± 0.00 % | 50.00 ± 0.00 % → 80.00 ± 0.00 % | 7.00 ± 0.00 % → 6.90"
    assert f"| drawn digits, turned by 60° | 2 | {cells}" in text.decode()
    assert "| 0.10 points: yes | 99.00 ± 0.00 % → 98.00 ± 0.00 % | 35.7 [31.4–40.0] s (n = 2) |" in text.decode()
    assert "## Adapted" not in robustness_page.render(record, None)


def test_a_user_learns_other_pictures_than_are_read_afterwards(monkeypatch):
    monkeypatch.setattr(adapting, "UNSEEN", 10)
    learnt, unseen = adapting.askew(np.random.default_rng(0))
    assert np.bincount(learnt.labels).tolist() == [adapting.OF_EACH] * 10
    assert np.bincount(unseen.labels).tolist() == [adapting.UNSEEN] * 10
    both = np.concatenate([learnt.images, unseen.images]).reshape(-1, 784)
    assert len(np.unique(both, axis=0)) == len(both)


def test_lines_are_as_long_as_a_page_has_them(record, compared):
    record["photos"]["missed"] *= 20
    paragraphs = [one for one in robustness_page.render(record, compared).split("\n\n") if one[0] not in "|-<"]
    assert max(len(line) for one in paragraphs for line in one.splitlines()) <= 120
    fields = next(one for one in paragraphs if "The score is high" in one)
    assert all(len(line) > 90 for line in fields.splitlines()[:-1])  # full, whatever was put in


@pytest.mark.parametrize("field", ["smoke", "held_out"])
def test_a_measurement_that_only_chooses_or_tries_is_not_shown(record, field, tmp_path):
    page = tmp_path / "docs" / "robustness.md"
    for flag, shown in ((False, True), (True, False)):
        (tmp_path / "robustness.json").write_text(json.dumps({**record, field: flag}), encoding="utf-8")
        assert (b"Not measured" not in robustness_page.files(tmp_path, page)[page]) is shown


def test_a_measurement_on_held_out_pictures_is_written_as_one(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(robustness, "measure", lambda *_, **options: calls.append(options) or {"held_out": True})
    monkeypatch.setattr(robustness, "preprocessing_times", dict)
    monkeypatch.setenv("INKDIGIT_DATA", str(tmp_path))
    out = tmp_path / "r.json"
    assert robustness.main(["--model", "tiny", "--held-out", "--out", str(out)]) == 0
    assert calls == [{"choosing": True, "limit": None, "of_each": None}]
    fields = json.loads(out.read_text(encoding="utf-8"))
    assert (fields["smoke"], fields["held_out"]) == (False, True)


def test_of_each_kind_of_outlier_there_are_as_many_as_asked_for(tmp_path, monkeypatch):
    notmnist = np.arange(7, dtype=np.uint8)[:, None, None].repeat(28, 1).repeat(28, 2)
    (tmp_path / "notmnist").mkdir()
    header = bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in notmnist.shape)
    (tmp_path / "notmnist" / "some-images-idx3-ubyte").write_bytes(header + notmnist.tobytes())
    monkeypatch.setattr(robustness, "EACH", 3)
    for limit, of_a_file, drawn in ((None, 7, 3), (3, 3, 3), (2, 2, 2)):
        counts = {name: len(pictures) for name, pictures in robustness.outliers(tmp_path, limit=limit).items()}
        assert counts.pop("notmnist") == of_a_file
        assert counts.pop("letters and scribbles") == 2 * drawn
        assert set(counts.values()) == {drawn}


@pytest.mark.parametrize("taught", [True, False])
def test_log_odds_are_a_score_of_networks_that_learnt_from_outliers(taught, monkeypatch):
    monkeypatch.setattr(rejection, "DRAWN", 20)
    digits = Part(np.stack([template(i) for i in range(20)]), np.arange(20) % 10)
    recipe = Recipe.from_fields({"filters": [4], "head": "global_max", "outliers": 9 if taught else 0})
    seen = rejection.Seen(nets.build(recipe, 10))
    by_name = rejection.scores(seen, Dataset("ten", DIGITS, digits))
    assert ("log odds" in by_name) is taught
    for score in by_name.values():
        assert score(*seen(digits.images)).shape == (20,)


@pytest.fixture
def found(about) -> list[dict]:
    """Lines of `ink.jsonl`: cases and tight cuts of both photo paths, cells and a sweep of the new one."""
    counts = {"n": 1200, "right": 1190, "wrong": 4, "refused": 6, "reasons": {}, "taken_for": {}}
    usps = {**counts, "accuracy": 0.9953}
    old, new = ({**about, "model": "general", "path": path} for path in ("old", "new"))
    cases = {"what": "cases", "sets": {"cases/single": counts}, "usps": usps, "missed": []}
    tight = {"what": "tight", "margins": {"+25": {"drawn": counts}, "-5": {"drawn": {**counts, "right": 600}}}}
    swept = {"drawn": {**counts, "right": 1188, "wrong": 5}}
    one = {"name": "inkdigit.picture.photo.ink.MARGIN", "value": 0.45, "tried": 0.36, "factor": 0.8, "sets": swept}
    return [
        {**old, **cases},
        {**new, **cases, "sets": {"cases/single": {**counts, "right": 1196, "wrong": 1, "refused": 3}}},
        {**new, **tight},
        {**new, "what": "cells", "cells": {"drawn, empty, all": counts}, "grids": {"images": {"n": 77, "found": 76}}},
        {**new, "what": "sweep", "as_is": {"drawn": counts}, "changed": [one]},
        {**new, **tight, "model": "fast", "margins": {"+25": {"drawn": {**counts, "n": 7}}}},
    ]


def test_hands_before_and_now_for_every_model(record, about):
    figures = {"n": 2000, "accuracy": 0.9205, "answered": 0.9355, "wrong": 93}
    lines = [
        {**about, "what": "hands", "model": model, "path": "old", "hands": {"invented writers": figures}}
        for model in ("general", "fast")
    ]
    now = {**lines[0], "path": "new", "hands": {"invented writers": {**figures, "accuracy": 0.995}}}
    text = robustness_page.render(record, None, measured=[*lines, now])
    assert "| invented writers | 2,000 | `general` | 92.05 % / 93.55 % / 93 | 99.50 % / 93.55 % / 93 |" in text
    assert "| invented writers | 2,000 | `fast` | 92.05 % / 93.55 % / 93 | not measured |" in text
    assert "Other people's hands" not in robustness_page.render(record, None)


def test_how_ink_is_found_by_rules_and_by_the_network(record, found):
    text = robustness_page.render(record, None, measured=found)
    assert "| cases: single digits | 1,200 | 1,190 | 4 | 6 | 1,196 | 1 | 3 |" in text
    assert "| drawn | 1,200 | ink network | 99.2 / 0.3 | 50.0 / 0.3 |" in text
    assert "| drawn, empty, all | 1,200 | not measured |  |  | 99.2 % | 0.3 % | 0.5 % |" in text
    assert "a little off, by 10 % of a cell at most." in words(text)
    assert "Grids found, and so cut: 76 of 77 in `images`; photos" in words(text)
    assert "| `ink.MARGIN` | 0.45 | -2 right, +1 wrong | the same |" in text
    assert "99.53 % with rules (0.2), 6 of 1,200 refused; 99.53 % with ink network" in words(text)
    assert "- `python -m benchmarks.robustness.tight`, ink network: 2026-01-01" in text
    assert "## How ink is found" not in robustness_page.render(record, None, measured=found[:1])
