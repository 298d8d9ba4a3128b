"""Adapting: a file that knows the user's writing, figures of what it forgot, a card that names its sources."""

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
from inkdigit.training.adapt import adapt as module
from inkdigit.training.adapt import outcome, rehearse
from inkdigit.training.adapt.adapt import Adapted, Learned, adapt, cross_validate, interpolate, recalibrate
from inkdigit.training.convert import model_file
from inkdigit.training.convert.int8 import int8_bytes
from inkdigit.training.convert.restore import restore
from inkdigit.training.network.predict import predict
from inkdigit.training.openings import OPENINGS
from inkdigit.types import Dataset, Part

from ..conftest import CLASSES, CPU, draw, fit, tiny, weights
from ..convert.conftest import relabelled

STEPS = 12


def turned(n: int, *, seed: int = 9) -> Part:
    """Digits turned by 90°: no model knows them before it has seen some."""
    upright = draw(n, seed=seed)
    images = np.stack([prepare(np.ascontiguousarray(np.rot90(image))) for image in upright.images])
    return Part(images, upright.labels, files=tuple(f"{i}.png" for i in range(n)))


def written(part: Part, **fields: object) -> Dataset:
    return replace(Dataset("writer", CLASSES, part), **fields)


@pytest.fixture(scope="module")
def own() -> Dataset:
    return written(turned(30))


@pytest.fixture(scope="module", autouse=True)
def small_batches() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BATCH", 32)
        yield


@pytest.fixture
def forgetful(monkeypatch) -> None:
    """Old samples may be forgotten."""
    monkeypatch.setattr(module, "MAX_FORGOTTEN", 1.0)


