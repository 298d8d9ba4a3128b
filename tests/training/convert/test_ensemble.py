"""Ensembles: one file with the mean of several networks, or of one network over several views."""

from __future__ import annotations

import csv
import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from inkdigit.errors import OutputError, UsageError
from inkdigit.measure.robustness import trained_kinds
from inkdigit.model.card import Calibration
from inkdigit.model.provenance import Adaptation, Data, Provenance
from inkdigit.model.recognizer import Recognizer
from inkdigit.training.convert import ensemble, model_file
from inkdigit.training.convert.ensemble import join, shifted, write
from inkdigit.training.convert.int8 import int8_bytes
from inkdigit.training.convert.restore import recipes_of, restore
from inkdigit.training.network import nets
from inkdigit.training.openings import OPENINGS
from inkdigit.training.recipe import Recipe
from inkdigit.types import Dataset, Floats, Gray

from ..conftest import CLASSES, draw, tiny
from .conftest import relabelled


def member_file(path: Path, recipe: Recipe, dataset: Dataset, *, temperature: float = 1.0) -> Recognizer:
    """The model file of a network that was hardly trained, as if it had been trained on the data."""
    torch.manual_seed(recipe.seed)
    net, pictures = nets.build(recipe, len(dataset.classes)), dataset.train.images[:32]
    with torch.no_grad():
        net.train()(torch.from_numpy(pictures).unsqueeze(1).float())  # batch norms are not what they begin as
    provenance = Provenance(recipe=recipe.to_toml(), data=Data(sha256=dataset.sha256, licence="MIT"))
    data = model_file.model_bytes(
        net,
        recipe.name,
        classes=dataset.classes,
        kind=dataset.prepare,
        calibration=Calibration(temperature),
        samples=pictures,
        provenance=provenance,
    )
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return Recognizer.load(path)


@pytest.fixture(scope="module")
def many() -> Dataset:
    """Enough images to fit a temperature on."""
    few = draw(60)
    return Dataset("many", CLASSES, few.take(np.arange(900) % 60), draw(10, seed=1))


@pytest.fixture(scope="module")
def pair(many, tmp_path_factory) -> list[Recognizer]:
    """Two networks of different shape that held out the same images."""
    folder = tmp_path_factory.mktemp("members")
    wide, flat = tiny(name="wide", validation=600), tiny(name="flat", filters=(6,), batch_norm=False, validation=600)
    return [
        member_file(folder / "wide" / "model.onnx", wide, many, temperature=1.7),
        member_file(folder / "flat" / "model.onnx", flat, many, temperature=0.6),
    ]


@pytest.fixture(scope="module")
def joined(pair, many, tmp_path_factory) -> Recognizer:
    path = tmp_path_factory.mktemp("joined") / "both.onnx"
    write(path, join(pair, many, name="both"), many)
    return Recognizer.load(path)  # its self test passes


@pytest.fixture(scope="module")
def five(pair, many, tmp_path_factory) -> tuple[Recognizer, list[str]]:
    """The same with five views, and the lines of its log."""
    path, lines = tmp_path_factory.mktemp("five") / "m.onnx", []
    path.write_bytes(join(pair, many, name="both", views=5, log=lines.append))
    return Recognizer.load(path), lines


def logits(model: Recognizer, images: Gray) -> Floats:
    """After the temperature: the score is their log-sum-exp."""
    probs, score = model_file.run_bytes(model.path.read_bytes(), images)
    return np.log(probs) + score[:, None]


def moved(images: Gray, down: int, right: int) -> Gray:
    """The images moved by some pixels, filled with 0."""
    out = np.zeros_like(images)
    for y in range(28):
        for x in range(28):
            if 0 <= y - down < 28 and 0 <= x - right < 28:
                out[:, y, x] = images[:, y - down, x - right]
    return out


@pytest.mark.parametrize("n", [1, 7])
def test_the_file_answers_with_the_mean_of_its_members_logits(pair, joined, n):
    images = draw(n, seed=5).images
    expected = (logits(pair[0], images) + logits(pair[1], images)) / 2 / joined.card.calibration.temperature
    result = logits(joined, images)
    assert result.shape == (n, 3)
    assert np.abs(result - expected).max() < 1e-3
    assert np.abs(result - logits(pair[0], images)).max() > 0.1  # not that of one of them


STEPS = {
    1: [(0, 0)],
    5: [(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)],
    9: [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)],
}


def at_the_edges() -> Gray:
    """Pictures whose ink leaves them when they are moved."""
    images = draw(3, seed=6).images
    images[:, 0, :], images[:, :, 27] = 90, 200
    return images


