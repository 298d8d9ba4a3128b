"""Files that others made, read within bounds: only regular files, and compressed ones up to a multiple of their size.

In: paths. Out: open files, arrays of an `.npz`, the content of a bzip2 file. A few kilobytes of zeros can unpack to
gigabytes, so sizes are read from the headers before memory is taken. A pickled object is never loaded. Gzipped IDX
files, read in `idx_npz`, have the same bound.
"""

from __future__ import annotations

import bz2
import math
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal, cast

import numpy as np
from numpy.typing import NDArray

from inkdigit.errors import MalformedFile, MissingData, reason_of
from inkdigit.parsing import open_regular
from inkdigit.types import SIDE

MIN_LIMIT_BYTES = 64 * 2**20  # any file may unpack to this: it fits into the memory of every machine
MAX_EXPANSION = 64  # times its size, else: MNIST unpacks to 5 times. A file with more is blank, or an attack

_MAGIC = b"\x93NUMPY"
_MAX_HEADER_BYTES = 10_000  # bytes of an array's header: 118 are usual, and NumPy has the same bound
_PLAIN = "?biufSU"  # NumPy's kinds of types whose values are numbers or text
_PACKED_BY_NUMPY = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BROKEN = (ValueError, TypeError, EOFError, OverflowError, RuntimeError, zipfile.BadZipFile, zlib.error, struct.error)

_PIECE_BYTES = 2**20  # bytes that are unpacked in one step: the bound is exceeded by no more

Order = Literal["C", "F"]


