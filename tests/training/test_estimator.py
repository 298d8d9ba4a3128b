"""`InkdigitClassifier`: what scikit-learn does with a classifier, it does with this one."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import check_estimator

from inkdigit.errors import OutputError, PictureError, UsageError
from inkdigit.model.recognizer import load
from inkdigit.training import estimator, run
from inkdigit.training.convert.export import export
from inkdigit.training.estimator import EXPECTED_FAILED_CHECKS, FIELDS, ONE_CLASS, InkdigitClassifier
from inkdigit.training.recipe import Recipe

from ..conftest import Tiny
from .conftest import draw, tiny, write_small_report


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A model that was not trained in place of one that was: what is tested is what scikit-learn asks for."""
    folder = tmp_path_factory.mktemp("untrained")

    def train(recipe: Recipe, dataset, _: str):
        return Tiny(classes=dataset.classes).write(folder / "tiny.onnx").read_bytes(), [{"seed": recipe.seed}]

    monkeypatch.setattr(estimator, "_train", train)


class OfAnyRows(InkdigitClassifier):
    """The same for rows of any length: each value is a bar in a picture."""

    def _pictures(self, rows, **_):
        bars = np.zeros((len(rows), 28, 28), np.uint8)
        bars[:, 4:24, 4 : 4 + min(20, rows.shape[1])] = np.clip(rows[:, :20] * 20, 0, 255)[:, None]
        return bars

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True
        return tags


def failures(classifier: InkdigitClassifier) -> dict[str, Exception]:
    """The checks of scikit-learn that do not pass."""
    results = check_estimator(classifier, on_skip=None, on_fail=None)
    assert len(results) > 40
    return {result["check_name"]: result["exception"] for result in results if result["status"] == "failed"}


@pytest.mark.usefixtures("untrained")
def test_the_checks_of_scikit_learn_fail_as_listed_and_pass_where_rows_are_pictures():
    failed = failures(InkdigitClassifier())
    assert set(failed) == set(EXPECTED_FAILED_CHECKS)
    assert all("not pictures" in f"{exc}{exc.__cause__}" for exc in failed.values())
    failed = failures(OfAnyRows())
    assert set(failed) == {name for name, reason in EXPECTED_FAILED_CHECKS.items() if reason == ONE_CLASS}
    assert all("Expected: 2 to 256 classes" in f"{exc}{exc.__cause__}" for exc in failed.values())


@pytest.fixture(scope="module")
def named() -> tuple[np.ndarray, np.ndarray]:
    """Pictures (N, 28, 28), labelled by words that do not sort as the digits do."""
    part = draw(90)
    return part.images, np.array(["zero", "one", "two"])[part.labels]


@pytest.fixture(scope="module")
def made(named) -> InkdigitClassifier:
    """Trained, without a run directory."""
    fields = {"epochs": 12, "learning_rate": 0.02, "batch": 16, "random_state": 7}
    return InkdigitClassifier(tiny(filters=(8, 16)), **fields).fit(*named)


def test_it_learns_words_and_answers_from_the_file_that_it_saves(made, named, tmp_path):
    assert export(made.model_, "safetensors", tmp_path / "weights.safetensors").bytes > 0  # its file is there
    images, labels = named
    assert made.classes_.tolist() == ["one", "two", "zero"]
    assert len(made.history_) == 12
    assert made.n_features_in_ == 784
    assert made.score(images, labels) > 0.9
    probs = made.predict_proba(images)
    assert (probs.shape, probs.dtype) == ((90, 3), np.float32)
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-6)
    again = pickle.loads(pickle.dumps(made))
    np.testing.assert_array_equal(again.predict_proba(images.reshape(90, 784)), probs)
    saved = load(made.save(tmp_path / "mine.onnx"))
    np.testing.assert_array_equal(saved.predict_proba(images), probs)
    assert saved.classes == ("one", "two", "zero")


def test_a_run_directory_has_the_same_model(made, named, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "write_report", write_small_report)
    images, labels = named
    there = clone(made).set_params(out=tmp_path / "run")
    assert there.fit(images / 255, labels) is there
    np.testing.assert_array_equal(made.predict_proba(images), there.predict_proba(images / 255))
    assert made.history_[0].keys() == there.history_[0].keys()
    assert made.history_[-1]["train_loss"] == there.history_[-1]["train_loss"]
    with pytest.raises(PictureError, match=r"brighter .* Expected: 0 to 1\. Received: 0 to 255"):
        there.predict(images)
    recipe = Recipe.load(tmp_path / "run")
    assert (recipe.seed, recipe.epochs, recipe.min_steps, recipe.protocol) == (7, 12, 0, "all")
    with pytest.raises(OutputError, match="run is taken"):
        there.fit(images, labels)


@pytest.mark.usefixtures("untrained")
def test_cross_validation_grids_and_pipelines_take_it(named):
    images, labels = named
    digits = draw(90).labels
    assert cross_val_score(InkdigitClassifier(), images, digits, cv=3).mean() > 0.8  # as well as the templates do
    grid = GridSearchCV(InkdigitClassifier(), {"epochs": [1, 2], "learning_rate": [0.1, 0.2]}, cv=2)
    grid.fit(images.reshape(90, -1), labels)
    assert set(grid.best_params_) == {"epochs", "learning_rate"}
    scaled = make_pipeline(MinMaxScaler(), InkdigitClassifier())  # gives pixels above 1 that it has not seen
    assert cross_val_score(scaled, images.reshape(90, -1), digits, cv=3, error_score="raise").mean() > 0.5


@pytest.mark.usefixtures("untrained")
def test_the_example_of_the_documentation_runs(tmp_path, monkeypatch):
    text = (Path(__file__).parents[2] / "docs" / "python.md").read_text(encoding="utf-8")
    _, code = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    few = [column[:60] for column in load_digits(return_X_y=True)]
    monkeypatch.setattr("sklearn.datasets.load_digits", lambda **_: few)
    exec(compile(code, "python.md", "exec"), {})
    assert load(tmp_path / "digits.onnx").classes == tuple("0123456789")


def recipe_of(**params: object) -> Recipe:
    return InkdigitClassifier(**params)._recipe()


def test_its_parameters_are_fields_of_a_recipe():
    assert set(FIELDS) <= set(Recipe.model_fields)
    fast = Recipe.load("fast")
    assert recipe_of() == fast.change(estimator.WITHOUT_REPORT)
    assert recipe_of(epochs=3, dropout=0.2).differs_in(("epochs", "min_steps", "dropout"), fast) == "epochs"
    assert (recipe_of(epochs=3).min_steps, recipe_of(epochs=3, min_steps=5).min_steps) == (0, 5)
    assert recipe_of(filters=[8, 8, 8]).filters == (8, 8, 8)
    assert recipe_of(random_state=3).seed == 3
    assert recipe_of(epochs=np.int64(3), zoom=np.float64(0.1), random_state=np.int64(4)).epochs == 3
    first, second = (recipe_of(random_state=np.random.RandomState(1)).seed for _ in range(2))
    assert first == second > 0
    watching = recipe_of(recipe="classic")  # stops early, so it needs a validation split
    assert (watching.protocol, watching.validation) == ("select", 0.1)
    with pytest.raises(UsageError, match="learning_rate"):
        recipe_of(learning_rate=-1.0)
    with pytest.raises(UsageError, match="There is no recipe 'fsat'"):
        recipe_of(recipe="fsat")
