"""Image files by their names, and those that a folder stands for. No file is opened, and no NumPy is loaded.

In: a path. Out: paths.
"""

from __future__ import annotations

from pathlib import Path

from inkdigit.errors import PictureError

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"})


def is_picture_name(path: Path) -> bool:
    """Whether a file of a folder is taken for an image by its name: a known suffix, and not hidden."""
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")


def expand(path: Path) -> list[Path]:
    """The images in a folder, sorted, those of its sub-folders not among them; anything else stands for itself.

    Raises:
        PictureError: the folder cannot be read, or has no images.
    """
    try:
        if not path.is_dir():
            return [path]
        files = sorted(file for file in path.iterdir() if is_picture_name(file) and file.is_file())
    except OSError as exc:
        raise PictureError(f"{path} cannot be opened: {exc.strerror}") from exc
    if not files:
        raise PictureError(f"{path} is a folder without images", expected=", ".join(sorted(PICTURE_SUFFIXES)))
    return files
