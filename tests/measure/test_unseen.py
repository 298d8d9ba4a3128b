"""Which pictures a model is measured on: those that its training held out, or it is said that they trained it."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkdigit.data.splits import SplitRule, Splits
from inkdigit.errors import NotAModelFile, UsageError
from inkdigit.measure.metrics import evaluate
from inkdigit.measure.robustness import evaluate_corruptions
from inkdigit.measure.unseen import choose
from inkdigit.model.card import Card
from inkdigit.model.provenance import Provenance
from inkdigit.model.recognizer import Recognizer
from inkdigit.types import DIGITS, Dataset, Part

from ..conftest import Tiny, template

WORDS = st.sampled_from(["", "x", "ab", 'protocol = "select"', "seed = -1", "validation = inf", "[[", "a" * 64])
KEYS = ("data", "recipe", "members", "adapted", "replay", "teacher", "name", "sha256", "train", "test", "pictures")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 90) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=12,
)
IMAGES = np.stack([template(i) for i in range(60)])
CARD = Tiny().card().to_json()


def part(n: int = 40, *, begin: int = 0, writers: int = 0) -> Part:
    """`n` different pictures of ten digits, by some writers where that is not 0."""
    labels = np.arange(begin, begin + n, dtype=np.int64) % 10
    who = (np.arange(n) % writers).astype(np.int32) if writers else None
    return Part(IMAGES[begin : begin + n], labels, writers=who)


def toml(fields: dict[str, Any]) -> str:
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in fields.items())


def stated(dataset: Dataset) -> dict[str, Any]:
    """The data that a run learned from, as its card states them."""
    test = None if dataset.test is None else len(dataset.test)
    return {"name": dataset.name, "sha256": dataset.sha256, "train": len(dataset.train), "test": test}


def model(figures: dict[str, Any] | None = None, **provenance: Any) -> Any:
    """As much of a model as is looked at."""
    card = SimpleNamespace(provenance=Provenance.from_json(provenance), figures=figures or {})
    return SimpleNamespace(classes=DIGITS, card=card)


def trained(dataset: Dataset, fields: dict[str, Any], **more: Any) -> tuple[Any, Splits]:
    """A model as a run leaves it, and the parts that it used."""
    parts = SplitRule.from_recipe(fields).split(dataset)
    figures = {"part": parts.report_name, "n": len(parts.report)}
    return model(figures, **{"data": stated(dataset), "recipe": toml(fields), **more}), parts


def same(one: Part, other: Part) -> bool:
    return np.array_equal(one.images, other.images) and np.array_equal(one.labels, other.labels)


def apart(one: Part, other: Part) -> bool:
    return not {image.tobytes() for image in one.images} & {image.tobytes() for image in other.images}


@settings(max_examples=120, deadline=None)
@given(
    fields=st.fixed_dictionaries(
        {"protocol": st.sampled_from(["select", "final"]), "seed": st.integers(0, 5)},
        optional={
            "validation": st.sampled_from([0.0, 0.25, 7]),
            "validation_split": st.sampled_from(["auto", "stratified"]),
            "test_fraction": st.sampled_from([0.0, 0.1, 0.3]),
        },
    ),
    writers=st.sampled_from([0, 8]),
    had_test=st.booleans(),
    has_test=st.booleans(),
    swapped=st.booleans(),
    split=st.sampled_from(["test", "train"]),
)
def test_what_trained_a_model_is_never_measured_without_a_word(
    fields: dict[str, Any], writers: int, had_test: bool, has_test: bool, swapped: bool, split: Any
) -> None:
    dataset = Dataset("mine", DIGITS, part(writers=writers), part(20, begin=40) if had_test else None)
    try:
        learner, parts = trained(dataset, fields)
    except UsageError:
        return  # such a run cannot be
    asked = replace(dataset, test=part(20, begin=40) if has_test else None)
    if swapped and asked.test is not None:
        asked = replace(asked, train=asked.test, test=asked.train)
    said: list[str] = []
    chosen = choose(learner, asked, split, log=said.append)
    assert chosen.warning or apart(chosen.part, parts.train)
    if chosen.warning:
        assert said == [f"Warning: {chosen.warning}"]
        assert same(chosen.part, asked.part(split))
    elif not same(chosen.part, asked.part(split)):
        assert same(chosen.part, parts.report)
        assert (chosen.split, split) == (parts.report_name, "test")
        assert said == [
            f"mine trained the model. Measured: the {len(parts.report)} of its 40 images that were held out."
        ]
    # Where the run reported on some of these pictures, exactly they are measured.
    if split == "test" and same(asked.part("test"), dataset.train) and not apart(parts.report, dataset.train):
        assert same(chosen.part, parts.report)
        assert chosen.warning is None


@settings(max_examples=120, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), JSON, max_size=6), st.booleans())
def test_whatever_a_card_states_something_is_chosen(provenance: dict[str, Any], matches: bool) -> None:
    dataset = Dataset("x", DIGITS, part())
    if matches:
        provenance = {**provenance, "data": stated(dataset)}
    try:
        card = Card.from_json(json.dumps({**json.loads(CARD), "provenance": provenance}), where="m.onnx")
    except NotAModelFile:
        return  # the schema refuses it before anything is read from it
    chosen = choose(SimpleNamespace(classes=DIGITS, card=card), dataset, "test", log=lambda _: None)  # type: ignore[arg-type]
    assert len(chosen.part) == 40
    assert bool(chosen.warning) == matches


def test_a_run_is_measured_on_what_it_reported() -> None:
    dataset = Dataset("mine", DIGITS, part())
    learner, parts = trained(dataset, {"protocol": "select", "validation": 0.25, "test_fraction": 0.0})
    chosen = choose(learner, dataset, "test", log=lambda _: None)
    assert same(chosen.part, parts.report)
    assert (chosen.split, chosen.warning, len(chosen.part)) == ("validation", None, 10)
    whole = choose(learner, dataset, "train", log=lambda _: None)
    assert len(whole.part) == 40
    assert "10 of them were held out: split test measures only these." in str(whole.warning)
    beside = choose(learner, replace(dataset, test=part(9, begin=45)), "train", log=lambda _: None)
    assert str(beside.warning).endswith("10 of them were held out.")


def test_other_pictures_than_then_are_no_longer_divided_as_then() -> None:
    """The SHA-256 does not hold who wrote a picture, nor which could not be read."""
    dataset = Dataset("mine", DIGITS, part())
    learner, _ = trained(dataset, {"protocol": "select", "validation": 7})
    for now in (part(writers=3), replace(part(), faults=dict.fromkeys(range(20), "cut short"))):
        chosen = choose(learner, replace(dataset, train=now), "test", log=lambda _: None)
        assert len(chosen.part) == 40
        assert str(chosen.warning).startswith("These images trained the model (mine, SHA-256 ")


def test_an_ensemble_is_measured_on_what_its_members_held_out() -> None:
    dataset = Dataset("mine", DIGITS, part())
    fields = {"protocol": "final", "test_fraction": 0.2, "seed": 3}
    one, parts = trained(dataset, fields)
    file = {"file": "a", "sha256": "b", "name": "c", "temperature": 1.0}
    members = [{**file, "recipe": toml({**fields, "seed": seed}), "seed": seed} for seed in (3, 4)]
    both = model(one.card.figures, data=stated(dataset), members=members)
    assert same(choose(both, dataset, "test", log=lambda _: None).part, parts.report)
    members[1] = {**members[1], "adapted": [{"data": {"name": "hand"}, "pictures": {}}]}
    both = model(one.card.figures, data=stated(dataset), members=members)
    assert choose(both, dataset, "test", log=lambda _: None).warning


def test_what_a_model_was_adapted_to_or_its_teacher_learnt_is_told() -> None:
    hand, dataset = Dataset("hand", DIGITS, part(12)), Dataset("mine", DIGITS, part(begin=20))
    step = {"data": {"name": "h", "sha256": hand.sha256}, "pictures": {}}
    learner, _ = trained(dataset, {"protocol": "final"}, adapted=[step])
    said = choose(learner, hand, "test", log=lambda _: None).warning
    assert str(said).startswith("These images are what the model was adapted to (hand, SHA-256 ")
    assert "trained the model" in str(choose(learner, dataset, "test", log=lambda _: None).warning)
    # Adapting leaves out repeated, even and unreadable pictures, and labels are the model's.
    again = np.concatenate([hand.train.images, hand.train.images[:2], np.zeros((2, 28, 28), np.uint8)])
    backwards = {k: 9 - k for k in range(10)}
    labels = np.array([backwards[k] for k in [*hand.train.labels.tolist(), 0, 1, 5, 6]], np.int64)
    messy = Dataset("messy", DIGITS[::-1], Part(again, labels, faults={15: "cut short"}))
    assert "adapted to" in str(choose(learner, messy, "test", log=lambda _: None).warning)
    pupil = model(data={"name": "other"}, recipe="", teacher={"file": "a", "sha256": "b", "data": stated(dataset)})
    assert "trained the model's teacher" in str(choose(pupil, dataset, "test", log=lambda _: None).warning)


def test_other_data_of_the_same_name_are_doubted_unless_they_are_a_test_part() -> None:
    dataset = Dataset("mine", DIGITS, part())
    learner, _ = trained(dataset, {"protocol": "final"})
    order = np.arange(40)[::-1]
    turned = replace(dataset, train=dataset.train.take(order))
    assert str(choose(learner, turned, "test", log=lambda _: None).warning).startswith("Some of these images may")
    beside = replace(turned, test=part(9, begin=45))
    assert choose(learner, beside, "test", log=lambda _: None).warning is None
    assert choose(learner, replace(turned, name="other"), "test", log=lambda _: None).warning is None


def test_pictures_that_are_not_prepared_are_known_too() -> None:
    dataset = Dataset("mine", DIGITS, part())
    learner, parts = trained(dataset, {"protocol": "final", "test_fraction": 0.2})
    inverted = replace(dataset, train=replace(dataset.train, images=255 - dataset.train.images))
    chosen = choose(learner, inverted, "test", log=lambda _: None)
    assert np.array_equal(chosen.part.labels, parts.report.labels)
    assert chosen.warning is None


def test_every_way_of_measuring_says_so(tmp_path: Any, log: Any, lines: list[str]) -> None:
    dataset = Dataset("mine", DIGITS, part())
    recipe = toml({"protocol": "final", "test_fraction": 0.2})
    file = Tiny(provenance={"data": stated(dataset), "recipe": recipe}).write(tmp_path / "tiny.onnx")
    recognizer = Recognizer.load(file)  # whose card has no figures: its run may have divided the data otherwise
    metrics = evaluate(recognizer, dataset, log=log)
    assert (metrics.n, metrics.split) == (40, "all")
    assert metrics.to_json()["warning"] == metrics.warning
    assert lines == [f"Warning: {metrics.warning}"]
    found = evaluate_corruptions(recognizer, dataset, limit=3)
    assert found.warning == found.to_json()["warning"] == metrics.warning
    assert evaluate(recognizer, replace(dataset, train=part(20), name="other")).warning is None


@pytest.mark.parametrize(
    "fields", [{"seed": -1}, {"seed": 1.5}, {"validation": float("inf")}, {"validation_split": 3}, {"protocol": []}]
)
def test_a_division_that_cannot_be_is_an_error(fields: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        SplitRule.from_recipe(fields).split(Dataset("mine", DIGITS, part()))
