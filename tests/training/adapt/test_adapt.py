"""Adapting: a file that reads the user's hand, tells what it forgot, and says on its card where it comes from."""

from __future__ import annotations

import copy
import csv
import json
from collections.abc import Iterator
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from inkdigit.errors import DataError, OutputError, TrainingError, UsageError
from inkdigit.measure.robustness import trained_kinds
from inkdigit.model.card import Calibration
from inkdigit.model.provenance import Data, ModelFile
from inkdigit.model.recognizer import Recognizer
from inkdigit.picture.prepare import prepare
from inkdigit.synth.drawn import digit
from inkdigit.training import environment
from inkdigit.training.adapt import adapt as room
from inkdigit.training.adapt import outcome, rehearse
from inkdigit.training.adapt.adapt import Adapted, Learned, adapt, cross_validate, interpolate, recalibrate
from inkdigit.training.convert import export
from inkdigit.training.convert.int8 import int8_bytes
from inkdigit.training.convert.restore import restore
from inkdigit.training.evaluate import OPENINGS
from inkdigit.training.network.predict import predict
from inkdigit.types import Dataset, Part

from ..conftest import CLASSES, CPU, draw, fit, tiny, weights
from ..convert.test_ensemble import relabelled

STEPS = 12


def turned(n: int, *, seed: int = 9) -> Part:
    """Digits lying on their side: no model reads them before it has seen some."""
    upright = draw(n, seed=seed)
    images = np.stack([prepare(np.ascontiguousarray(np.rot90(image))) for image in upright.images])
    return Part(images, upright.labels, files=tuple(f"{i}.png" for i in range(n)))


def hand(part: Part, **fields: object) -> Dataset:
    return replace(Dataset("hand", CLASSES, part), **fields)


@pytest.fixture(scope="module")
def own() -> Dataset:
    return hand(turned(30))


@pytest.fixture(scope="module", autouse=True)
def few_at_a_time() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "BATCH", 32)
        yield


@pytest.fixture
def forgetful(monkeypatch) -> None:
    """The old need not be read as before."""
    monkeypatch.setattr(room, "FORGETS", 1.0)


@pytest.fixture(scope="module")
def able(drawn, tmp_path_factory) -> Recognizer:
    """A model that reads digits if they stand upright."""
    recipe = tiny(epochs=10, batch=16, learning_rate=0.06, schedule="one-cycle", head="flatten", validation=0.25)
    net = fit(recipe, drawn.train)[0].net
    about = environment.describe(drawn, source="drawn", device=CPU)
    path = tmp_path_factory.mktemp("able") / "model.onnx"
    path.write_bytes(
        export.model_bytes(
            net,
            "able",
            classes=CLASSES,
            kind="ink",
            calibration=Calibration(0.8, -5.0, 0.999, "something"),
            samples=drawn.train.images[:8],
            provenance=environment.provenance(recipe, drawn, about),
        )
    )
    return Recognizer.load(path)


@pytest.fixture(scope="module")
def done(able, own, drawn, tmp_path_factory) -> tuple[Adapted, list[str]]:
    """A model adapted to digits on their side, and what was told meanwhile."""
    told: list[str] = []
    out = tmp_path_factory.mktemp("adapted") / "mine.onnx"
    return adapt(able, own, out=out, replay=drawn, steps=40, log=told.append), told


def right(model: Recognizer, part: Part) -> int:
    return sum(p.best == label for p, label in zip(model.predict(part.images), part.labels, strict=True))


def test_the_file_reads_others_of_the_hand_better_than_before(able, done):
    others = turned(90, seed=77)
    assert right(able, others) < 45
    assert right(done[0].model, others) > 75
    assert done[0].old.after >= done[0].old.before - 1


