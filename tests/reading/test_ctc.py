"""Decoding: the text with the highest sum over all of its paths, and where its characters are."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from inkdigit.reading.ctc import SHARPNESS, agree, decode, probabilities
from inkdigit.reading.pattern import compile_pattern

ALPHABET = "01"


def every_text(log_probs: np.ndarray) -> dict[str, float]:
    """The log probability of each text: the sum over all paths."""
    of: dict[str, float] = {}
    for path in itertools.product(range(len(ALPHABET) + 1), repeat=len(log_probs)):
        text = "".join(ALPHABET[k - 1] for k, _ in itertools.groupby(path) if k)
        mass = sum(log_probs[t, k] for t, k in enumerate(path))
        of[text] = float(np.logaddexp(of.get(text, -1e9), mass))
    return of


def some_rows(seed: int, steps: int = 5) -> np.ndarray:
    """Random log probabilities."""
    rows = np.random.default_rng(seed).normal(0, 2, (steps, len(ALPHABET) + 1))
    return (rows - np.logaddexp.reduce(rows, axis=1)[:, None]).astype(np.float32)


@pytest.mark.parametrize("seed", range(20))
def test_the_most_probable_text_is_found(seed):
    rows = some_rows(seed)
    of = every_text(rows)
    decoded = decode(rows, ALPHABET)
    assert decoded.text == max(of, key=of.get)
    assert decoded.log_prob == pytest.approx(of[decoded.text], abs=1e-3)


@pytest.mark.parametrize("seed", range(20))
def test_with_a_pattern_the_best_of_those_that_fit(seed):
    rows = some_rows(seed)
    fits = {text: mass for text, mass in every_text(rows).items() if len(text) == 2 and text[0] == "1"}
    decoded = decode(rows, ALPHABET, compile_pattern("1[01]", ALPHABET))
    assert decoded.text == max(fits, key=fits.get)
    assert decoded.log_prob == pytest.approx(fits[decoded.text], abs=1e-3)


@pytest.mark.parametrize("seed", range(20))
def test_the_probability_of_a_text_is_the_sum_over_its_paths(seed):
    rows = some_rows(seed)
    of = every_text(rows)
    texts = [*of, "0" * 9]
    found = probabilities(rows.astype(np.float64)[None], texts, ALPHABET)[0]
    np.testing.assert_allclose(found[:-1], [of[text] for text in of], atol=1e-5)
    assert found[-1] < -1e6  # too long for the line
    np.testing.assert_allclose(probabilities(rows.astype(np.float64)[None], [""], ALPHABET)[0], [of[""]], atol=1e-5)
    blank = np.log(np.full((5, 3), [0.9998, 1e-4, 1e-4]))
    assert agree([blank, blank], ALPHABET).text == ""


@pytest.mark.parametrize("pattern", [None, compile_pattern("1[01]", ALPHABET)])
@pytest.mark.parametrize("seed", range(10))
def test_several_views_agree_on_what_is_most_probable_in_the_mean(seed, pattern):
    views = [some_rows(seed), some_rows(100 + seed, steps=6), some_rows(200 + seed)]
    each = [every_text(view) for view in views]
    mean = {text: np.mean([of[text] for of in each]) for text in each[0]}
    fits = {text: mass for text, mass in mean.items() if pattern is None or pattern.matches(text)}
    agreed = agree(views, ALPHABET, pattern)
    assert agreed.text == max(fits, key=fits.get)
    share = SHARPNESS * mean[agreed.text] - np.logaddexp.reduce(SHARPNESS * np.array(list(mean.values())))
    assert share - 1e-3 < agreed.log_prob < min(0.0, share + 0.7)  # the beams leave improbable texts out


def test_a_witness_decides_where_the_views_do_not():
    unsure = np.log(np.array([[0.01, 0.5, 0.49], [0.98, 0.01, 0.01]])).astype(np.float32)
    seen: list[str] = []

    def says(texts):
        seen.extend(one.text for one in texts)
        return np.array([0.0 if one.text == "1" else -4.0 for one in texts])

    assert agree([unsure, unsure], ALPHABET).text == "0"
    agreed = agree([unsure, unsure], ALPHABET, witness=says)
    assert agreed.text == "1"
    assert agreed.spans == ((0, 1),)
    assert np.log(0.5) < agreed.log_prob < 0
    assert {"0", "1"} <= {*seen}
    assert agree([unsure, unsure], ALPHABET, compile_pattern("0", ALPHABET), witness=says).text == "0"


def test_a_text_longer_than_the_line_does_not_fit():
    too_long = compile_pattern("[01]{5}", ALPHABET)
    assert decode(some_rows(0, steps=3), ALPHABET, too_long) is None
    assert agree([some_rows(0, steps=3), some_rows(1, steps=3)], ALPHABET, too_long) is None


def test_each_character_has_its_steps_and_its_probability():
    rows = np.log(np.full((7, 3), 0.005))
    for step, state in enumerate((0, 2, 2, 0, 2, 1, 0)):
        rows[step, state] = np.log(0.99)
    decoded = decode(rows.astype(np.float32), ALPHABET)
    assert decoded.text == "110"
    assert decoded.spans == ((1, 3), (4, 5), (5, 6))
    assert all(sure > 0.98 for sure in decoded.sure)


def test_nothing_is_nothing():
    rows = np.log(np.array([[0.99, 0.005, 0.005]] * 4, np.float32))
    assert decode(rows, ALPHABET).text == ""


def test_a_leaning_one_is_not_a_stroke_but_a_date_has_strokes():
    alphabet = "0123456789/"

    def rows(text: str, unsure: dict[int, str]) -> np.ndarray:
        """Steps of a text; at some characters another is a little more probable."""
        steps = np.full((2 * len(text) + 1, 12), 1e-4)
        steps[0::2, 0] = 1
        for i, character in enumerate(text):
            steps[2 * i + 1, 1 + alphabet.index(character)] = 0.4 if i in unsure else 1
            if i in unsure:
                steps[2 * i + 1, 1 + alphabet.index(unsure[i])] = 0.6
        return np.log(steps / steps.sum(1, keepdims=True)).astype(np.float32)

    assert decode(rows("40117", {2: "/"}), alphabet).text == "40117"
    assert decode(rows("14/03/2026", {}), alphabet).text == "14/03/2026"
    assert decode(rows("3/4", {}), alphabet).text == "3/4"


def test_a_pattern_that_the_text_fits_changes_nothing():
    log_probs = np.log(np.random.default_rng(3).dirichlet(np.ones(3), size=6)).astype(np.float32)
    free = decode(log_probs, ALPHABET)
    assert free is not None
    assert decode(log_probs, ALPHABET, compile_pattern("[01]*", ALPHABET)) == free
