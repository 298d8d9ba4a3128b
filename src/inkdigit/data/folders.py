"""Pictures as files → a labelled data set: one sub-folder a class, or a CSV with the columns `file,label`.

In: a folder, or the path of such a CSV. Out: a `Dataset` whose pictures have passed the door some at a time, so that
memory stays small. A picture that cannot be read becomes a blank with an entry in its part's `faults`: it does
not stop the others, and evaluation counts it as wrong.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from inkdigit.data.formats import GLIMPSES, Reading, index_names, read_classes, sorted_names, thin, to_dataset
from inkdigit.errors import DataError, MalformedFile, MissingData, PictureError
from inkdigit.picture.decode import PICTURE_SUFFIXES, decode, is_picture_name
from inkdigit.picture.read import read_each
from inkdigit.types import DIGITS, SIDE, Dataset, Gray, Part, Split

LABELS_FILE = "labels.csv"
FILE, LABEL = "file", "label"

_PARTS: tuple[Split, ...] = ("train", "test")
_SHOWN = 3  # problems that an error names; it counts the others

Entry = tuple[Path, str]  # where a picture is, and the name of its class


def read_picture_folder(folder: Path, *, name: str | None = None, kind: str = "ink") -> Dataset:
    """Read a folder with one sub-folder a class or a `labels.csv`, or with two such folders `train` and `test`.

    Classes are those of `classes.txt`, else the sub-folders' names, by number if all are numbers (a `labels.csv` that
    names only digits has all ten). Pictures are sorted by name; files without a picture's suffix are passed over, and
    so are names that begin with a dot or with two underscores.

    Raises:
        MissingData: a folder without sub-folders or without pictures.
        DataError: not one of the pictures can be read.
        MalformedFile: a `labels.csv` or a `classes.txt` that is broken.
    """
    parts = {split: folder / split for split in _PARTS if split in _part_names(folder)} or {"train": folder}
    names: set[str] = set()
    entries: dict[Split, list[Entry]] = {}
    for split, part in parts.items():
        if (part / LABELS_FILE).is_file():
            entries[split] = _read_rows(part / LABELS_FILE)
            names |= _listed_names(entries[split])
        else:
            entries[split] = [(path, sub.name) for sub in _subfolders(part) for path in _pictures(sub)]
            names |= {sub.name for sub in _subfolders(part)}
    classes = read_classes(folder) or sorted_names(names)
    return _read(entries, classes, folder, folder / LABELS_FILE, name or folder.resolve().name, kind)


def read_labels_csv(path: Path, *, name: str | None = None, kind: str = "ink") -> Dataset:
    """Read the pictures that a CSV with the columns `file,label` names, relative to its folder.

    Further columns are free. Classes are those of `classes.txt` beside it, else the ten digits if every label is one
    of them, else the labels themselves in order.

    Raises:
        MalformedFile: no such columns, no rows, or a row without file or label; rows are counted from 1.
        DataError: not one of the pictures can be read.
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
            f"{root} holds no pictures",
            expected=f"one sub-folder a class, or a {LABELS_FILE}, and files {' '.join(sorted(PICTURE_SUFFIXES))}",
        )
    readings = {split: _read_pictures(rows, classes, root, source, kind) for split, rows in entries.items()}
    return to_dataset(name, classes, readings, kind=kind)


def _read_pictures(entries: Sequence[Entry], classes: tuple[str, ...], root: Path, source: Path, kind: str) -> Reading:
    _, labels = index_names([label for _, label in entries], classes, source)
    images = np.zeros((len(entries), SIDE, SIDE), np.uint8)
    faults: dict[int, str] = {}
    glimpses: dict[int, list[Gray]] = {k: [] for k in range(len(classes))}

    paths = [path for path, _ in entries]
    begin = 0
    for some, unread in read_each(paths, kind):
        end = begin + len(some) + len(unread)
        faults |= {begin + i: str(exc) for i, exc in unread.items()}
        images[[i for i in range(begin, end) if i not in faults]] = some
        begin = end
    for i, path in enumerate(paths):
        if i not in faults and len(kept := glimpses[int(labels[i])]) < GLIMPSES:
            with suppress(PictureError):  # it may be gone by now
                kept.append(thin(decode(path)))  # anew: for these few, not all of them are kept
    if len(faults) == len(entries):
        raise DataError(f"Not one of the {len(entries)} pictures of {root} can be read. The first: {faults[0]}")
    files = tuple(_relative(path, root) for path, _ in entries)
    kept_all = tuple((k, gray) for k, grays in glimpses.items() for gray in grays)
    return Reading(Part(images, labels, files=files, faults=faults), kept_all)


def _listed_names(entries: Sequence[Entry]) -> set[str]:
    """The classes that a list of files speaks of: all ten digits where it names nothing else."""
    names = {label for _, label in entries}
    return set(DIGITS) if names <= set(DIGITS) else names


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(sub for sub in folder.iterdir() if sub.is_dir() and not sub.name.startswith((".", "__")))
    except OSError as exc:
        raise MissingData(f"Cannot read {folder}: {exc.strerror or exc}") from exc


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if is_picture_name(path))


def _part_names(folder: Path) -> set[str]:
    """`train` and `test`, where these are parts: the only sub-folders, with classes or a `labels.csv` in them.

    So a data set whose classes are called train and test is still one part of two classes.
    """
    subs = _subfolders(folder)
    parts = {sub.name for sub in subs}
    if (folder / LABELS_FILE).is_file() or not parts or not parts <= set(_PARTS):
        return set()
    return parts if all((sub / LABELS_FILE).is_file() or _subfolders(sub) for sub in subs) else set()


def _read_rows(path: Path) -> list[Entry]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
    except (UnicodeDecodeError, csv.Error) as exc:
        raise MalformedFile(path, "This is no CSV text", expected="a CSV in UTF-8") from exc
    except OSError as exc:
        raise MissingData(f"Cannot read {path}: {exc.strerror or exc}") from exc
    header = [cell.strip() for cell in rows[0]] if rows else []
    if not {FILE, LABEL} <= set(header):
        received = ",".join(header)[:80] or "an empty file"
        raise MalformedFile(
            path, "The columns file and label are not there", where="header", expected="file,label", received=received
        )
    while rows and not any(cell.strip() for cell in rows[-1]):
        rows.pop()
    file_at, label_at = header.index(FILE), header.index(LABEL)
    cells = [[(row[at] if at < len(row) else "").strip() for at in (file_at, label_at)] for row in rows[1:]]
    bad = [i for i, pair in enumerate(cells, 1) if not all(pair)]
    if bad or not cells:
        where = f"row {bad[0]}" if bad else "row 1"
        problem = f"{len(bad)} rows lack a file or a label" if bad else "There are no rows below the header"
        also = f"Rows {', '.join(map(str, bad[:_SHOWN]))}{' …' if len(bad) > _SHOWN else ''}." if len(bad) > 1 else None
        raise MalformedFile(path, problem, where=where, expected="file,label", hint=also)
    return [(path.parent / file, label) for file, label in cells]
