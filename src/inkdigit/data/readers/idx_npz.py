"""Files of numbers → labelled data sets: IDX and `.npz`.

In: paths. Out: `Dataset`s whose pictures have passed the door, or one `MalformedFile` that names file and place.
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from inkdigit.data.readers.arrays import LoadedSplit, read_arrays, to_dataset
from inkdigit.data.readers.bounded import check_count, expansion_error, load_npz, max_unpacked_bytes, reading
from inkdigit.data.readers.class_names import index_names, label_outside, read_classes, sorted_names
from inkdigit.errors import MalformedFile, MissingData
from inkdigit.types import DIGITS, Dataset, Gray, Split

_GZIP = b"\x1f\x8b"
_UNSIGNED_BYTE = 8  # the third byte of an IDX file: its data type
_IDX_PREFIXES: dict[Split, tuple[str, ...]] = {"train": ("train-", ""), "test": ("t10k-", "test-")}


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, gzipped or not whatever its name: pictures (N, H, W) or labels (N,).

    The array is a read-only view of the bytes that were read: nothing is copied. The format is the one described on
    the MNIST page (LeCun, Cortes, Burges).

    Raises:
        MalformedFile: empty, truncated, a wrong magic number, counts and bytes that disagree, gzip that is not gzip or
            unpacks to more than a file of its size should.
        MissingData: the file cannot be read.
    """
    with reading(path) as file:
        gzipped = file.read(2) == _GZIP
        file.seek(0)
        size = os.fstat(file.fileno()).st_size
        if not gzipped:
            return _parse_idx(file, path, size, packed=False)
        try:
            with gzip.open(file) as stream:
                return _parse_idx(cast(BinaryIO, stream), path, size, packed=True)
        except (EOFError, gzip.BadGzipFile, zlib.error) as exc:
            raise MalformedFile(path, f"The gzip data is truncated or damaged ({exc})", hint="Fetch it again.") from exc


def _parse_idx(stream: BinaryIO, path: Path, size: int, *, packed: bool) -> NDArray[np.uint8]:
    """`stream` is the content of a file of `size` bytes: more than that can hold is not read: lies cost nothing."""
    magic = stream.read(4)
    if not magic:
        raise MalformedFile(path, "The file is empty", expected="an IDX file")
    if len(magic) < 4 or magic[:3] != bytes((0, 0, _UNSIGNED_BYTE)) or magic[3] not in (1, 3):
        hint = "Its name says gzip, but its bytes are no gzip." if path.suffix == ".gz" else None
        expected = "00 00 08 01 (labels) or 00 00 08 03 (pictures)"
        raise MalformedFile(
            path, "Not the magic number of IDX", where="byte 0", expected=expected, received=magic.hex(" "), hint=hint
        )
    header = stream.read(4 * magic[3])
    if len(header) < 4 * magic[3]:
        raise MalformedFile(path, "The header is truncated", where=f"byte {4 + len(header)}")
    shape = np.frombuffer(header, ">u4").tolist()  # the counts, as whole numbers of any size
    promised, where = math.prod(shape), f"bytes 4–{3 + len(header)}"
    if packed and promised > max_unpacked_bytes(size):
        hint = f"If that is right, unpack it: gunzip {path.name}"
        raise expansion_error(path, size, where=where, received=promised, hint=hint)
    can_be = packed or promised <= size
    body = stream.read(promised + 1) if can_be else b""
    if len(body) != promised:
        held = f"{len(body)} bytes" if can_be and len(body) < promised else "more" if body else "less"
        raise MalformedFile(
            path,
            f"The header promises {' × '.join(map(str, shape))} bytes, the file holds {held}",
            where=where,
            expected=f"{promised} bytes after the header",
            received=held,
        )
    if not promised:
        what = "pictures" if len(shape) == 3 else "labels"
        raise MalformedFile(path, f"There are no {what} in it", where=where, received=f"shape {tuple(shape)}")
    return np.frombuffer(body, np.uint8).reshape(shape)


def find_idx(folder: Path, *, before: str = "") -> dict[Split, tuple[Path | None, Path | None, Path]]:
    """The IDX files of a folder: for each part its pictures, its labels (either may be missing) and its writers.

    Names are those of MNIST, `train-images-idx3-ubyte` and `t10k-…` (or `test-…`), with `.idx3` for `-idx3` and `.gz`
    allowed; without a prefix they are the only part. All names may have the same text `before` them.
    """
    found: dict[Split, tuple[Path | None, Path | None, Path]] = {}
    for split, prefixes in _IDX_PREFIXES.items():
        for prefix in (before + prefix for prefix in prefixes):
            images, labels = (_idx_file(folder, prefix + stem) for stem in ("images?idx3-ubyte", "labels?idx1-ubyte"))
            if images or labels:
                found.setdefault(split, (images, labels, folder / f"{prefix}writers.npz"))
    return found


def _idx_file(folder: Path, stem: str) -> Path | None:
    names = (stem.replace("?", mark) + suffix for mark in "-." for suffix in ("", ".gz"))
    return next((path for name in names if (path := folder / name).is_file()), None)


