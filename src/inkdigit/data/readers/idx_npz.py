"""Files of numbers → labelled data sets: IDX and `.npz`.

In: paths. Out: `Dataset`s of prepared images, or one `MalformedFile` that names the file and the place in it.
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from inkdigit.data.readers.arrays import LoadedSplit, read_arrays, to_dataset
from inkdigit.data.readers.bounded import check_count, expansion_error, holds_npz, load_npz, max_unpacked_bytes, reading
from inkdigit.data.readers.class_names import index_names, label_outside, read_classes, sorted_names
from inkdigit.errors import MalformedFile, MissingData
from inkdigit.types import DIGITS, Dataset, Gray, Split

KERAS = ("x_train", "y_train", "x_test", "y_test")  # the arrays of its mnist.npz
_GZIP = b"\x1f\x8b"
_UNSIGNED_BYTE = 8  # the third byte of an IDX file: its data type
_IDX_PREFIXES: dict[Split, tuple[str, ...]] = {"train": ("train-", ""), "test": ("t10k-", "test-")}


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, gzipped or not, under any name: images (N, H, W) or labels (N,).

    The array is a read-only view of the bytes that were read. The MNIST page describes the format (LeCun, Cortes,
    Burges).

    Raises:
        MalformedFile: empty, truncated, a wrong magic number, counts and bytes that disagree, damaged gzip data, or
            more unpacked data than a file of its size should hold.
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
    """`stream` is the content of a file of `size` bytes; memory is taken only for what such a file can hold."""
    magic = stream.read(4)
    if not magic:
        raise MalformedFile(path, "The file is empty", expected="an IDX file")
    if len(magic) < 4 or magic[:3] != bytes((0, 0, _UNSIGNED_BYTE)) or magic[3] not in (1, 3):
        hint = "It is named .gz, but its bytes are not gzip data." if path.suffix == ".gz" else None
        expected = "00 00 08 01 (labels) or 00 00 08 03 (images)"
        raise MalformedFile(
            path, "Not the magic number of IDX", where="byte 0", expected=expected, received=magic.hex(" "), hint=hint
        )
    header = stream.read(4 * magic[3])
    if len(header) < 4 * magic[3]:
        raise MalformedFile(path, "The header is truncated", where=f"byte {4 + len(header)}")
    shape = np.frombuffer(header, ">u4").tolist()  # as Python's whole numbers, which do not overflow
    promised, where = math.prod(shape), f"bytes 4–{3 + len(header)}"
    if packed and promised > max_unpacked_bytes(size):
        hint = f"If that is right, unpack it: gunzip {path.name}"
        raise expansion_error(path, size, where=where, received=promised, hint=hint)
    is_possible = packed or promised <= size
    body = stream.read(promised + 1) if is_possible else b""
    if len(body) != promised:
        held = f"{len(body)} bytes" if is_possible and len(body) < promised else "more" if body else "less"
        raise MalformedFile(
            path,
            f"The header promises {' × '.join(map(str, shape))} bytes, the file holds {held}",
            where=where,
            expected=f"{promised} bytes after the header",
            received=held,
        )
    if not promised:
        what = "images" if len(shape) == 3 else "labels"
        raise MalformedFile(path, f"There are no {what} in it", where=where, received=f"shape {tuple(shape)}")
    return np.frombuffer(body, np.uint8).reshape(shape)


def find_idx(folder: Path, *, before: str = "") -> dict[Split, tuple[Path | None, Path | None, Path]]:
    """The IDX files of a folder: for each split its images, its labels (either may be missing) and its writers.

    Names are those of MNIST, `train-images-idx3-ubyte` and `t10k-…` (or `test-…`), with `.idx3` for `-idx3` and `.gz`
    allowed; files without such a prefix are the only split. All names may have the same text `before` them.
    """
    files: dict[Split, tuple[Path | None, Path | None, Path]] = {}
    for split, prefixes in _IDX_PREFIXES.items():
        for prefix in (before + prefix for prefix in prefixes):
            images, labels = (_idx_file(folder, prefix + stem) for stem in ("images?idx3-ubyte", "labels?idx1-ubyte"))
            if images or labels:
                files.setdefault(split, (images, labels, folder / f"{prefix}writers.npz"))
    return files


def _idx_file(folder: Path, stem: str) -> Path | None:
    names = (stem.replace("?", mark) + suffix for mark in "-." for suffix in ("", ".gz"))
    return next((path for name in names if (path := folder / name).is_file()), None)


def read_idx_folder(
    folder: Path, *, name: str | None = None, kind: str = "ink", classes: tuple[str, ...] | None = None
) -> Dataset:
    """Read the IDX files of a folder: one split or two, and the writer of each image if there is a `*writers.npz`.

    The classes are `classes` if given, else those of `classes.txt`, else the ten digits.

    Raises:
        MissingData: images without labels, or labels without images.
        MalformedFile: a file that is broken, a label outside the classes, counts that disagree.
    """
    classes = classes or read_classes(folder) or DIGITS
    loaded: dict[Split, LoadedSplit] = {}
    for split, (images, labels, writers) in find_idx(folder).items():
        if images is None or labels is None:
            raise MissingData(f"{images or labels} has no {'labels' if images else 'images'} beside it")
        pixels, numbers = read_idx_pair(images, labels, len(classes))
        loaded[split] = read_arrays(pixels, numbers, kind=kind, writers=_read_writers(writers, len(numbers)))
    if not loaded:
        raise MissingData(
            f"{folder} holds no IDX files", expected="train-images-idx3-ubyte and train-labels-idx1-ubyte"
        )
    return to_dataset(name or folder.resolve().name, classes, loaded, kind=kind)


def read_idx_pair(images: Path, labels: Path, k: int, *, first_label: int = 0) -> tuple[Gray, NDArray[np.int64]]:
    """Images uint8 (N, H, W) and labels (N,) from 0 to `k` − 1; in the file they begin at `first_label`.

    Raises:
        MalformedFile: a file that is broken, a label outside the classes, counts that disagree.
    """
    pixels, numbers = read_idx(images), read_idx(labels)
    if pixels.ndim != 3 or numbers.ndim != 1:
        wrong, actual, expected = (images, "labels", "images") if pixels.ndim != 3 else (labels, "images", "labels")
        raise MalformedFile(wrong, f"These are {actual}", where="byte 3", expected=expected)
    if len(pixels) != len(numbers):
        raise MalformedFile(
            labels, f"Not one label for each image of {images.name}", expected=len(pixels), received=len(numbers)
        )
    check_count(images, len(pixels))
    classes = numbers.astype(np.int64) - first_label
    if (outside := np.flatnonzero((classes < 0) | (classes >= k))).size:
        at = int(outside[0])
        where = f"label {at + 1} (byte {8 + at})"
        raise label_outside(labels, numbers[at], k, where, len(outside), first_label=first_label)
    return pixels, classes


def _read_writers(path: Path, n: int) -> NDArray[np.int32] | None:
    """`writer` int32 (N,): the number of the person who wrote each image; None without a file."""
    if not path.is_file():
        return None
    (writers,) = load_npz(path, "writer")
    if writers.shape != (n,) or writers.dtype.kind not in "iu":
        received = f"{writers.dtype} {writers.shape}"
        raise MalformedFile(
            path, "Not one writer for each image", where="writer", expected=f"int32 ({n},)", received=received
        )
    return writers.astype(np.int32)


def read_npz(path: Path, *, name: str | None = None, kind: str = "ink") -> Dataset:
    """Read `X` uint8 (N, H, W) of any size and `y` (N,), whole numbers or class names, from an `.npz` file.

    Or the two splits of a file as Keras' `mnist.npz`: `x_train`, `y_train`, `x_test`, `y_test`.
    Numbers 0–9 are the ten digits. Other labels are the names of their classes, unless there is a `classes.txt` beside
    the file.

    Raises:
        MalformedFile: not an `.npz`, an array that is missing or of another shape or type, a pickle, a label without a
            name, or more data than a file of its size should hold.
    """
    if not holds_npz(path, KERAS[0]):
        classes, (only,) = _npz_splits(path, [("X", "y")])
        return to_dataset(name or path.stem, classes, {"train": read_arrays(*only, kind=kind)}, kind=kind)
    classes, (train, test) = _npz_splits(path, [KERAS[:2], KERAS[2:]])
    loaded: dict[Split, LoadedSplit] = {"train": read_arrays(*train, kind=kind), "test": read_arrays(*test, kind=kind)}
    return to_dataset(name or path.stem, classes, loaded, kind=kind)


def _npz_splits(
    path: Path, keys: Sequence[tuple[str, ...]]
) -> tuple[tuple[str, ...], list[tuple[Gray, NDArray[np.int64]]]]:
    """The classes, and the images and labels of each split whose arrays have these names."""
    arrays = load_npz(path, *(key for pair in keys for key in pair))
    for (x, y), images, labels in zip(keys, arrays[::2], arrays[1::2], strict=True):
        _check_npz(path, images, labels, names=(x, y))
    classes, numbers = _name_labels(np.concatenate(arrays[1::2]), path, names=[y for _, y in keys])
    ends = np.cumsum([len(images) for images in arrays[::2]])
    return classes, list(zip(arrays[::2], np.split(numbers, ends[:-1]), strict=True))


def _check_npz(path: Path, images: NDArray[Any], y: NDArray[Any], *, names: tuple[str, str]) -> None:
    """Check that there are gray images, and a label for each."""
    if images.dtype != np.uint8 or images.ndim != 3 or not images.size:
        received = f"{images.dtype} {images.shape}"
        expected = "uint8 (N, H, W)"
        raise MalformedFile(path, "There are no gray images", where=names[0], expected=expected, received=received)
    if y.shape != (len(images),) or y.dtype.kind not in "iuUS":
        expected, received = f"({len(images)},) whole numbers or names", f"{y.dtype} {y.shape}"
        raise MalformedFile(path, "Not one label for each image", where=names[1], expected=expected, received=received)
    check_count(path, len(images))


def _name_labels(y: NDArray[Any], path: Path, *, names: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Class names, and `y` (N,) of numbers or names as indices into them."""
    listed = read_classes(path.parent)
    if y.dtype.kind in "iu" and (listed or (y.min() >= 0 and y.max() < len(DIGITS))):
        classes = listed or DIGITS
        if (outside := np.flatnonzero((y < 0) | (y >= len(classes)))).size:
            raise label_outside(path, y[outside[0]], len(classes), f"{' and '.join(names)}[{outside[0]}]", len(outside))
        return classes, y.astype(np.int64)
    names = [name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name) for name in y.tolist()]
    return index_names(names, listed or sorted_names(names), path)
