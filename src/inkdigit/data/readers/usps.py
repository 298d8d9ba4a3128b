"""The public USPS files (LIBSVM text in bzip2) → a labelled data set.

In: the folder that holds them. Out: a `Dataset` of prepared images; in the files they have 16×16 pixels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from inkdigit.data.readers.arrays import LoadedSplit, read_arrays, to_dataset
from inkdigit.data.readers.bounded import check_count, unpack_bz2
from inkdigit.errors import MalformedFile, MissingData
from inkdigit.types import DIGITS, Dataset, Gray, Split

FILES: dict[Split, str] = {"train": "usps.bz2", "test": "usps.t.bz2"}
SIDE_PX = 16  # of an image in the files
MAX_ROW_BYTES = 10_000  # of a line: those of USPS have three thousand


def has_usps(folder: Path) -> bool:
    """Whether a folder holds the public files of USPS."""
    return (folder / FILES["train"]).is_file()


def read_usps(folder: Path, *, name: str = "usps", kind: str = "ink") -> Dataset:
    """Read `usps.bz2` and, if there is one, `usps.t.bz2`: rows `label 1:v … 256:v`, labels 1..10, pixels −1..1.

    Raises:
        MalformedFile: a file that is damaged or unpacks to too much, or a row that is not one of USPS.
        MissingData: a file that cannot be read.
    """
    if not has_usps(folder):
        raise MissingData(f"{folder} does not hold USPS", expected=FILES["train"])
    paths = {split: folder / file for split, file in FILES.items() if (folder / file).is_file()}
    return to_dataset(name, DIGITS, {split: _read_split(path, kind) for split, path in paths.items()}, kind=kind)


def _read_split(path: Path, kind: str) -> LoadedSplit:
    text = unpack_bz2(path).rstrip()
    if not text:
        raise MalformedFile(path, "There are no images in it")
    check_count(path, text.count(b"\n") + 1)
    lines = text.split(b"\n")
    images = np.empty((len(lines), SIDE_PX, SIDE_PX), np.uint8)
    labels = np.empty(len(lines), np.int64)
    for row, line in enumerate(lines):
        try:
            labels[row], images[row] = _parse_row(line)
        except ValueError as exc:
            where, expected = f"row {row + 1}", "label 1:v … 256:v"
            raise MalformedFile(path, "This is not a row of USPS", where=where, expected=expected) from exc
    return read_arrays(images, labels, kind=kind)


def _parse_row(line: bytes) -> tuple[int, Gray]:
    """`7 1:-1 2:0.25 …` → label 6 and its pixels uint8 (16, 16); the format may leave zeros out."""
    if len(line) > MAX_ROW_BYTES:
        raise ValueError("too long")
    label, *cells = line.split()
    pixels = np.zeros(SIDE_PX**2)
    for cell in cells:
        index, value = cell.split(b":")
        if not 1 <= int(index) <= SIDE_PX**2:
            raise ValueError("a pixel beyond the image")
        pixels[int(index) - 1] = float(value)
    if not (1 <= int(label) <= len(DIGITS) and np.abs(pixels).max() <= 1):
        raise ValueError("a label outside 1–10 or a pixel outside −1..1")
    return int(label) - 1, np.rint((pixels + 1) * 127.5).astype(np.uint8).reshape(SIDE_PX, SIDE_PX)
