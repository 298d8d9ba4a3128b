"""Which images each training sees: the held-out images are new to all of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inkdigit.errors import UsageError
from inkdigit.tuning.space import Budget
from inkdigit.tuning.splits import divide
from inkdigit.types import Dataset, Part

from ..training.conftest import CLASSES, tiny

N = 600


def numbered(n: int = N, *, writers: bool = False) -> Part:
    """Images that differ: the first two pixels hold the number of each."""
    images = np.zeros((n, 28, 28), np.uint8)
    images[:, 0, 0], images[:, 0, 1] = np.arange(n) // 256, np.arange(n) % 256
    wrote = (np.arange(n) // 10).astype(np.int32) if writers else None
    return Part(images, np.arange(n, dtype=np.int64) % 3, writers=wrote)


def ids(part: Part | None) -> set[int]:
    assert part is not None
    return {int(i) for i in part.images[:, 0, 0].astype(int) * 256 + part.images[:, 0, 1]}


def test_the_splits_share_no_image_and_none_has_the_test_split():
    test = replace(numbered(30), images=np.full((30, 28, 28), 255, np.uint8))
    division = divide(Dataset("x", CLASSES, numbered(), test), tiny(), Budget(0, 0))
    learn, choose = ids(division.trial.train), ids(division.trial.report)
    unseen = ids(division.comparison.test)
    assert (len(unseen), len(choose), len(learn)) == (100, 83, 417)
    assert not unseen & learn
    assert not unseen & choose
    assert not learn & choose
    assert learn | choose | unseen == set(range(N))
    assert ids(division.comparison.train) == learn | choose
    assert division.trial.report_name == "validation"


def test_a_data_set_of_one_split_has_its_test_split_set_aside():
    division = divide(Dataset("x", CLASSES, numbered()), tiny(test_fraction=0.2), Budget(0, 0))
    assert len(ids(division.comparison.test) | ids(division.comparison.train)) == 480


def test_a_budget_takes_a_share_of_every_class_and_is_the_same_each_time():
    dataset = Dataset("x", CLASSES, numbered(writers=True), numbered(3))
    first, again = (divide(dataset, tiny(), Budget(60, 0)) for _ in range(2))
    assert np.bincount(first.trial.train.labels).tolist() == [20, 20, 20]
    assert ids(first.trial.train) == ids(again.trial.train)
    assert first.available > 400
    assert len(np.unique(ids_of_writers(first.trial.train))) > 25


def ids_of_writers(part: Part) -> list[int]:
    return [i // 10 for i in ids(part)]


def test_writers_are_on_one_side_unless_the_recipe_says_otherwise():
    dataset = Dataset("x", CLASSES, numbered(writers=True), numbered(3))
    for split, shared in (("auto", False), ("stratified", True)):
        division = divide(dataset, tiny(validation_split=split), Budget(0, 0))
        unseen, rest = ({i // 10 for i in ids(part)} for part in (division.comparison.test, division.comparison.train))
        assert bool(unseen & rest) == shared


def test_images_that_cannot_be_read_are_left_out():
    part = replace(numbered(), faults={7: "broken"})
    division = divide(Dataset("x", CLASSES, part, numbered(3)), tiny(), Budget(0, 0))
    assert ids(division.comparison.train) | ids(division.comparison.test) == set(range(N)) - {7}


@pytest.mark.parametrize(
    ("fields", "validated"),
    [({}, None), ({"validation": 0.1}, 50), ({"protocol": "select", "keep": "best"}, 83)],
)
def test_full_trainings_report_on_the_held_out_images(fields, validated):
    division = divide(Dataset("x", CLASSES, numbered(), numbered(3)), tiny(), Budget(10, 1))
    splits = division.comparison_splits(tiny(**fields))
    assert ids(splits.report) == ids(division.comparison.test)
    assert (None if splits.validation is None else len(splits.validation)) == validated
    assert not ids(splits.train) & ids(splits.report)


def test_too_few_images_are_one_error():
    with pytest.raises(UsageError):
        divide(Dataset("x", CLASSES, numbered(3), numbered(3)), tiny(), Budget())
