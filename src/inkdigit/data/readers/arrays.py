"""Arrays in memory → labelled data sets; the reader of every file format ends here, too.

In: images as `Recognizer.predict` takes them, and labels. Out: a `Dataset` whose images are those that a file of
the same images gives: prepared, with a few raw ones of each class beside them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Number  # NumPy's numbers too
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inkdigit.data.readers.class_names import sorted_names
from inkdigit.errors import PictureError, UsageError
from inkdigit.picture.batch import read_each
from inkdigit.picture.decode import Picture, Pictures, decode, decode_page, split_pictures
from inkdigit.picture.prepare import prepare_all, prepare_each
from inkdigit.types import DIGITS, SIDE, Dataset, Gray, Part, Shape, Split

Labels = NDArray[Any] | Sequence[int] | Sequence[str]

ARRAYS = "arrays"  # the name of a data set whose maker gave it none
GLIMPSES = 5  # raw images of each class that stay in memory: one row of the data page
GLIMPSE_SIDE_PX = 256  # larger raw images are thinned out to about this, so that photos need little memory


def open_arrays(
    images: Pictures,
    labels: Labels,
    *,
    test: tuple[Pictures, Labels] | None = None,
    classes: Sequence[str] | None = None,
    name: str = ARRAYS,
    prepare: str = "ink",
) -> Dataset:
    """Make a data set of images and labels in memory, its images prepared as those of a file are.

    `images` are what `Recognizer.predict` takes: an array or tensor (N, H, W) or with channels, or a list of images.
    `labels` (N,) are whole numbers or names, and `test` holds both of a test split. Numbers are indices into `classes`
    if these are given. Otherwise 0–9 are the ten digits, and other labels are themselves the names of their classes.

    Raises:
        UsageError: not one label for each image, a label outside the classes, or an unknown `prepare`.
        PictureError: an image that cannot be read.
    """
    given: dict[Split, tuple[Pictures, Labels]] = {"train": (images, labels)}
    if test is not None:
        if not (isinstance(test, tuple) and len(test) == 2):
            raise UsageError("This is not a test split", expected="(images, labels)", received=type(test).__name__)
        given["test"] = test
    columns = {split: _column(split_labels) for split, (_, split_labels) in given.items()}
    names, places = _name([label for column in columns.values() for label in column], classes)
    loaded: dict[Split, LoadedSplit] = {
        split: _read(pictures, _indices(columns[split], places), prepare) for split, (pictures, _) in given.items()
    }
    return to_dataset(name, names, loaded, kind=prepare)


def open_given(data: tuple[Any, Any], *, prepare: str) -> Dataset:
    """Make a data set of (images, labels), or of the two such pairs of a training and a test split.

    Two pairs they are if the second is a pair and does not begin with a label.

    Raises:
        UsageError: not one label for each image, or an unknown `prepare`.
        PictureError: an image that cannot be read.
    """
    first, second = data
    if isinstance(second, tuple) and len(second) == 2 and not isinstance(second[0], str | Number):
        if not (isinstance(first, tuple) and len(first) == 2):
            expected = "((images, labels), (images, labels))"
            raise UsageError("This is not a training split", expected=expected, received=type(first).__name__)
        return open_arrays(*first, test=second, prepare=prepare)
    return open_arrays(first, second, prepare=prepare)


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
    """The names of the classes, and the index of each possible label."""
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
    """Prepare images of any sizes, and take glimpses of each class.

    Raises:
        UsageError: not one label for each image, or an unknown `kind`.
        PictureError: an image that cannot be read.
    """
    images = split_pictures(pictures)
    if len(images) != len(labels) or not len(labels):
        raise UsageError(
            "Not one label for each image",
            expected=f"{len(images):,} labels for {len(images):,} images" if len(images) else "images",
            received=f"{len(labels):,}",
        )
    glimpses: list[tuple[int, Gray]] = []
    shapes: set[Shape] = set()
    counts: Counter[int] = Counter()

    def decoded() -> Iterator[Gray]:
        for image, label in zip(images, labels.tolist(), strict=True):
            gray = decode(image)
            if counts[label] < GLIMPSES:
                counts[label] += 1
                seen, shape = glimpse(image)
                glimpses.append((label, seen))
                shapes.add(shape)
            yield gray

    part = Part(prepare_each(decoded(), kind), labels)
    return LoadedSplit(part, tuple(sorted(glimpses, key=lambda glimpse: glimpse[0])), tuple(sorted(shapes)))


@dataclass(frozen=True, slots=True, eq=False)
class LoadedSplit:
    """One split as it was read: its prepared images, a few raw ones (label, gray (H, W)), and the sizes of these."""

    part: Part
    glimpses: tuple[tuple[int, Gray], ...]
    raw_shapes: tuple[Shape, ...]  # in the source: a glimpse may have fewer pixels


def read_arrays(
    images: Gray, labels: NDArray[np.int64], *, kind: str = "ink", writers: NDArray[np.int32] | None = None
) -> LoadedSplit:
    """Prepare raw images uint8 (N, H, W) with labels (N,), and take glimpses of each class."""
    by_class = np.argsort(labels, kind="stable")
    _, begins = np.unique(labels[by_class], return_index=True)
    firsts = [first[:GLIMPSES] for first in np.split(by_class, begins[1:])]
    glimpses = [(int(labels[i]), _thin(images[i])) for first in firsts for i in first]
    part = Part(prepare_all(images, kind), labels, writers=writers)
    return LoadedSplit(part, tuple(glimpses), (images.shape[1:3],) if glimpses else ())


def read_images(pictures: Iterable[Picture | PictureError], n: int, *, kind: str) -> tuple[Gray, dict[int, str]]:
    """Decode and prepare `n` images: uint8 (n, 28, 28), and why some, which are blank here, could not be read."""
    images = np.zeros((n, SIDE, SIDE), np.uint8)
    faults: dict[int, str] = {}
    begin = 0
    for some, errors in read_each(pictures, kind):
        end = begin + len(some) + len(errors)
        faults |= {begin + i: str(exc) for i, exc in errors.items()}
        images[[i for i in range(begin, end) if i not in faults]] = some
        begin = end
    return images, faults


def glimpse(picture: Picture) -> tuple[Gray, Shape]:
    """One raw image for the data page, thinned out, and its height and width in the source.

    Raises:
        PictureError: it cannot be read.
    """
    gray, shape = decode_page(picture)
    return _thin(gray), shape


def _thin(gray: Gray) -> Gray:
    """A copy of an image (H, W), thinned out to about 256 px a side where it is larger."""
    step = max(1, math.ceil(max(gray.shape) / GLIMPSE_SIDE_PX))
    return gray[::step, ::step].copy()


def to_dataset(name: str, classes: tuple[str, ...], splits: dict[Split, LoadedSplit], *, kind: str) -> Dataset:
    """Make a data set of splits; the only split of a source is its training split, by any name."""
    first, *rest = (splits[split] for split in ("train", "test") if split in splits)
    test = rest[0].part if rest else None
    return Dataset(name, classes, first.part, test, kind, first.glimpses, first.raw_shapes)
