"""Which ink decided: squares of the picture are hidden in turn, and the model file is asked again.

In: a recogniser and a picture that has passed the door. Out: a map of how much the evidence for a class falls where ink
is hidden (occlusion: Zeiler, Fergus 2014). Only the model file is needed, whatever kind of network is in it.
"""

from __future__ import annotations

import numpy as np

from inkdigit.errors import UsageError
from inkdigit.model.recognizer import Recognizer
from inkdigit.types import SIDE, Floats, Gray

SQUARE = 6  # pixels: hides a piece of a stroke with its edges, which after the door is 2 to 4 px wide
STEP = 2  # pixels from one square to the next: every pixel lies under 9 squares


def occlusion(recognizer: Recognizer, picture: Gray, *, class_index: int) -> Floats:
    """How much the evidence for a class falls where ink is hidden: float32 (28, 28), in nats.

    `picture` is uint8 (28, 28), through the door. A square of paper slides over it; each pixel has the mean fall of the
    squares that cover it. Above 0 the ink spoke for the class, below 0 against it. Paper has a value where squares
    reach it, but only ink was ever hidden: look at the map where the ink is.

    Evidence is the log-odds of the class, log p − log (1 − p): a probability stays at 1 while half of what speaks for
    it is taken away, and its logarithm at 0; log-odds fall in step with the network's own sums.

    Raises:
        UsageError: the model has no such class.
    """
    if not 0 <= class_index < len(recognizer.classes):
        known = f"0 to {len(recognizer.classes) - 1}"
        raise UsageError("The model has no such class", expected=known, received=class_index)
    begins = np.arange(1 - SQUARE, SIDE, STEP)[:, None]  # over the edges too, so that no pixel is covered less
    pixels = np.arange(SIDE)
    covers = (begins <= pixels) & (pixels < begins + SQUARE)  # (P, 28): which pixels a square covers, along one axis
    hidden = picture * ~(covers[:, None, :, None] & covers[None, :, None, :])  # (P, P, 28, 28)
    changed = np.any(hidden != picture, axis=(2, 3))  # a square on bare paper takes nothing away
    asked = np.concatenate([picture[None], hidden[changed]])
    evidence = log_odds(recognizer.probs_as_prepared(asked), class_index)
    falls = np.zeros(changed.shape, np.float32)
    falls[changed] = evidence[0] - evidence[1:]
    mean = covers / covers.sum(axis=0)  # (P, 28)
    fall: Floats = (mean.T @ falls @ mean).astype(np.float32)
    return fall


def log_odds(probs: Floats, class_index: int) -> Floats:
    """log p − log (1 − p) of one class in `probs` (N, K): (N,); 1 − p as the sum of the others is exact near p = 1."""
    least = np.finfo(np.float32).tiny
    others = np.delete(probs, class_index, axis=1).sum(axis=1)
    odds: Floats = np.log(np.maximum(probs[:, class_index], least)) - np.log(np.maximum(others, least))
    return odds
