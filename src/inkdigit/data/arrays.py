"""Arrays in memory → labelled data sets, every picture through the door.

In: pictures as `Recognizer.predict` takes them, and labels; or a `Dataset` that somebody made. Out: a `Dataset` whose
pictures are those that a file of the same pictures gives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inkdigit.data.readers.idx_npz import GLIMPSES, Reading, sorted_names, thin, to_dataset
from inkdigit.data.sources import open_data
from inkdigit.errors import UsageError
from inkdigit.picture.decode import Picture, decode, split_pictures
from inkdigit.picture.prepare import prepare_all, prepare_each
from inkdigit.types import DIGITS, OPEN_ARRAYS, Dataset, Gray, Part, Split

Pictures = NDArray[Any] | list[Picture] | tuple[Picture, ...]
Labels = NDArray[Any] | Sequence[int] | Sequence[str]


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
    readings: dict[Split, Reading] = {
        split: _read(pictures, _indices(columns[split], places), prepare) for split, (pictures, _) in given.items()
    }
    return to_dataset(name, names, readings, kind=prepare)


def as_dataset(
    data: Dataset | str | Path,
    *,
    prepare: str | None = None,
    test: bool = True,
    log: Callable[[str], None] = lambda _: None,
) -> Dataset:
    """The data set that a SOURCE opens, or one that somebody made, with every picture through its own door.

    `prepare` is for a SOURCE, as in `open_data`. What is prepared already comes out as it is. Without `test` the test
    part of a data set is not looked at: whoever only chooses has no business there.

    Raises:
        UsageError: no such source, an unknown kind of door, or neither a SOURCE nor a data set.
        DataError: the data cannot be used.
    """
    if isinstance(data, str | Path):
        return open_data(data, prepare=prepare, log=log)
    if not isinstance(data, Dataset):
        expected, received = "a name, a path or a Dataset", type(data).__name__
        raise UsageError("This is not a data set", expected=expected, received=received, hint=OPEN_ARRAYS)
    train = _through(data.train, data.prepare)
    tested = _through(data.test, data.prepare) if test and data.test is not None else data.test
    if train is data.train and tested is data.test:
        return data
    log(f"Pictures of {data.name} were not prepared: they are now, as those of a file would be.")
    return replace(data, train=train, test=tested)


def _through(part: Part, kind: str) -> Part:
    images = prepare_all(part.images, kind)
    return part if np.array_equal(images, part.images) else replace(part, images=images)


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


def _read(pictures: Pictures, labels: NDArray[np.int64], kind: str) -> Reading:
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

    return Reading(Part(prepare_each(decoded(), kind), labels), tuple(sorted(glimpses, key=lambda one: one[0])))
