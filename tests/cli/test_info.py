"""`info`: the card of a model."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest

from ..conftest import Tiny
from .conftest import assert_one_error, draw


def test_a_model_is_described_by_its_card(inkdigit, model):
    result = inkdigit("info", model)
    assert (result.code, result.err) == (0, "")
    fields = {line[:14].strip(): line[14:] for line in result.out.splitlines()}
    assert fields["name"] == "tiny"
    assert fields["classes"] == "3: 0 1 2"
    assert fields["trained on"] == "drawn, 90 of its 120 training images"
    assert fields["answers when"] == "always"
    assert fields["self test"] == "10 images, passed"


def test_images_that_were_held_out_did_not_train_the_model(inkdigit, tmp_path):
    """What the card says, and what the report of the same run says."""
    images, labels = draw(100)
    np.savez(tmp_path / "one.npz", X=images, y=labels)  # a single split
    trained = inkdigit(
        "train", "fast", "--data", tmp_path / "one.npz", "--out", tmp_path / "run", "--set", "epochs=1",
        "--set", "validation=0.1", "--set", "min_steps=0", "--set", "outliers=0",
    )  # fmt: skip
    assert trained.code == 0, trained.err
    report = json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))
    assert (report["trained"], report["held_out"], report["n"]) == (72, 8, 20)
    assert "\ntrained on    one, 72 of its 100 images\n" in inkdigit("info", tmp_path / "run").out
    card = json.loads(inkdigit("info", tmp_path / "run", "--json").out)
    assert (card["provenance"]["data"]["train"], card["provenance"]["data"]["trained"]) == (100, 72)


@pytest.mark.parametrize(
    ("recipe", "test", "said"),
    [
        ('protocol = "final"\nvalidation = 0.05\n', 9, "mine, 60 training images, less those held out"),
        ('protocol = "select"\n', 9, "mine, 60 training images, less those held out"),
        ('protocol = "final"\nvalidation = 0.0\n', None, "mine, 60 images, less those held out"),
        ('protocol = "final"\nvalidation = 0.0\n', 9, "mine, 60 training images"),
        ('protocol = "all"\nvalidation = 0.1\n', None, "mine, 60 images"),
    ],
)
def test_an_older_card_says_what_its_recipe_tells(recipe, test, said, inkdigit, tmp_path):
    data = {"name": "mine", "sha256": "a", "train": 60, "test": test, "licence": None}
    file = Tiny(provenance={"recipe": recipe, "data": data}).write(tmp_path / "m.onnx")
    assert f"\ntrained on    {said}\n" in inkdigit("info", file).out


def test_a_card_can_be_had_as_json(inkdigit, model):
    card = json.loads(inkdigit("info", model, "--json").out)
    assert card["format"] == 1
    assert card["classes"] == ["0", "1", "2"]
    assert "self_test" not in card
    assert card["figures"]["n"] == 40


def test_a_file_that_is_not_a_model_is_one_error(inkdigit, model, tmp_path):
    assert_one_error(inkdigit("info", "nope"), 2, "There is no model 'nope'")
    assert_one_error(inkdigit("info", model / "recipe.toml"), 5, "not an ONNX file that can be opened")
    assert_one_error(inkdigit("info", tmp_path), 2, "There is no model in")


def test_a_card_may_say_little_about_the_origin_of_its_model(inkdigit, model, tmp_path):
    file = onnx.load(model / "model.onnx")
    card = json.loads(file.metadata_props[0].value)
    member = {"file": "a", "sha256": "b", "name": "c", "recipe": "", "seed": 0, "temperature": 1.0}
    for provenance in (
        {},
        {"data": None},
        {"data": {"name": "drawn"}},
        {"members": [member]},
        {"adapted": [{"data": {"name": "mine"}, "pictures": {}}]},
    ):
        file.metadata_props[0].value = json.dumps({**card, "provenance": provenance, "figures": {}})
        (tmp_path / "m.onnx").write_bytes(file.SerializeToString())
        result = inkdigit("info", tmp_path / "m.onnx")
        assert (result.code, result.err) == (0, ""), provenance
        assert "not measured" in result.out, provenance


def test_an_external_network_is_named(inkdigit, tmp_path):
    recipe = 'net = "external"\nnet_source = "model.py:build"\nnet_sha256 = "0123456789abcdef"\n'
    file = Tiny(provenance={"recipe": recipe}).write(tmp_path / "m.onnx")
    assert "network       external: model.py:build (SHA-256 0123456789ab)" in inkdigit("info", file).out
