"""What to know about a data set before a model is trained on it: `data check`, and the data page of every report.

In: a `Dataset`, or a source and its bad cells. Out: a `Check`, plain numbers that the page and `--json` show.
Indices count the images of a split from 0, and the rows of a CSV from 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inkdigit.data.readers.kaggle_csv import CellKind, CellProblem
from inkdigit.data.sources import as_dataset, open_data
from inkdigit.types import DataLike, Dataset, Log, Part, check_functions, silent

_SIZES = 3  # of images, in a cell of a table
_SHOWN = 20  # indices, groups, pairs and rows in a list: enough to find the cause. The counts count all of them


@dataclass(frozen=True, slots=True)
class BadCells:
    """The bad cells of a Kaggle CSV: how many of each kind, in how many rows, and a description of the first rows."""

    missing: int = 0
    not_numbers: int = 0
    outside: int = 0  # pixels outside 0–255
    unknown_labels: int = 0
    extra: int = 0
    rows: int = 0
    first_rows: tuple[int, ...] = ()
    first: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SplitCheck:
    """One split of a data set, with its images as they are prepared."""

    n: int  # images, readable or not
    shape: tuple[int, ...]
    dtype: str
    lowest: int
    highest: int
    bad_cells: BadCells
    unreadable: int
    first_unreadable: tuple[str, ...]  # the file or index, and the reason
    blank: int  # readable images without any ink
    first_blank: tuple[int, ...]
    duplicates: int  # readable images that repeat an earlier one, pixel by pixel
    duplicate_groups: tuple[tuple[int, ...], ...]
    conflicting_groups: tuple[tuple[int, ...], ...]  # duplicates with different labels
    per_class: dict[str, int]  # readable images of each class
    writers: int | None  # the number of people who wrote it, where it is known


@dataclass(frozen=True, slots=True)
class Check:
    """The splits of a data set, and the images that its training and test split share."""

    name: str
    classes: tuple[str, ...]
    prepare: str
    raw_shapes: tuple[tuple[int, int], ...]  # of some images in the source, before preprocessing
    train: SplitCheck
    test: SplitCheck | None
    shared: int | None  # test images that the training split holds too; None where there is no test split
    shared_pairs: tuple[tuple[int, int], ...]  # (index in training, index in test)

    @property
    def sizes(self) -> str:
        """The first different sizes in the source as text, width × height; "–" where they are not known."""
        shown = ", ".join(f"{width} × {height}" for height, width in self.raw_shapes[:_SIZES])
        return (shown + ", …" if len(self.raw_shapes) > _SIZES else shown) or "–"

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON types."""
        return asdict(self)

    def findings(self) -> list[str]:
        """What the user should look at, one sentence each; an empty list for a flawless data set."""
        lines = [line for name, split in self._splits() for line in _findings(name, split)]
        if self.shared:
            lines.append(f"{_many(self.shared, 'test image')} in the training split too: {_pairs(self.shared_pairs)}")
        return lines

    def _splits(self) -> list[tuple[str, SplitCheck]]:
        splits = [("training", self.train)]
        return splits if self.test is None else [*splits, ("test", self.test)]


def check(data: DataLike, *, prepare: str | None = None, log: Log = silent) -> Check:
    """Count the images of a data set, and list its problems: missing cells, blanks, duplicates, leaks.

    `data` is a data set, a SOURCE or arrays (images, labels). The bad cells of a CSV are reported, not raised.
    `prepare` is the kind of preprocessing, by default that of the source.

    Raises:
        UsageError, DataError, PictureError: the data cannot be opened.
    """
    check_functions(log=log)
    problems: list[CellProblem] = []
    if isinstance(data, str | Path):
        return check_dataset(open_data(data, prepare=prepare, problems=problems, log=log), problems=problems)
    return check_dataset(as_dataset(data, prepare=prepare, log=log))


def check_dataset(dataset: Dataset, *, problems: Sequence[CellProblem] = ()) -> Check:
    """Check an opened data set; `problems` are the bad cells of the CSV that its training split was read from."""
    pairs = shared_images(dataset.train, dataset.test) if dataset.test is not None else None
    return Check(
        name=dataset.name,
        classes=dataset.classes,
        prepare=dataset.prepare,
        raw_shapes=dataset.raw_shapes,
        train=_check_split(dataset.train, dataset.classes, _count_cells(problems)),
        test=None if dataset.test is None else _check_split(dataset.test, dataset.classes, BadCells()),
        shared=None if pairs is None else len(pairs),
        shared_pairs=tuple((pairs or [])[:_SHOWN]),
    )


