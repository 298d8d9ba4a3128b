"""The names of classes, read from `classes.txt` or taken from folders and labels, and labels as indices into them.

In: a folder, or names as they were read. Out: a tuple of names in their order; labels int64 (N,).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inkdigit.errors import MalformedFile
from inkdigit.parsing import read_text
from inkdigit.types import MAX_CLASSES, MIN_CLASSES

CLASSES_FILE = "classes.txt"
MAX_NAME = 200  # characters of a class name: tables, plots and file names can show it


def read_classes(folder: Path) -> tuple[str, ...] | None:
    """The class names in the `classes.txt` of a folder, one a line, in the order of the labels; None without a file.

    Raises:
        MalformedFile: not a text, a name twice, or fewer than 2 or more than 256 names.
    """
    path = folder / CLASSES_FILE
    try:
        names = tuple(line.strip() for line in read_text(path).splitlines() if line.strip())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as exc:
        problem = f"This cannot be read as text ({getattr(exc, 'strerror', None) or exc})"
        raise MalformedFile(path, problem, expected="one class name a line, UTF-8") from exc
    if not MIN_CLASSES <= len(names) <= MAX_CLASSES:
        raise MalformedFile(
            path, "Wrong number of class names", expected=f"{MIN_CLASSES} to {MAX_CLASSES}", received=len(names)
        )
    for row, name in enumerate(names, 1):
        if name in names[: row - 1]:
            raise MalformedFile(path, f"The class {name[:MAX_NAME]!r} is listed twice", where=f"name {row}")
    check_names(names, path)
    return names


def check_names(names: Iterable[str], path: Path) -> None:
    """Check that class names from `path` can be written: the name of a folder, or a label, may not be text.

    Raises:
        MalformedFile: one of them is not text, or longer than 200 characters.
    """
    for name in names:
        has_surrogates = not name.isascii() and any("\ud800" <= letter <= "\udfff" for letter in name)
        if has_surrogates or len(name) > MAX_NAME:
            expected, received = f"text of at most {MAX_NAME} characters", ascii(name[:40])
            raise MalformedFile(path, "A class has a name that cannot be used", expected=expected, received=received)


def sorted_names(names: Iterable[str]) -> tuple[str, ...]:
    """Class names in order: by number where all are numbers, else by the alphabet."""
    distinct = set(names)
    if not all(name.isascii() and name.isdigit() for name in distinct):
        return tuple(sorted(distinct))
    by_digits = {name: name.lstrip("0") for name in distinct}  # `int` does not accept thousands of digits
    return tuple(sorted(distinct, key=lambda name: (len(by_digits[name]), by_digits[name], name)))


def index_names(names: list[str], classes: tuple[str, ...], path: Path) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """`classes`, and each of `names` as its index int64 (N,) into them.

    Raises:
        MalformedFile: a name that `classes.txt` beside `path` does not list, or that cannot be written.
    """
    check_names(classes, path)
    index = {name: k for k, name in enumerate(classes)}
    for row, name in enumerate(names, 1):
        if name not in index:
            problem = f"The {CLASSES_FILE} beside it does not list the class {name[:MAX_NAME]!r}"
            raise MalformedFile(path, problem, where=f"label {row}")
    return classes, np.array([index[name] for name in names], np.int64)


def label_outside(path: Path, label: int, k: int, where: str, count: int, *, first_label: int = 0) -> MalformedFile:
    """The error for `count` labels outside of `k` classes; the first of them is at `where` in `path`."""
    return MalformedFile(
        path,
        f"{count} {'label' if count == 1 else 'labels'} outside the classes",
        where=where,
        expected=f"{first_label}–{first_label + k - 1}",
        received=int(label),
        hint=f"Data with other classes needs a {CLASSES_FILE} beside it, one name a line.",
    )