@pytest.fixture(scope="module")
def able(drawn, tmp_path_factory) -> Recognizer:
    """A model that knows digits if they are upright."""
    recipe = tiny(epochs=10, batch=16, learning_rate=0.06, schedule="one-cycle", head="flatten", validation=0.25)
    net = fit(recipe, drawn.train)[0].net
    about = environment.describe(drawn, source="drawn", device=CPU)
    path = tmp_path_factory.mktemp("able") / "model.onnx"
    path.write_bytes(
        model_file.model_bytes(
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
    """A model adapted to turned digits, and the lines of its log."""
    lines: list[str] = []
    out = tmp_path_factory.mktemp("adapted") / "mine.onnx"
    return adapt(able, own, out=out, replay=drawn, steps=40, log=lines.append), lines


def correct(model: Recognizer, part: Part) -> int:
    return sum(p.best == label for p, label in zip(model.predict(part.images), part.labels, strict=True))


def test_the_file_classifies_other_images_of_the_writer_better_than_before(able, done):
    others = turned(90, seed=77)
    assert correct(able, others) < 45
    assert correct(done[0].model, others) > 75
    assert done[0].old.after >= done[0].old.before - 1


def test_the_figures_of_old_and_trained_on_images_are_those_of_the_files(able, done, own, drawn):
    adapted = done[0]
    for part, change in ((own.train, adapted.trained_on), (drawn.test, adapted.old)):
        counted = correct(able, part), correct(adapted.model, part)
        assert (change.n, change.before, change.after) == (len(part), *counted)
        given = [sum(p.label is not None for p in one.predict(part.images)) for one in (able, adapted.model)]
        assert [change.answered_before, change.answered_after] == given
    assert adapted.caveat is None
    assert adapted.replay == "drawn, test split"
    assert adapted.model.card.figures["accuracy"] == adapted.old.after / adapted.old.n
    assert adapted.image_counts == {"0": 10, "1": 10, "2": 10}


@pytest.mark.usefixtures("forgetful")
def test_own_images_are_predicted_by_networks_that_never_saw_them(able, drawn, own, tmp_path):
    """Random labels can be memorised, but not predicted."""
    lot = np.random.default_rng(3).permutation(own.train.labels)
    adapted = adapt(able, written(replace(own.train, labels=lot)), out=tmp_path / "m.onnx", replay=drawn, steps=40)
    assert adapted.folds == module.FOLDS
    assert adapted.own.after < adapted.trained_on.after
    assert len(adapted.mistakes) == adapted.own.n - adapted.own.after
    mistake = adapted.mistakes[0]
    assert mistake.file.endswith(".png")
    assert mistake.label == CLASSES[lot[int(mistake.file.removesuffix(".png"))]] != mistake.predicted


def test_own_images_of_a_test_split_are_predicted_by_the_file_itself(able, drawn, own, tmp_path):
    apart = turned(12, seed=50)
    adapted = adapt(able, replace(own, test=apart), out=tmp_path / "m.onnx", replay=drawn, steps=STEPS)
    assert adapted.folds is None
    assert (adapted.own.n, adapted.own.after) == (12, correct(adapted.model, apart))


def test_the_card_has_what_it_was_adapted_from_and_to(able, done, own, drawn):
    card, before = done[0].model.card, able.card
    assert (card.name, card.classes, card.prepare) == ("able-adapted", before.classes, before.prepare)
    (step,) = card.provenance.adaptations
    assert step.settings["from"] == {"name": "able", **asdict(ModelFile.of(able.path))}
    assert step.data == Data("writer", own.sha256)
    assert step.image_counts == {"0": 10, "1": 10, "2": 10}
    assert step.replay == Data("drawn", drawn.sha256)
    assert (step.settings["seed"], step.settings["steps"], step.settings["way"]) == (0, 40, done[0].fraction)
    assert trained_kinds(card.provenance) == trained_kinds(before.provenance) | {
        "rotate",
        "scale",
        "shear",
        "translate",
    }
    for key in ("recipe", "data", "saw_mnist"):
        assert getattr(card.provenance, key) == getattr(before.provenance, key)
    assert "before the model was adapted" in card.calibration.fitted_on  # too few samples to fit it again
    assert card.calibration.temperature == before.calibration.temperature
    json.dumps(card.provenance.to_json(), allow_nan=False)


def test_an_adapted_file_can_be_adapted_again_to_a_single_class(done, own, drawn, tmp_path):
    ones = written(own.train.take(np.flatnonzero(own.train.labels == 1)))
    again = adapt(done[0].path, ones, out=tmp_path / "more.onnx", replay=drawn, steps=STEPS).model
    assert again.name == "able-adapted"
    first, second = again.card.provenance.adaptations
    assert second.settings["from"]["sha256"] == ModelFile.of(done[0].path).sha256 != first.settings["from"]["sha256"]
    assert second.image_counts == {"1": 10}


def test_the_same_seed_gives_the_same_weights(able, done, own, drawn, tmp_path):
    again = adapt(able, own, out=tmp_path / "m.onnx", replay=drawn, steps=40)
    assert weights(restore(again.model)[0]) == weights(restore(done[0].model)[0])


def test_a_use_of_the_test_split_is_logged_beside_the_file(done):
    with (done[0].path.parent / OPENINGS).open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (row["data"], row["recipe"], row["run"]) == ("drawn", "able-adapted", "mine.onnx")


def test_in_the_cross_validation_images_are_rejected_as_by_a_file(able, own, drawn, tmp_path):
    strict = relabelled(able, tmp_path / "strict.onnx", card={"calibration": Calibration(0.8, 1e6)})
    lax = relabelled(able, tmp_path / "lax.onnx", card={"calibration": Calibration(0.8, None)})
    for model, answered in ((strict, 0), (lax, 30)):
        own_change = adapt(model, own, out=tmp_path / "m.onnx", replay=drawn, steps=1).own
        assert (own_change.answered_before, own_change.answered_after) == (answered, answered)


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
    rejected = int((scores < accept).sum())
    now = int((watched_scores(changed, old) < calibration.accept_score).sum())
    assert rejected > 0
    assert calibration.keeps is None
    if threshold == "lower":
        assert now == rejected
        assert f"lowered to answer as many of {len(scores)} images of drawn" in calibration.fitted_on
    else:
        assert calibration.accept_score == accept
        assert now <= rejected
        assert "lowered" not in calibration.fitted_on


def watched_scores(net: nn.Sequential, old: rehearse.OldSamples) -> NDArray[np.float32]:
    """The score of each watched image at the temperature of `able`."""
    return predict(net, torch.from_numpy(old.watched.images), classes=3).at(0.8).score.numpy()


def test_a_network_predicts_as_its_file_does(reader, ten, tmp_path, log):
    """The cross-validation asks networks, the result files: temperature, confidence and threshold must be the same."""
    predictions = reader.predict(ten.train.images)
    accept, confidence = (
        float(np.quantile([getattr(one, name) for one in predictions], 0.3)) for name in ("score", "confidence")
    )
    calibration = Calibration(1.0, accept, None, "", confidence)
    model = relabelled(reader, tmp_path / "m.onnx", card={"calibration": calibration})
    net = restore(model)[0]
    crossed = cross_validate(lambda _: Learned(net, 1.0, calibration), ten, seed=0, log=log)
    file = outcome.predict(model, ten.train)
    assert crossed.folds == module.FOLDS
    assert 20 < file.answered.sum() < 160
    assert (file.answered == crossed.answered).mean() > 0.98  # one may lie on the edge
    assert (file.best == crossed.best).mean() > 0.98


def test_the_networks_of_the_cross_validation_are_changed_as_far_as_the_file(able, own, drawn, monkeypatch, tmp_path):
    """Each alone would be changed farther, or less far: its figures would be those of another file."""
    trained, measured = [], []

    def watch_training(*args, **options):
        trained.append(train(*args, **options))
        return copy.deepcopy(trained[-1])

    def choose_once(adapted, net, _):
        (one,) = trained  # that of the file comes first
        module.blend(adapted, net.state_dict(), one.state_dict(), 0.4)
        return 0.4

    def watch_folds(learn, *args, **options):
        def watched(part):
            measured.append(learn(part))
            return measured[-1]

        return cross_validate(watched, *args, **options)

    train = module.train
    for name, spy in (("train", watch_training), ("interpolate", choose_once), ("cross_validate", watch_folds)):
        monkeypatch.setattr(module, name, spy)
    done = adapt(able, own, out=tmp_path / "m.onnx", replay=drawn, steps=STEPS)
    before, bias = restore(able)[0][-1].bias, [net[-1].bias for net in trained]
    assert done.fraction == 0.4
    assert len(measured) == module.FOLDS == len(trained) - 1
    for learned, far in zip(measured, bias[1:], strict=True):
        assert learned.fraction == 0.4
        assert not torch.equal(far, before)
        assert torch.allclose(learned.net[-1].bias, before + 0.4 * (far - before), atol=1e-6)
    assert torch.allclose(restore(done.model)[0][-1].bias, before + 0.4 * (bias[0] - before), atol=1e-6)


def test_no_network_of_the_cross_validation_is_trained_on_what_it_predicts(ten, reader, log):
    """Each image is left out once, with its fold; every fold has some of each class."""
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


Biased = tuple[nn.Sequential, nn.Sequential, rehearse.OldSamples, float]


@pytest.fixture
def biased(able, drawn, log) -> Biased:
    """A network, another with a larger bias for class 0, old samples, and the difference of the biases.

    At half of the difference the first of the watched images is classified as a 0.
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


def test_the_weights_change_only_until_old_samples_are_forgotten(biased):
    net, far, old, shift = biased
    assert interpolate(far, net, old) == 0.4
    assert (far[-1].bias - net[-1].bias)[0].item() == pytest.approx(0.4 * shift, rel=1e-3)
    assert rehearse.count_correct(far, old.watched, 3) >= old.correct


def test_if_every_fraction_forgets_too_much_the_weights_are_as_before(biased):
    net, far, old, _ = biased
    assert interpolate(far, net, replace(old, correct=len(old.watched) + 1)) == 0.0
    assert weights(far) == weights(net)


def test_with_drawn_digits_the_fraction_is_limited(biased):
    """They do not show what is forgotten of real ones."""
    net, _, old, _ = biased
    same = copy.deepcopy(net)
    assert interpolate(same, net, old) == 1.0
    assert interpolate(same, net, replace(old, drawn=True)) == module.MAX_FRACTION_DRAWN


def test_figures_on_drawn_digits_are_not_on_the_card(ten, monkeypatch, tmp_path):
    monkeypatch.setattr(rehearse, "DRAWN_IMAGES", 300)  # of 2,000, which take seconds
    own = Dataset("writer", ten.classes, ten.train.take(np.arange(20)), ten.train.take(np.arange(20, 30)))
    adapted = adapt("tiny", own, out=tmp_path / "m.onnx", replay=rehearse.DRAWN, steps=2)
    assert adapted.replay == "drawn, validation split"
    assert adapted.old.before == adapted.old.n > 50  # only digits that it knows are used
    assert adapted.model.card.figures == {}
    assert not (tmp_path / OPENINGS).exists()


def test_a_model_that_forgets_too_much_is_not_written(able, own, drawn, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "MAX_FORGOTTEN", -1.0)
    with pytest.raises(
        TrainingError, match=r"without forgetting too many old images.*Check whether the labels are right"
    ):
        adapt(able, own, out=tmp_path / "m.onnx", replay=drawn, steps=1)
    assert not list(tmp_path.iterdir())


def test_a_file_without_weights_names_the_one_to_use(able, own, drawn, tmp_path):
    path = tmp_path / "int8.onnx"
    path.write_bytes(int8_bytes(able, drawn.train.images))
    with pytest.raises(UsageError, match=r"no trainable weights.*Use what it was made from: able0/model\.onnx"):
        adapt(path, own, out=tmp_path / "m.onnx", replay=drawn)


def test_errors_come_before_the_work(able, own, drawn, tmp_path):
    seven = prepare(digit(7, rng=np.random.default_rng(0)))[None].repeat(5, 0)
    with pytest.raises(
        UsageError, match=r"labels that .* does not know.*Received: 7.*other writers, not to other classes"
    ):
        adapt(able, Dataset("odd", ("0", "7"), Part(seven, np.ones(5, np.int64))), out=tmp_path / "m.onnx")
    with pytest.raises(UsageError, match="not prepared as"):
        adapt(able, replace(own, prepare="plain"), out=tmp_path / "m.onnx", replay=drawn)
    with pytest.raises(UsageError, match=r"steps from 1.*Received: 0, 0"):
        adapt(able, own, out=tmp_path / "m.onnx", replay=drawn, steps=0)
    with pytest.raises(OutputError, match="is a file that is read"):
        adapt(able, own, out=able.path, replay=drawn)
    with pytest.raises(DataError, match=r"too few images.*Received: 4"):
        adapt(able, written(own.train.take(np.arange(4))), out=tmp_path / "m.onnx", replay=drawn)
    assert not list(tmp_path.iterdir())
