"""Arrays in memory → labelled data sets; the reader of every file format ends here, too.

In: pictures as `Recognizer.predict` takes them, and labels. Out: a `Dataset` whose pictures are those that a file of
the same pictures gives: prepared, with a few raw ones of each class beside them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inkdigit.data.readers.class_names import sorted_names
from inkdigit.errors import PictureError, UsageError
from inkdigit.picture.batch import read_each
from inkdigit.picture.decode import Picture, decode, split_pictures
from inkdigit.picture.prepare import prepare_all, prepare_each
from inkdigit.types import DIGITS, SIDE, Dataset, Gray, Part, Split

Pictures = NDArray[Any] | list[Picture] | tuple[Picture, ...]
Labels = NDArray[Any] | Sequence[int] | Sequence[str]

GLIMPSES = 5  # raw pictures kept of each class
GLIMPSE_SIDE = 256  # pixels: a larger raw picture is thinned out to about this, so that photos stay cheap to keep


def open_arrays(
    images: Pictures,
    labels: Labels,
    *,
    test: tuple[Pictures, Labels] | None = None,
    classes: Sequence[str] | None = None,
    name: str = "arrays",
    prepare: str = "ink",
) -> Dataset:
    """Make a data set of pictures and labels in memory, its pictures prepared as those of a file are.

    `images` are what `Recognizer.predict` takes: an array (N, H, W) or (N, H, W, C), or a list of pictures. `labels`
    (N,) are whole numbers or names, and `test` holds both of a test part. Numbers are indices into `classes` where
    these are given; else 0–9 are the ten digits, and other labels name their classes themselves.

    Raises:
        UsageError: not one label for each picture, a label outside the classes, or an unknown `prepare`.
        PictureError: a picture that cannot be read.
    """
    given: dict[Split, tuple[Pictures, Labels]] = {"train": (images, labels)}
    if test is not None:
        if not (isinstance(test, tuple) and len(test) == 2):
            raise UsageError("This is not a test part", expected="(images, labels)", received=type(test).__name__)
        given["test"] = test
    columns = {split: _column(of_part) for split, (_, of_part) in given.items()}
    names, places = _name([label for column in columns.values() for label in column], classes)
    loaded: dict[Split, LoadedSplit] = {
        split: _read(pictures, _indices(columns[split], places), prepare) for split, (pictures, _) in given.items()
    }
    return to_dataset(name, names, loaded, kind=prepare)


def _column(labels: Labels) -> list[int | str]:
    """Labels as whole numbers or names.

    Raises:
        UsageError: they are neither.
    """
    try:
        column = np.asarray(labels)
    except ValueError as exc:
        raise _not_labels("rows of unequal length") from exc
    values: list[int | str] = column.tolist() if column.ndim == 1 else []
    if column.ndim != 1 or not (column.dtype.kind in "iu" or all(isinstance(value, str) for value in values)):
        raise _not_labels(f"{column.dtype} {column.shape}")
    return values


def _not_labels(received: str) -> UsageError:
    return UsageError("These are not labels", expected="(N,) whole numbers or names", received=received)


def _name(labels: list[int | str], classes: Sequence[str] | None) -> tuple[tuple[str, ...], dict[int | str, int]]:
    """The names of the classes, and the index of each label that there may be."""
    numbers = all(isinstance(label, int) for label in labels)
    if classes is None and numbers and set(labels) <= set(range(len(DIGITS))):
        classes = DIGITS
    if classes is None:
        names = sorted_names(map(str, labels))
        return names, {label: names.index(str(label)) for label in set(labels)}
    try:
        names = tuple(str(name) for name in classes)
    except TypeError as exc:
        raise UsageError("These are not names of classes", expected="texts", received=repr(classes)[:80]) from exc
    return names, {k if numbers else name: k for k, name in enumerate(names)}


def _indices(labels: list[int | str], places: dict[int | str, int]) -> NDArray[np.int64]:
    """The index (N,) of each label.

    Raises:
        UsageError: a label that is not among the classes.
    """
    if outside := [label for label in labels if label not in places]:
        known = ", ".join(map(str, list(places)[:10]))
        raise UsageError("A label is outside the classes", expected=f"one of {known}", received=repr(outside[0]))
    return np.array([places[label] for label in labels], np.int64)


def _read(pictures: Pictures, labels: NDArray[np.int64], kind: str) -> LoadedSplit:
    """Put pictures of any sizes through the door, and keep glimpses of each class.

    Raises:
        UsageError: not one label for each picture, or an unknown `kind`.
        PictureError: a picture that cannot be read.
    """
    several = split_pictures(pictures)
    if len(several) != len(labels) or not len(labels):
        raise UsageError(
            "Not one label for each picture",
            expected=f"{len(several):,} labels for {len(several):,} pictures" if len(several) else "pictures",
            received=f"{len(labels):,}",
        )
    glimpses: list[tuple[int, Gray]] = []
    kept: Counter[int] = Counter()

    def decoded() -> Iterator[Gray]:
        for picture, label in zip(several, labels.tolist(), strict=True):
            gray = decode(picture)
            if kept[label] < GLIMPSES:
                kept[label] += 1
                glimpses.append((label, thin(gray)))
            yield gray

    return LoadedSplit(Part(prepare_each(decoded(), kind), labels), tuple(sorted(glimpses, key=lambda one: one[0])))


@dataclass(frozen=True, slots=True, eq=False)
class LoadedSplit:
    """One part as it was read: through the door, and a few pictures (label, gray (H, W)) as they were before it."""

    part: Part
    glimpses: tuple[tuple[int, Gray], ...]


def read_arrays(
    images: Gray, labels: NDArray[np.int64], *, kind: str = "ink", writers: NDArray[np.int32] | None = None
) -> LoadedSplit:
    """Put raw pictures uint8 (N, H, W) with labels (N,) through the door and keep glimpses of each class."""
    by_class = np.argsort(labels, kind="stable")
    _, begins = np.unique(labels[by_class], return_index=True)
    firsts = [first[:GLIMPSES] for first in np.split(by_class, begins[1:])]
    glimpses = [(int(labels[i]), thin(images[i])) for first in firsts for i in first]
    return LoadedSplit(Part(prepare_all(images, kind), labels, writers=writers), tuple(glimpses))


def read_pictures(pictures: Iterable[Picture | PictureError], n: int, *, kind: str) -> tuple[Gray, dict[int, str]]:
    """Decode and prepare `n` pictures: uint8 (n, 28, 28), and why those that are blank could not be read."""
    images = np.zeros((n, SIDE, SIDE), np.uint8)
    faults: dict[int, str] = {}
    begin = 0
    for some, errors in read_each(pictures, kind):
        end = begin + len(some) + len(errors)
        faults |= {begin + i: str(exc) for i, exc in errors.items()}
        images[[i for i in range(begin, end) if i not in faults]] = some
        begin = end
    return images, faults


def thin(gray: Gray) -> Gray:
    """A copy of a picture (H, W), thinned out to about 256 px a side where it is larger."""
    step = max(1, math.ceil(max(gray.shape) / GLIMPSE_SIDE))
    return gray[::step, ::step].copy()


def to_dataset(name: str, classes: tuple[str, ...], splits: dict[Split, LoadedSplit], *, kind: str) -> Dataset:
    """Name what was read; the only part of a source is its training part, whatever it was called."""
    first, *rest = (splits[split] for split in ("train", "test") if split in splits)
    test = rest[0].part if rest else None
    return Dataset(name, classes, first.part, test, prepare=kind, glimpses=first.glimpses)
