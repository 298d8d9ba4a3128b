"""Witnesses of what a line says: models for single digits, which see each digit alone.

In: the ink of a line as the reader sees it, uint8 (48, w), and texts with the places of their characters. Out: for each
text the sum of the log probabilities of its digits. The line readers know what is beside a digit, and these models know
its form better: they err on different lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

from inkdigit.model.recognizer import Recognizer
from inkdigit.picture.prepare import of_ink
from inkdigit.reading.ctc import Decoded
from inkdigit.reading.view import STRIDE_PX
from inkdigit.types import DIGITS, Gray

MODELS = "fast", "general"  # bundled ones: `best` and `tiny` beside them bring nothing
REACH_PX = 24  # how far the first and the last digit may be from their steps
FAINT = 40  # gray levels: less ink is none
LEAST = 1e-4  # of a probability: a digit may be cut badly

Place = tuple[int, int]  # the columns of a digit: from, to


def judge(ink: Gray, texts: Sequence[Decoded]) -> NDArray[np.float64]:
    """How probable the digits of each text are, one by one: (n,), logarithms."""
    places = [_places(text, ink.shape[1]) for text in texts]
    cuts = {place: i for i, place in enumerate(dict.fromkeys(chain(*places)))}
    images = np.stack([_cut(ink, place) for place in cuts])
    known, empty = np.zeros((len(images), len(DIGITS))), ~images.any(axis=(1, 2))
    for model in _models():
        probs = model.probs_as_prepared(images)
        probs[empty] = 1 / len(DIGITS)
        known += np.log(np.maximum(probs, LEAST))
    return np.array(
        [
            sum(known[cuts[place], int(digit)] for digit, place in zip(_digits(text), of_text, strict=True))
            for text, of_text in zip(texts, places, strict=True)
        ]
    )


def _digits(text: Decoded) -> list[str]:
    return [character for character in text.text if character in DIGITS]


def _places(text: Decoded, width: int) -> list[Place]:
    """The columns of each digit: to the middle between its steps and those of the characters beside it."""
    if not text.spans:
        return []
    first, last = (STRIDE_PX * step for step in (text.spans[0][0], text.spans[-1][1]))
    between = [STRIDE_PX * (end + begin) // 2 for (_, end), (begin, _) in pairwise(text.spans)]
    borders = [max(0, first - REACH_PX), *between, min(width, last + REACH_PX)]
    return [
        (left, max(right, left + STRIDE_PX))
        for character, (left, right) in zip(text.text, pairwise(borders), strict=True)
        if character in DIGITS
    ]


def _cut(ink: Gray, place: Place) -> Gray:
    """A digit (28, 28) as the model sees it."""
    cut = ink[:, slice(*place)]
    return of_ink(np.where(cut < FAINT, np.uint8(0), cut))


@cache
def _models() -> tuple[Recognizer, ...]:
    """The models, loaded for the first line of which the reader is not sure."""
    return tuple(map(Recognizer.load, MODELS))
