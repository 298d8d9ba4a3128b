"""The public USPS files (LIBSVM text in bzip2) → a labelled data set.

In: the folder that holds them. Out: a `Dataset` whose pictures, 16×16 in the files, have passed the door.
"""

from __future__ import annotations

import bz2
from pathlib import Path

import numpy as np

from inkdigit.data.formats import Reading, read_arrays, to_dataset
from inkdigit.errors import MalformedFile, MissingData
from inkdigit.types import DIGITS, Dataset, Gray, Split

FILES: dict[Split, str] = {"train": "usps.bz2", "test": "usps.t.bz2"}
SIDE_PX = 16


def has_usps(folder: Path) -> bool:
    """Whether a folder holds USPS as its public file."""
    return (folder / FILES["train"]).is_file()


def read_usps(folder: Path, *, name: str = "usps", kind: str = "ink") -> Dataset:
    """Read `usps.bz2` and, where it is there, `usps.t.bz2`: rows `label 1:v … 256:v`, labels 1..10, pixels −1..1.

    Raises:
        MalformedFile: a file that is truncated, or a row that is none of USPS.
        MissingData: a file that cannot be read.
    """
    paths = {split: folder / file for split, file in FILES.items() if (folder / file).is_file()}
    return to_dataset(name, DIGITS, {split: _read_part(path, kind) for split, path in paths.items()}, kind=kind)


def _read_part(path: Path, kind: str) -> Reading:
    lines = _unpack(path).splitlines()
    if not lines:
        raise MalformedFile(path, "There are no pictures in it")
    images = np.empty((len(lines), SIDE_PX, SIDE_PX), np.uint8)
    labels = np.empty(len(lines), np.int64)
    for row, line in enumerate(lines):
        try:
            labels[row], images[row] = _parse_row(line)
        except (ValueError, IndexError) as exc:
            raise MalformedFile(path, "No row of USPS", where=f"row {row + 1}", expected="label 1:v … 256:v") from exc
    return read_arrays(images, labels, kind=kind)


def _unpack(path: Path) -> bytes:
    try:
        packed = path.read_bytes()
    except OSError as exc:
        raise MissingData(f"Cannot read {path}: {exc.strerror or exc}") from exc
    try:
        return bz2.decompress(packed)
    except (ValueError, EOFError, OSError) as exc:
        raise MalformedFile(path, "The bzip2 data is truncated or damaged", hint="Fetch it again.") from exc


def _parse_row(line: bytes) -> tuple[int, Gray]:
    """`7 1:-1 2:0.25 …` → label 6 and its pixels uint8 (16, 16); the format may leave zeros out."""
    label, *cells = line.split()
    pixels = np.zeros(SIDE_PX**2)
    for cell in cells:
        index, value = cell.split(b":")
        pixels[int(index) - 1] = float(value)
    if not (1 <= int(label) <= len(DIGITS) and np.abs(pixels).max() <= 1):
        raise ValueError("a label outside 1–10 or a pixel outside −1..1")
    return int(label) - 1, np.rint((pixels + 1) * 127.5).astype(np.uint8).reshape(SIDE_PX, SIDE_PX)