def test_views_are_the_image_moved_by_a_pixel(pair, five):
    model, images = five[0], at_the_edges()
    outputs = [logits(member, moved(images, y, x)) for member in pair for y, x in STEPS[5]]
    assert np.abs(logits(model, images) * model.card.calibration.temperature - np.mean(outputs, axis=0)).max() < 1e-3
    assert model.name == "both-views5"


@pytest.mark.parametrize("views", [1, 5, 9])
def test_each_view_is_there_once(views):
    images = at_the_edges()
    result = shifted(torch.from_numpy(images).unsqueeze(1), ensemble.SHIFTS[views]).numpy()
    one_by_one = result.reshape(views, *images.shape)
    assert {v.tobytes() for v in one_by_one} == {moved(images, y, x).tobytes() for y, x in STEPS[views]}


def test_the_graph_holds_the_weights_of_each_member_once(pair, joined, five):
    one, views = onnx.load(joined.path), onnx.load(five[0].path)
    onnx.checker.check_model(views, full_check=True)
    sizes = [sum(np.prod(i.dims) for i in model.graph.initializer) for model in (one, views)]
    assert sizes[0] == sizes[1]
    assert joined.card.parameters == five[0].card.parameters == sum(model.card.parameters for model in pair)
    assert {"net.members.0.output.weight", "net.members.1.output.weight"} <= {i.name for i in one.graph.initializer}


def test_the_card_states_what_it_was_joined_from(pair, joined, many):
    card = joined.card
    assert (card.name, card.classes, card.prepare, card.numbers) == ("both", CLASSES, "ink", "float32")
    provenance = card.provenance
    assert [member.name for member in provenance.members] == ["wide", "flat"]
    assert [member.temperature for member in provenance.members] == [1.7, 0.6]
    assert [file.file for file in provenance.made_from] == ["wide/model.onnx", "flat/model.onnx"]
    assert (provenance.views, provenance.saw_mnist) == (1, False)
    assert provenance.data == Data(sha256=many.sha256, licence="MIT")
    assert provenance.libraries["torch"]
    assert [recipe.name for recipe in recipes_of(joined)] == ["wide", "flat"]
    assert str(pair[0].path.parent.parent) not in card.to_json()


def test_the_card_states_what_its_members_were_adapted_to(pair, many, tmp_path):
    step = Adaptation(Data("mine"), {"0": 7}, augmentation={"shear": 0.2})
    changed = replace(pair[1].card.provenance, adaptations=(step,), saw_mnist=True)
    adapted = relabelled(pair[1], tmp_path / "adapted.onnx", card={"provenance": changed})
    path = tmp_path / "both.onnx"
    path.write_bytes(join([pair[0], adapted], many, name="both"))
    provenance = Recognizer.load(path).card.provenance
    assert [member.adaptations for member in provenance.members] == [(), (step,)]
    assert provenance.saw_mnist
    assert "shear" in trained_kinds(provenance)


def test_its_figures_are_those_of_the_file_on_the_split_that_its_members_report_on(joined, many):
    figures = joined.card.figures
    answers = [p.best for p in joined.predict(many.test.images)]
    assert (figures["part"], figures["n"]) == ("test", 10)
    assert figures["accuracy"] == np.mean(np.array(answers) == many.test.labels)


def test_the_use_of_the_test_split_is_noted_beside_the_file(joined):
    with (joined.path.parent / OPENINGS).open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (row["data"], row["recipe"], row["seed"], row["run"]) == ("many", "both", "0 0", "both.onnx")
    assert row["recipe_sha256"].split() == [recipe.sha256 for recipe in recipes_of(joined)]


def test_held_out_training_images_are_not_a_use_of_the_test_split(pair, many, tmp_path):
    members = [relabelled(m, tmp_path / f"{m.name}.onnx", protocol="select") for m in pair]
    (tmp_path / "out").mkdir()
    metrics = write(tmp_path / "out" / "m.onnx", join(members, many, name="m"), many)
    assert (metrics.split, metrics.n) == ("validation", 600)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["m.onnx"]


def test_temperature_and_threshold_are_fitted_on_images_that_all_held_out(joined):
    result = joined.card.calibration
    assert result.fitted_on == "600 held-out training images"
    assert result.accept_score is not None
    assert result.temperature not in (1, 1.7, 0.6)


def test_without_images_that_all_held_out_it_is_uncalibrated(pair, many, tmp_path):
    other = relabelled(pair[1], tmp_path / "other.onnx", seed=4)
    path = tmp_path / "m.onnx"
    path.write_bytes(join([pair[0], other], many, name="m"))
    assert Recognizer.load(path).card.calibration == Calibration()


