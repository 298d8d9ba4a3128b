"""Which samples are rehearsed, which are watched, and which of the user's are usable."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from inkdigit.errors import UsageError
from inkdigit.model.provenance import Data
from inkdigit.training.adapt import rehearse
from inkdigit.training.adapt.rehearse import DRAWN, draw, mix, open_old, open_own, relabel
from inkdigit.training.convert.restore import restore
from inkdigit.training.data import splits_of
from inkdigit.training.network import nets
from inkdigit.types import Dataset, Part

from ..conftest import CLASSES, tiny
from ..conftest import draw as drawn_part
from ..convert.conftest import relabelled


def pixels(part: Part) -> set[bytes]:
    return {image.tobytes() for image in part.images}


def test_what_the_model_held_out_is_not_rehearsed(finished, drawn, log):
    net, recipe = restore(finished.model)
    old = open_old(finished.model, net, recipe, drawn, seed=0, log=log)
    splits = splits_of(drawn, recipe)
    assert pixels(old.held_out) == pixels(splits.validation)
    assert pixels(old.watched) > pixels(old.held_out)  # and some that the model was trained on
    assert pixels(old.splits.train) | pixels(old.watched) == pixels(splits.train) | pixels(splits.validation)
    assert not pixels(old.splits.train) & pixels(old.watched)
    assert pixels(old.splits.report) == pixels(drawn.test)


def test_without_held_out_samples_some_of_the_training_data_are_watched(ten, reader, tmp_path, lines, log):
    model = relabelled(reader, tmp_path / "all.onnx", validation=0)
    net, recipe = restore(model)
    old = open_old(model, net, recipe, ten, seed=0, log=log)
    assert old.held_out is None
    assert len(old.watched) == 160 // 6
    assert len(old.splits.train) == 160 - len(old.watched)
    assert not lines


def test_other_data_may_be_rehearsed_and_that_is_logged(ten, reader, lines, log):
    other = replace(ten, name="other", train=ten.train.take(np.arange(100)))
    old = open_old(reader, *restore(reader), other, seed=0, log=log)
    assert old.dataset.name == "other"
    assert "other is not the model's training data" in lines[0]


def test_auto_rehearses_the_training_data_if_they_are_available(finished, tmp_path, lines, log):
    provenance = replace(finished.model.card.provenance, data=Data("sklearn-digits", "0"))
    model = relabelled(finished.model, tmp_path / "m.onnx", card={"provenance": provenance})
    with pytest.raises(UsageError, match=r"'sklearn-digits' has labels that .* Received: 3, 4"):
        open_old(model, *restore(model), rehearse.AUTO, seed=0, log=log)  # it was opened
    assert not lines


@pytest.fixture
def few_digits(monkeypatch) -> None:
    """Draw 80 digits instead of 2,000, which take seconds."""
    monkeypatch.setattr(rehearse, "DRAWN_IMAGES", 80)


@pytest.fixture
def more_digits(monkeypatch) -> None:
    """Draw so many that the small model reads some of them."""
    monkeypatch.setattr(rehearse, "DRAWN_IMAGES", 600)


@pytest.mark.usefixtures("more_digits")
def test_auto_draws_digits_if_the_training_data_are_not_available(reader, lines, log):
    net, recipe = restore(reader)
    old = open_old(reader, net, recipe, rehearse.AUTO, seed=0, log=log)
    assert "The training data is not available" in lines[0]
    assert (old.dataset.name, old.held_out) == (DRAWN, None)
    for part in (old.splits.train, old.watched):  # only digits that it knows
        assert rehearse.is_correct(net, part, 10).all()
    assert old.correct == len(old.watched) > 0


@pytest.mark.usefixtures("few_digits")
def test_stressed_copies_of_drawn_digits_are_rehearsed_and_watched_where_the_model_knows_them(reader, monkeypatch, log):
    monkeypatch.setattr(rehearse, "is_correct", lambda _net, part, _classes: np.ones(len(part), bool))
    net, recipe = restore(reader)
    for stressed, copies in ((0.0, 0), (1.0, 20)):
        recipe = recipe.change({"stressed": stressed, "outliers": 0})
        old = open_old(reader, net, recipe, DRAWN, seed=0, log=log)
        assert 20 + 0.9 * copies <= len(old.watched) <= 20 + copies  # some are empty after preprocessing
        assert pixels(old.splits.report) == pixels(old.watched)
        rehearsed = draw(old, recipe, 1000, seed=0, log=log)
        assert 60 + 2.7 * copies <= len(rehearsed) <= 60 + 3 * copies
        assert not pixels(rehearsed) & pixels(old.watched)


@pytest.mark.usefixtures("more_digits")
def test_a_caveat_says_why_figures_on_old_samples_are_too_high(finished, reader, drawn, log):
    net, recipe = restore(finished.model)
    assert open_old(finished.model, net, recipe, drawn, seed=0, log=log).caveat is None
    choosing = recipe.change({"protocol": "select"})
    assert (
        open_old(finished.model, net, choosing, drawn, seed=0, log=log).caveat
        == "the weights were chosen on these images"
    )
    caveat = open_old(reader, *restore(reader), DRAWN, seed=0, log=log).caveat
    assert caveat == "only images that were right before, and the weights were chosen on them"


def test_nothing_is_drawn_for_a_model_of_other_things_than_the_ten_digits(finished, log):
    with pytest.raises(UsageError, match=r"can be drawn.*classes 0, 1, 2.*with --replay"):
        open_old(finished.model, *restore(finished.model), DRAWN, seed=0, log=log)


def test_outliers_are_rehearsed_in_the_proportion_of_the_recipe(ten, reader, log):
    net, recipe = restore(reader)
    old = open_old(reader, net, recipe, ten, seed=0, log=log)
    part = draw(old, recipe.change({"outliers": len(old.splits.train) // 2}), 60, seed=0, log=log)
    assert (part.labels < 10).sum() == 40
    assert 15 <= (part.labels >= 10).sum() <= 20  # those that are empty after preprocessing are left out


def test_without_generated_images_only_the_training_split_is_rehearsed(finished, drawn, log):
    net, recipe = restore(finished.model)
    old = open_old(finished.model, net, recipe, drawn, seed=0, log=log)
    part = draw(old, recipe, 25, seed=0, log=log)
    assert len(part) == len(pixels(part)) == 25
    assert pixels(part) < pixels(old.splits.train)


def test_a_mixture_has_each_image_equally_often_within_its_part():
    own, old = drawn_part(5), drawn_part(40, seed=1)
    part = mix(own, old, (12, 30), seed=0)
    times = [sum(image.tobytes() == one.tobytes() for image in part.images) for one in own.images]
    assert sorted(times) == [2, 2, 2, 3, 3]
    assert len(part) == 42
    assert len(pixels(part) - pixels(own)) == 30


def test_labels_become_those_of_the_model(finished):
    mixed = Dataset("m", ("2", "extra", "0"), Part(drawn_part(3).images, np.array([0, 2, 0])))
    known = relabel(finished.model, mixed)  # there is no image of "extra"
    assert known.classes == CLASSES
    assert known.train.labels.tolist() == [2, 0, 2]


def test_blank_unreadable_and_repeated_images_are_left_out(finished, lines, log):
    part = drawn_part(9)
    images, labels = np.concatenate([part.images, part.images[:2]]), np.concatenate([part.labels, part.labels[:2]])
    images[3] = 0
    own = open_own(finished.model, Dataset("own", CLASSES, Part(images, labels, faults={4: "cut short"})), log=log)
    assert pixels(own.train) == pixels(part.take(np.array([0, 1, 2, 5, 6, 7, 8])))
    assert len(own.train) == 7
    assert lines == ["Images left out, because they cannot be read, hold no ink or repeat another: 4."]


def test_outputs_of_outliers_are_no_answers():
    net, part = nets.build(tiny(outliers=9), 3), drawn_part(6)
    with torch.no_grad():
        net[-1].bias[:] = torch.tensor([0.0, 50.0, 0.0, 100.0, 100.0])
    assert rehearse.count_correct(net, part, 3) == (part.labels == 1).sum() == 2