@contextmanager
def reading(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file and translate errors while it is read. Pipes and devices are errors: they have no known end.

    Raises:
        MissingData: there is no such file, it is not a regular file, or it cannot be read.
    """
    try:
        file = open_regular(path)
    except (OSError, ValueError) as exc:
        raise MissingData(f"Cannot read {path}: {getattr(exc, 'strerror', None) or exc}") from exc
    with file:
        try:
            yield file
        except OSError as exc:
            raise MissingData(f"Cannot read {path}: {reason_of(exc)}") from exc


def max_unpacked_bytes(file_bytes: int) -> int:
    """The number of bytes that a file of `file_bytes` may unpack to: 64 times as many, or 64 MiB."""
    return max(MIN_LIMIT_BYTES, MAX_EXPANSION * file_bytes)


def check_count(path: Path, n: int) -> None:
    """Check that a file does not name many more images than its size can hold: a prepared one has 784 bytes.

    Raises:
        MalformedFile: it names too many.
    """
    max_count = max_unpacked_bytes(path.stat().st_size) // SIDE**2
    if n > max_count:
        raise MalformedFile(
            path,
            "There are more images in it than a file of its size should hold",
            expected=f"at most {max_count:,}",
            received=f"{n:,}",
            hint="Leave out empty and tiny images.",
        )


def expansion_error(
    path: Path, size: int, *, where: str | None = None, received: int | None = None, hint: str
) -> MalformedFile:
    """The error for a compressed file of `size` bytes that unpacks to more than it may."""
    return MalformedFile(
        path,
        f"It unpacks to more than a file of {size:,} bytes should",
        where=where,
        expected=f"at most {max_unpacked_bytes(size):,} bytes",
        received=None if received is None else f"{received:,} bytes",
        hint=hint,
    )


def load_npz(path: Path, *keys: str) -> list[NDArray[Any]]:
    """The arrays of an `.npz` file under `keys`, read-only; its other arrays are not read.

    Raises:
        MalformedFile: not an `.npz`, a key that is missing, an array that is neither numbers nor text, one that is
            damaged, or one that unpacks to more than `max_unpacked_bytes`.
        MissingData: the file cannot be read.
    """
    with reading(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                infos = [_find(archive, key, path, keys) for key in keys]
                for key, info in zip(keys, infos, strict=True):
                    _check_size(path, key, info, os.fstat(file.fileno()).st_size)
                return [_load(archive, info) for info in infos]
        except _BROKEN as exc:
            problem = f"This is not an .npz file of plain arrays, or it is damaged ({str(exc)[:80]})"
            raise MalformedFile(path, problem, expected=_expected(keys)) from exc


def holds_npz(path: Path, key: str) -> bool:
    """Whether an `.npz` file has an array of this name; False for what is no such file, which `load_npz` says.

    Raises:
        MissingData: the file cannot be read.
    """
    with reading(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                return f"{key}.npy" in archive.namelist()
        except _BROKEN:
            return False


def _expected(keys: tuple[str, ...]) -> str:
    return f"an .npz file with {' and '.join(keys)}"


def _find(archive: zipfile.ZipFile, key: str, path: Path, keys: tuple[str, ...]) -> zipfile.ZipInfo:
    names = archive.namelist()
    for name in (f"{key}.npy", key):
        if name in names:
            return archive.getinfo(name)
    received = ", ".join(name.removesuffix(".npy")[:20] for name in names[:8]) or "nothing"
    raise MalformedFile(path, f"No array {key!r} in it", expected=_expected(keys), received=received)


def _check_size(path: Path, key: str, info: zipfile.ZipInfo, size: int) -> None:
    """Check an array against the `size` of its file; an array that is not compressed may be as large as the file."""
    if info.compress_type not in _PACKED_BY_NUMPY:
        hint = "Save it with np.savez or np.savez_compressed."
        raise MalformedFile(path, "It is compressed by a method that NumPy does not use", where=key, hint=hint)
    max_bytes = size if info.compress_type == zipfile.ZIP_STORED else max_unpacked_bytes(size)
    if info.compress_size > size or info.file_size > max_bytes:
        hint = "If that is right, save it uncompressed: np.savez instead of np.savez_compressed."
        raise expansion_error(path, size, where=key, received=info.file_size, hint=hint)


def _load(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[Any]:
    """One array; the size in its header must be exactly that of the file.

    Raises:
        ValueError: it is not, or the header is not that of a plain array.
    """
    with archive.open(info) as member:
        begin = _read_exactly(member, len(_MAGIC) + 2)
        if begin[:-2] != _MAGIC or begin[-2] not in (1, 2, 3):
            raise ValueError("not NumPy's magic number")
        count = struct.Struct("<H" if begin[-2] == 1 else "<I")
        (length,) = count.unpack(_read_exactly(member, count.size))
        if length > _MAX_HEADER_BYTES:
            raise ValueError("the header of an array is too long")
        dtype, order, shape = _parse_header(_read_exactly(member, length).decode("latin-1"))
        promised, available = math.prod(shape) * dtype.itemsize, info.file_size - len(begin) - count.size - length
        if promised != available:
            raise ValueError(f"its header promises {promised:,} bytes, and there are {available:,}")
        return np.ndarray(shape, dtype, _read_exactly(member, promised), order=order)


def _read_exactly(stream: IO[bytes], n: int) -> bytes:
    data = stream.read(n)
    if len(data) < n:
        raise ValueError("an array in it is cut short")
    return data


def _parse_header(text: str) -> tuple[np.dtype[Any], Order, tuple[int, ...]]:
    """`{'descr': '<u1', 'fortran_order': False, 'shape': (60000, 28, 28), }` → type, order and shape.

    It is read field by field and never evaluated: the header of a plain array has no other form.
    """
    descr = _field(text, "descr", r"['\"]([<>|=]?[?a-zA-Z]\d{0,9})['\"]")
    if "O" in descr:
        raise ValueError("an array in it is a pickled object")
    if not any(kind in descr for kind in _PLAIN):
        raise ValueError(f"an array in it is of the type {descr}")
    order = cast(Order, {"False": "C", "True": "F"}[_field(text, "fortran_order", "(False|True)")])
    sizes = _field(text, "shape", r"\(([\d\sL,]*)\)").replace("L", "").split(",")  # Python 2 wrote 28L
    return np.dtype(descr), order, tuple(int(size) for size in sizes if size.strip())


def _field(text: str, name: str, pattern: str) -> str:
    match = re.search(rf"['\"]{name}['\"]\s*:\s*{pattern}", text)
    if match is None:
        raise ValueError(f"an array in it is not a plain one: {name}")
    return match[1]


def unpack_bz2(path: Path) -> bytes:
    """The content of a bzip2 file.

    Raises:
        MalformedFile: it is damaged, or unpacks to more than `max_unpacked_bytes`.
        MissingData: the file cannot be read.
    """
    with reading(path) as file:
        size = os.fstat(file.fileno()).st_size
        pieces, unpacked = [], 0
        try:
            with bz2.BZ2File(file) as stream:
                while piece := stream.read(_PIECE_BYTES):
                    pieces.append(piece)
                    unpacked += len(piece)
                    if unpacked > max_unpacked_bytes(size):
                        raise expansion_error(path, size, hint="Fetch it again.")
        except (ValueError, EOFError, OSError) as exc:
            raise MalformedFile(path, "The bzip2 data is truncated or damaged", hint="Fetch it again.") from exc
    return b"".join(pieces)
