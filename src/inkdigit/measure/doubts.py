"""Which labels of a data set are likely wrong, and which pictures are there twice.

In: labels, and what a model says that has not learnt from them. Out: `Doubts` of a part, and the `Audit` of a whole
data set with its `Issue`s. This is confident learning (Northcutt, Jiang, Chuang 2021): a class's threshold is the mean
probability of that class over the pictures labelled so, how sure the model is where it agrees. A label is suspected
where the model is at least that sure of another class.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inkdigit.data.copies import find_copies
from inkdigit.types import Dataset, Part, Split

SPLIT_NAMES = {"train": "training", "test": "test"}  # as people say them

Kind = Literal["label", "doubt", "copy", "near copy"]


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


@dataclass(frozen=True, slots=True)
class Place:
    """One picture of a data set: its part, its index there from 0, and its label."""

    part: Split
    index: int
    label: str

    def __str__(self) -> str:
        """As a reader finds it: "training 59,915"."""
        return f"{SPLIT_NAMES[self.part]} {self.index:,}"


@dataclass(frozen=True, slots=True)
class Issue:
    """What deserves a look: a label with another class beside it, or a picture with an earlier one like it.

    `label`: the networks are as sure of another class as they are where they agree. `doubt`: another class is more
    probable. `copy` and `near copy`: the picture repeats `other`, pixel by pixel or nearly.
    """

    kind: Kind
    at: Place
    file: str
    p_label: float
    suggested: str | None = None
    p_suggested: float | None = None
    other: Place | None = None
    distance: float | None = None

    @property
    def conflict(self) -> bool:
        """Whether the two pictures do not have the same label."""
        return self.other is not None and self.other.label != self.at.label

    @property
    def leak(self) -> bool:
        """Whether one of the two pictures is for training and one for testing."""
        return self.other is not None and self.other.part != self.at.part


@dataclass(frozen=True, eq=False)
class Looked:
    """A part of a data set and what was said of it; a picture that could not be read has neither index nor doubts."""

    split: Split
    part: Part
    index: NDArray[np.int64]  # (M,) of the readable pictures
    doubts: Doubts  # of those

    @property
    def n(self) -> int:
        """How many pictures."""
        return len(self.index)


@dataclass(frozen=True, eq=False)
class Audit:
    """All that was found in a data set; `how` says in words which networks said so."""

    dataset: Dataset
    parts: tuple[Looked, ...]  # training first
    how: str

    @cached_property
    def labels(self) -> list[Issue]:
        """The labels that are suspected or doubted, the worst first, whatever their part."""
        found = [
            (float(looked.doubts.margin[i]), self._doubt(looked, int(i)))
            for looked in self.parts
            for i in looked.doubts.worst()
        ]
        return [issue for _, issue in sorted(found, key=lambda entry: entry[0])]

    @cached_property
    def copies(self) -> list[Issue]:
        """The pictures that repeat an earlier one: those that contradict it first, then leaks, then the nearest."""
        images = np.concatenate([looked.part.images[looked.index] for looked in self.parts])
        places = [(looked, i) for looked in self.parts for i in range(looked.n)]
        found = [self._copy(places[c.first], places[c.second], c.distance) for c in find_copies(images)]
        return sorted(found, key=lambda issue: (not issue.conflict, not issue.leak))

    @property
    def contradictions(self) -> int:
        """How many copies have another label than the picture that they repeat."""
        return sum(issue.conflict for issue in self.copies)

    @property
    def leaks(self) -> int:
        """How many copies are of a picture of the other part."""
        return sum(issue.leak for issue in self.copies)

    def count(self, kind: Kind, split: Split) -> int:
        """How many issues of a kind a part has."""
        return self._counts[kind, split]

    @cached_property
    def _counts(self) -> Counter[tuple[Kind, Split]]:
        return Counter((issue.kind, issue.at.part) for issue in (*self.labels, *self.copies))

    def _place(self, looked: Looked, i: int) -> Place:
        return Place(looked.split, int(looked.index[i]), self.dataset.classes[looked.doubts.labels[i]])

    def _file(self, looked: Looked, i: int) -> str:
        return looked.part.files[looked.index[i]] if looked.part.files else ""

    def _doubt(self, looked: Looked, i: int) -> Issue:
        doubts = looked.doubts
        suggested = int(doubts.suggested[i])
        return Issue(
            "label" if doubts.suspected[i] else "doubt",
            self._place(looked, i),
            self._file(looked, i),
            float(doubts.given[i]),
            self.dataset.classes[suggested],
            float(doubts.probs[i, suggested]),
        )

    def _copy(self, first: tuple[Looked, int], second: tuple[Looked, int], distance: float) -> Issue:
        return Issue(
            "near copy" if distance else "copy",
            self._place(*second),
            self._file(*second),
            float(second[0].doubts.given[second[1]]),
            other=self._place(*first),
            distance=distance,
        )
