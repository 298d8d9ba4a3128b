"""The gallery draws the same pictures again, and the default model reads its digits."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.robustness import gallery
from inkdigit.types import DIGITS


@pytest.mark.parametrize("title", gallery.SECTIONS)
def test_the_pictures_are_always_the_same(title):
    pytest.importorskip("matplotlib")
    first, again = gallery.SECTIONS[title](), gallery.SECTIONS[title]()
    assert all(np.array_equal(one.image, other.image) for one, other in zip(first, again, strict=True))
    assert all(one.image.dtype == np.uint8 and one.image.ndim == 2 for one in first)


# The page says which of these the model gets wrong.
UNDECIDED = {"What is rejected", "Signs and words"}


@pytest.mark.parametrize("title", [title for title in gallery.SECTIONS if title not in UNDECIDED])
def test_hard_digits_are_read(title, default_model):
    pytest.importorskip("matplotlib")
    hard = gallery.SECTIONS[title]()
    answers = default_model.predict([example.image for example in hard])
    for example, answer in zip(hard, answers, strict=True):
        if example.label is None:
            assert answer.label is None, example.what
        else:
            assert answer.best is not None, example.what
            assert DIGITS[answer.best] == example.label, example.what
