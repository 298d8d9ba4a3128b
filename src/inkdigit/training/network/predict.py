"""What a network predicts: from its outputs to a class, a confidence, a score, and whether it answers at all.

In: a network and images, or its outputs. Out: `Outputs`. Calibration, audits, adaptations and the exported graph all
judge outputs here; `model.recognizer` judges those of the exported graph by the same rules.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from inkdigit.model.card import Calibration

EVALUATE_BATCH = 1000  # images that a network answers at a time: 4 GiB at most, by `size.MAX_IN_A_LAYER`


@dataclass(frozen=True, slots=True)
class Outputs:
    """The outputs of a network for N images: K classes, then M kinds of outliers."""

    logits: Tensor  # (N, K + M)
    classes: int  # K

    @property
    def of_classes(self) -> Tensor:
        """The logits of the classes alone: (N, K)."""
        return self.logits[:, : self.classes]

    @property
    def of_outliers(self) -> Tensor:
        """The logits of the outliers alone: (N, M)."""
        return self.logits[:, self.classes :]

    @property
    def best(self) -> Tensor:
        """The most probable class, whether or not it is answered: int64 (N,)."""
        return self.of_classes.argmax(1)

    @property
    def confidence(self) -> Tensor:
        """The probability of that class: (N,)."""
        return self.of_classes.softmax(1).amax(1)

    @property
    def score(self) -> Tensor:
        """How much each image looks like any of the classes: (N,). See `score_of`."""
        return score_of(self.logits, self.classes)

    def at(self, temperature: float) -> Outputs:
        """The same outputs divided by a temperature."""
        return replace(self, logits=self.logits / temperature)

    def take(self, index: Tensor) -> Outputs:
        """The outputs for some of the images."""
        return replace(self, logits=self.logits[index])

    def precise(self) -> Outputs:
        """The same outputs in double precision on the processor, to fit a temperature or to take a quantile."""
        return replace(self, logits=self.logits.cpu().double())

    def accepted(self, calibration: Calibration) -> Tensor:
        """Which images a file with this calibration answers, for outputs at its temperature: bool (N,)."""
        accepted = self.confidence >= calibration.min_confidence
        if calibration.accept_score is not None:
            accepted &= self.score >= calibration.accept_score
        return accepted


def predict(net: nn.Module, images: Tensor, *, classes: int) -> Outputs:
    """The outputs of `net` for uint8 (N, 28, 28); those after the first `classes` are of outliers."""
    return Outputs(logits(net, images), classes)


@torch.no_grad()
def logits(net: nn.Module, images: Tensor) -> Tensor:
    """What leaves `net` for uint8 (N, 28, 28), some images at a time, in evaluation mode: (N, K + M)."""
    net.eval()
    return torch.cat([net(some.unsqueeze(1).float()) for some in torch.split(images, EVALUATE_BATCH)])


def score_of(logits: Tensor, classes: int) -> Tensor:
    """How much each image looks like any of the classes: logits (N, K) or (N, K + M) → (N,).

    The log-sum-exp of the classes (Liu, Wang, Owens, Li 2020). Where the network learned from outliers, that of the
    outliers is subtracted: the log odds that it is not one (Hendrycks, Mazeika, Dietterich 2019, with outlier classes).
    """
    inside = torch.logsumexp(logits[:, :classes], 1)
    return inside - torch.logsumexp(logits[:, classes:], 1) if logits.shape[1] > classes else inside
