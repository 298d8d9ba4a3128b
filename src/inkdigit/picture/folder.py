"""Image files by their names, and those that a folder stands for. No file is opened, and no NumPy is loaded.

In: a path, or a pattern of some. Out: paths.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from pathlib import Path

from inkdigit.errors import PictureError, reason_of

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"})


def is_picture_name(path: Path) -> bool:
    """Whether a file of a folder is taken for an image by its name: a known suffix, and not hidden."""
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")


def expand(path: Path, *, recursive: bool = False) -> list[Path]:
    """The images in a folder, sorted, with `recursive` those of its sub-folders too; anything else stands for itself.

    Raises:
        PictureError: the folder cannot be read, or has no images.
    """
    try:
        if not path.is_dir():
            return [path]
        files = sorted(file for file in path.iterdir() if is_picture_name(file) and file.is_file())
    except OSError as exc:
        raise PictureError(f"{path} cannot be opened: {reason_of(exc)}") from exc
    if recursive:
        files += sorted(below(path))
    if not files:
        deeper = None if recursive or next(below(path), None) is None else "Its sub-folders have some: use --recursive."
        expected = ", ".join(sorted(PICTURE_SUFFIXES))
        raise PictureError(f"{path} is a folder without images", expected=expected, hint=deeper)
    return files


def below(folder: Path) -> Iterator[Path]:
    """The images in the sub-folders of a folder, at any depth; hidden folders and links to folders are left out."""
    for place, names, files in os.walk(folder):
        names[:] = sorted(name for name in names if not name.startswith("."))
        if Path(place) != folder:
            yield from (Path(place, name) for name in files if is_picture_name(Path(name)))


def matches(pattern: Path) -> list[Path]:
    """The files that a pattern such as `*.png` stands for, sorted; a name without wildcards, or of a file, itself.

    A shell expands patterns before a program sees them, but not all do: that of Windows leaves it to the program.

    Raises:
        PictureError: no file fits the pattern.
    """
    if not glob.has_magic(str(pattern)) or os.path.lexists(pattern):
        return [pattern]
    found = sorted(map(Path, glob.glob(str(pattern), recursive=True)))  # noqa: PTH207 (it may begin at any root)
    if not found:
        raise PictureError(f"No file fits {pattern}", expected="the name of an image, or a pattern that some fit")
    return found
