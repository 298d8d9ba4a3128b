"""Which ink decided: squares of the image are hidden in turn, and the model file predicts again.

In: a recogniser and an image. Out: an `Explanation` with a map of how much the evidence for a class falls where ink is
hidden (occlusion: Zeiler, Fergus 2014). Only the model file is needed, whatever kind of network is in it. What the
weights tell besides is added by `training.internals`; the command line, the service and the pages only show it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from inkdigit.errors import UsageError
from inkdigit.model.recognizer import Recognizer
from inkdigit.picture.prepare import ink_box, prepare
from inkdigit.types import NO_ANSWER, SIDE, Floats, Gray, Prediction

SQUARE_PX = 6  # hides a piece of a stroke with its edges, which after preprocessing is 2 to 4 px wide
STEP_PX = 2  # from one square to the next: every pixel lies under 9 squares
REGIONS = (
    ("upper left", "top", "upper right"),
    ("left", "middle", "right"),
    ("lower left", "bottom", "lower right"),
)


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """What a model predicts for one image, and which ink decided.

    Both maps are about the most probable class, whether or not the model answers with it: above 0 the ink spoke for
    the class, below 0 against it.
    """

    image: Gray = field(repr=False)  # (28, 28), as the network saw it
    prediction: Prediction
    classes: tuple[str, ...]
    occlusion: Floats | None = field(repr=False)  # (28, 28), in nats; None: nothing to hide, or not wanted
    gradients: Floats | None = field(default=None, repr=False)  # (28, 28), in nats; they need the weights

    @property
    def class_index(self) -> int:
        """The class that the maps are about: the most probable one."""
        return self.prediction.best or 0

    @property
    def class_name(self) -> str:
        """The name of that class."""
        return self.classes[self.class_index]

    @property
    def answer(self) -> str:
        """The label, or — where the model does not answer."""
        return NO_ANSWER if self.prediction.label is None else self.prediction.label

    @property
    def decided_by(self) -> str:
        """The regions of the ink that hold most of what speaks for the class, in words, the largest share first."""
        if self.prediction.probs is None:
            return "nothing: there is no ink to explain"
        if self.occlusion is None:
            return "no part of it: the image is black all over"
        regions = self.regions()
        if not regions:
            return f"no part of it alone: none speaks for {self.class_name}"
        largest = regions[: 1 if regions[0][1] >= 0.5 else 2]
        names, share = " and the ".join(name for name, _ in largest), sum(share for _, share in largest)
        return f"the {names}: {share * 100:.0f} % of what speaks for {self.class_name}"

    @property
    def facts(self) -> dict[str, str]:
        """What there is to say beside the answer: name → words."""
        runner_up = self.prediction.runner_up(self.classes)
        return {**({} if runner_up is None else {"runner-up": runner_up}), "decided by": self.decided_by}

    def regions(self) -> list[tuple[str, float]]:
        """Nine regions of the ink's box and their shares of what speaks for the class, the largest first.

        An empty list where no ink speaks for it.
        """
        box = ink_box(self.image)
        if box is None or self.occlusion is None:
            return []
        weight = (np.maximum(self.occlusion, 0) * self.image)[box]
        total = float(weight.sum())
        if not total:
            return []
        thirds = [np.array_split(row, 3, axis=1) for row in np.array_split(weight, 3)]
        shares = [
            (float(part.sum() / total), REGIONS[y][x]) for y, row in enumerate(thirds) for x, part in enumerate(row)
        ]
        return [(name, share) for share, name in sorted(shares, reverse=True)]


def explain(recognizer: Recognizer, picture: Gray, *, occluded: bool = True) -> Explanation:
    """Predict one image and explain the prediction.

    `picture` is gray uint8 (H, W), as `decode` returns it. Without `occluded` the map is left out, which is half of the
    work.
    """
    image = prepare(picture, recognizer.prepare)
    (prediction,) = recognizer.predict([image])  # as of `picture` itself: what is prepared stays as it is
    return explain_prediction(recognizer, image, prediction, occluded=occluded)


def explain_prediction(
    recognizer: Recognizer, image: Gray, prediction: Prediction, *, occluded: bool = True
) -> Explanation:
    """Explain what a model predicted for `image` uint8 (28, 28), which is prepared."""
    falls = None
    if occluded and image.any():  # an image that was only resized may be black all over, and have a prediction
        falls = occlusion(recognizer, image, class_index=prediction.best or 0)
    return Explanation(image, prediction, recognizer.classes, falls)


def occlusion(recognizer: Recognizer, image: Gray, *, class_index: int) -> Floats:
    """How much the evidence for a class falls where ink is hidden: float32 (28, 28), in nats.

    `image` is uint8 (28, 28), prepared. A square of paper slides over it; each pixel has the mean fall of the squares
    that cover it. Above 0 the ink spoke for the class, below 0 against it. Paper has a value where squares reach it,
    but only ink was ever hidden: look at the map where the ink is.

    Evidence is the log-odds of the class, log p − log (1 − p): a probability stays at 1 while half of what speaks for
    it is taken away, and its logarithm at 0; log-odds fall in step with the network's own sums.

    Raises:
        UsageError: the model has no such class.
    """
    if not 0 <= class_index < len(recognizer.classes):
        known = f"0 to {len(recognizer.classes) - 1}"
        raise UsageError("The model has no such class", expected=known, received=class_index)
    starts = np.arange(1 - SQUARE_PX, SIDE, STEP_PX)[:, None]  # over the edges too: no pixel is covered less
    pixels = np.arange(SIDE)
    covers = (starts <= pixels) & (pixels < starts + SQUARE_PX)  # (P, 28): which pixels a square covers, along one axis
    hidden = image * ~(covers[:, None, :, None] & covers[None, :, None, :])  # (P, P, 28, 28)
    changed = np.any(hidden != image, axis=(2, 3))  # a square on bare paper takes nothing away
    images = np.concatenate([image[None], hidden[changed]])
    evidence = log_odds(recognizer.probs_as_prepared(images), class_index)
    falls = np.zeros(changed.shape, np.float32)
    falls[changed] = evidence[0] - evidence[1:]
    mean = covers / covers.sum(axis=0)  # (P, 28)
    fall: Floats = (mean.T @ falls @ mean).astype(np.float32)
    return fall


def log_odds(probs: Floats, class_index: int) -> Floats:
    """log p − log (1 − p) of one class in `probs` (N, K): (N,); 1 − p as the sum of the others is exact near p = 1."""
    smallest = np.finfo(np.float32).tiny
    others = np.delete(probs, class_index, axis=1).sum(axis=1)
    odds: Floats = np.log(np.maximum(probs[:, class_index], smallest)) - np.log(np.maximum(others, smallest))
    return odds
