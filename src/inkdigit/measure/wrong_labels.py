"""Which labels of a data set are likely wrong, and which images it contains twice.

In: labels, and the predictions of a model that has not learned from them. Out: `Doubts` about one split, and the
`Audit` of a data set with its `Issue`s. This is confident learning (Northcutt, Jiang, Chuang 2021). The threshold of a
class is its mean probability over the images with that label: the usual confidence of the model in a right label. A
label is suspected where another class is more probable and reaches its own threshold.
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

SPLIT_NAMES = {"train": "training", "test": "test"}  # for people

Kind = Literal["label", "doubt", "copy", "near copy"]


@dataclass(frozen=True, eq=False)
class Doubts:
    """Labels (N,) compared with predicted probabilities (N, K)."""

    labels: NDArray[np.int64]  # (N,)
    probs: NDArray[np.float64]  # (N, K)

    @cached_property
    def thresholds(self) -> NDArray[np.float64]:
        """The mean probability of each class over the images with that label, (K,); infinite for an empty class."""
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
        """The most probable class other than the label: (N,)."""
        others = self.probs.copy()
        others[np.arange(len(self.labels)), self.labels] = -1.0
        best: NDArray[np.int64] = others.argmax(1)
        return best

    @cached_property
    def margin(self) -> NDArray[np.float64]:
        """The label's probability minus that of the suggested class, −1 to 1, the lower the worse: (N,)."""
        return self.given - self._of(self.suggested)

    @cached_property
    def doubtful(self) -> NDArray[np.bool_]:
        """Where another class is more probable than the label: (N,)."""
        return self.margin < 0

    @cached_property
    def suspected(self) -> NDArray[np.bool_]:
        """Where that class also reaches its threshold: (N,)."""
        return self.doubtful & (self._of(self.suggested) >= self.thresholds[self.suggested])

    @cached_property
    def joint(self) -> NDArray[np.int64]:
        """The confident joint (K, K): images labelled i (row) that are confidently j, suspected off the diagonal."""
        agreed = ~self.doubtful & (self.given >= self.thresholds[self.labels])
        joint = np.zeros((self.probs.shape[1],) * 2, np.int64)
        np.add.at(joint, (self.labels[agreed], self.labels[agreed]), 1)
        np.add.at(joint, (self.labels[self.suspected], self.suggested[self.suspected]), 1)
        return joint

    @property
    def estimate(self) -> float:
        """How many labels are wrong, suspected or not: each row of the joint is scaled to the images of its class."""
        rows = self.joint.sum(1)
        shares = 1 - np.divide(np.diag(self.joint), rows, out=np.ones(len(rows)), where=rows > 0)
        return float(shares @ np.bincount(self.labels, minlength=len(rows)))

    @property
    def agreement(self) -> float:
        """The share of the images whose label is the most probable class."""
        return float(1 - self.doubtful.mean())

    def worst(self) -> NDArray[np.int64]:
        """The indices of the doubtful images, the worst first."""
        order = np.argsort(self.margin, kind="stable")
        return order[: int(self.doubtful.sum())]

    def _of(self, classes: NDArray[np.int64]) -> NDArray[np.float64]:
        """The probability of the class `classes[i]` for image i: (N,)."""
        return np.take_along_axis(self.probs, classes[:, None], axis=1)[:, 0]


@dataclass(frozen=True, slots=True)
class Place:
    """One image of a data set: its split, its index there from 0, and its label."""

    part: Split
    index: int
    label: str

    def __str__(self) -> str:
        """For people: "training 59,915"."""
        return f"{SPLIT_NAMES[self.part]} {self.index:,}"


@dataclass(frozen=True, slots=True)
class Issue:
    """An image to look at: its label may be wrong, or it repeats an earlier image.

    `label`: another class is more probable and reaches its threshold. `doubt`: another class is more probable. `copy`
    and `near copy`: the image repeats `other`, pixel by pixel or nearly.
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
        """Whether the two images have different labels."""
        return self.other is not None and self.other.label != self.at.label

    @property
    def leak(self) -> bool:
        """Whether one of the two images is in the training split and one in the test split."""
        return self.other is not None and self.other.part != self.at.part


@dataclass(frozen=True, eq=False)
class AuditedSplit:
    """A split of a data set and the doubts about it; an image that could not be read has neither index nor doubts."""

    split: Split
    part: Part
    index: NDArray[np.int64]  # (M,) of the readable images
    doubts: Doubts  # of those

    @property
    def n(self) -> int:
        """How many readable images."""
        return len(self.index)


@dataclass(frozen=True, eq=False)
class Audit:
    """The issues of a data set; `how` describes the networks that read it."""

    dataset: Dataset
    parts: tuple[AuditedSplit, ...]  # training first
    how: str

    @cached_property
    def labels(self) -> list[Issue]:
        """The labels that are suspected or doubtful, the worst first, of all splits together."""
        ranked = [
            (float(audited.doubts.margin[i]), self._doubt(audited, int(i)))
            for audited in self.parts
            for i in audited.doubts.worst()
        ]
        return [issue for _, issue in sorted(ranked, key=lambda pair: pair[0])]

    @cached_property
    def copies(self) -> list[Issue]:
        """The images that repeat an earlier one: those with another label first, then leaks, then the nearest."""
        images = np.concatenate([audited.part.images[audited.index] for audited in self.parts])
        places = [(audited, i) for audited in self.parts for i in range(audited.n)]
        copies = [self._copy(places[c.first], places[c.second], c.distance) for c in find_copies(images)]
        return sorted(copies, key=lambda issue: (not issue.conflict, not issue.leak))

    @property
    def contradictions(self) -> int:
        """How many copies have another label than the image that they repeat."""
        return sum(issue.conflict for issue in self.copies)

    @property
    def leaks(self) -> int:
        """How many copies repeat an image of the other split."""
        return sum(issue.leak for issue in self.copies)

    def count(self, kind: Kind, split: Split) -> int:
        """How many issues of a kind a split has."""
        return self._counts[kind, split]

    @cached_property
    def _counts(self) -> Counter[tuple[Kind, Split]]:
        return Counter((issue.kind, issue.at.part) for issue in (*self.labels, *self.copies))

    def _place(self, audited: AuditedSplit, i: int) -> Place:
        return Place(audited.split, int(audited.index[i]), self.dataset.classes[audited.doubts.labels[i]])

    def _file(self, audited: AuditedSplit, i: int) -> str:
        return audited.part.files[audited.index[i]] if audited.part.files else ""

    def _doubt(self, audited: AuditedSplit, i: int) -> Issue:
        doubts = audited.doubts
        suggested = int(doubts.suggested[i])
        return Issue(
            "label" if doubts.suspected[i] else "doubt",
            self._place(audited, i),
            self._file(audited, i),
            float(doubts.given[i]),
            self.dataset.classes[suggested],
            float(doubts.probs[i, suggested]),
        )

    def _copy(self, first: tuple[AuditedSplit, int], second: tuple[AuditedSplit, int], distance: float) -> Issue:
        return Issue(
            "near copy" if distance else "copy",
            self._place(*second),
            self._file(*second),
            float(second[0].doubts.given[second[1]]),
            other=self._place(*first),
            distance=distance,
        )