def test_what_is_told_of_old_and_learnt_pictures_is_what_the_files_read(able, done, own, drawn):
    adapted = done[0]
    for part, change in ((own.train, adapted.learnt), (drawn.test, adapted.old)):
        counted = right(able, part), right(adapted.model, part)
        assert (change.n, change.before, change.after) == (len(part), *counted)
        given = [sum(p.label is not None for p in one.predict(part.images)) for one in (able, adapted.model)]
        assert [change.answered_before, change.answered_after] == given
    assert adapted.flatters is None
    assert adapted.replay == "drawn, test part"
    assert adapted.model.card.figures["accuracy"] == adapted.old.after / adapted.old.n
    assert adapted.pictures == {"0": 10, "1": 10, "2": 10}


@pytest.mark.usefixtures("forgetful")
def test_own_pictures_count_as_read_by_networks_that_never_saw_them(able, drawn, own, tmp_path):
    """Labels by lot can be learnt by heart, and not guessed."""
    lot = np.random.default_rng(3).permutation(own.train.labels)
    adapted = adapt(able, hand(replace(own.train, labels=lot)), out=tmp_path / "m.onnx", replay=drawn, steps=40)
    assert adapted.folds == room.FOLDS
    assert adapted.own.after < adapted.learnt.after
    assert len(adapted.misread) == adapted.own.n - adapted.own.after
    one = adapted.misread[0]
    assert one.where.endswith(".png")
    assert one.label == CLASSES[lot[int(one.where.removesuffix(".png"))]] != one.read


def test_own_pictures_of_a_test_part_are_read_by_the_file_itself(able, drawn, own, tmp_path):
    apart = turned(12, seed=50)
    adapted = adapt(able, replace(own, test=apart), out=tmp_path / "m.onnx", replay=drawn, steps=STEPS)
    assert adapted.folds is None
    assert (adapted.own.n, adapted.own.after) == (12, right(adapted.model, apart))


def test_the_card_says_what_it_was_adapted_from_and_to(able, done, own, drawn):
    card, before = done[0].model.card, able.card
    assert (card.name, card.classes, card.prepare) == ("able-adapted", before.classes, before.prepare)
    (step,) = card.provenance.adaptations
    assert step.settings["from"] == {"name": "able", **asdict(ModelFile.of(able.path))}
    assert step.data == Data("hand", own.sha256)
    assert step.image_counts == {"0": 10, "1": 10, "2": 10}
    assert step.replay == Data("drawn", drawn.sha256)
    assert (step.settings["seed"], step.settings["steps"], step.settings["way"]) == (0, 40, done[0].way)
    assert trained_kinds(card.provenance) == trained_kinds(before.provenance) | {
        "rotate",
        "scale",
        "shear",
        "translate",
    }
    for key in ("recipe", "data", "saw_mnist"):
        assert getattr(card.provenance, key) == getattr(before.provenance, key)
    assert "before the model was adapted" in card.calibration.fitted_on  # too few pictures to fit it anew
    assert card.calibration.temperature == before.calibration.temperature
    json.dumps(card.provenance.to_json(), allow_nan=False)


def test_a_file_that_was_adapted_can_be_adapted_again_to_one_class_alone(done, own, drawn, tmp_path):
    ones = hand(own.train.take(np.flatnonzero(own.train.labels == 1)))
    again = adapt(done[0].path, ones, out=tmp_path / "more.onnx", replay=drawn, steps=STEPS).model
    assert again.name == "able-adapted"
    first, second = again.card.provenance.adaptations
    assert second.settings["from"]["sha256"] == ModelFile.of(done[0].path).sha256 != first.settings["from"]["sha256"]
    assert second.image_counts == {"1": 10}


def test_the_same_seed_gives_the_same_weights(able, done, own, drawn, tmp_path):
    again = adapt(able, own, out=tmp_path / "m.onnx", replay=drawn, steps=40)
    assert weights(restore(again.model)[0]) == weights(restore(done[0].model)[0])


def test_a_look_at_the_test_part_is_noted_beside_the_file(done):
    with (done[0].path.parent / OPENINGS).open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (row["data"], row["recipe"], row["run"]) == ("drawn", "able-adapted", "mine.onnx")