def read_idx_folder(
    folder: Path, *, name: str | None = None, kind: str = "ink", classes: tuple[str, ...] | None = None
) -> Dataset:
    """Read the IDX files of a folder: one part or two, and who wrote each picture where `*writers.npz` says it.

    Classes are `classes` if given, else those of `classes.txt`, else always the ten digits.

    Raises:
        MissingData: pictures without labels, or labels without pictures.
        MalformedFile: a file that is broken, a label outside the classes, counts that disagree.
    """
    classes = classes or read_classes(folder) or DIGITS
    loaded: dict[Split, LoadedSplit] = {}
    for split, (images, labels, writers) in find_idx(folder).items():
        if images is None or labels is None:
            there = images or labels
            raise MissingData(f"{there} has no {'labels' if images else 'pictures'} beside it")
        pixels, numbers = read_idx_pair(images, labels, len(classes))
        loaded[split] = read_arrays(pixels, numbers, kind=kind, writers=_read_writers(writers, len(numbers)))
    if not loaded:
        raise MissingData(
            f"{folder} holds no IDX files", expected="train-images-idx3-ubyte and train-labels-idx1-ubyte"
        )
    return to_dataset(name or folder.resolve().name, classes, loaded, kind=kind)


def read_idx_pair(images: Path, labels: Path, k: int, *, first_label: int = 0) -> tuple[Gray, NDArray[np.int64]]:
    """Pictures uint8 (N, H, W) and labels (N,) from 0 to `k` − 1; in the file they begin at `first_label`.

    Raises:
        MalformedFile: a file that is broken, a label outside the classes, counts that disagree.
    """
    pixels, numbers = read_idx(images), read_idx(labels)
    if pixels.ndim != 3 or numbers.ndim != 1:
        wrong, is_, want = (images, "labels", "pictures") if pixels.ndim != 3 else (labels, "pictures", "labels")
        raise MalformedFile(wrong, f"These are {is_}", where="byte 3", expected=want)
    if len(pixels) != len(numbers):
        raise MalformedFile(
            labels, f"Not one label for each picture of {images.name}", expected=len(pixels), received=len(numbers)
        )
    check_count(images, len(pixels))
    classes = numbers.astype(np.int64) - first_label
    if (outside := np.flatnonzero((classes < 0) | (classes >= k))).size:
        at = int(outside[0])
        where = f"label {at + 1} (byte {8 + at})"
        raise label_outside(labels, numbers[at], k, where, len(outside), first_label=first_label)
    return pixels, classes


def _read_writers(path: Path, n: int) -> NDArray[np.int32] | None:
    """`writer` int32 (N,): the number of the person who wrote each picture, where the file is there."""
    if not path.is_file():
        return None
    (writers,) = load_npz(path, "writer")
    if writers.shape != (n,) or writers.dtype.kind not in "iu":
        received = f"{writers.dtype} {writers.shape}"
        raise MalformedFile(
            path, "Not one writer for each picture", where="writer", expected=f"int32 ({n},)", received=received
        )
    return writers.astype(np.int32)


def read_npz(path: Path, *, name: str | None = None, kind: str = "ink") -> Dataset:
    """Read `X` uint8 (N, H, W) of any size and `y` (N,), whole numbers or class names, from an `.npz` file.

    Numbers 0–9 are the ten digits; others name their classes themselves, unless a `classes.txt` lies beside the file.

    Raises:
        MalformedFile: not an `.npz`, an array that is missing or of another shape or type, a pickle, a label without
            name, or more than a file of its size should hold.
    """
    images, y = load_npz(path, "X", "y")
    if images.dtype != np.uint8 or images.ndim != 3 or not images.size:
        received = f"{images.dtype} {images.shape}"
        raise MalformedFile(path, "No gray pictures", where="X", expected="uint8 (N, H, W)", received=received)
    if y.shape != (len(images),) or y.dtype.kind not in "iuUS":
        expected, received = f"({len(images)},) whole numbers or names", f"{y.dtype} {y.shape}"
        raise MalformedFile(path, "Not one label for each picture", where="y", expected=expected, received=received)
    check_count(path, len(images))
    classes, labels = _name_labels(y, path)
    return to_dataset(name or path.stem, classes, {"train": read_arrays(images, labels, kind=kind)}, kind=kind)


def _name_labels(y: NDArray[Any], path: Path) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Class names, and `y` (N,) of numbers or names as indices into them."""
    listed = read_classes(path.parent)
    if y.dtype.kind in "iu" and (listed or (y.min() >= 0 and y.max() < len(DIGITS))):
        classes = listed or DIGITS
        if (outside := np.flatnonzero((y < 0) | (y >= len(classes)))).size:
            raise label_outside(path, y[outside[0]], len(classes), f"y[{outside[0]}]", len(outside))
        return classes, y.astype(np.int64)
    names = [one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in y.tolist()]
    return index_names(names, listed or sorted_names(names), path)
