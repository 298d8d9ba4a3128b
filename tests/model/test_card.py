"""A card is the same after writing and reading, and a broken one is an error that names what is wrong."""

from __future__ import annotations

import base64
import json
import re
import tracemalloc
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkdigit.errors import NotAModelFile, UnsupportedFormat
from inkdigit.model.card import FORMAT, Calibration, Card, SelfTest
from inkdigit.model.provenance import Provenance

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 28, 28)).astype(np.uint8)
PROBS = np.array([[0.2, 0.8], [1.0, 0.0], [0.333333, 0.666667]], np.float32)
FIGURES = {
    "data": "mnist",
    "part": "test",
    "n": 10_000,
    "accuracy": 0.99,
    "accuracy_ci95": [0.98, 0.995],
    "nested": {"list": [1, None]},
}
CARD = Card(
    name="tiny",
    classes=("a", "ß 数"),
    prepare="ink",
    prepare_version=1,
    parameters=123,
    calibration=Calibration(1.5, -0.25, 0.99, "5,000 held-out pictures"),
    self_test=SelfTest(IMAGES, PROBS),
    numbers="int8",
    figures=FIGURES,
    provenance=Provenance(saw_mnist=True, recipe="[net]\nx = 1\n"),
)


def fields(card: Card) -> dict[str, object]:
    """The fields that can be compared."""
    names = ("name", "classes", "prepare", "prepare_version", "parameters", "calibration", "numbers")
    return {name: getattr(card, name) for name in (*names, "figures", "provenance")}


def put(raw: dict[str, Any], path: Sequence[object], value: object) -> str:
    """The text of the card `raw` with another value at `path`; `raw` itself changes too."""
    place: Any = raw
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return json.dumps(raw)


def changed(*path: str, value: object) -> str:
    """The text of `CARD` with one value replaced."""
    return put(json.loads(CARD.to_json()), path, value)


def message_of(text: str) -> str:
    """The message of the error that a text is, and nothing where it is a card."""
    try:
        Card.from_json(text, where="m.onnx")
    except NotAModelFile as exc:
        return str(exc)
    return ""


def test_a_card_comes_back():
    back = Card.from_json(CARD.to_json(), where="m.onnx")
    assert fields(back) == fields(CARD)
    assert np.array_equal(back.self_test.images, IMAGES)
    assert np.abs(back.self_test.probs - PROBS).max() < 1e-6
    assert back.self_test.probs.dtype == np.float32
    assert back.to_json() == CARD.to_json()


names = st.text(max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**62), 2**62) | numbers | names, st.lists, max_leaves=5
)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    st.builds(
        replace,
        st.just(CARD),
        name=names,
        classes=st.lists(names, min_size=2, max_size=2).map(tuple),
        parameters=st.integers(0, 10**12),
        calibration=st.builds(Calibration, numbers, st.none() | numbers, st.none() | numbers, names),
        figures=st.just({}) | st.dictionaries(names, values).map(lambda free: free | FIGURES),
        provenance=st.builds(Provenance, recipe=st.none() | names, seed=st.none() | st.integers(0, 2**31), drawn=names),
    )
)
def test_any_card_comes_back(card):
    assert fields(Card.from_json(card.to_json(), where="m.onnx")) == fields(card)


def test_the_text_is_json_with_a_format_number():
    raw = json.loads(CARD.to_json())
    assert raw["format"] == FORMAT
    assert raw["prepare"] == {"kind": "ink", "version": 1}


def test_a_text_that_is_not_a_card():
    for text in ("", "no json", "[]", '"text"', "null", "7", "{}", '{"name": "fast"}', "[" * 100_000, '{"format": 1'):
        assert message_of(text).startswith("m.onnx: its card is not readable"), text[:20]


def test_a_card_of_another_format():
    for number in (99, 2, 0, -1, "1", 1.5, [1]):
        with pytest.raises(UnsupportedFormat, match=r"Expected: 1\. Received:") as caught:
            Card.from_json(changed("format", value=number), where="m.onnx")
        assert ("Upgrade inkdigit" in str(caught.value)) == (number in (99, 2))


def test_a_card_that_lacks_a_field():
    raw = json.loads(CARD.to_json())
    required = set(raw) - {"format", "outliers"}
    assert len(required) == 9
    for name in required:
        text = json.dumps({key: value for key, value in raw.items() if key != name})
        assert re.match(f"m.onnx: its card is broken .*{name}", message_of(text)), name