def test_own_pictures_that_no_network_saw_are_refused_as_a_file_would(able, own, drawn, tmp_path):
    strict = relabelled(able, tmp_path / "strict.onnx", card={"calibration": Calibration(0.8, 1e6)})
    lax = relabelled(able, tmp_path / "lax.onnx", card={"calibration": Calibration(0.8, None)})
    for model, answered in ((strict, 0), (lax, 30)):
        told = adapt(model, own, out=tmp_path / "m.onnx", replay=drawn, steps=1).own
        assert (told.answered_before, told.answered_after) == (answered, answered)


@pytest.mark.parametrize(("shift", "threshold"), [(-3.0, "lower"), (3.0, "as before")])
def test_as_many_of_the_watched_are_answered_as_before(able, drawn, shift, threshold, tmp_path, log):
    net, recipe = restore(able)
    old = rehearse.open_old(able, net, recipe, drawn, seed=0, log=log)
    scores = watched_scores(net, old)
    accept = float(np.quantile(scores, 0.2))
    model = relabelled(able, tmp_path / "m.onnx", card={"calibration": Calibration(0.8, accept, 0.8, "something")})
    changed = copy.deepcopy(net)
    with torch.no_grad():
        changed[-1].bias += shift
    calibration = recalibrate(model, net, changed, old)
    refused = int((scores < accept).sum())
    now = int((watched_scores(changed, old) < calibration.accept_score).sum())
    assert refused > 0
    assert calibration.keeps is None
    if threshold == "lower":
        assert now == refused
        assert f"lowered to answer as many of {len(scores)} pictures of drawn" in calibration.fitted_on
    else:
        assert calibration.accept_score == accept
        assert now <= refused
        assert "lowered" not in calibration.fitted_on


def watched_scores(net: nn.Sequential, old: rehearse.Old) -> NDArray[np.float32]:
    """The score of each watched picture at the temperature of `able`."""
    return predict(net, torch.from_numpy(old.watched.images), classes=3).at(0.8).score.numpy()


def test_a_network_reads_as_its_file_does(reader, ten, tmp_path, log):
    """In the cross-validation networks read, afterwards files: by the same temperature, confidence and threshold."""
    predictions = reader.predict(ten.train.images)
    accept, confidence = (
        float(np.quantile([getattr(one, name) for one in predictions], 0.3)) for name in ("score", "confidence")
    )
    calibration = Calibration(1.0, accept, None, "", confidence)
    model = relabelled(reader, tmp_path / "m.onnx", card={"calibration": calibration})
    net = restore(model)[0]
    crossed = cross_validate(lambda _: Learned(net, 1.0, calibration), ten, seed=0, log=log)
    file = outcome.read(model, ten.train)
    assert crossed.folds == room.FOLDS
    assert 20 < file.answered.sum() < 160
    assert (file.answered == crossed.answered).mean() > 0.98  # one may lie on the edge
    assert (file.best == crossed.best).mean() > 0.98


def test_no_network_of_the_cross_validation_learns_what_it_reads(ten, reader, log):
    """Each picture is read once, after all others of its fold were left out; each class gives every fold its share."""
    net, seen = restore(reader)[0], []

    def learn(part: Part) -> Learned:
        seen.append({image.tobytes() for image in part.images})
        counts = np.bincount(part.labels, minlength=10)
        assert set(counts) <= {13, 14}  # of 20
        return Learned(net, 1.0, Calibration())

    cross_validate(learn, ten, seed=0, log=log)
    everything = {image.tobytes() for image in ten.train.images}
    left_out = [everything - part for part in seen]
    assert set.union(*left_out) == everything
    assert sum(map(len, left_out)) == len(everything)


Biased = tuple[nn.Sequential, nn.Sequential, rehearse.Old, float]


@pytest.fixture
def biased(able, drawn, log) -> Biased:
    """A network, another with a larger bias for class 0, old pictures, and the difference of the biases.

    Half of the way to the other network the first of the watched pictures is read as a 0.
    """
    net, recipe = restore(able)
    old = rehearse.open_old(able, net, recipe, drawn, seed=0, log=log)
    logits = predict(net, torch.from_numpy(old.watched.images), classes=3).of_classes
    labels = torch.from_numpy(old.watched.labels)
    others = (labels != 0) & (logits.argmax(1) == labels)
    shift = 2 * float((logits[others, labels[others]] - logits[others, 0]).min())
    far = copy.deepcopy(net)
    with torch.no_grad():
        far[-1].bias[0] += shift
    return net, far, old, shift


