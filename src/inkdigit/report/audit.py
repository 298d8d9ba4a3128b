"""An audit of a data set: labels that are likely wrong and pictures that are there twice, as a list and a page.

In: the parts of a data set with what networks that never learnt a picture say of it. Out: `issues.csv` (indices and
probabilities, no pictures), `probs.npz` (what was said of every picture) and `audit.html`, a page to look through.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from inkdigit.data.copies import NEAR, find_copies
from inkdigit.files import write_atomic
from inkdigit.measure.doubts import Doubts
from inkdigit.report import template
from inkdigit.types import Dataset, Part, Split

ISSUES, PROBS, PAGE = "issues.csv", "probs.npz", "audit.html"
TEMPLATE = "audit.html.j2"
SPLITS: tuple[Split, ...] = ("train", "test")
SAYS = {"train": "training", "test": "test"}

COLUMNS = (
    *("part", "index", "label", "suggested", "p_label", "p_suggested", "kind"),
    *("other_part", "other_index", "other_label", "distance", "file"),
)

Kind = Literal["label", "doubt", "copy", "near copy"]


@dataclass(frozen=True, slots=True)
class Place:
    """One picture of a data set: its part, its index there from 0, and its label."""

    part: Split
    index: int
    label: str

    def __str__(self) -> str:
        """As a reader finds it: "training 59,915"."""
        return f"{SAYS[self.part]} {self.index:,}"


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
    def reading(self) -> str:
        """Both classes with their share, as in "7: 99.9 % · 1: under 0.1 %"; nothing short of certain is called so."""
        shares = ((self.suggested, self.p_suggested or 0.0), (self.at.label, self.p_label))
        return " · ".join(f"{name}: {f'{int(1000 * p) / 10} %' if p >= 0.001 else 'under 0.1 %'}" for name, p in shares)

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


def write(folder: Path, audit: Audit, *, top: int) -> None:
    """Write list, probabilities and page; the page shows `top` labels and as many copies, the list has all.

    Raises:
        MissingExtra: Jinja is not installed; the list and the probabilities are written then.
        OutputError: a file cannot be written.
    """
    write_atomic(folder / PROBS, _to_npz(audit))
    write_atomic(folder / ISSUES, to_csv(audit))
    write_atomic(folder / PAGE, template.render(TEMPLATE, _values(audit, top)))


def to_csv(audit: Audit) -> str:
    """One row an issue: labels first, the worst first, then copies."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for issue in (*audit.labels, *audit.copies):
        at, other = issue.at, issue.other
        read = (issue.suggested, _short(issue.p_label), _short(issue.p_suggested))
        twin = (None, None, None) if other is None else (other.part, other.index, other.label)
        writer.writerow([at.part, at.index, at.label, *read, issue.kind, *twin, _short(issue.distance), issue.file])
    return text.getvalue()


def _short(value: float | None) -> str | None:
    return None if value is None else f"{value:.6f}"


def _to_npz(audit: Audit) -> bytes:
    """What was said of every readable picture: `train_index` (M,), `train_labels` (M,), `train_probs` (M, K); test."""
    arrays: dict[str, NDArray[Any]] = {}
    for looked in audit.parts:
        arrays[f"{looked.split}_index"] = looked.index
        arrays[f"{looked.split}_labels"] = looked.doubts.labels
        arrays[f"{looked.split}_probs"] = looked.doubts.probs.astype(np.float32)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _values(audit: Audit, top: int) -> dict[str, object]:
    """What the template shows."""
    labels, copies = audit.labels[:top], audit.copies[:top]
    classes = audit.dataset.classes
    shown = Counter(issue.at.label for issue in labels)
    return {
        "audit": audit,
        "classes": classes,
        "labels": [(issue, classes.index(issue.at.label), _picture(audit, issue.at)) for issue in labels],
        "copies": [(issue, _picture(audit, issue.at), _pair(audit, issue)) for issue in copies],
        "shown": [(k, name, shown[name]) for k, name in enumerate(classes) if shown[name]],
        "suspected": sum(audit.count("label", split) for split in SPLITS),
        "doubted": sum(audit.count("doubt", split) for split in SPLITS),
        "contradictions": sum(issue.conflict for issue in audit.copies),
        "leaks": sum(issue.leak for issue in audit.copies),
        "rows": list(_class_rows(audit)),
        "says": SAYS,
        "near": NEAR,
    }


def _class_rows(audit: Audit) -> Iterator[tuple[str, str, int, float, int, str]]:
    """A class of a part: its pictures, its threshold, how many labels are suspected, what is suggested most often."""
    for looked in audit.parts:
        doubts = looked.doubts
        counts = np.bincount(doubts.labels, minlength=len(audit.dataset.classes))
        for k in np.flatnonzero(counts):
            others = doubts.suggested[doubts.suspected & (doubts.labels == k)]
            most = _most_often(others.tolist(), audit.dataset.classes)
            threshold = float(doubts.thresholds[k])
            yield SAYS[looked.split], audit.dataset.classes[k], int(counts[k]), threshold, len(others), most


def _most_often(suggested: Sequence[int], classes: Sequence[str]) -> str:
    """The two classes that are suggested most often, as in "9 (4), 7 (1)"."""
    return ", ".join(f"{classes[k]} ({count})" for k, count in Counter(suggested).most_common(2))


def _pair(audit: Audit, issue: Issue) -> str:
    assert issue.other is not None
    return _picture(audit, issue.other)


def _picture(audit: Audit, at: Place) -> str:
    """The picture at a place, as networks see it."""
    return template.picture_uri(audit.dataset.part(at.part).images[at.index])
