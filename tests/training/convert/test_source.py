"""The data that a model learned from: where they are, and whether they are the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from inkdigit.errors import MissingData, UsageError
from inkdigit.model.recognizer import Recognizer
from inkdigit.training.convert.source import open_same, open_source, source_of_model
from inkdigit.training.recipe import Recipe

from ..conftest import draw


@pytest.fixture
def moved(finished, tmp_path: Path) -> Path:
    """The model file of a run, without the rest of it."""
    shutil.copy(finished.folder / "model.onnx", tmp_path)
    return tmp_path


def write_recipe(folder: Path, finished, **changes: object) -> None:
    """A recipe.toml beside the model: that of the run, changed."""
    (folder / "recipe.toml").write_text(Recipe.load(str(finished.folder)).change(changes).to_toml(), encoding="utf-8")


def write_data(path: Path, *, seed: int) -> str:
    part = draw(30, seed=seed)
    np.savez(path, X=part.images, y=part.labels)
    return str(path)


def test_only_the_run_s_own_recipe_names_the_data(finished, moved):
    recognizer = Recognizer.load(moved)
    write_recipe(moved, finished, data="/there/drawn")
    assert source_of_model(recognizer) == "/there/drawn"
    on_card = Recipe.load(str(finished.folder)).data
    write_recipe(moved, finished, data="/elsewhere", epochs=99)
    assert source_of_model(recognizer) == on_card
    (moved / "recipe.toml").write_text("epochz = ", encoding="utf-8")
    assert source_of_model(recognizer) == on_card


def test_other_data_are_taken_where_the_user_names_them(finished, tmp_path, lines, log):
    source = write_data(tmp_path / "other.npz", seed=5)
    dataset = open_same(source, finished.model, named=True, log=log)
    assert (dataset.name, len(dataset.train)) == ("other", 30)
    assert [line for line in lines if line.startswith("other is not what the model learn")]
    with pytest.raises(UsageError, match=r"is not the data that the model learn.*Expected: SHA-256"):
        open_same(source, finished.model, named=False, log=log)


def test_data_that_cannot_be_opened_are_an_error_of_who_named_them(finished, tmp_path, log):
    gone = str(tmp_path / "empty")
    Path(gone).mkdir()
    with pytest.raises(UsageError, match=r"The data that the model learn.* cannot be opened: .*Use --data"):
        open_source(gone, finished.model, named=False, log=log)
    with pytest.raises((UsageError, MissingData)) as caught:
        open_source(gone, finished.model, named=True, log=log)
    assert "Use --data" not in str(caught.value)
