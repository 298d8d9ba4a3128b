"""Files of numbers → labelled data sets: IDX and `.npz`; and what the reader of any format hands over.

In: paths. Out: `Dataset`s whose pictures have passed the door, or one `MalformedFile` that names file and place.
CSV files are read in `csvs`, folders of pictures in `folders`, the public USPS files in `libsvm`.
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from inkdigit.data.readers.packed import check_count, load_npz, most_bytes, reading, too_much
from inkdigit.errors import MalformedFile, MissingData
from inkdigit.parsing import read_text
from inkdigit.picture.prepare import prepare_all
from inkdigit.types import DIGITS, MAX_CLASSES, MIN_CLASSES, Dataset, Gray, Part, Split

CLASSES_FILE = "classes.txt"
MAX_NAME = 200  # characters of a class's name
GLIMPSES = 5  # raw pictures kept of each class
GLIMPSE_SIDE = 256  # pixels: a larger raw picture is thinned out to about this, so that photos stay cheap to keep

_GZIP = b"\x1f\x8b"
_UNSIGNED_BYTE = 8  # the third byte of an IDX file: its data type
_IDX_PREFIXES: dict[Split, tuple[str, ...]] = {"train": ("train-", ""), "test": ("t10k-", "test-")}


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """One part as it was read: through the door, and a few pictures (label, gray (H, W)) as they were before it."""

    part: Part
    glimpses: tuple[tuple[int, Gray], ...]


def read_arrays(
    images: Gray, labels: NDArray[np.int64], *, kind: str = "ink", writers: NDArray[np.int32] | None = None
) -> Reading:
    """Put raw pictures uint8 (N, H, W) with labels (N,) through the door and keep glimpses of each class."""
    by_class = np.argsort(labels, kind="stable")
    _, begins = np.unique(labels[by_class], return_index=True)
    firsts = [first[:GLIMPSES] for first in np.split(by_class, begins[1:])]
    glimpses = [(int(labels[i]), thin(images[i])) for first in firsts for i in first]
    return Reading(Part(prepare_all(images, kind), labels, writers=writers), tuple(glimpses))


def thin(gray: Gray) -> Gray:
    """A copy of a picture (H, W), thinned out to about 256 px a side where it is larger."""
    step = max(1, math.ceil(max(gray.shape) / GLIMPSE_SIDE))
    return gray[::step, ::step].copy()


def to_dataset(name: str, classes: tuple[str, ...], readings: dict[Split, Reading], *, kind: str) -> Dataset:
    """Name what was read; the only part of a source is its training part, whatever it was called."""
    first, *rest = (readings[split] for split in ("train", "test") if split in readings)
    test = rest[0].part if rest else None
    return Dataset(name, classes, first.part, test, prepare=kind, glimpses=first.glimpses)


def read_classes(folder: Path) -> tuple[str, ...] | None:
    """The class names that `classes.txt` in a folder lists, one a line, in the order of the labels; None without it.

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
            raise MalformedFile(path, f"The class {name[:MAX_NAME]!r} stands here twice", where=f"name {row}")
    check_names(names, path)
    return names


def check_names(names: Iterable[str], path: Path) -> None:
    """Check that class names found in `path` can be written down: a folder's name or a label need not be text.

    Raises:
        MalformedFile: one of them is not text, or longer than 200 characters.
    """
    for name in names:
        halves = not name.isascii() and any("\ud800" <= letter <= "\udfff" for letter in name)  # of characters
        if halves or len(name) > MAX_NAME:
            expected, received = f"text of at most {MAX_NAME} characters", ascii(name[:40])
            raise MalformedFile(path, "A class has a name that cannot be used", expected=expected, received=received)


def sorted_names(names: Iterable[str]) -> tuple[str, ...]:
    """Class names in order: by number where all are numbers, else by the alphabet."""
    distinct = set(names)
    if not all(name.isascii() and name.isdigit() for name in distinct):
        return tuple(sorted(distinct))
    by_digits = {name: name.lstrip("0") for name in distinct}  # not `int`, which refuses thousands of digits
    return tuple(sorted(distinct, key=lambda name: (len(by_digits[name]), by_digits[name], name)))


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
    if packed and promised > most_bytes(size):
        hint = f"If that is right, unpack it: gunzip {path.name}"
        raise too_much(path, size, where=where, received=promised, hint=hint)
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
    readings: dict[Split, Reading] = {}
    for split, (images, labels, writers) in find_idx(folder).items():
        if images is None or labels is None:
            there = images or labels
            raise MissingData(f"{there} has no {'labels' if images else 'pictures'} beside it")
        pixels, numbers = read_idx_pair(images, labels, len(classes))
        readings[split] = read_arrays(pixels, numbers, kind=kind, writers=_read_writers(writers, len(numbers)))
    if not readings:
        raise MissingData(
            f"{folder} holds no IDX files", expected="train-images-idx3-ubyte and train-labels-idx1-ubyte"
        )
    return to_dataset(name or folder.resolve().name, classes, readings, kind=kind)


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
        raise _label_outside(labels, numbers[at], k, where, len(outside), first_label=first_label)
    return pixels, classes


def _label_outside(path: Path, label: int, k: int, where: str, count: int, *, first_label: int = 0) -> MalformedFile:
    return MalformedFile(
        path,
        f"{count} {'label' if count == 1 else 'labels'} outside the classes",
        where=where,
        expected=f"{first_label}–{first_label + k - 1}",
        received=int(label),
        hint=f"Data with other classes needs a {CLASSES_FILE} beside it, one name a line.",
    )


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
            raise _label_outside(path, y[outside[0]], len(classes), f"y[{outside[0]}]", len(outside))
        return classes, y.astype(np.int64)
    names = [one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in y.tolist()]
    return index_names(names, listed or sorted_names(names), path)


def index_names(names: list[str], classes: tuple[str, ...], path: Path) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """`classes`, and each of `names` as its index int64 (N,) into them.

    Raises:
        MalformedFile: a name that `classes.txt` beside `path` does not list, or that cannot be written down.
    """
    check_names(classes, path)
    index = {name: k for k, name in enumerate(classes)}
    for row, name in enumerate(names, 1):
        if name not in index:
            problem = f"{CLASSES_FILE} beside it lists no class {name[:MAX_NAME]!r}"
            raise MalformedFile(path, problem, where=f"label {row}")
    return classes, np.array([index[name] for name in names], np.int64)
