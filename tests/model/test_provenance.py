"""Where a model comes from: what a card states comes back, and one answer to what a model learned from."""

from __future__ import annotations

import json
from dataclasses import replace

from inkdigit.model.card import Card
from inkdigit.model.provenance import MNIST_SHA256, Data, ModelFile, Provenance, Source
from inkdigit.model.recognizer import bundled, load

from ..conftest import Tiny

DATA = {"name": "mine", "sha256": "3", "train": 5, "test": None, "licence": "MIT"}
STEP = {
    "from": {"name": "a", "file": "b", "sha256": "c"},
    "data": {"name": "writer", "sha256": "1"},
    "pictures": {"7": 12},
    "replay": {"name": "mnist", "sha256": "2"},
    "augmentation": {"shear": 0.1},
    "seed": 3,
    "steps": 120,
    "way": 0.8,
}
MEMBER = {"file": "a/m.onnx", "sha256": "b", "name": "c", "recipe": "seed = 4\n", "seed": 4, "temperature": 1.5}
TEACHER = {"file": "t", "sha256": "u", "data": {**DATA, "name": "theirs"}, "saw_mnist": True}
RUN = {
    "recipe": "seed = 0\n",
    "recipe_sha256": "d",
    "seed": 0,
    "created": "2026-01-01 00:00:00",
    "commit": None,
    "libraries": {"torch": "2.13.0", "onnx": None},
    "data": DATA,
    "saw_mnist": False,
    "teacher": TEACHER,
    "drawn": "600 digits",
}
ADAPTED = {**RUN, "adapted": [STEP, {**STEP, "seed": 4}]}
INT8 = {**RUN, "made_from": [{"file": "m.onnx", "sha256": "e"}]}
ENSEMBLE = {
    **{key: RUN[key] for key in ("created", "commit", "libraries", "data")},
    "saw_mnist": True,
    "members": [MEMBER, {**MEMBER, "recipe_sha256": "f", "adapted": [STEP]}],
    "made_from": [{"file": "m.onnx", "sha256": "e"}],
    "views": 5,
}
HELD_OUT = {**RUN, "data": {**DATA, "trained": 4}}
LATER = {**RUN, "of a later release": {"x": [1]}}


def test_what_a_card_states_comes_back() -> None:
    for stated in ({}, RUN, ADAPTED, INT8, ENSEMBLE, HELD_OUT, LATER):
        card = replace(Tiny().card(), provenance=Provenance.from_json(stated))
        assert json.loads(card.to_json())["provenance"] == stated
        assert Card.from_json(card.to_json(), where="m.onnx").provenance == card.provenance


def test_the_provenance_of_a_bundled_model_comes_back() -> None:
    for name in bundled():
        provenance = load(name).card.provenance
        assert Provenance.from_json(provenance.to_json()) == provenance
        assert not provenance.extra.keys() - {"calibrated_by"}


def test_every_source_is_named_with_how_it_took_part() -> None:
    known = list(Provenance.from_json(ADAPTED).sources())
    assert [(source.data.name, source.data.sha256, source.data.train) for source in known] == [
        ("mine", "3", 5),
        ("theirs", "3", 5),
        *[("writer", "1", None), ("mnist", "2", None)] * 2,
    ]
    assert known[0] == Source("trained the model", Data(**DATA))
    assert len({source.how for source in known}) == 4
    assert [source.data.name for source in Provenance.from_json(ENSEMBLE).sources()] == ["mine", "writer", "mnist"]
    assert not list(Provenance().sources())


def test_recipes_and_augmentations_are_those_of_all_members() -> None:
    ensemble = Provenance.from_json(ENSEMBLE)
    assert ensemble.recipe_fields() == [{"seed": 4}, {"seed": 4}]
    assert ensemble.augmentations() == [{"shear": 0.1}]
    assert Provenance.from_json(RUN).recipe_fields() == [{"seed": 0}]
    assert Provenance.from_json(RUN).augmentations() == []
    assert Provenance().recipe_fields() is None
    assert Provenance(recipe="[[").recipe_fields() is None
    unknown = Provenance.from_json({"adapted": [{"data": {"name": "h"}, "pictures": {}}]})
    assert unknown.augmentations() is None


def test_mnist_is_recognised_by_its_name_and_by_its_images() -> None:
    assert Data("mnist").holds_mnist
    assert Data("emnist-digits").holds_mnist
    assert Data("renamed", MNIST_SHA256).holds_mnist
    assert not Data("usps", "0").holds_mnist


def test_a_file_is_named_by_its_folder_and_its_bytes(tmp_path) -> None:
    (tmp_path / "run").mkdir()
    path = tmp_path / "run" / "model.onnx"
    path.write_bytes(b"abc")
    named = ModelFile.of(path)
    assert named.file == "run/model.onnx"
    assert named.sha256.startswith("ba7816bf")
