"""Where pictures are: folders and files of this machine, and buckets with the protocol of S3.

In: a path, or `s3://bucket/key`. Out: its files in order, and their bytes. pyarrow does the reading; its errors become
errors of the tree: no credentials, no permission, a connection that is cut.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from inkdigit.errors import DataError, MissingData, MissingExtra

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

S3 = "s3://"
BUFFER_BYTES = 2**20  # of a file that is read in pieces: one request to a bucket has a latency of many of them


@dataclass(frozen=True, slots=True)
class Place:
    """A file or folder by its name, as a user writes it: a path, or `s3://bucket/key?endpoint_override=…`."""

    name: str

    @property
    def is_remote(self) -> bool:
        """Whether it is in a bucket."""
        return self.name.startswith(S3)

    @property
    def bare(self) -> str:
        """The name without the options of its bucket, which may hold a key."""
        return self.name.partition("?")[0] if self.is_remote else self.name

    def joined(self, relative: str) -> Place:
        """A file inside of this folder."""
        if not self.is_remote:
            return Place(os.path.join(self.name, relative))  # noqa: PTH118  the name may not be valid text
        bare, mark, options = self.name.partition("?")
        return Place(f"{bare.rstrip('/')}/{relative}{mark}{options}")


def require_pyarrow() -> None:
    """Check that pyarrow is installed.

    Raises:
        MissingExtra: it is not.
    """
    try:
        import pyarrow  # noqa: F401
    except ModuleNotFoundError as exc:
        raise MissingExtra(f"A batch needs {exc.name}", "scale") from exc


@contextmanager
def accessing(place: Place) -> Iterator[None]:
    """Translate the errors of reading a place.

    Raises:
        MissingData: there is nothing of that name.
        DataError: it cannot be read: no credentials, no permission, no connection.
    """
    from pyarrow import ArrowException

    try:
        yield
    except FileNotFoundError as exc:
        raise missing(place) from exc
    except (OSError, ArrowException, ValueError) as exc:
        lines = str(exc).strip().splitlines() or [type(exc).__name__]
        hint = (
            "Check the credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), the address and the connection; then "
            "run the same command again: what is finished is kept."
            if place.is_remote
            else "Run the same command again when it can be read: what is finished is kept."
        )
        raise DataError(f"{place.bare} cannot be read: {lines[0]}", hint=hint) from exc


def missing(place: Place) -> MissingData:
    """The error of a place where nothing is. On a cluster it is important which machine said so."""
    return MissingData(
        f"There is nothing at {place.bare} on the machine {socket.gethostname()}",
        expected="a path that every machine of the work can read, or s3://bucket/key",
    )


def is_folder(place: Place) -> bool:
    """Whether a place is a folder.

    Raises:
        DataError: there is nothing, or it cannot be read.
    """
    from pyarrow.fs import FileType

    with accessing(place):
        filesystem, path = _open(place)
        kind = filesystem.get_file_info(path).type
    if kind == FileType.NotFound:
        raise missing(place)
    return bool(kind == FileType.Directory)


def size_of(place: Place) -> int:
    """The bytes of a file.

    Raises:
        DataError: it cannot be read.
    """
    from pyarrow.fs import FileType

    with accessing(place):
        filesystem, path = _open(place)
        info = filesystem.get_file_info(path)
    if info.type == FileType.NotFound:
        raise missing(place)
    return int(info.size or 0)


def walk(folder: Place) -> Iterator[str]:
    """The names of all files inside of a folder and its sub-folders, relative to it, in a fixed order.

    Only the names of one folder at a time are in memory. Links to folders are not followed, hidden files are left out.

    Raises:
        DataError: a folder cannot be read.
    """
    yield from (_walk_remote(folder, "") if folder.is_remote else _walk_local(folder, ""))


def _walk_local(root: Place, inside: str) -> Iterator[str]:
    folder = root.joined(inside) if inside else root
    with accessing(folder), os.scandir(folder.name) as entries:
        found = sorted((entry.name, entry.is_dir(follow_symlinks=False), entry.is_file()) for entry in entries)
    for name, is_dir, is_file in found:
        relative = f"{inside}/{name}" if inside else name
        if name.startswith("."):
            continue
        if is_dir:
            yield from _walk_local(root, relative)
        elif is_file:
            yield relative


def _walk_remote(root: Place, inside: str) -> Iterator[str]:
    from pyarrow.fs import FileSelector, FileType

    folder = root.joined(inside) if inside else root
    with accessing(folder):
        filesystem, path = _open(folder)
        infos = filesystem.get_file_info(FileSelector(path.rstrip("/")))
        found = sorted((info.base_name, info.type == FileType.Directory) for info in infos)
    for name, is_dir in found:
        relative = f"{inside}/{name}" if inside else name
        if name.startswith("."):
            continue
        if is_dir:
            yield from _walk_remote(root, relative)
        else:
            yield relative


@contextmanager
def opened(place: Place) -> Iterator[BinaryIO]:
    """A file to read from, with `seek`.

    Raises:
        DataError: it cannot be opened, or a read of the block fails.
    """
    with accessing(place):
        if place.is_remote:
            filesystem, path = _open(place)
            raw: Any = filesystem.open_input_file(path)
            with BufferedReader(raw, BUFFER_BYTES) as remote:
                yield remote
        else:
            with Path(place.name).open("rb", buffering=BUFFER_BYTES) as file:
                yield file


def read_remote(place: Place, *, max_bytes: int) -> bytes:
    """The first `max_bytes` of a file in a bucket.

    Raises:
        FileNotFoundError: there is none: its picture is missing, which is no fault of the connection.
        DataError: it cannot be read.
    """
    try:
        with opened(place) as file:
            return file.read(max_bytes)
    except MissingData as exc:
        raise FileNotFoundError(place.bare) from exc


def _open(place: Place) -> tuple[FileSystem, str]:
    """The file system of a place, and its path there."""
    from pyarrow.fs import LocalFileSystem

    if not place.is_remote:
        return LocalFileSystem(), place.name
    return _remote(place.name)  # one connection for all files


def _remote(name: str) -> tuple[FileSystem, str]:
    bare, _, options = name.partition("?")
    bucket, _, key = bare.removeprefix(S3).partition("/")
    return _connection(bucket, options), f"{bucket}/{key}" if key else bucket


@cache
def _connection(bucket: str, options: str) -> FileSystem:
    """The connection that all files of a bucket share."""
    from pyarrow.fs import FileSystem

    return FileSystem.from_uri(f"{S3}{bucket}?{options}" if options else f"{S3}{bucket}")[0]
