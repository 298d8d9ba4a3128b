"""Splits: no sample lost or twice, every class its share, all samples of a writer together, one seed one split."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkdigit.data.splits import SplitRule, hold_out, split, usable_samples
from inkdigit.errors import UsageError
from inkdigit.training.data import splits_of
from inkdigit.training.recipe import HELD_OUT_BY, Recipe

from .conftest import make_dataset, make_part

LABELS = [0] * 60 + [1] * 30 + [2] * 10


def pictures(*parts):
    return [image.tobytes() for part in parts if part is not None for image in part.images]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=2, max_size=6), st.floats(0.05, 0.6), st.integers(0, 9))
def test_every_class_gives_its_share_and_nothing_is_lost(sizes, share, seed):
    labels = [k for k, size in enumerate(sizes) for _ in range(size)]
    count = max(1, round(share * len(labels)))
    part = make_part(labels)
    if all(size == 1 for size in sizes):
        with pytest.raises(UsageError):
            hold_out(part, count, seed=seed)
        return
    try:
        rest, held = hold_out(part, count, seed=seed)
    except UsageError:
        assert count < len(sizes)  # so few that they fell to classes with a single image
        return
    assert sorted(pictures(rest, held)) == sorted(pictures(part))
    for k, size in enumerate(sizes):
        assert abs((held.labels == k).sum() - size * count / len(labels)) <= 1
        assert (rest.labels == k).sum() >= 1


def test_the_same_seed_gives_the_same_split_and_another_another():
    part = make_part(LABELS)
    first, again, other = (hold_out(part, 20, seed=seed)[1] for seed in (3, 3, 4))
    assert pictures(first) == pictures(again) != pictures(other)
    assert len(first) == 20
    assert np.bincount(first.labels).tolist() == [12, 6, 2]
    assert (np.diff(first.labels) >= 0).all()  # the old order


def test_writers_stay_whole():
    writers = [i // 4 for i in range(100)]
    part = make_part(LABELS, writers=writers)
    rest, held = hold_out(part, 21, seed=0)
    assert len(held) == 20
    assert not set(rest.writers.tolist()) & set(held.writers.tolist())
    assert pictures(held) != pictures(hold_out(part, 21, seed=1)[1])


def test_a_stratified_split_goes_by_class_though_writers_are_known():
    dataset = make_dataset(make_part(LABELS, writers=[i // 4 for i in range(100)]), make_part([0, 1]))
    parts = split(dataset, protocol="select", validation=0.2, seed=0, stratified=True)
    assert np.bincount(parts.report.labels).tolist() == [12, 6, 2]
    assert parts.train.writers is None


def test_a_single_writer_is_split_by_class():
    assert len(hold_out(make_part(LABELS, writers=[7] * 100), 20, seed=0)[1]) == 20


def test_select_never_touches_the_test_part():
    data = make_dataset(make_part(LABELS), make_part([0, 1, 2], seed=1))
    parts = split(data, protocol="select", validation=0, seed=0)
    assert parts.report is parts.validation
    assert parts.report_name == "validation"
    assert (len(parts.train), len(parts.report)) == (84, 16)
    assert not set(pictures(data.test)) & set(pictures(parts.train, parts.report))


@pytest.mark.parametrize(("validation", "held"), [(0, 16), (10, 10), (0.25, 25), (1, 1)])
def test_validation_is_a_count_or_a_share(validation, held):
    data = make_dataset(make_part(LABELS), make_part([0, 1]))
    assert len(split(data, protocol="select", validation=validation, seed=0).report) == held


def test_the_same_test_images_are_set_aside_in_every_run():
    data = make_dataset(make_part(LABELS))
    tests = [split(data, protocol="final", validation=v, seed=seed) for v, seed in ((0, 0), (0.1, 5))]
    assert pictures(tests[0].report) == pictures(tests[1].report)
    assert [(len(p.train), p.validation and len(p.validation), len(p.report)) for p in tests] == [
        (80, None, 20),
        (72, 8, 20),
    ]
    selected = split(data, protocol="select", validation=0, seed=2)
    assert not set(pictures(tests[0].report)) & set(pictures(selected.train, selected.report))
    assert len(selected.train) + len(selected.report) == 80


def test_final_reports_on_the_test_part():
    data = make_dataset(make_part(LABELS), make_part([0, 1, 2], seed=1))
    parts = split(data, protocol="final", validation=0, seed=0)
    assert parts.train is data.train
    assert parts.report is data.test
    assert parts.validation is None
    assert parts.report_name == "test"


def test_unreadable_images_stay_only_in_the_test_split():
    faults = {3: "broken", 70: "broken"}
    data = make_dataset(make_part(LABELS, faults=faults), make_part([0, 1], seed=1, faults={1: "broken"}))
    for protocol in ("select", "final"):
        parts = split(data, protocol=protocol, validation=10, seed=0)
        assert len(parts.train) + len(parts.validation) == 98
        assert not parts.train.faults
        assert not parts.validation.faults
    assert parts.report.faults == {1: "broken"}


def test_without_a_test_fraction_select_uses_every_image():
    data = make_dataset(make_part(LABELS))
    parts = split(data, protocol="select", validation=10, seed=0, test_fraction=0)
    assert len(parts.train) == 90
    with pytest.raises(UsageError, match="no test split") as caught:
        split(data, protocol="final", validation=10, seed=0, test_fraction=0)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "change",
    [
        {"validation": 100},
        {"validation": 1000},
        {"validation": -1},
        {"validation": 1.5},
        {"validation": float("nan")},
        {"test_fraction": 1.0},
        {"test_fraction": -0.1},
        {"protocol": "best"},
    ],
)
def test_impossible_sizes(change):
    data = make_dataset(make_part(LABELS))
    with pytest.raises(UsageError):
        split(data, **{"protocol": "select", "validation": 10, "seed": 0, **change})


def test_too_few_images_to_hold_any_out():
    with pytest.raises(UsageError, match="cannot be held out"):
        split(make_dataset(make_part([0, 1])), protocol="select", validation=0, seed=0)


@pytest.mark.parametrize("protocol", ["select", "final"])
def test_images_of_one_class_alone_are_an_error(protocol):
    dataset = make_dataset(make_part([3] * 20), make_part([1, 3]))
    with pytest.raises(UsageError, match=r"Expected: training samples of two classes or more.*only '3'") as caught:
        split(dataset, protocol=protocol, validation=0, seed=0)
    assert caught.value.exit_code == 2


def test_a_division_has_the_fields_and_the_defaults_of_a_recipe():
    assert sorted(SplitRule.__slots__) == sorted(HELD_OUT_BY)
    assert SplitRule() == SplitRule(**{name: Recipe.model_fields[name].default for name in HELD_OUT_BY})


def test_a_division_divides_as_its_recipe():
    recipe = Recipe(protocol="select", validation=0.25, validation_split="stratified", seed=7)
    data = make_dataset(make_part(LABELS, writers=[i % 9 for i in range(100)]))
    one, other = SplitRule.from_recipe(recipe.model_dump()).split(data), splits_of(data, recipe)
    assert (one.report_name, len(one.report)) == ("validation", 20)
    for mine, theirs in ((one.train, other.train), (one.report, other.report)):
        assert np.array_equal(mine.images, theirs.images)


def test_data_that_a_recipe_is_calibrated_on_are_all_trained_on():
    data = make_dataset(make_part(LABELS), make_part(LABELS[:10]))
    rule = SplitRule(validation=0.2, calibrated_on=data.sha256)
    assert (len(rule.split(data).train), rule.split(data).validation) == (100, None)
    for other in (replace(rule, protocol="select"), replace(rule, calibrated_on="0" * 64)):
        assert len(other.split(data).train) == 80


def test_each_usable_sample_is_taken_once():
    part = make_part([0, 1, 0, 1, 2, 3])
    images = part.images.copy()
    images[2], images[3], images[5] = images[0], images[0], 9  # a copy, one with another label, an even one
    messy = replace(part, images=images, faults={4: "cut short"})
    assert usable_samples(messy).tolist() == [0, 1, 3]
    assert usable_samples(messy.take(np.array([], np.int64))).tolist() == []
