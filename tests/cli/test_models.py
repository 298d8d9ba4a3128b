"""`models`: the bundled models and their speed here, as a table that fits and as one JSON object."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from inkdigit.measure import speed
from inkdigit.model import recognizer
from inkdigit.model.provenance import Provenance

from ..conftest import Tiny
from .conftest import run

SEEDS = {"n": 5, "mean": 0.99712, "sd": 0.00041, "seeds": [0, 1, 2, 3, 4]}
FIGURES = {"data": "mnist", "part": "test", "n": 10000, "accuracy": 0.9971, "accuracy_ci95": [0.99584, 0.99798]}
DATA = {"data": {"name": "mnist", "sha256": "3", "train": 60000, "test": 10000, "licence": "CC BY-SA 3.0"}}


@pytest.fixture
def three(monkeypatch, tmp_path) -> None:
    """Three bundled models: one as `bundle.py` makes it, one of integers, one with an almost empty card."""
    tiny = Tiny()
    card = replace(tiny.card(), provenance=Provenance.from_json(DATA), figures=FIGURES)
    cards = {
        "best": replace(card, figures={**FIGURES, "seeds": SEEDS}),
        recognizer.DEFAULT: replace(card, numbers="int8"),
        "tiny": tiny.card(),
    }
    paths = {name: tiny.write(tmp_path / f"{name}.onnx", text=card.to_json()) for name, card in cards.items()}
    monkeypatch.setattr(recognizer, "bundled", lambda: paths)


@pytest.mark.usefixtures("three")
def test_every_model_is_a_column_with_its_figures(inkdigit):
    result = inkdigit("models")
    rows = [re.split(r"\s{2,}", line.strip()) for line in result.out.splitlines()]
    assert rows[0] == ["best", recognizer.DEFAULT, "tiny"]
    assert rows[1] == ["default"]
    table = {label: cells for label, *cells in rows[2:]}
    assert [cell.endswith("int8") for cell in table["File"]] == [False, True, False]
    assert table["Parameters"] == ["7,840"] * 3
    assert table["Accuracy"] == ["99.71 %", "99.71 %", "not measured"]
    assert table["95 % interval"] == ["99.58–99.80", "99.58–99.80", "–"]
    assert table["Mean ± sd, %"] == ["99.712 ± 0.041", "–", "–"]
    assert table["seeds"] == ["5", "–", "–"]
    assert table["Trained on"] == ["mnist", "mnist", "–"]
    assert table["licence"] == ["CC BY-SA 3.0", "CC BY-SA 3.0", "unknown"]
    assert all(int(cell.replace(",", "")) > 0 for cell in table["Images/s here"])
    assert "inkdigit benchmark" in result.err


def test_the_bundled_models_fit_into_a_plain_terminal(inkdigit):
    assert max(map(len, inkdigit("models").out.splitlines())) <= 80


@pytest.mark.usefixtures("three")
def test_the_same_can_be_had_as_json(inkdigit):
    result = inkdigit("models", "--json")
    assert "Next:" not in result.err
    content = json.loads(result.out)
    assert content["default"] == recognizer.DEFAULT
    assert content["machine"]["cores"] >= 1
    best, integers, tiny = content["models"]
    assert (best["name"], best["figures"]["seeds"], best["data"]["licence"]) == ("best", SEEDS, "CC BY-SA 3.0")
    assert best["throughput"]["batch"] == 256
    assert best["throughput"]["pictures_per_s"] > 0
    assert (integers["numbers"], tiny["figures"], tiny["data"]) == ("int8", {}, None)


@pytest.mark.usefixtures("three")
def test_a_busy_machine_is_logged(inkdigit, monkeypatch):
    monkeypatch.setattr(speed.machine, "load", lambda: 99.0)
    assert "busy (load 99.0)" in inkdigit("models").err


def test_the_bundled_models_are_listed(inkdigit):
    if not recognizer.bundled():
        pytest.skip("no model is bundled in this checkout")
    content = json.loads(inkdigit("models", "--json").out)
    assert [model["name"] for model in content["models"]] == list(recognizer.bundled())
    assert recognizer.DEFAULT in recognizer.bundled()


def test_a_broken_model_is_one_error(inkdigit, monkeypatch, tmp_path):
    (tmp_path / "fast.onnx").write_bytes(b"broken")
    monkeypatch.setattr(recognizer, "bundled", lambda: {"fast": tmp_path / "fast.onnx"})
    result = inkdigit("models")
    assert (result.code, result.out) == (5, "")
    assert "not an ONNX file" in result.err


def test_it_answers_in_a_process_of_its_own():
    result = run("models")
    assert result.code == 0, result.err
    assert "Parameters" in result.out