WRONG = {
    ("name",): [["fast"], "x" * 10_000],
    ("classes",): [7, [], [1, 2], [f"{i}" for i in range(257)]],
    ("prepare",): ["ink"],
    ("prepare", "version"): ["new", float("inf")],
    ("parameters",): ["many", [1], True, -1, 1.5],
    ("calibration",): [1.0, {"warmth": 1}],
    ("calibration", "accept_score"): ["high"],
    ("calibration", "temperature"): [float("nan")],
    ("calibration", "min_confidence"): ["0.5"],
    ("figures",): [3, {"accuracy": 0.5}, {**FIGURES, "accuracy": "high"}, {**FIGURES, "n": True}],
    ("figures", "seeds"): [3, {"n": 3}, {"n": 3, "mean": "x", "sd": 0.0}],
    ("provenance",): ["here"],
    ("provenance", "data"): ["mnist", {"name": 3}, {"train": "many"}, [1]],
    ("provenance", "members"): [{}, [], [3], [{"name": "a"}]],
    ("provenance", "adapted"): [3, [3], [{"data": {}}]],
    ("provenance", "made_from"): [3, ["a"], [{"file": "a"}]],
    ("provenance", "recipe"): [3, ["a"], "x" * 100_000],
    ("outliers",): ["letters"],
    ("self_test",): [[]],
    ("self_test", "images"): ["no base64!", "AAAA", 5],
    ("self_test", "probs"): [[], [[0.5, 0.5]], [[0.5, 0.5], [1.0]], "all", [[0.5, float("nan")]] * 3],
}


def test_a_card_with_a_wrong_value_is_one_short_error_that_names_the_field():
    for path, value in ((path, value) for path, values in WRONG.items() for value in values):
        message = message_of(changed(*path, value=value))
        assert re.match(f"m.onnx: its card is broken .*{path[0]}", message), f"{path}: {str(value)[:40]}"
        assert len(message) < 300, f"{path}: {str(value)[:40]}"
    assert "self_test.probs: not 4 probabilities" in message_of(changed("classes", value=["a", "b", "c", "d"]))


def test_a_self_test_has_an_image_and_as_many_predictions():
    with pytest.raises(ValueError, match="0 images"):
        SelfTest(IMAGES[:0], PROBS[:0])
    with pytest.raises(ValueError, match="3 images, 2 predictions"):
        SelfTest(IMAGES, PROBS[:2])


# Cards that others wrote ---------------------------------------------------------------------------------------------


def with_self_test(images: bytes, rows: int = 3) -> str:
    raw = json.loads(CARD.to_json())
    raw["self_test"] = {"images": base64.b64encode(images).decode(), "probs": [[0.2, 0.8]] * rows}
    return json.dumps(raw)


def test_no_more_is_inflated_than_the_answers_that_are_there():
    bomb = zlib.compress(bytes(100_000_000), 9)  # 97 kB
    for rows in (1, 3, 256, 10_000):
        text = with_self_test(bomb, rows)
        tracemalloc.start()
        assert "self_test" in message_of(text)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 10_000_000, rows


def test_a_card_within_bounds():
    for text in ("[" * 2_000_000, " " * 5_000_000, changed("parameters", value=10**400), '{"format": 1e999}'):
        with pytest.raises((NotAModelFile, UnsupportedFormat)):
            Card.from_json(text, where="m.onnx")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**30) | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def paths(value: object, before: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """Every place in a card."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [before, *(path for key, item in inner for path in paths(item, (*before, key)))]


RICH = json.loads(CARD.to_json()) | {
    "provenance": {
        "recipe": "x = 1",
        "data": {"name": "mnist", "sha256": "ab", "train": 60_000, "test": None, "licence": None},
        "made_from": [{"file": "a.onnx", "sha256": "ab"}],
        "members": [
            {"file": "a", "sha256": "b", "name": "c", "recipe": "", "seed": 1, "temperature": 1.0, "adapted": []}
        ],
        "views": 1,
        "adapted": [
            {"data": {"name": "a", "sha256": "b"}, "pictures": {"1": 3}, "replay": {"name": "a", "sha256": "b"}}
        ],
        "saw_mnist": True,
    }
}


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(paths(RICH)[1:]), json_values)
def test_any_value_in_any_place_is_a_card_or_an_error_of_ours(path, value):
    text = put(json.loads(json.dumps(RICH)), path, value)
    with suppress(NotAModelFile, UnsupportedFormat):
        card = Card.from_json(text, where="m.onnx")
        assert Card.from_json(card.to_json(), where="m.onnx").to_json() == card.to_json()
