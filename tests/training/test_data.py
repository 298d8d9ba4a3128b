"""The data of a recipe: how images are prepared, also those of arrays, and what opens the data again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inkdigit.errors import UsageError
from inkdigit.picture.prepare import prepare_all
from inkdigit.training.adapt.rehearse import open_own
from inkdigit.training.data import open_for, source_of, sources_of
from inkdigit.types import Dataset

from .conftest import tiny


def inverted(dataset: Dataset) -> Dataset:
    return replace(dataset, train=replace(dataset.train, images=255 - dataset.train.images))


def test_training_gets_prepared_images(drawn, log, lines):
    opened = open_for(tiny(), inverted(drawn), log=log)
    assert np.array_equal(opened.train.images, drawn.train.images)
    assert opened.sha256 == drawn.sha256
    assert lines == ["The images of drawn were not prepared. They are now, like those of a file."]
    assert open_for(tiny(), drawn, log=log) is drawn


def test_adapting_gets_prepared_images(drawn, finished, log):
    own = open_own(finished.model, inverted(drawn), log=log)
    assert np.array_equal(own.train.images, prepare_all(own.train.images))
    assert own.sha256 == open_own(finished.model, drawn, log=log).sha256


def test_anything_but_a_data_set_is_one_error(drawn):
    with pytest.raises(UsageError, match=r"inkdigit\.open_arrays"):
        open_for(tiny(), drawn.train.images, log=print)  # type: ignore[arg-type]


def test_select_does_not_use_the_test_split(drawn, log):
    raw = replace(inverted(drawn), test=inverted(drawn).train)
    assert open_for(tiny(protocol="select", validation=0.25), raw, log=log).test is raw.test
    assert open_for(tiny(), raw, log=log).test is not raw.test


def test_the_source_of_a_run_is_found_from_any_folder(drawn, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert source_of(None, tiny(data="mnist")) == source_of("mnist", tiny(data="usps")) == "mnist"  # a name stays
    assert source_of("digits.npz", tiny()) == str(tmp_path / "digits.npz")
    assert source_of(tmp_path / "mnist", tiny()) == str(tmp_path / "mnist")  # a path is not a name
    assert source_of(drawn, tiny()) == "drawn"


def test_a_teacher_is_found_from_any_folder_too(finished, monkeypatch):
    monkeypatch.chdir(finished.folder.parent)
    assert sources_of("mnist", tiny()) == {"data": "mnist", "teacher": None}
    assert sources_of("mnist", tiny(teacher="best"))["teacher"] == "best"
    by_path = sources_of("mnist", tiny(teacher=finished.folder.name))["teacher"]
    assert by_path == str((finished.folder / "model.onnx").resolve())
