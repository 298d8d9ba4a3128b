"""A card says the same after the model file as before it, and a broken one is refused."""

from __future__ import annotations

import base64
import json
import tracemalloc
import zlib
from contextlib import suppress
from dataclasses import replace

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


def changed(*path: str, value: object = None) -> str:
    """The text of `CARD` with one value replaced, or left out where there is no value."""
    raw = json.loads(CARD.to_json())
    place = raw
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return json.dumps(raw)


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


@pytest.mark.parametrize(
    "text", ["", "no json", "[]", '"text"', "null", "7", "{}", '{"name": "fast"}', "[" * 100_000, '{"format": 1']
)
def test_a_text_that_is_no_card(text):
    with pytest.raises(NotAModelFile, match=r"^m\.onnx: its card is not readable") as caught:
        Card.from_json(text, where="m.onnx")
    assert caught.value.exit_code == 5


@pytest.mark.parametrize("number", [99, 2, 0, -1, "1", 1.5, [1]])
def test_another_format_is_refused(number):
    with pytest.raises(UnsupportedFormat, match=r"Expected: 1\. Received:") as caught:
        Card.from_json(changed("format", value=number), where="m.onnx")
    assert caught.value.exit_code == 5
    assert ("Upgrade inkdigit" in str(caught.value)) == (number in (99, 2))


REQUIRED = ["name", "classes", "prepare", "parameters", "numbers", "calibration", "figures", "provenance", "self_test"]


@pytest.mark.parametrize("name", REQUIRED)
def test_a_card_that_lacks_a_field(name):
    with pytest.raises(NotAModelFile, match=f"its card is broken .*{name}"):
        Card.from_json(changed(name), where="m.onnx")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["classes"], 7),
        (["classes"], []),
        (["classes"], ["a", "b", "c", "d"]),  # not as many as probabilities
        (["prepare"], "ink"),
        (["prepare", "version"], "new"),
        (["prepare", "version"], float("inf")),
        (["parameters"], "many"),
        (["parameters"], [1]),
        (["calibration"], 1.0),
        (["calibration"], {"warmth": 1}),
        (["calibration", "accept_score"], "high"),
        (["figures"], 3),
        (["provenance"], "here"),
        (["self_test"], []),
        (["self_test", "images"], "no base64!"),
        (["self_test", "images"], "AAAA"),
        (["self_test", "images"], 5),
        (["self_test", "probs"], []),
        (["self_test", "probs"], [[0.5, 0.5]]),
        (["self_test", "probs"], [[0.5, 0.5], [1.0]]),
        (["self_test", "probs"], "all"),
    ],
    ids=str,
)
def test_a_card_with_a_wrong_value(path, value):
    with pytest.raises(NotAModelFile, match=r"^m\.onnx: its card is broken"):
        Card.from_json(changed(*path, value=value), where="m.onnx")


def test_a_self_test_has_a_picture_and_as_many_answers():
    with pytest.raises(ValueError, match="0 images"):
        SelfTest(IMAGES[:0], PROBS[:0])
    with pytest.raises(ValueError, match="3 images, 2 predictions"):
        SelfTest(IMAGES, PROBS[:2])


# Cards that others wrote ---------------------------------------------------------------------------------------------


def with_self_test(images: bytes, rows: int = 3) -> str:
    raw = json.loads(CARD.to_json())
    raw["self_test"] = {"images": base64.b64encode(images).decode(), "probs": [[0.2, 0.8]] * rows}
    return json.dumps(raw)


@pytest.mark.parametrize("rows", [1, 3, 256, 10_000])
def test_no_more_is_inflated_than_the_answers_that_are_there(rows):
    bomb = zlib.compress(bytes(100_000_000), 9)  # 97 kB
    text = with_self_test(bomb, rows)
    tracemalloc.start()
    with pytest.raises(NotAModelFile, match="self_test"):
        Card.from_json(text, where="m.onnx")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *[
            (["figures"], figures)
            for figures in ({"accuracy": 0.5}, {**FIGURES, "accuracy": "high"}, {**FIGURES, "n": True})
        ],
        *[(["figures", "seeds"], seeds) for seeds in (3, {"n": 3}, {"n": 3, "mean": "x", "sd": 0.0})],
        *[(["provenance", "data"], data) for data in ("mnist", {"name": 3}, {"train": "many"}, [1])],
        *[(["provenance", "members"], members) for members in ({}, [], [3], [{"name": "a"}])],
        *[(["provenance", "adapted"], steps) for steps in (3, [3], [{"data": {}}])],
        *[(["provenance", "made_from"], files) for files in (3, ["a"], [{"file": "a"}])],
        *[(["provenance", "recipe"], recipe) for recipe in (3, ["a"], "x" * 100_000)],
        (["name"], ["fast"]),
        (["name"], "x" * 10_000),
        (["parameters"], True),
        (["parameters"], -1),
        (["parameters"], 1.5),
        (["classes"], [1, 2]),
        (["classes"], [f"{i}" for i in range(257)]),
        (["calibration", "temperature"], float("nan")),
        (["calibration", "min_confidence"], "0.5"),
        (["outliers"], "letters"),
        (["self_test", "probs"], [[0.5, float("nan")]] * 3),
    ],
    ids=lambda value: str(value)[:40],
)
def test_whatever_is_read_from_a_card_is_checked_before(path, value):
    raw = json.loads(CARD.to_json())
    place = raw
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(NotAModelFile, match=f"its card is broken .*{path[0]}") as caught:
        Card.from_json(json.dumps(raw), where="m.onnx")
    assert len(str(caught.value)) < 300


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
    return [before, *(path for key, one in inner for path in paths(one, (*before, key)))]


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
    raw = json.loads(json.dumps(RICH))
    place = raw
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with suppress(NotAModelFile, UnsupportedFormat):
        card = Card.from_json(json.dumps(raw), where="m.onnx")
        assert Card.from_json(card.to_json(), where="m.onnx").to_json() == card.to_json()