def test_it_goes_no_farther_than_the_old_is_read(biased):
    net, far, old, shift = biased
    assert interpolate(far, net, old) == 0.4
    assert (far[-1].bias - net[-1].bias)[0].item() == pytest.approx(0.4 * shift, rel=1e-3)
    assert rehearse.count_right(far, old.watched, 3) >= old.right


def test_where_every_step_costs_too_much_the_weights_are_as_before(biased):
    net, far, old, _ = biased
    assert interpolate(far, net, replace(old, right=len(old.watched) + 1)) == 0.0
    assert weights(far) == weights(net)


def test_beside_drawn_digits_it_goes_less_far(biased):
    """They do not tell what is forgotten of real ones."""
    net, _, old, _ = biased
    same = copy.deepcopy(net)
    assert interpolate(same, net, old) == 1.0
    assert interpolate(same, net, replace(old, drawn=True)) == room.FARTHEST_DRAWN


def test_what_is_read_of_drawn_digits_is_no_figure_for_the_card(ten, monkeypatch, tmp_path):
    monkeypatch.setattr(rehearse, "DRAWN_PICTURES", 300)  # of 2,000, which take seconds
    own = Dataset("hand", ten.classes, ten.train.take(np.arange(20)), ten.train.take(np.arange(20, 30)))
    adapted = adapt("tiny", own, out=tmp_path / "m.onnx", replay=rehearse.DRAWN, steps=2)
    assert adapted.replay == "drawn, validation part"
    assert adapted.old.before == adapted.old.n > 50  # it reads all of these, for only such are taken
    assert adapted.model.card.figures == {}
    assert not (tmp_path / OPENINGS).exists()


def test_what_costs_too_much_of_the_old_is_not_written(able, own, drawn, monkeypatch, tmp_path):
    monkeypatch.setattr(room, "FORGETS", -1.0)
    with pytest.raises(TrainingError, match=r"costs too much of the old.*Look whether the labels are right"):
        adapt(able, own, out=tmp_path / "m.onnx", replay=drawn, steps=1)
    assert not list(tmp_path.iterdir())


def test_a_file_without_weights_names_the_one_to_use(able, own, drawn, tmp_path):
    path = tmp_path / "int8.onnx"
    path.write_bytes(int8_bytes(able, drawn.train.images))
    with pytest.raises(UsageError, match=r"no trainable weights.*Use what it was made from: able0/model\.onnx"):
        adapt(path, own, out=tmp_path / "m.onnx", replay=drawn)


def test_what_is_wrong_is_said_before_the_work(able, own, drawn, tmp_path):
    seven = prepare(digit(7, rng=np.random.default_rng(0)))[None].repeat(5, 0)
    with pytest.raises(
        UsageError, match=r"labels that .* does not know.*Received: 7.*other hands, not to other classes"
    ):
        adapt(able, Dataset("odd", ("0", "7"), Part(seven, np.ones(5, np.int64))), out=tmp_path / "m.onnx")
    with pytest.raises(UsageError, match="not prepared as"):
        adapt(able, replace(own, prepare="plain"), out=tmp_path / "m.onnx", replay=drawn)
    with pytest.raises(UsageError, match=r"steps from 1.*Received: 0, 0"):
        adapt(able, own, out=tmp_path / "m.onnx", replay=drawn, steps=0)
    with pytest.raises(OutputError, match="is a file that is read"):
        adapt(able, own, out=able.path, replay=drawn)
    with pytest.raises(DataError, match=r"too few pictures.*Received: 4"):
        adapt(able, hand(own.train.take(np.arange(4))), out=tmp_path / "m.onnx", replay=drawn)
    assert not list(tmp_path.iterdir())