def test_the_twin_s_calibration_is_taken_over_with_the_temperatures_of_its_members(pair, joined, many, tmp_path):
    final = [
        relabelled(m, tmp_path / f"{m.name}.onnx", card={"calibration": Calibration()}, validation=0, seed=i)
        for i, m in enumerate(pair)
    ]
    path = tmp_path / "m.onnx"
    path.write_bytes(join(final, many, name="m", twin=joined))
    taken, fitted = Recognizer.load(path), joined.card.calibration
    assert (taken.card.calibration.temperature, taken.card.calibration.accept_score) == (
        fitted.temperature,
        fitted.accept_score,
    )
    assert "twin" in taken.card.calibration.fitted_on
    images = draw(5, seed=8).images
    assert np.abs(logits(taken, images) - logits(joined, images)).max() < 1e-3  # the weights are the same here


def test_another_ensemble_is_not_a_twin(pair, joined, many, tmp_path):
    def refused(models: list[Recognizer], twin: Recognizer, message: str, **options: Any) -> None:
        with pytest.raises(UsageError, match=message):
            join(models, many, name="m", twin=twin, **options)

    refused(pair[::-1], joined, "not a twin of this ensemble.*of others")  # another order
    refused(pair, joined, "of others", views=5)
    refused(pair, pair[0], "not a twin")  # no ensemble at all
    path = tmp_path / "loose.onnx"
    edited = onnx.load(joined.path)
    model_file.set_card(edited, replace(joined.card, calibration=Calibration()))
    path.write_bytes(edited.SerializeToString())
    refused(pair, Recognizer.load(path), "not calibrated")


def test_models_that_cannot_be_joined_are_an_error(pair, joined, many, drawn, tmp_path):
    def refused(models: list[Recognizer], message: str, data: Dataset = many, **options: Any) -> None:
        with pytest.raises(UsageError, match=message):
            join(models, data, name="m", **options)

    def other(**changes: Any) -> list[Recognizer]:
        return [pair[0], relabelled(pair[1], tmp_path / "other.onnx", **changes)]

    refused(pair, "Unknown number of views. Expected: 1, 5, 9. Received: 4", views=4)
    refused(pair[:1], "One model is not an ensemble")
    refused([pair[0], *pair], "are the same file")
    refused(other(card={"classes": ("a", "b", "c")}), "do not have the same classes")
    refused(other(card={"prepare": "plain"}), "do not have the same preprocessing")
    refused(pair, "drawn is not the data that .* learned from", drawn)
    refused(other(card={"provenance": Provenance(recipe=tiny(filters=(6,)).to_toml())}), "SHA-256 None")
    refused(other(protocol="select"), "may have learned from images .* Expected: protocol = 'final'")
    refused(other(test_fraction=0.5), "may have learned from images")
    refused([joined, pair[0]], r"no trainable weights.*wide/model\.onnx")
    small = tmp_path / "int8.onnx"
    small.write_bytes(int8_bytes(pair[0], draw(20).images))
    refused([Recognizer.load(small), pair[1]], "no trainable weights.*int8")


@pytest.mark.parametrize("fields", [{"seed": 1}, {"validation": 300}, {"validation_split": "stratified"}])
def test_members_that_held_out_other_images_are_an_error_under_select(pair, many, tmp_path, fields):
    first = relabelled(pair[0], tmp_path / "a.onnx", protocol="select")
    second = relabelled(pair[1], tmp_path / "b.onnx", protocol="select", **fields)
    with pytest.raises(UsageError, match=f"b.onnx may have learned from .* Expected: {next(iter(fields))} = "):
        join([first, second], many, name="m")


@pytest.mark.parametrize("wants_weights", [restore, lambda model: int8_bytes(model, draw(3).images)])
def test_it_has_no_trainable_weights_and_names_the_files_that_have(joined, wants_weights):
    with pytest.raises(UsageError, match=r"no trainable weights.*wide/model\.onnx .*flat/model\.onnx"):
        wants_weights(joined)


def test_a_full_disk_leaves_the_file_that_was_there(joined, many, tmp_path, monkeypatch):
    out, data = tmp_path / "m.onnx", joined.path.read_bytes()
    out.write_bytes(b"mine")
    ways = iter([lambda _: None])  # the file that is measured is written, the one that is kept is not

    def full(_: int) -> None:
        if next(ways, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"m\.onnx cannot be written: the disk is full"):
        write(out, data, many)
    assert out.read_bytes() == b"mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.onnx", OPENINGS]


def test_each_step_is_logged(five):
    assert five[1] == [
        "Joining 2 networks, 5 views of each image.",
        "Fitting one temperature on 600 images that all of them held out.",
    ]
