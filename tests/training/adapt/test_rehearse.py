"""What is rehearsed, what is kept from it, and which of a user's pictures are worth learning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from inkdigit.errors import UsageError
from inkdigit.model.provenance import Data
from inkdigit.training.adapt import rehearse
from inkdigit.training.adapt.rehearse import DRAWN, as_known, draw, mix, open_old, open_own
from inkdigit.training.convert.restore import restore
from inkdigit.training.data import splits_of
from inkdigit.training.network import nets
from inkdigit.types import Dataset, Part

from ..conftest import CLASSES, tiny
from ..conftest import draw as drawn_part
from ..convert.test_ensemble import relabelled


def pixels(part: Part) -> set[bytes]:
    return {image.tobytes() for image in part.images}


def test_what_the_model_held_out_is_kept_from_the_rehearsal(finished, drawn, log):
    net, recipe = restore(finished.model)
    old = open_old(finished.model, net, recipe, drawn, seed=0, log=log)
    splits = splits_of(drawn, recipe)
    assert pixels(old.unlearnt) == pixels(splits.validation)
    assert pixels(old.watched) > pixels(old.unlearnt)  # and some that the model learnt from
    assert pixels(old.splits.train) | pixels(old.watched) == pixels(splits.train) | pixels(splits.validation)
    assert not pixels(old.splits.train) & pixels(old.watched)
    assert pixels(old.splits.report) == pixels(drawn.test)


def test_a_model_that_held_nothing_out_is_watched_by_pictures_that_it_learnt_from(ten, reader, tmp_path, lines, log):
    model = relabelled(reader, tmp_path / "all.onnx", validation=0)
    net, recipe = restore(model)
    old = open_old(model, net, recipe, ten, seed=0, log=log)
    assert old.unlearnt is None
    assert len(old.watched) == 160 // 6
    assert len(old.splits.train) == 160 - len(old.watched)
    assert not lines


def test_other_data_than_the_model_learnt_from_may_be_rehearsed_and_that_is_said(ten, reader, lines, log):
    other = replace(ten, name="other", train=ten.train.take(np.arange(100)))
    old = open_old(reader, *restore(reader), other, seed=0, log=log)
    assert old.dataset.name == "other"
    assert "other is not what the model learnt from" in lines[0]


def test_auto_rehearses_what_the_card_names_where_it_is_at_hand(finished, tmp_path, lines, log):
    provenance = replace(finished.model.card.provenance, data=Data("sklearn-digits", "0"))
    model = relabelled(finished.model, tmp_path / "m.onnx", card={"provenance": provenance})
    with pytest.raises(UsageError, match=r"'sklearn-digits' has labels that .* Received: 3, 4"):
        open_old(model, *restore(model), rehearse.AUTO, seed=0, log=log)  # it was opened
    assert not lines


def test_auto_draws_digits_where_the_data_are_out_of_reach(reader, monkeypatch, lines, log):
    monkeypatch.setattr(rehearse, "DRAWN_PICTURES", 300)
    net, recipe = restore(reader)
    old = open_old(reader, net, recipe, rehearse.AUTO, seed=0, log=log)
    assert "What the model learnt from is not at hand" in lines[0]
    assert (old.dataset.name, old.unlearnt) == (DRAWN, None)
    for part in (old.splits.train, old.watched):  # it keeps what it knows; it is not taught what it does not
        assert rehearse.is_right(net, part, 10).all()
    assert old.right == len(old.watched) > 0


def test_stressed_copies_of_drawn_digits_are_rehearsed_and_watched_where_the_model_knows_them(reader, monkeypatch, log):
    monkeypatch.setattr(rehearse, "DRAWN_PICTURES", 80)
    monkeypatch.setattr(rehearse, "is_right", lambda _net, part, _classes: np.ones(len(part), bool))
    net, recipe = restore(reader)
    for stressed, copies in ((0.0, 0), (1.0, 20)):
        recipe = recipe.change({"stressed": stressed, "outliers": 0})
        old = open_old(reader, net, recipe, DRAWN, seed=0, log=log)
        assert 20 + 0.9 * copies <= len(old.watched) <= 20 + copies  # some come out of the door empty
        assert pixels(old.splits.report) == pixels(old.watched)
        rehearsed = draw(old, recipe, 1000, seed=0, log=log)
        assert 60 + 2.7 * copies <= len(rehearsed) <= 60 + 3 * copies
        assert not pixels(rehearsed) & pixels(old.watched)


def test_what_flatters_of_the_old_is_told(finished, reader, drawn, monkeypatch, log):
    monkeypatch.setattr(rehearse, "DRAWN_PICTURES", 80)
    net, recipe = restore(finished.model)
    assert open_old(finished.model, net, recipe, drawn, seed=0, log=log).flatters is None
    choosing = recipe.change({"protocol": "select"})
    assert open_old(finished.model, net, choosing, drawn, seed=0, log=log).flatters == "they chose how far it goes"
    told = open_old(reader, *restore(reader), DRAWN, seed=0, log=log).flatters
    assert told == "all of these were read before, and they chose how far it goes"


def test_nothing_is_drawn_for_a_model_of_other_things_than_the_ten_digits(finished, log):
    with pytest.raises(UsageError, match=r"Nothing can be drawn.*one of 0, 1, 2.*Say with --replay"):
        open_old(finished.model, *restore(finished.model), DRAWN, seed=0, log=log)


def test_outliers_are_rehearsed_in_the_share_that_the_recipe_has(ten, reader, log):
    net, recipe = restore(reader)
    old = open_old(reader, net, recipe, ten, seed=0, log=log)
    part = draw(old, recipe.change({"outliers": len(old.splits.train) // 2}), 60, seed=0, log=log)
    assert (part.labels < 10).sum() == 40
    assert 15 <= (part.labels >= 10).sum() <= 20  # one of which the door leaves nothing is left out


def test_without_anything_made_the_rehearsal_is_pictures_of_the_part(finished, drawn, log):
    net, recipe = restore(finished.model)
    old = open_old(finished.model, net, recipe, drawn, seed=0, log=log)
    part = draw(old, recipe, 25, seed=0, log=log)
    assert len(part) == len(pixels(part)) == 25
    assert pixels(part) < pixels(old.splits.train)


def test_a_mixture_shows_each_picture_as_often_as_the_others_of_its_part():
    own, old = drawn_part(5), drawn_part(40, seed=1)
    part = mix(own, old, (12, 30), seed=0)
    times = [sum(image.tobytes() == one.tobytes() for image in part.images) for one in own.images]
    assert sorted(times) == [2, 2, 2, 3, 3]
    assert len(part) == 42
    assert len(pixels(part) - pixels(own)) == 30


def test_labels_become_those_of_the_model(finished):
    mixed = Dataset("m", ("2", "extra", "0"), Part(drawn_part(3).images, np.array([0, 2, 0])))
    known = as_known(finished.model, mixed)  # of "extra" there is no picture
    assert known.classes == CLASSES
    assert known.train.labels.tolist() == [2, 0, 2]


def test_pictures_that_say_nothing_or_say_it_twice_are_left_out(finished, lines, log):
    part = drawn_part(9)
    images, labels = np.concatenate([part.images, part.images[:2]]), np.concatenate([part.labels, part.labels[:2]])
    images[3] = 0
    own = open_own(finished.model, Dataset("own", CLASSES, Part(images, labels, faults={4: "cut short"})), log=log)
    assert pixels(own.train) == pixels(part.take(np.array([0, 1, 2, 5, 6, 7, 8])))
    assert len(own.train) == 7
    assert lines == ["Left out: 4 pictures that cannot be read, hold no ink or repeat another."]


def test_outputs_of_outliers_are_no_answers():
    net, part = nets.build(tiny(outliers=9), 3), drawn_part(6)
    with torch.no_grad():
        net[-1].bias[:] = torch.tensor([0.0, 50.0, 0.0, 100.0, 100.0])
    assert rehearse.count_right(net, part, 3) == (part.labels == 1).sum() == 2
