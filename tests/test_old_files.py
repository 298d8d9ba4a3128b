"""Files that 0.2.0 wrote are read by this version: a model, a finished run, one that was stopped, and their recipe.

`golden/0.2.0/` was made by that release on the digits of scikit-learn: `small` is a finished run without its pages and
plots, `part` the same training stopped in its ninth epoch. docs/stability.md promises what is tested here.
"""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import inkdigit
from inkdigit.data.splits import set_aside
from inkdigit.measure.ledger import read_all
from inkdigit.model.facts import facts
from inkdigit.model.recognizer import Recognizer
from inkdigit.training.convert.restore import restore
from inkdigit.training.recipe import Recipe

from .conftest import drawn
from .training.conftest import single_thread

OLD = Path(__file__).parent / "golden" / "0.2.0"
DIGITS = "sklearn-digits"
CLOSE = 1e-5  # of a probability: the rounding of another ONNX Runtime or processor


@pytest.fixture
def small(tmp_path) -> Path:
    """The finished run, in a place where commands may write."""
    return Path(shutil.copytree(OLD / "small", tmp_path / "small"))


@pytest.fixture(scope="module")
def model() -> Recognizer:
    return inkdigit.load(OLD / "small")


def stored(name: str) -> Any:
    return json.loads((OLD / "small" / name).read_text(encoding="utf-8"))


def test_the_files_are_those_of_0_2(model):
    assert stored("env.json")["libraries"]["inkdigit"] == "0.2.0"
    assert model.card.provenance.libraries["inkdigit"] == "0.2.0"


def test_the_model_loads_and_passes_its_self_test(model):
    test = model.card.self_test
    assert test is not None
    outputs = model.probs_as_prepared(test.images)
    np.testing.assert_allclose(outputs, test.probs, atol=1e-3)


def test_it_predicts_what_it_predicted_then(model):
    test = set_aside(inkdigit.open_data(DIGITS), 0.2).test
    with np.load(OLD / "small" / "predictions.npz") as then:
        np.testing.assert_array_equal(test.labels, then["labels"])
        np.testing.assert_allclose(model.predict_proba(list(test.images)), then["probs"], atol=CLOSE)


def test_it_is_as_accurate_as_its_report_says(model):
    metrics = inkdigit.evaluate(model, DIGITS)
    assert (metrics.n, metrics.accuracy) == (stored("report.json")["n"], stored("report.json")["accuracy"])


def test_what_it_says_of_itself_is_known(model):
    assert model.card.provenance.data.name == DIGITS
    assert "rules found the ink" in facts(model.card)["ink network"]


def test_the_network_comes_back_from_it_and_can_be_explained(model, tmp_path):
    net, recipe = restore(model)
    assert sum(weight.numel() for weight in net.parameters()) == model.card.parameters
    assert recipe.filters == (16, 32)
    explanation = inkdigit.explain(drawn(3), model=model, out=tmp_path / "explained.html")
    assert explanation.occlusion is not None
    assert explanation.gradients is not None


@pytest.mark.parametrize("format", ["onnx-int8", "safetensors"])
def test_it_is_exported(small, tmp_path, format):
    out = tmp_path / "exported"
    inkdigit.export(small, format, out=out)
    assert out.stat().st_size > 1000


def test_it_is_adapted_to_a_hand(small, tmp_path):
    images, labels = np.stack([drawn(k % 10, seed=k, size_px=28) for k in range(20)]), [k % 10 for k in range(20)]
    with single_thread():
        inkdigit.adapt(small, (images, labels), out=tmp_path / "mine.onnx", replay=(images, labels), steps=4)
    adapted = inkdigit.load(tmp_path / "mine.onnx")
    assert [step.settings["from"]["name"] for step in adapted.card.provenance.adaptations] == ["small"]


def test_the_recipe_means_the_same():
    """Its file has every field of that release, so none of them may be renamed or take other values."""
    fields = tomllib.loads((OLD / "small" / "recipe.toml").read_text(encoding="utf-8"))
    recipe = Recipe.load(OLD / "small" / "recipe.toml")
    now = json.loads(recipe.model_dump_json())
    assert {name: now[name] for name in fields} == fields


def test_the_run_is_listed(small):
    (entry,) = read_all([small])
    assert entry.report["accuracy"] == stored("report.json")["accuracy"]


def test_a_training_that_0_2_began_is_finished(tmp_path):
    part = Path(shutil.copytree(OLD / "part", tmp_path / "part"))
    began = (part / "metrics.csv").read_text(encoding="utf-8")
    with single_thread():
        run = inkdigit.resume(part, progress=False)
    assert (part / "DONE").exists()
    assert (part / "metrics.csv").read_text(encoding="utf-8").startswith(began)
    assert [row["epoch"] for row in run.history] == list(range(1, 31))
    assert run.report["accuracy"] > 0.9
