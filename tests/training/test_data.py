"""Data sets that somebody made of arrays: whatever learns from one sees the pictures that a file of them would give."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inkdigit.errors import UsageError
from inkdigit.picture.prepare import prepare_all
from inkdigit.training.adapt.rehearse import open_own
from inkdigit.training.data import open_for
from inkdigit.types import Dataset

from .conftest import tiny


def inverted(dataset: Dataset) -> Dataset:
    return replace(dataset, train=replace(dataset.train, images=255 - dataset.train.images))


def test_training_sees_prepared_pictures(drawn, log, lines):
    opened = open_for(tiny(), inverted(drawn), log=log)
    assert np.array_equal(opened.train.images, drawn.train.images)
    assert opened.sha256 == drawn.sha256
    assert lines == ["Pictures of drawn were not prepared: they are now, as those of a file would be."]
    assert open_for(tiny(), drawn, log=log) is drawn


def test_adapting_sees_prepared_pictures(drawn, finished, log):
    own = open_own(finished.model, inverted(drawn), log=log)
    assert np.array_equal(own.train.images, prepare_all(own.train.images))
    assert own.sha256 == open_own(finished.model, drawn, log=log).sha256


def test_what_is_not_a_data_set_is_one_error(drawn):
    with pytest.raises(UsageError, match=r"inkdigit\.open_arrays"):
        open_for(tiny(), drawn.train.images, log=print)  # type: ignore[arg-type]


def test_a_run_that_only_chooses_does_not_look_at_the_test_part(drawn, log):
    raw = replace(inverted(drawn), test=inverted(drawn).train)
    assert open_for(tiny(protocol="select", validation=0.25), raw, log=log).test is raw.test
    assert open_for(tiny(), raw, log=log).test is not raw.test
