"""Composed lines: repeatable, with the text that they say, in one hand."""

from __future__ import annotations

import numpy as np
import pytest

from inkdigit.synth import lines
from inkdigit.synth.scenes import pens
from inkdigit.types import ALPHABET, Part

from ..conftest import template

PART = Part(
    np.stack([template(i) for i in range(40)]), np.arange(40) % 10, writers=(np.arange(40) // 10).astype(np.int32)
)


@pytest.fixture(scope="module")
def hands() -> lines.Hands:
    return lines.Hands(PART)


@pytest.fixture(scope="module")
def bank() -> pens.Bank:
    return pens.bank(PART.images, rng=np.random.default_rng(0), size=24)


def test_a_seed_gives_the_same_line_again(hands, bank):
    one, same, other = (lines.compose(hands, bank, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one.gray, same.gray)
    assert one.text == same.text
    assert one.gray.shape != other.gray.shape or not np.array_equal(one.gray, other.gray)


def test_texts_are_numbers_of_every_kind_in_the_alphabet():
    rng = np.random.default_rng(0)
    texts = [lines.random_text(rng) for _ in range(2000)]
    assert {*"".join(texts)} == {*ALPHABET}
    assert all(any(sign.isdigit() for sign in text) for text in texts)
    assert max(sum(sign.isdigit() for sign in text) for text in texts) <= lines.MAX_LENGTH
    assert np.mean([text.startswith("1") for text in texts]) > 0.15
    assert np.mean(["00" in text for text in texts]) > 0.04


def test_a_line_shows_what_it_says_and_longer_texts_are_wider(hands, bank):
    wider = []
    for seed in range(12):
        line = lines.compose(hands, bank, np.random.default_rng(seed), text="2048")
        assert line.text == "2048"
        assert line.gray.shape == line.truth.shape
        assert line.truth.max() > 100
        longer = lines.compose(hands, bank, np.random.default_rng(seed), text="20482048")
        wider.append(longer.gray.shape[1] / longer.gray.shape[0] / (line.gray.shape[1] / line.gray.shape[0]))
    assert np.median(wider) > 1.4


def test_some_lines_are_words_and_have_no_text(hands, bank, monkeypatch):
    monkeypatch.setattr(lines, "WORD_SHARE", 1.0)
    for seed in range(6):
        line = lines.compose(hands, bank, np.random.default_rng(seed))
        assert line.text == ""
        assert line.truth.any()


def test_a_number_is_in_one_hand(hands):
    """All digits of a number are by one writer of the set where that writer wrote them."""
    rng = np.random.default_rng(0)
    for writer in hands.ids:
        for label in range(10):
            digit = hands.digit(writer, label, rng)
            assert np.array_equal(digit, PART.images[writer * 10 + label])


def test_a_set_without_writers_is_one_hand():
    assert lines.Hands(Part(PART.images, PART.labels)).ids == [0]


def test_some_numbers_are_in_printed_places_one_digit_in_each(hands, bank, monkeypatch):
    framed = []
    monkeypatch.setattr(lines, "BOXED_SHARE", 1.0)
    monkeypatch.setattr(lines, "BESIDE_SHARE", 0.0)
    monkeypatch.setattr(lines.rules, "places", lambda _, *place: framed.append(place[:2]))
    monkeypatch.setattr(lines.scene, "finish", lambda sheet, *_, **__: lines.scene.Scene(sheet.number, sheet.number))
    monkeypatch.setattr(lines.scene, "_is_visible", lambda *_: True)
    line = lines.compose(hands, bank, np.random.default_rng(3), text="2048")
    (((top, left, bottom, right), count),) = framed
    assert count == 4
    columns = np.flatnonzero((line.truth > 0).any(axis=0))
    pitch = (right - left) / 4
    places = np.unique(((columns - left) / pitch).astype(int))
    assert places.tolist() == [0, 1, 2, 3]
    assert top < np.flatnonzero((line.truth > 0).any(axis=1))[0]
    assert bottom > np.flatnonzero((line.truth > 0).any(axis=1))[-1]


def test_half_of_the_lines_are_scanned(hands, bank, monkeypatch):
    finished = []
    for name, module in (("scanned", lines.scanned), ("scene", lines.scene)):
        real = module.finish
        monkeypatch.setattr(module, "finish", lambda *a, n=name, r=real, **k: (finished.append(n), r(*a, **k))[1])
    for seed in range(30):
        lines.compose(hands, bank, np.random.default_rng(seed), text="17")
    assert {"scanned", "scene"} == set(finished)


def test_a_dash_at_the_end_of_an_amount_may_rise(monkeypatch):
    ink = pens.number_sign("−", np.random.default_rng(0), thickness=0.1)
    monkeypatch.setattr(lines, "FLOURISH_SHARE", 1.0)
    for seed in range(10):
        flat, rising = (
            lines._dash(ink, 100.0, 0.1, np.random.default_rng(seed), is_end=is_end) for is_end in (False, True)
        )
        assert flat[2] >= 25.0
        assert 15.0 <= rising[1] <= 45.0
        assert rising[2] == pytest.approx(rising[1] * lines.scene.aspect(rising[0]))
