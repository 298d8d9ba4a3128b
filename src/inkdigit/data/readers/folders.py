"""Pictures as files → a labelled data set: one sub-folder a class, or a CSV with the columns `file,label`.

In: a folder, or the path of such a CSV. Out: a `Dataset` whose pictures have passed the door some at a time, so that
memory stays small. A picture that cannot be read becomes a blank with an entry in its part's `faults`: it does
not stop the others, and evaluation counts it as wrong.

A list of pictures may lie beside its pictures or elsewhere: the files that it names may be anywhere that its reader may
read, by an absolute path or with `..`. Only regular files are read: a pipe, a device or a folder is a fault.
"""

from __future__ import annotations

import csv
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from io import StringIO
from pathlib import Path

import numpy as np

from inkdigit.data.readers.arrays import GLIMPSES, LoadedSplit, read_pictures, thin, to_dataset
from inkdigit.data.readers.bounded import check_count
from inkdigit.data.readers.class_names import index_names, read_classes, sorted_names
from inkdigit.errors import DataError, MalformedFile, MissingData, NotAPicture, PictureError
from inkdigit.files import looking_up
from inkdigit.parsing import read_text
from inkdigit.picture.decode import decode
from inkdigit.picture.folder import PICTURE_SUFFIXES, is_picture_name
from inkdigit.types import DIGITS, Dataset, Gray, Part, Split

LABELS_FILE = "labels.csv"
FILE, LABEL = "file", "label"

_PARTS: tuple[Split, ...] = ("train", "test")
MAX_LIST_BYTES = 64 * 2**20  # of a labels.csv
MAX_LIST_ROWS = 10**6
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
        if _has_list(part):
            entries[split] = _read_rows(part / LABELS_FILE)
            names |= _listed_names(entries[split])
        else:
            entries[split] = [(path, sub.name) for sub in _subfolders(part) for path in _pictures(sub)]
            names |= {sub.name for sub in _subfolders(part)}
    classes = read_classes(folder) or sorted_names(names)
    return _read(entries, classes, folder, folder / LABELS_FILE, name or folder.resolve().name, kind)


def read_labels_csv(path: Path, *, name: str | None = None, kind: str = "ink") -> Dataset:
    """Read the pictures that a CSV with the columns `file,label` names, relative to its folder or by absolute paths.

    Further columns are free. A file that several rows name is read once. Classes are those of `classes.txt` beside it,
    else the ten digits if every label is one of them, else the labels themselves in order.

    Raises:
        MalformedFile: no such columns, no rows, more than a million of them, or a row without file or label; rows are
            counted from 1.
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
    loaded = {split: _load_split(rows, classes, root, source, kind) for split, rows in entries.items()}
    return to_dataset(name, classes, loaded, kind=kind)


def _load_split(entries: Sequence[Entry], classes: tuple[str, ...], root: Path, source: Path, kind: str) -> LoadedSplit:
    _, labels = index_names([label for _, label in entries], classes, source)
    at = {path: i for i, path in enumerate(dict.fromkeys(path for path, _ in entries))}  # a list may repeat a file
    once, unread = read_pictures((_regular(path) for path in at), len(at), kind=kind)
    rows = np.array([at[path] for path, _ in entries])
    faults = {i: unread[row] for i, row in enumerate(rows.tolist()) if row in unread}
    if len(faults) == len(entries):
        raise DataError(f"Not one of the {len(entries)} pictures of {root} can be read. The first: {faults[0]}")

    glimpses: dict[int, list[Gray]] = {k: [] for k in range(len(classes))}
    for i, (path, _) in enumerate(entries):
        if i not in faults and len(kept := glimpses[int(labels[i])]) < GLIMPSES:
            with suppress(PictureError):  # it may be gone by now
                kept.append(thin(decode(path)))  # anew: for these few, not all of them are kept
    files = tuple(_relative(path, root) for path, _ in entries)
    kept_all = tuple((k, gray) for k, grays in glimpses.items() for gray in grays)
    images = once if len(once) == len(rows) else once[rows]
    return LoadedSplit(Part(images, labels, files=files, faults=faults), kept_all)


def _regular(path: Path) -> Path | PictureError:
    """The path, or the error for what has no end that is known; what else may be wrong `decode` says."""
    with suppress(OSError, ValueError):
        if not stat.S_ISREG(path.stat().st_mode):
            return NotAPicture(f"{path} is not a regular file", expected="a picture file")
    return path


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
    try:
        return sorted(path for path in folder.iterdir() if is_picture_name(path))
    except OSError as exc:
        raise MissingData(f"Cannot read {folder}: {exc.strerror or exc}") from exc


def _part_names(folder: Path) -> set[str]:
    """`train` and `test`, where these are parts: the only sub-folders, with classes or a `labels.csv` in them.

    So a data set whose classes are called train and test is still one part of two classes.
    """
    subs = _subfolders(folder)
    parts = {sub.name for sub in subs}
    if _has_list(folder) or not parts or not parts <= set(_PARTS):
        return set()
    return parts if all(_has_list(sub) or _subfolders(sub) for sub in subs) else set()


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
        raise MissingData(f"Cannot read {path}: {exc.strerror or exc}") from exc


def _parse_rows(rows: Iterator[list[str]], path: Path) -> list[Entry]:
    """Rows are looked at one by one: of each, two cells are kept, however many there are."""
    header = [cell.strip() for cell in next(rows, [])]
    if not {FILE, LABEL} <= set(header):
        received = ",".join(header)[:80] or "an empty file"
        raise MalformedFile(
            path, "The columns file and label are not there", where="header", expected="file,label", received=received
        )
    file_at, label_at = header.index(FILE), header.index(LABEL)
    entries: list[Entry] = []
    bad: list[int] = []
    end = 0  # the last row that is not empty
    for i, row in enumerate(rows, 1):
        if i > MAX_LIST_ROWS:
            raise MalformedFile(path, "There are too many rows in it", expected=f"at most {MAX_LIST_ROWS:,}")
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
    check_count(path, len(entries) - len({file for file, _ in entries}))  # repetitions, which cost nobody a file
    return entries
