"""`recipes` and `info`: what can be trained, and what a model says of itself."""

from __future__ import annotations

import json

import onnx
import pytest

from inkdigit.training.recipe import Recipe, bundled

from .conftest import assert_one_error


def test_every_recipe_is_listed_with_what_it_is(inkdigit):
    said = inkdigit("recipes")
    assert said.code == 0
    lines = said.out.splitlines()
    assert [line.split()[0] for line in lines] == list(bundled())
    assert all(line.endswith(Recipe.load(line.split()[0]).about) for line in lines)
    assert "inkdigit train fast" in said.err


def test_a_model_says_what_it_is(inkdigit, model):
    said = inkdigit("info", model)
    assert (said.code, said.err) == (0, "")
    told = {line[:14].strip(): line[14:] for line in said.out.splitlines()}
    assert told["name"] == "tiny"
    assert told["classes"] == "3: 0 1 2"
    assert told["trained on"] == "drawn, 120 training images"
    assert told["answers when"] == "always"
    assert told["self test"] == "10 images, passed"


def test_a_card_can_be_had_as_json(inkdigit, model):
    card = json.loads(inkdigit("info", model, "--json").out)
    assert card["format"] == 1
    assert card["classes"] == ["0", "1", "2"]
    assert "self_test" not in card
    assert card["figures"]["n"] == 40


def test_what_is_no_model_is_one_error(inkdigit, model, tmp_path):
    assert_one_error(inkdigit("info", "nope"), 2, "There is no model 'nope'")
    assert_one_error(inkdigit("info", model / "recipe.toml"), 5, "not an ONNX file that can be opened")
    assert_one_error(inkdigit("info", tmp_path), 2, "There is no model in")


@pytest.mark.parametrize(
    "provenance",
    [
        {},
        {"data": None},
        {"data": {"name": "drawn"}},
        {"members": [{"file": "a", "sha256": "b", "name": "c", "recipe": "", "seed": 0, "temperature": 1.0}]},
        {"adapted": [{"data": {"name": "mine"}, "pictures": {}}]},
    ],
)
def test_a_card_may_say_little_of_where_its_model_comes_from(inkdigit, model, tmp_path, provenance):
    file = onnx.load(model / "model.onnx")
    card = json.loads(file.metadata_props[0].value)
    file.metadata_props[0].value = json.dumps({**card, "provenance": provenance, "figures": {}})
    (tmp_path / "m.onnx").write_bytes(file.SerializeToString())
    said = inkdigit("info", tmp_path / "m.onnx")
    assert (said.code, said.err) == (0, "")
    assert "not measured" in said.out
