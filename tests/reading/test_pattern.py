"""Patterns: an automaton accepts what the regular expression does, and refuses what it cannot be."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest

from inkdigit.errors import UsageError
from inkdigit.reading.pattern import compile_pattern
from inkdigit.types import ALPHABET

KNOWN = [
    r"\d{5}",
    r"\d{1,3}(\.\d{3})*,\d{2}",
    r"(0?[1-9]|[12]\d|3[01])/\d{2}/(\d{2}){1,2}",
    r"1*2?3+",
    r"^\d+$",
    r"",
    r"[^0-4]{2,}",
    r"(1|12)(3|23)?",
    r"(\d{2,3}-){2}\d*",
    r".*",
]


@pytest.mark.parametrize("text", KNOWN)
def test_it_accepts_what_the_expression_matches(text):
    pattern, expression, rng = compile_pattern(text, ALPHABET), re.compile(text), np.random.default_rng(0)
    seen = set()
    for _ in range(3000):
        letters = ALPHABET[: int(rng.choice([3, 4, 12, len(ALPHABET)]))]
        word = "".join(rng.choice([*letters], int(rng.integers(0, 8))))
        assert pattern.matches(word) == bool(expression.fullmatch(word)), word
        seen.add(pattern.matches(word))
    assert True in seen or len(text) > 12


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(", "is not a regular expression"),
        (r"\w+", "a class of letters"),
        (r"(?=1)", "which a number cannot have"),
        (r"(\d)\1", "which a number cannot have"),
        ("(?i)1", "flags"),
        ("a", "No number fits"),
        (r"\d{99999}", "too large"),
        (r"(\d{100}){100}", "too large"),
        (r"((((\d{1,99}){1,99}){1,99}){1,99})", "too large"),
        ("1" * 600, "too long"),
    ],
)
def test_what_it_cannot_be_is_one_error_at_once(text, message):
    begun = time.perf_counter()
    with pytest.raises(UsageError, match=message):
        compile_pattern(text, ALPHABET)
    assert time.perf_counter() - begun < 2


def test_characters_that_the_reader_lacks_can_be_left_out():
    assert compile_pattern("(a|1)b?", ALPHABET).matches("1")
