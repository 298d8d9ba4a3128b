"""Which labels are likely wrong: confident learning (Northcutt, Jiang, Chuang 2021).

In: labels, and what a model says that has not learnt from them. Out: `Doubts`. A class's threshold is the mean
probability of that class over the pictures labelled so: how sure the model is where it agrees. A label is suspected
where the model is at least that sure of another class.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Doubts:
    """What probabilities (N, K) say of labels (N,)."""

    labels: NDArray[np.int64]  # (N,)
    probs: NDArray[np.float64]  # (N, K)

    @cached_property
    def thresholds(self) -> NDArray[np.float64]:
        """How sure the model is of each class where the label says so, (K,); of an empty class infinitely."""
        sums = np.bincount(self.labels, weights=self.given, minlength=self.probs.shape[1])
        counts = np.bincount(self.labels, minlength=self.probs.shape[1])
        means: NDArray[np.float64] = np.divide(sums, counts, out=np.full(len(sums), np.inf), where=counts > 0)
        return means

    @cached_property
    def given(self) -> NDArray[np.float64]:
        """The probability of the label: (N,)."""
        return self._of(self.labels)

    @cached_property
    def suggested(self) -> NDArray[np.int64]:
        """The most probable class beside the label: (N,)."""
        others = self.probs.copy()
        others[np.arange(len(self.labels)), self.labels] = -1.0
        best: NDArray[np.int64] = others.argmax(1)
        return best

    @cached_property
    def margin(self) -> NDArray[np.float64]:
        """The label's probability less that of the suggested class, −1 to 1, the lower the worse: (N,)."""
        return self.given - self._of(self.suggested)

    @cached_property
    def doubtful(self) -> NDArray[np.bool_]:
        """Where another class is more probable than the label: (N,)."""
        return self.margin < 0

    @cached_property
    def suspected(self) -> NDArray[np.bool_]:
        """Where it also reaches its threshold: (N,)."""
        return self.doubtful & (self._of(self.suggested) >= self.thresholds[self.suggested])

    @cached_property
    def joint(self) -> NDArray[np.int64]:
        """The confident joint (K, K): pictures labelled i (row) that are confidently j, suspected off the diagonal."""
        agreed = ~self.doubtful & (self.given >= self.thresholds[self.labels])
        joint = np.zeros((self.probs.shape[1],) * 2, np.int64)
        np.add.at(joint, (self.labels[agreed], self.labels[agreed]), 1)
        np.add.at(joint, (self.labels[self.suspected], self.suggested[self.suspected]), 1)
        return joint

    @property
    def estimate(self) -> float:
        """How many labels are wrong, suspected or not: each row of the joint stretched to the pictures of its class."""
        rows = self.joint.sum(1)
        shares = 1 - np.divide(np.diag(self.joint), rows, out=np.ones(len(rows)), where=rows > 0)
        return float(shares @ np.bincount(self.labels, minlength=len(rows)))

    @property
    def agreement(self) -> float:
        """The share of the pictures whose label is the most probable class."""
        return float(1 - self.doubtful.mean())

    def worst(self) -> NDArray[np.int64]:
        """The indices of the doubtful pictures, the worst first."""
        order = np.argsort(self.margin, kind="stable")
        return order[: int(self.doubtful.sum())]

    def _of(self, classes: NDArray[np.int64]) -> NDArray[np.float64]:
        """The probability of one class (N,) for each picture."""
        return np.take_along_axis(self.probs, classes[:, None], axis=1)[:, 0]