def shared_images(train: Part, test: Part) -> list[tuple[int, int]]:
    """Each readable image of `test` that is also in `train`, pixel by pixel: (index in train, index in test).

    Blank images are left out: they are equal without being copies.
    """
    first: dict[bytes, int] = {}
    for i, pixels in _pixels(train):
        first.setdefault(pixels, i)
    return [(first[pixels], i) for i, pixels in _pixels(test) if pixels in first and any(pixels)]


def _pixels(part: Part) -> Iterator[tuple[int, bytes]]:
    """The index and the bytes of every readable image: equal bytes are equal images, with no hash in between."""
    return ((i, image.tobytes()) for i, image in enumerate(part.images) if i not in part.faults)


def _check_split(part: Part, classes: tuple[str, ...], bad_cells: BadCells) -> SplitCheck:
    readable = np.ones(len(part), bool)
    readable[list(part.faults)] = False
    flat = part.images.reshape(len(part), -1)
    blank = np.flatnonzero(readable & (flat.min(1) == flat.max(1))) if len(part) else np.zeros(0, np.int64)
    groups = _groups(part)
    counts = np.bincount(part.labels[readable], minlength=len(classes))
    return SplitCheck(
        n=len(part),
        shape=part.images.shape,
        dtype=str(part.images.dtype),
        lowest=int(part.images.min(initial=255)),
        highest=int(part.images.max(initial=0)),
        bad_cells=bad_cells,
        unreadable=len(part.faults),
        first_unreadable=tuple(_fault(part, i) for i in sorted(part.faults)[:_SHOWN]),
        blank=len(blank),
        first_blank=tuple(blank[:_SHOWN].tolist()),
        duplicates=sum(len(group) - 1 for group in groups),
        duplicate_groups=tuple(groups[:_SHOWN]),
        conflicting_groups=tuple(g for g in groups if len({int(part.labels[i]) for i in g}) > 1)[:_SHOWN],
        per_class=dict(zip(classes, counts.tolist(), strict=True)),
        writers=None if part.writers is None else len(np.unique(part.writers)),
    )


def _groups(part: Part) -> list[tuple[int, ...]]:
    """The indices of readable images that are equal, group by group."""
    same: dict[bytes, list[int]] = {}
    for i, pixels in _pixels(part):
        same.setdefault(pixels, []).append(i)
    return [tuple(group) for group in same.values() if len(group) > 1]


def _fault(part: Part, i: int) -> str:
    return f"{part.files[i] if part.files else i}: {part.faults[i]}"


def _count_cells(problems: Sequence[CellProblem]) -> BadCells:
    kinds: Counter[CellKind] = Counter()
    for problem in problems:
        kinds[problem.kind] += problem.count
    rows = list(dict.fromkeys(problem.row for problem in problems))
    return BadCells(
        missing=kinds["missing"],
        not_numbers=kinds["not a whole number"],
        outside=kinds["outside 0–255"],
        unknown_labels=kinds["unknown label"],
        extra=kinds["extra cells"],
        rows=len(rows),
        first_rows=tuple(rows[:_SHOWN]),
        first=tuple(str(problem) for problem in problems[:_SHOWN]),
    )


def _findings(name: str, split: SplitCheck) -> list[str]:
    """One sentence for each thing in a split that the user should look at."""
    cells = split.bad_cells
    unreadable = 0 if cells.rows else split.unreadable  # in a CSV they are the same rows
    absent = [label for label, count in split.per_class.items() if not count]
    counts = {
        f"{_many(cells.rows, 'row')} with bad cells: {'; '.join(cells.first[:3])}": cells.rows,
        f"{_many(split.unreadable, 'unreadable image')}: {'; '.join(split.first_unreadable[:3])}": unreadable,
        f"{_many(split.blank, 'image')} without ink, such as {_list(split.first_blank)}": split.blank,
        f"{_many(split.duplicates, 'repeated image')}, such as {_pairs(split.duplicate_groups)}": split.duplicates,
        f"equal images under different labels: {_pairs(split.conflicting_groups)}": len(split.conflicting_groups),
        f"no image of {', '.join(absent[:10])}": len(absent),
    }
    return [f"{name} split: {text}" for text, count in counts.items() if count]


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _list(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:5]))


def _pairs(groups: Sequence[Sequence[int]]) -> str:
    return ", ".join("(" + _list(group) + ")" for group in groups[:3])
