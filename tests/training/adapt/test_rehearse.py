"""What is rehearsed, what is kept from it, and which of a user's pictures are worth learning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from inkdigit.errors import UsageError
from inkdigit.model.card import Calibration
from inkdigit.model.provenance import Data
from inkdigit.model.recognizer import Recognizer
from inkdigit.picture.prepare import prepare
from inkdigit.synth.drawn import digit
from inkdigit.training.adapt import outcome, rehearse
from inkdigit.training.adapt.rehearse import DRAWN, as_known, draw, mix, open_old, open_own
from inkdigit.training.convert.restore import restore
from inkdigit.training.data import splits_of
from inkdigit.training.network import nets
from inkdigit.types import DIGITS, Dataset, Part

from ..conftest import CLASSES, tiny
from ..conftest import draw as drawn_part
from ..convert.test_ensemble import member_file, relabelled


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
    parts = splits_of(drawn, recipe)
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
    for part in (old.parts.train, old.watched):  # it keeps what it knows; it is not taught what it does not
        assert (rehearse.answer(net, part, 10) == part.labels).all()


def test_stressed_copies_of_drawn_digits_are_rehearsed_and_watched_where_the_model_knows_them(reader, monkeypatch, log):
    monkeypatch.setattr(rehearse, "DRAWN_PICTURES", 80)
    monkeypatch.setattr(rehearse, "answer", lambda _net, part, _classes: part.labels)  # it reads them all
    net, recipe = restore(reader)
    for stressed, copies in ((0.0, 0), (1.0, 20)):
        recipe = recipe.change({"stressed": stressed, "outliers": 0})
        old = open_old(reader, net, recipe, DRAWN, seed=0, log=log)
        assert 20 + 0.9 * copies <= len(old.watched) <= 20 + copies  # some come out of the door empty
        assert pixels(old.parts.report) == pixels(old.watched)
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


def test_a_network_reads_as_its_file_does(reader, ten, tmp_path):
    scores = [one.score for one in reader.predict(ten.train.images)]
    confidences = [one.confidence for one in reader.predict(ten.train.images)]
    calibration = Calibration(1.0, float(np.quantile(scores, 0.3)), None, "", float(np.quantile(confidences, 0.3)))
    model = relabelled(reader, tmp_path / "m.onnx", card={"calibration": calibration})
    file, net = outcome.read(model, ten.train), rehearse.read(restore(model)[0], ten.train, calibration, 10)
    assert 20 < file.answered.sum() < 160
    assert (file.answered == net.answered).mean() > 0.98  # one may lie on the edge
    assert (file.best == net.best).mean() > 0.98
    assert np.allclose(rehearse.scores(restore(model)[0], ten.train, calibration, 10), scores, atol=1e-4)


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
