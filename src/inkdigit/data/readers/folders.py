"""Image files → a labelled data set: one sub-folder for each class, or a CSV with the columns `file,label`.

In: a folder, or the path of such a CSV. Out: a `Dataset`, whose images are prepared some at a time, to save memory.
An image that cannot be read is blank and has an entry in the `faults` of its split: it does not stop the others, and
evaluation counts it as wrong.

The files that a CSV names may be in any folder that the user may read, by an absolute path or with `..`. Only regular
files are read: a pipe, a device or a folder is a fault.
"""

from __future__ import annotations

import csv
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from io import StringIO
from pathlib import Path

import numpy as np

from inkdigit.data.readers.arrays import GLIMPSES, LoadedSplit, glimpse, read_images, to_dataset
from inkdigit.data.readers.bounded import check_count
from inkdigit.data.readers.class_names import index_names, read_classes, sorted_names
from inkdigit.errors import DataError, MalformedFile, MissingData, NotAPicture, PictureError, reason_of
from inkdigit.files import looking_up
from inkdigit.parsing import read_text
from inkdigit.picture.folder import PICTURE_SUFFIXES, is_picture_name
from inkdigit.types import DIGITS, Dataset, Gray, Part, Shape, Split

LABELS_FILE = "labels.csv"
FILE, LABEL = "file", "label"

_SPLITS: tuple[Split, ...] = ("train", "test")
MAX_LIST_BYTES = 64 * 2**20  # of a labels.csv: 64 bytes a row
MAX_LIST_ROWS = 10**6  # of a labels.csv: prepared, so many images take 784 MB
_SHOWN = 3  # rows that an error names; it counts the others

Entry = tuple[Path, str]  # where an image is, and the name of its class


def read_image_folder(folder: Path, *, name: str | None = None, kind: str = "ink") -> Dataset:
    """Read a folder with one sub-folder for each class or a `labels.csv`, or with two such folders `train` and `test`.

    The classes are those of `classes.txt`, else the names of the sub-folders, in numerical order if all are numbers (a
    `labels.csv` with only digits has all ten). Images are sorted by name. Files without the suffix of an image are
    ignored, and so are names that begin with a dot or with two underscores.

    Raises:
        MissingData: a folder without sub-folders or without images.
        DataError: not one of the images can be read.
        MalformedFile: a `labels.csv` or a `classes.txt` that is broken.
    """
    splits = {split: folder / split for split in _SPLITS if split in _split_names(folder)} or {"train": folder}
    names: set[str] = set()
    entries: dict[Split, list[Entry]] = {}
    for split, root in splits.items():
        if _has_list(root):
            entries[split] = _read_rows(root / LABELS_FILE)
            names |= _listed_names(entries[split])
        else:
            entries[split] = [(path, sub.name) for sub in _subfolders(root) for path in _image_files(sub)]
            names |= {sub.name for sub in _subfolders(root)}
    classes = read_classes(folder) or sorted_names(names)
    return _read(entries, classes, folder, folder / LABELS_FILE, name or folder.resolve().name, kind)


def read_labels_csv(path: Path, *, name: str | None = None, kind: str = "ink") -> Dataset:
    """Read the images that a CSV with the columns `file,label` names, relative to its folder or by absolute paths.

    Other columns are ignored. A file that several rows name is read once. The classes are those of `classes.txt` beside
    it, else the ten digits if every label is one of them, else the labels themselves in order.

    Raises:
        MalformedFile: no such columns, no rows, more than a million of them, or a row without file or label; rows are
            counted from 1.
        DataError: not one of the images can be read.
    """
    entries = _read_rows(path)
    classes = read_classes(path.parent) or sorted_names(_listed_names(entries))
    title = path.parent.resolve().name if path.name == LABELS_FILE else path.stem
    return _read({"train": entries}, classes, path.parent, path, name or title, kind)


def _read(
    entries: dict[Split, list[Entry]], classes: tuple[str, ...], root: Path, source: Path, name: str, kind: str
) -> Dataset:
    entries = {split: rows for split, rows in entries.items() if rows}
    if not entries:
        raise MissingData(
            f"There are no images in {root}",
            expected=f"a sub-folder for each class, or a {LABELS_FILE}, and files {' '.join(sorted(PICTURE_SUFFIXES))}",
        )
    loaded = {split: _load_split(rows, classes, root, source, kind) for split, rows in entries.items()}
    return to_dataset(name, classes, loaded, kind=kind)


