"""Whether a file for another runtime answers as the model file does: all outputs, on drawn digits.

In: a recogniser, and a function that runs the new file. Out: nothing, or an error. The formats for PyTorch and Keras
are compared by `model_file.verify`, which knows the probabilities alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from inkdigit.model.card import OUTLIERS_OUTPUT, OUTPUTS, TOLERANCE
from inkdigit.model.recognizer import Recognizer
from inkdigit.training.convert.model_file import PARITY, PARITY_IMAGES, check_difference, drawn_pictures, run_bytes
from inkdigit.types import Floats, Gray


def tolerance(recognizer: Recognizer) -> float:
    """How far probabilities may differ: where integers become floats, as far as an int8 file may."""
    return PARITY if recognizer.card.numbers == "float32" else TOLERANCE[recognizer.card.numbers]


def output_names(count: int) -> tuple[str, ...]:
    """The names of the outputs of a model file that has so many."""
    return (*OUTPUTS, OUTLIERS_OUTPUT)[:count]


def differences(recognizer: Recognizer, run: Callable[[Gray], Sequence[Floats]], images: Gray) -> list[float]:
    """The largest difference of each output; of the score, which has no bound, relative where it is above 1."""
    expected = run_bytes(recognizer.path.read_bytes(), images)
    got = run(images)
    if [output.shape for output in got] != [output.shape for output in expected]:
        return [np.inf] * len(expected)
    return [float((np.abs(a - b) / np.maximum(1, np.abs(b))).max()) for a, b in zip(got, expected, strict=True)]


def compare(recognizer: Recognizer, run: Callable[[Gray], Sequence[Floats]], *, what: str) -> None:
    """Check a file made from a model file: `run` is uint8 (N, 28, 28) → probs (N, K), score (N,), outliers (N, M).

    Raises:
        ParityError: it answers otherwise.
    """
    images = drawn_pictures(recognizer.prepare, PARITY_IMAGES)
    worst = max(differences(recognizer, run, images))
    check_difference(recognizer, worst, allowed=tolerance(recognizer), what=what)
