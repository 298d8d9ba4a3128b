"""What travels between the rooms: frozen dataclasses that check shape and dtype when they are made.

A picture between rooms is `uint8`: gray `(H, W)` before the door, `(N, 28, 28)` with ink 255 on 0 after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from inkdigit.errors import UsageError

Gray = NDArray[np.uint8]  # (H, W), or (N, 28, 28) for pictures that have passed the door
Floats = NDArray[np.float32]
Split = Literal["train", "test"]

SIDE = 28  # pixels: the side of a picture after the door
MIN_CLASSES, MAX_CLASSES = 2, 256
DIGITS = tuple("0123456789")
NO_ANSWER = "—"  # stands where a label would


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What a model says of one picture.

    `label` is a class name, or None when the model does not answer; `reason` then says why ("no ink", "unsure").
    `confidence` is the probability of the most probable class, `probs` float32 (K,) sums to one, and `score` says how
    much the picture looks like any class at all (higher is more). A picture without ink has none of the three.
    """

    label: str | None
    confidence: float | None = None
    probs: Floats | None = None  # (K,)
    score: float | None = None
    reason: str | None = None

    @property
    def best(self) -> int | None:
        """The index of the most probable class, whether or not the model answers with it."""
        return None if self.probs is None else int(self.probs.argmax())

    @property
    def sureness(self) -> str:
        """The confidence in per cent, rounded down: nothing short of certain is called 100 %."""
        return f"{int((self.confidence or 0) * 10_000) / 100:.2f} %"

    def runner_up(self, classes: Sequence[str]) -> str | None:
        """The class that came second and its share, as in "7, 1.50 %"; None where no class has any."""
        if self.probs is None:
            return None
        second = int(np.argsort(-self.probs, kind="stable")[1])
        share = float(self.probs[second])
        return f"{classes[second]}, {f'{100 * share:.2f} %' if share >= 5e-5 else 'under 0.01 %'}"

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON types, in the order `predict --json` prints them."""
        return {
            "label": self.label,
            "confidence": _rounded(self.confidence),
            "score": _rounded(self.score),
            "reason": self.reason,
            "probs": None if self.probs is None else [round(float(p), 6) for p in self.probs],
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """The training or the test part of a data set, every picture already through the door.

    `files` names where each picture came from (file sources only), `writers` who wrote it (where known), and `faults`
    maps the index of a picture that could not be read to the reason; such a picture is blank here.
    """

    images: Gray  # uint8 (N, 28, 28), ink 255 on 0
    labels: NDArray[np.int64]  # (N,)
    files: tuple[str, ...] | None = None
    writers: NDArray[np.int32] | None = None
    faults: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check shapes and dtypes."""
        n = len(self.images)
        if self.images.dtype != np.uint8 or self.images.shape != (n, SIDE, SIDE):
            raise ValueError(f"images: expected uint8 (N, 28, 28), got {self.images.dtype} {self.images.shape}")
        if self.labels.dtype != np.int64 or self.labels.shape != (n,):
            raise ValueError(f"labels: expected int64 ({n},), got {self.labels.dtype} {self.labels.shape}")
        for name, column in (("files", self.files), ("writers", self.writers)):
            if column is not None and len(column) != n:
                raise ValueError(f"{name}: expected {n} entries, got {len(column)}")

    def __len__(self) -> int:
        """How many pictures."""
        return len(self.images)

    def take(self, index: NDArray[np.int64]) -> Part:
        """The pictures at `index` (M,), in that order."""
        return Part(
            images=self.images[index],
            labels=self.labels[index],
            files=None if self.files is None else tuple(self.files[i] for i in index),
            writers=None if self.writers is None else self.writers[index],
            faults={new: self.faults[int(old)] for new, old in enumerate(index) if int(old) in self.faults},
        )


@dataclass(frozen=True, eq=False)
class Dataset:
    """A labelled data set: a training part, a test part where the source has one, and the names of its classes.

    `prepare` is the kind of door its pictures went through, `glimpses` a few pictures (label, gray (H, W)) as they
    were before it.
    """

    name: str
    classes: tuple[str, ...]
    train: Part
    test: Part | None = None
    prepare: str = "ink"
    glimpses: tuple[tuple[int, Gray], ...] = ()

    def __post_init__(self) -> None:
        """Check the classes, and that every label names one."""
        if not MIN_CLASSES <= len(self.classes) <= MAX_CLASSES:
            raise UsageError(
                f"The data set {self.name!r} cannot be classified",
                expected=f"{MIN_CLASSES} to {MAX_CLASSES} classes",
                received=f"{len(self.classes)}: {', '.join(self.classes[:5])}",
            )
        odd = [name for name in self.classes if any(ord(letter) < 32 or ord(letter) == 127 for letter in name)]
        if odd:
            raise UsageError(f"{self.name!r} has a class whose name is no line of text", received=repr(odd[0]))
        for part in (self.train, self.test):
            if part is not None and len(part) and not 0 <= part.labels.min() <= part.labels.max() < len(self.classes):
                raise ValueError(f"labels outside 0..{len(self.classes) - 1} in {self.name!r}")

    def part(self, split: Split) -> Part:
        """The part that `split` names; a data set of one part is its own test part."""
        return self.test if split == "test" and self.test is not None else self.train

    @cached_property
    def sha256(self) -> str:
        """SHA-256 over the prepared pictures and labels of the training part: the identity of what is learnt."""
        import hashlib  # not for answering: every millisecond of a cold start counts

        digest = hashlib.sha256(self.train.images.tobytes())
        digest.update(self.train.labels.astype("<i8").tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """One class against the rest."""

    precision: float
    recall: float
    f1: float
    support: int
    tp: int
    fp: int
    fn: int
    tn: int


@dataclass(frozen=True, slots=True, eq=False)
class Metrics:
    """How a model does on a labelled part; see `report.metrics.evaluate` for each definition."""

    accuracy: float
    accuracy_ci95: tuple[float, float]
    answered: int
    accuracy_answered: float | None
    n: int
    nll: float | None
    ece: float | None
    classes: tuple[str, ...]
    per_class: dict[str, ClassFigures]
    confusion: NDArray[np.int64]  # (K, K): rows are true classes, columns the most probable ones
    model: str
    data: str
    split: str

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON types, in the order `evaluate --json` prints them."""
        return {
            "accuracy": self.accuracy,
            "answered": self.answered,
            "accuracy_answered": self.accuracy_answered,
            "accuracy_ci95": list(self.accuracy_ci95),
            "n": self.n,
            "nll": self.nll,
            "ece": self.ece,
            "classes": list(self.classes),
            "per_class": {
                name: {f: getattr(row, f) for f in ("precision", "recall", "f1", "support", "tp", "fp", "fn", "tn")}
                for name, row in self.per_class.items()
            },
            "confusion": self.confusion.tolist(),
            "model": self.model,
            "data": self.data,
            "split": self.split,
        }
