"""`models`: what the bundled models are, and how fast they answer here, as a table that fits and as one JSON object."""

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


@pytest.fixture(autouse=True)
def few(monkeypatch) -> None:
    """A handful of calls, on a quiet machine."""
    monkeypatch.setattr(speed, "ROUNDS", 2)
    monkeypatch.setattr(speed, "GLANCE", 8)
    monkeypatch.setattr(speed.machine, "load", lambda: 0.0)


@pytest.fixture
def three(monkeypatch, tmp_path) -> None:
    """Three bundled models: one as `bundle.py` makes it, one of integers, one that says nothing of itself."""
    tiny = Tiny()
    card = replace(tiny.card(), provenance=Provenance.from_json(DATA), figures=FIGURES)
    told = {
        "best": replace(card, figures={**FIGURES, "seeds": SEEDS}),
        recognizer.DEFAULT: replace(card, numbers="int8"),
        "tiny": tiny.card(),
    }
    paths = {name: tiny.write(tmp_path / f"{name}.onnx", text=card.to_json()) for name, card in told.items()}
    monkeypatch.setattr(recognizer, "bundled", lambda: paths)


@pytest.mark.usefixtures("three")
def test_every_model_is_a_column_with_what_was_measured(inkdigit):
    said = inkdigit("models")
    rows = [re.split(r"\s{2,}", line.strip()) for line in said.out.splitlines()]
    assert rows[0] == ["best", recognizer.DEFAULT, "tiny"]
    assert rows[1] == ["default"]
    told = {label: cells for label, *cells in rows[2:]}
    assert [cell.endswith("int8") for cell in told["File"]] == [False, True, False]
    assert told["Parameters"] == ["7,840"] * 3
    assert told["Accuracy"] == ["99.71 %", "99.71 %", "not measured"]
    assert told["95 % interval"] == ["99.58–99.80", "99.58–99.80", "–"]
    assert told["Mean ± sd, %"] == ["99.712 ± 0.041", "–", "–"]
    assert told["seeds"] == ["5", "–", "–"]
    assert told["Trained on"] == ["mnist", "mnist", "–"]
    assert told["licence"] == ["CC BY-SA 3.0", "CC BY-SA 3.0", "unknown"]
    assert all(int(cell.replace(",", "")) > 0 for cell in told["Pictures/s here"])
    assert "inkdigit benchmark" in said.err


def test_the_bundled_models_fit_into_a_plain_terminal(inkdigit):
    assert max(map(len, inkdigit("models").out.splitlines())) <= 80


@pytest.mark.usefixtures("three")
def test_the_same_can_be_had_as_json(inkdigit):
    said = inkdigit("models", "--json")
    assert said.err == ""
    found = json.loads(said.out)
    assert found["default"] == recognizer.DEFAULT
    assert found["machine"]["cores"] >= 1
    best, whole, tiny = found["models"]
    assert (best["name"], best["figures"]["seeds"], best["data"]["licence"]) == ("best", SEEDS, "CC BY-SA 3.0")
    assert best["throughput"]["batch"] == 8
    assert best["throughput"]["pictures_per_s"] > 0
    assert (whole["numbers"], tiny["figures"], tiny["data"]) == ("int8", {}, None)


@pytest.mark.usefixtures("three")
def test_a_busy_machine_is_told(inkdigit, monkeypatch):
    monkeypatch.setattr(speed.machine, "load", lambda: 99.0)
    assert "busy (load 99.0)" in inkdigit("models").err


def test_the_bundled_models_are_listed(inkdigit):
    if not recognizer.bundled():
        pytest.skip("no model is bundled in this checkout")
    found = json.loads(inkdigit("models", "--json").out)
    assert [model["name"] for model in found["models"]] == list(recognizer.bundled())
    assert recognizer.DEFAULT in recognizer.bundled()


def test_a_broken_model_is_one_error(inkdigit, monkeypatch, tmp_path):
    (tmp_path / "fast.onnx").write_bytes(b"broken")
    monkeypatch.setattr(recognizer, "bundled", lambda: {"fast": tmp_path / "fast.onnx"})
    said = inkdigit("models")
    assert (said.code, said.out) == (5, "")
    assert "not an ONNX file" in said.err


def test_it_answers_in_a_process_of_its_own():
    said = run("models")
    assert said.code == 0, said.err
    assert "Parameters" in said.out
