"""The values that modules pass to each other: frozen dataclasses that check shape and dtype when they are made.

An image is `uint8` everywhere: a raw one gray `(H, W)`, prepared ones `(N, 28, 28)` with ink 255 on 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from inkdigit.errors import PictureError, UsageError

Gray = NDArray[np.uint8]  # (H, W), or (N, 28, 28) for prepared images
Shape = tuple[int, int]  # height and width of an image
Floats = NDArray[np.float32]
Split = Literal["train", "test"]
Log = Callable[[str], None]  # takes one line of progress: only the command line prints

SIDE = 28  # pixels: the side of a prepared image, as in MNIST
MIN_CLASSES, MAX_CLASSES = 2, 256  # a label of an IDX file is one byte
DIGITS = tuple("0123456789")
ALPHABET = "0123456789.,-/:+%×÷ "  # what numbers consist of, in the order of the line reader
NO_INK, UNSURE = "no ink", "unsure"  # reasons to reject an image
NOT_A_NUMBER = "not a number"  # a further one where numbers are read
OUTLIERS = ("not a digit", "more than one digit")  # further reasons: classes that a network can learn, in this order
NO_ANSWER = "—"  # printed instead of a label
SHOWN_IMAGES, MAX_IN_A_ROW = 80, 16  # of a data set, and of each class, in a notebook
READING_PX = 320  # the side of a picture that was read, in a notebook
SHOWN_CLASSES, SEEN_SCALE = 5, 4  # in a notebook: the most probable classes; the side of a pixel of what was seen
OPEN_ARRAYS = "inkdigit.open_arrays(images, labels) makes a data set of arrays, and prepares the images."


def silent(_: str) -> None:
    """The default `Log`: it drops every line."""


def check_functions(*, log: object = silent, **others: object) -> None:
    """Check, before any work, that what a caller gives to be called can be; all but `log` may be None.

    Raises:
        UsageError: one cannot.
    """
    for name, given in (("log", log), *others.items()):
        if not callable(given) and (name == "log" or given is not None):
            raise UsageError(f"{name} cannot be called", expected="a function", received=repr(given)[:80])


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """The prediction of a model for one image.

    `label` is a class name, or None if the model rejects the image. `reason` is then "no ink", "unsure", "not a digit"
    or "more than one digit". `confidence` is the probability of the most probable class, `probs` float32 (K,) sums to
    one, and `score` tells how much the image looks like one of any class (higher is more). An image without ink has
    none of the three. So that a notebook can show it, it has the names of the `classes`, what the network has `seen`,
    uint8 (28, 28), and the `file` of the picture where it was given as one; a picture in memory is not kept.
    """

    label: str | None
    confidence: float | None = None
    probs: Floats | None = None  # (K,)
    score: float | None = None
    reason: str | None = None
    classes: tuple[str, ...] | None = field(default=None, repr=False)  # (K,)
    seen: Gray | None = field(default=None, repr=False)
    file: str | Path | None = None

    def _repr_html_(self) -> str:
        """What a notebook shows: the picture, what the network has seen of it, and the most probable classes."""
        import inkdigit.markup as markup

        probs = np.zeros(0, np.float32) if self.probs is None else self.probs
        names = self.classes or tuple(map(str, range(len(probs))))
        likely = np.argsort(-probs, kind="stable")[:SHOWN_CLASSES].tolist()
        seen = markup.Html() if self.seen is None else markup.image(self.seen, scale=SEEN_SCALE)
        return markup.block(
            self.label or NO_ANSWER,
            markup.beside(
                markup.captioned(markup.thumbnail(self.file), "picture"),
                markup.captioned(seen, "what the network sees"),
                markup.bars([names[k] for k in likely], probs[likely].tolist()) if likely else None,
            ),
            note=self.summary(names),
        )

    @property
    def best(self) -> int | None:
        """The index of the most probable class, even if the model rejects the image."""
        return None if self.probs is None else int(self.probs.argmax())

    @property
    def sureness(self) -> str:
        """The confidence in per cent, rounded down, so that only certainty is 100 %."""
        return f"{int((self.confidence or 0) * 10_000) / 100:.2f} %"

    def summary(self, classes: Sequence[str]) -> str:
        """How confident the answer is, or why there is none: "99.98 % sure", "unsure (perhaps 7, 48.20 %)"."""
        if self.label is not None:
            return f"{self.sureness} sure"
        guess = "" if self.best is None else f" (perhaps {classes[self.best]}, {self.sureness})"
        return f"{self.reason}{guess}"

    def runner_up(self, classes: Sequence[str]) -> str | None:
        """The second class and its probability, as in "7, 1.50 %"; None for an image without ink."""
        if self.probs is None:
            return None
        second = int(np.argsort(-self.probs, kind="stable")[1])
        prob = float(self.probs[second])
        return f"{classes[second]}, {f'{100 * prob:.2f} %' if prob >= 5e-5 else 'under 0.01 %'}"

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON types, in the order of `predict --json`."""
        return {
            "label": self.label,
            "confidence": _rounded(self.confidence),
            "score": _rounded(self.score),
            "reason": self.reason,
            "probs": None if self.probs is None else [round(float(p), 6) for p in self.probs],
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Prediction:
        """The prediction that `to_json` made these fields of. Raises KeyError, TypeError or ValueError for others."""
        probs = None if fields["probs"] is None else np.array(fields["probs"], np.float32)
        return cls(fields["label"], fields["confidence"], probs, fields["score"], fields["reason"])


def entry(file: str | None, answer: Prediction | PictureError, *, model: str, ink: int | None) -> dict[str, Any]:
    """The answer for one image as JSON types: a line of `predict --json`, an entry of `/predict`.

    `ink` is the version of the network that finds the ink of photos; None for a model of images that are not ink.
    """
    if isinstance(answer, PictureError):
        return {"file": file, **answer.to_json()}
    return {"file": file, **answer.to_json(), "model": model, "ink": ink}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """The training or the test split of a data set, with prepared images.

    `files` names the file of each image (only for sources of files), `writers` its writer (where known), and `faults`
    maps the index of an image that could not be read to the reason; such an image is blank here. Raises UsageError
    for a column of another type or length.
    """

    images: Gray  # uint8 (N, 28, 28), ink 255 on 0
    labels: NDArray[np.int64]  # (N,)
    files: tuple[str, ...] | None = None
    writers: NDArray[np.int32] | None = None
    faults: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check types and lengths; whether images are prepared is checked where they are used."""
        n = len(self.images) if isinstance(self.images, np.ndarray) and self.images.ndim else 0
        _check("images", self.images, "uint8", (n, SIDE, SIDE))
        _check("labels", self.labels, "int64", (n,))
        for name, column, kind in (("files", self.files, tuple), ("writers", self.writers, np.ndarray)):
            if column is not None and not (isinstance(column, kind) and len(column) == n):
                expected = f"{kind.__name__} of {n}, one for each image"
                raise UsageError(f"{name}: not as in a Part", expected=expected, received=type(column).__name__)
        if outside := [i for i in self.faults if i not in range(n)]:
            raise UsageError("faults: not as in a Part", expected=f"0 to below {n}", received=repr(outside[0]))

    def __repr__(self) -> str:
        """The number of images: a notebook stores this text."""
        return f"Part({len(self):,} images)"

    def __len__(self) -> int:
        """The number of images."""
        return len(self.images)

    @property
    def readable(self) -> NDArray[np.int64]:
        """The indices of the images that could be read."""
        return np.setdiff1d(np.arange(len(self)), np.array(list(self.faults), np.int64))

    def take(self, index: NDArray[np.int64]) -> Part:
        """The images at `index` (M,), in that order."""
        return Part(
            images=self.images[index],
            labels=self.labels[index],
            files=None if self.files is None else tuple(self.files[i] for i in index),
            writers=None if self.writers is None else self.writers[index],
            faults={new: self.faults[int(old)] for new, old in enumerate(index) if int(old) in self.faults},
        )


@dataclass(frozen=True, eq=False)
class Dataset:
    """A labelled data set: a training split, a test split if the source has one, and the names of its classes.

    `prepare` is the kind of preprocessing of its images, `glimpses` are a few raw ones (label, gray (H, W)), and
    `raw_shapes` their different heights and widths in the source, where a photo may be larger. Raises UsageError for
    names that are not distinct lines of text, or a label outside of them.
    """

    name: str
    classes: tuple[str, ...]
    train: Part
    test: Part | None = None
    prepare: str = "ink"
    glimpses: tuple[tuple[int, Gray], ...] = field(default=(), repr=False)
    raw_shapes: tuple[Shape, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        """Check the classes, and that every label names one."""
        _check_classes(self.name, self.classes)
        if not (isinstance(self.train, Part) and isinstance(self.test, Part | None)):
            raise UsageError(f"{self.name!r} is not made of inkdigit.Part", expected="Part", hint=OPEN_ARRAYS)
        labels = np.concatenate([part.labels for part in (self.train, self.test) if part is not None])
        if outside := labels[(labels < 0) | (labels >= len(self.classes))][:1].tolist():
            expected = f"0 to {len(self.classes) - 1}"
            raise UsageError(f"{self.name!r} has labels outside its classes", expected=expected, received=outside[0])

    def _repr_html_(self) -> str:
        """What a notebook shows: the numbers of images, and some images of each class."""
        import inkdigit.markup as markup

        splits = {"training": self.train, **({} if self.test is None else {"test": self.test})}
        counts = [np.bincount(part.labels, minlength=len(self.classes)) for part in splits.values()]
        listed, readable = self.classes[: markup.MAX_CLASSES], self.train.readable
        some = min(max(3, SHOWN_IMAGES // len(listed)), MAX_IN_A_ROW)
        of_class = [readable[self.train.labels[readable] == k][:some] for k in range(len(listed))]
        strips = [markup.strip(self.train.images[index]) for index in of_class]
        rows = [(name, strips[k], *(f"{column[k]:,}" for column in counts)) for k, name in enumerate(listed)]
        left_out = len(self.classes) - len(listed)
        return markup.block(
            self.name,
            markup.table(rows, head=("class", "", *splits), left=2),
            f"{left_out} more classes are not shown." if left_out else None,
            note=f"{' and '.join(f'{len(part):,} {name}' for name, part in splits.items())} images, "
            f"{len(self.classes)} classes, prepared as {self.prepare}",
        )

    def part(self, split: Split) -> Part:
        """The split of this name; a data set without a test split is its own test split."""
        return self.test if split == "test" and self.test is not None else self.train

    @cached_property
    def sha256(self) -> str:
        """SHA-256 over the prepared images and labels of the training split: the identity of the training data."""
        import hashlib  # answering does not need it, and every millisecond of a cold start counts

        digest = hashlib.sha256(self.train.images.tobytes())
        digest.update(self.train.labels.astype("<i8").tobytes())
        return digest.hexdigest()


# What is asked for a data set: one, a SOURCE, or arrays (images, labels) that `open_arrays` makes one of.
DataLike = Dataset | str | Path | tuple[Any, Any]


def _check_classes(name: str, classes: tuple[str, ...]) -> None:
    """Check the class names of the data set `name`."""
    if not isinstance(classes, tuple) or not all(isinstance(label, str) for label in classes):
        raise UsageError(f"{name!r} has no class names", expected="a tuple of texts", received=repr(classes)[:80])
    if not MIN_CLASSES <= len(classes) <= MAX_CLASSES:
        raise UsageError(
            f"The data set {name!r} cannot be classified",
            expected=f"{MIN_CLASSES} to {MAX_CLASSES} classes",
            received=f"{len(classes)}: {', '.join(classes[:5])}",
        )
    if bad := [label for label in classes if any(c < " " or c == "\x7f" or "\ud800" <= c <= "\udfff" for c in label)]:
        raise UsageError(f"{name!r} has a class whose name is not a line of text", received=repr(bad[0]))
    if len(set(classes)) < len(classes):
        raise UsageError(f"{name!r} has two classes with the same name", received=repr(classes)[:80])


def _check(name: str, column: Any, dtype: str, shape: tuple[int, ...]) -> None:
    """Check that a column of a `Part` is a plain array of this type and shape."""
    received = f"{column.dtype} {column.shape}" if isinstance(column, np.ndarray) else type(column).__name__
    if received != f"{dtype} {shape}" or isinstance(column, np.ma.MaskedArray):
        expected = f"{dtype} {shape}"
        raise UsageError(f"{name}: not as in a Part", expected=expected, received=received, hint=OPEN_ARRAYS)


Box = tuple[int, int, int, int]  # top, left, bottom, right in pixels of the picture; the last two exclusive


def _box(sides: Sequence[int]) -> Box:
    top, left, bottom, right = map(int, sides)
    return top, left, bottom, right


def _placed(box: Box, scale: tuple[float, float], offset: tuple[int, int]) -> Box:
    """A box of pixels of a larger picture that begin at `offset`, or are `scale` of them in height and width."""
    top, left, bottom, right = (
        round(side * of) + begin for side, of, begin in zip(box, (*scale, *scale), (*offset, *offset), strict=True)
    )
    return top, left, bottom, right


@dataclass(frozen=True, slots=True)
class Digit:
    """One character of a number: a digit, or a sign between digits."""

    label: str
    confidence: float
    box: Box

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON types."""
        return {"label": self.label, "confidence": _rounded(self.confidence), "box": list(self.box)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Digit:
        """The character that `to_json` made these fields of; raises as `Prediction.from_json`."""
        return cls(fields["label"], fields["confidence"], _box(fields["box"]))


@dataclass(frozen=True, slots=True)
class Number:
    """One number in a picture; `reason` says why it is refused: then `text` is what it may be."""

    text: str
    confidence: float  # that all of it is right
    box: Box
    digits: tuple[Digit, ...] = ()
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON types."""
        return {
            "text": self.text,
            "confidence": _rounded(self.confidence),
            "box": list(self.box),
            "reason": self.reason,
            "digits": [digit.to_json() for digit in self.digits],
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Number:
        """The number that `to_json` made these fields of; raises as `Prediction.from_json`."""
        digits = tuple(map(Digit.from_json, fields["digits"]))
        return cls(fields["text"], fields["confidence"], _box(fields["box"]), digits, fields["reason"])

    def placed(self, *, scale: tuple[float, float] = (1, 1), offset: tuple[int, int] = (0, 0)) -> Number:
        """The same with its boxes times `scale` in y and x, and `offset` pixels further down and to the right."""
        digits = tuple(replace(digit, box=_placed(digit.box, scale, offset)) for digit in self.digits)
        return replace(self, box=_placed(self.box, scale, offset), digits=digits)


@dataclass(frozen=True, slots=True)
class Reading:
    """What is written in a picture: the texts of its numbers, joined by spaces, and how sure they are together.

    `text` has those numbers that are not refused. `reason` says why there is none: "no ink", "not a number" or
    "unsure"; each of `numbers` has its own.
    """

    text: str
    confidence: float
    numbers: tuple[Number, ...] = ()
    reason: str | None = None
    file: str | Path | None = field(default=None, compare=False)  # of the picture, where it was given as one

    def _repr_html_(self) -> str:
        """What a notebook shows: the picture with a box around each number, and how sure each of them is."""
        import inkdigit.markup as markup

        boxes = [(number.box, markup.ORANGE if number.reason else markup.BLUE) for number in self.numbers]
        written = [number for number in self.numbers if number.text]
        rows = [(number.text, markup.share(number.confidence), number.reason) for number in written]
        return markup.block(
            self.text or NO_ANSWER,
            markup.beside(
                markup.thumbnail(self.file, side_px=READING_PX, boxes=boxes),
                markup.table(rows, head=("number", "sure", "refused")) if len(rows) > 1 else None,
            ),
            note=self.reason or f"{markup.share(self.confidence)} sure",
        )

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON types, in the order of `read --json`."""
        return {
            "text": self.text,
            "confidence": _rounded(self.confidence),
            "reason": self.reason,
            "numbers": [number.to_json() for number in self.numbers],
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Reading:
        """The reading that `to_json` made these fields of; raises as `Prediction.from_json`."""
        numbers = tuple(map(Number.from_json, fields["numbers"]))
        return cls(fields["text"], fields["confidence"], numbers, fields["reason"])

    def placed(self, *, scale: tuple[float, float] = (1, 1), offset: tuple[int, int] = (0, 0)) -> Reading:
        """The same with the boxes of its numbers in another picture; see `Number.placed`."""
        return replace(self, numbers=tuple(number.placed(scale=scale, offset=offset) for number in self.numbers))
