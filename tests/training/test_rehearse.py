"""What is rehearsed, what is kept from it, and which of a user's pictures are worth learning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from inkdigit.data.drawn import digit
from inkdigit.errors import UsageError
from inkdigit.model.recognizer import Recognizer
from inkdigit.picture.prepare import prepare
from inkdigit.training import nets, rehearse
from inkdigit.training.rehearse import DRAWN, as_known, draw, mix, open_old, open_own
from inkdigit.training.restore import restore
from inkdigit.training.run import parts_of
from inkdigit.types import DIGITS, Dataset, Part

from .conftest import CLASSES, tiny
from .conftest import draw as drawn_part
from .test_ensemble import member_file, relabelled


def pixels(part: Part) -> set[bytes]:
    return {image.tobytes() for image in part.images}


@pytest.fixture(scope="module")
def ten() -> Dataset:
    """All ten digits."""
    rng = np.random.default_rng(0)
    labels = np.arange(200, dtype=np.int64) % 10
    return Dataset("ten", DIGITS, Part(np.stack([prepare(digit(int(k), rng=rng, size_px=28)) for k in labels]), labels))


@pytest.fixture(scope="module")
def reader(ten, tmp_path_factory) -> Recognizer:
    """A model of the ten digits that hardly learnt from them."""
    return member_file(tmp_path_factory.mktemp("model") / "m.onnx", tiny(outliers=100), ten)


def test_what_the_model_held_out_is_kept_from_the_rehearsal(finished, drawn, log):
    net, recipe = restore(finished.model)
    old = open_old(finished.model, net, recipe, drawn, seed=0, log=log)
    parts = parts_of(drawn, recipe)
    assert pixels(old.unlearnt) == pixels(parts.validation)
    assert pixels(old.watched) > pixels(old.unlearnt)  # and some that the model learnt from
    assert pixels(old.parts.train) | pixels(old.watched) == pixels(parts.train) | pixels(parts.validation)
    assert not pixels(old.parts.train) & pixels(old.watched)
    assert pixels(old.parts.report) == pixels(drawn.test)


def test_a_model_that_held_nothing_out_is_watched_by_pictures_that_it_learnt_from(ten, reader, tmp_path, lines, log):
    model = relabelled(reader, tmp_path / "all.onnx", validation=0)
    net, recipe = restore(model)
    old = open_old(model, net, recipe, ten, seed=0, log=log)
    assert old.unlearnt is None
    assert len(old.watched) == 160 // 6
    assert len(old.parts.train) == 160 - len(old.watched)
    assert not lines


def test_other_data_than_the_model_learnt_from_may_be_rehearsed_and_that_is_said(ten, reader, lines, log):
    other = replace(ten, name="other", train=ten.train.take(np.arange(100)))
    old = open_old(reader, *restore(reader), other, seed=0, log=log)
    assert old.dataset.name == "other"
    assert "other is not what the model learnt from" in lines[0]


def test_auto_rehearses_what_the_card_names_where_it_is_at_hand(finished, tmp_path, lines, log):
    told = {**finished.model.card.provenance, "data": {"name": "sklearn-digits", "sha256": "0"}}
    model = relabelled(finished.model, tmp_path / "m.onnx", card={"provenance": told})
    with pytest.raises(UsageError, match=r"'sklearn-digits' has labels that .* Received: 3, 4"):
        open_old(model, *restore(model), rehearse.AUTO, seed=0, log=log)  # it was opened
    assert not lines


def test_auto_draws_digits_where_the_data_are_out_of_reach(reader, monkeypatch, lines, log):
    monkeypatch.setattr(rehearse, "DRAWN_PICTURES", 300)
    net, recipe = restore(reader)
    old = open_old(reader, net, recipe, rehearse.AUTO, seed=0, log=log)
    assert "What the model learnt from is not at hand" in lines[0]
    assert (old.dataset.name, old.unlearnt) == (DRAWN, None)
    for part in (old.parts.train, old.watched):  # it keeps what it knows; it is not taught what it does not
        assert (rehearse.answer(net, part, 10) == part.labels).all()


def test_nothing_is_drawn_for_a_model_of_other_things_than_the_ten_digits(finished, log):
    with pytest.raises(UsageError, match=r"Nothing can be drawn.*one of 0, 1, 2.*Say with --replay"):
        open_old(finished.model, *restore(finished.model), DRAWN, seed=0, log=log)


def test_outliers_are_rehearsed_in_the_share_that_the_recipe_has(ten, reader, log):
    net, recipe = restore(reader)
    old = open_old(reader, net, recipe, ten, seed=0, log=log)
    part = draw(old, recipe.change({"outliers": len(old.parts.train) // 2}), 60, seed=0, log=log)
    assert (part.labels < 10).sum() == 40
    assert 15 <= (part.labels >= 10).sum() <= 20  # one of which the door leaves nothing is left out


def test_without_anything_made_the_rehearsal_is_pictures_of_the_part(finished, drawn, log):
    net, recipe = restore(finished.model)
    old = open_old(finished.model, net, recipe, drawn, seed=0, log=log)
    part = draw(old, recipe, 25, seed=0, log=log)
    assert len(part) == len(pixels(part)) == 25
    assert pixels(part) < pixels(old.parts.train)


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
    net = nets.build(tiny(outliers=9), 3)
    with torch.no_grad():
        net[-1].bias[:] = torch.tensor([0.0, 50.0, 0.0, 100.0, 100.0])
    assert set(rehearse.answer(net, drawn_part(4), 3).tolist()) == {1}