def _load_split(entries: Sequence[Entry], classes: tuple[str, ...], root: Path, source: Path, kind: str) -> LoadedSplit:
    _, labels = index_names([label for _, label in entries], classes, source)
    # A list may repeat a file: each is read once.
    places = {path: i for i, path in enumerate(dict.fromkeys(path for path, _ in entries))}
    distinct, errors = read_images((_regular(path) for path in places), len(places), kind=kind)
    rows = np.array([places[path] for path, _ in entries])
    faults = {i: errors[row] for i, row in enumerate(rows.tolist()) if row in errors}
    if len(faults) == len(entries):
        raise DataError(f"None of the {len(entries)} images of {root} can be read. The first: {faults[0]}")

    glimpses: dict[int, list[Gray]] = {k: [] for k in range(len(classes))}
    shapes: set[Shape] = set()
    for i, (path, _) in enumerate(entries):
        if i not in faults and len(of_class := glimpses[int(labels[i])]) < GLIMPSES:
            with suppress(PictureError):  # the file may have been deleted
                seen, shape = glimpse(path)  # decoded again: only these few stay in memory
                of_class.append(seen)
                shapes.add(shape)
    files = tuple(_relative(path, root) for path, _ in entries)
    images = distinct if len(distinct) == len(rows) else distinct[rows]
    glimpses_in_order = tuple((k, gray) for k, grays in glimpses.items() for gray in grays)
    return LoadedSplit(Part(images, labels, files=files, faults=faults), glimpses_in_order, tuple(sorted(shapes)))


def _regular(path: Path) -> Path | PictureError:
    """The path, or the error for a pipe, a device or a folder; all other errors come from `decode`."""
    with suppress(OSError, ValueError):
        if not stat.S_ISREG(path.stat().st_mode):
            return NotAPicture(f"{path} is not a regular file", expected="an image file")
    return path


def _listed_names(entries: Sequence[Entry]) -> set[str]:
    """The classes in a list of files: all ten digits if it names only digits."""
    names = {label for _, label in entries}
    return set(DIGITS) if names <= set(DIGITS) else names


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(sub for sub in folder.iterdir() if sub.is_dir() and not sub.name.startswith((".", "__")))
    except OSError as exc:
        raise MissingData(f"Cannot read {folder}: {reason_of(exc)}") from exc


def _image_files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if is_picture_name(path))
    except OSError as exc:
        raise MissingData(f"Cannot read {folder}: {reason_of(exc)}") from exc


def _split_names(folder: Path) -> set[str]:
    """`train` and `test`, if these are splits: the only sub-folders, with classes or a `labels.csv` in them.

    So a data set whose classes are called train and test is still one split of two classes.
    """
    subs = _subfolders(folder)
    names = {sub.name for sub in subs}
    if _has_list(folder) or not names or not names <= set(_SPLITS):
        return set()
    return names if all(_has_list(sub) or _subfolders(sub) for sub in subs) else set()


def _has_list(folder: Path) -> bool:
    with looking_up(folder):
        return (folder / LABELS_FILE).is_file()


def _read_rows(path: Path) -> list[Entry]:
    try:
        return _parse_rows(csv.reader(StringIO(read_text(path, max_bytes=MAX_LIST_BYTES), newline="")), path)
    except (ValueError, csv.Error) as exc:
        problem = f"This is not a CSV text that can be read ({str(exc)[:80]})"
        raise MalformedFile(path, problem, expected="a CSV in UTF-8") from exc
    except OSError as exc:
        raise MissingData(f"Cannot read {path}: {reason_of(exc)}") from exc


def _parse_rows(rows: Iterator[list[str]], path: Path) -> list[Entry]:
    """Read rows one by one; only two cells of each stay in memory, however many it has."""
    header = [cell.strip() for cell in next(rows, [])]
    if not {FILE, LABEL} <= set(header):
        received = ",".join(header)[:80] or "an empty file"
        raise MalformedFile(
            path, "There are no columns file and label", where="header", expected="file,label", received=received
        )
    file_at, label_at = header.index(FILE), header.index(LABEL)
    entries: list[Entry] = []
    bad: list[int] = []
    end = 0  # the last row that is not empty
    for i, row in enumerate(rows, 1):
        if i > MAX_LIST_ROWS:
            raise MalformedFile(path, "It has too many rows", expected=f"at most {MAX_LIST_ROWS:,}")
        file, label = ((row[at] if at < len(row) else "").strip() for at in (file_at, label_at))
        if file and label:
            entries.append((path.parent / file, label))
        else:
            bad.append(i)
        if any(cell.strip() for cell in row):
            end = i
    bad = [i for i in bad if i <= end]
    if bad or not entries:
        where = f"row {bad[0]}" if bad else "row 1"
        problem = f"{len(bad)} rows lack a file or a label" if bad else "There are no rows below the header"
        also = f"Rows {', '.join(map(str, bad[:_SHOWN]))}{' …' if len(bad) > _SHOWN else ''}." if len(bad) > 1 else None
        raise MalformedFile(path, problem, where=where, expected="file,label", hint=also)
    check_count(path, len(entries) - len({file for file, _ in entries}))  # repetitions, for which there are no files
    return entries
