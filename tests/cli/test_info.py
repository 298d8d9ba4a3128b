"""`info`: the card of a model."""

from __future__ import annotations

import json

import onnx

from ..conftest import Tiny
from .conftest import assert_one_error


def test_a_model_is_described_by_its_card(inkdigit, model):
    result = inkdigit("info", model)
    assert (result.code, result.err) == (0, "")
    fields = {line[:14].strip(): line[14:] for line in result.out.splitlines()}
    assert fields["name"] == "tiny"
    assert fields["classes"] == "3: 0 1 2"
    assert fields["trained on"] == "drawn, 120 training images"
    assert fields["answers when"] == "always"
    assert fields["self test"] == "10 images, passed"


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
