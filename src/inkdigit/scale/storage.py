"""Where pictures are: folders and files of this machine, and buckets with the protocol of S3.

In: a path, or `s3://bucket/key`. Out: its files in order, and their bytes. pyarrow does the reading; its errors become
errors of the tree: no credentials, no permission, a connection that is cut.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote

from inkdigit.errors import DataError, MissingData, MissingExtra, PictureError, UsageError, first_line, reason_of
from inkdigit.picture.decode import MAX_BYTES

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

S3 = "s3://"
ENDPOINT = "AWS_ENDPOINT_URL"  # of another service than Amazon's; the variable of its own tools
OF_THE_FILE = (errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG)  # what is wrong on every machine
MANIFEST = "_manifest"  # in the results of a batch
BUFFER_BYTES = 2**20  # of a file that is read in pieces: one request to a bucket has a latency of many of them


@dataclass(frozen=True, slots=True)
class Place:
    """A file or folder by its name: a path, or `s3://bucket/key`."""

    name: str

    @classmethod
    def of(cls, word: str) -> Place:
        """The place that a user names; a path becomes absolute, so that it is the same from every folder.

        Raises:
            UsageError: the name of a bucket with a key in it.
        """
        if not word.lower().startswith(S3):
            return cls(os.path.abspath(word))  # noqa: PTH100  a `Path` would follow links
        bucket, _, key = word[len(S3) :].partition("/")
        if "@" in bucket:
            raise UsageError(
                "A bucket is named without a key",
                expected="s3://bucket/key, and the key in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            )
        return cls(f"{S3}{bucket}/{key.rstrip('/')}".rstrip("/"))

    @property
    def is_remote(self) -> bool:
        """Whether it is in a bucket."""
        return self.name.startswith(S3)

    def joined(self, relative: str) -> Place:
        """A file inside of this folder."""
        return Place(f"{self.name}/{relative}" if self.is_remote else os.path.join(self.name, relative))  # noqa: PTH118

    @property
    def parent(self) -> Place:
        """The folder that it is in."""
        return Place(self.name.rpartition("/")[0] if self.is_remote else os.path.dirname(self.name))  # noqa: PTH120

    def beside(self, word: str) -> Place:
        """The place that a file names which is here: relative names are beside it."""
        is_whole = word.lower().startswith(S3) or (not self.is_remote and os.path.isabs(word))  # noqa: PTH117
        return Place.of(word) if is_whole else self.parent.joined(word)


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
        hint = (
            "Check the credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), the address (AWS_ENDPOINT_URL) and "
            "the connection; then give the same command again: what is finished is kept."
            if place.is_remote
            else "When it can be read, give the same command again: what is finished is kept."
        )
        raise DataError(f"{text_of(place)} cannot be read: {first_line(exc)}", hint=hint) from exc


def text_of(place: Place) -> str:
    """The name of a place as valid text."""
    return as_text(place.name)


def as_text(name: str) -> str:
    """A name as valid text: that of a file may be any bytes."""
    return name.encode(errors="backslashreplace").decode()


def missing(place: Place) -> MissingData:
    """The error of a place where nothing is. On a cluster it is important which machine said so."""
    return MissingData(
        f"There is nothing at {text_of(place)} on the machine {socket.gethostname()}",
        expected="a path that every machine of the work can read, or s3://bucket/key",
    )


def is_folder(place: Place) -> bool:
    """Whether a place is a folder.

    Raises:
        DataError: there is nothing, or it cannot be read.
    """
    return _look(place)[0]


def size_of(place: Place) -> int:
    """The bytes of a file.

    Raises:
        DataError: it cannot be read.
    """
    return _look(place)[1]


def _look(place: Place) -> tuple[bool, int]:
    """Whether a place is a folder, and its bytes."""
    with accessing(place):
        if not place.is_remote:
            found = os.stat(place.name)  # noqa: PTH116
            return stat.S_ISDIR(found.st_mode), found.st_size
        from pyarrow.fs import FileType

        filesystem, path = _remote(place.name)
        info = filesystem.get_file_info(path)
    if info.type == FileType.NotFound:
        raise missing(place)
    return info.type == FileType.Directory, int(info.size or 0)


def walk(folder: Place) -> Iterator[str]:
    """The names of all files inside of a folder and its sub-folders, relative to it, in a fixed order.

    Only the names of one folder at a time are in memory. Links to folders are not followed; hidden files and the
    results of other batches are left out.

    Raises:
        DataError: a folder cannot be read.
    """
    yield from _walk(folder, "")


def _walk(root: Place, inside: str) -> Iterator[str]:
    folder = root.joined(inside) if inside else root
    with accessing(folder):
        found = sorted(_remote_entries(folder) if folder.is_remote else _local_entries(folder))
    if (MANIFEST, True) in found:
        return
    for name, is_dir in found:
        relative = f"{inside}/{name}" if inside else name
        if name.startswith("."):
            continue
        if is_dir:
            yield from _walk(root, relative)
        else:
            yield relative


def _local_entries(folder: Place) -> list[tuple[str, bool]]:
    """The name of each entry, and whether it is a folder; what is neither folder nor file is left out."""
    with os.scandir(folder.name) as entries:
        return [
            (entry.name, is_dir)
            for entry in entries
            if (is_dir := entry.is_dir(follow_symlinks=False)) or entry.is_symlink() or entry.is_file()
            if is_dir or not _leads_to_folder(entry)
        ]


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself: a picture that cannot be read
        return False


def _remote_entries(folder: Place) -> list[tuple[str, bool]]:
    from pyarrow.fs import FileSelector, FileType

    filesystem, path = _remote(folder.name)
    return [(info.base_name, info.type == FileType.Directory) for info in filesystem.get_file_info(FileSelector(path))]


@contextmanager
def opened(place: Place) -> Iterator[BinaryIO]:
    """A file to read from, with `seek`.

    Raises:
        DataError: it cannot be opened, or a read of the block fails.
    """
    with accessing(place):
        if place.is_remote:
            filesystem, path = _remote(place.name)
            raw: Any = filesystem.open_input_file(path)
            with BufferedReader(raw, BUFFER_BYTES) as remote:
                yield remote
        else:
            with Path(place.name).open("rb", buffering=BUFFER_BYTES) as file:
                yield file


def read_picture(place: Place, *, is_certain: bool = False) -> bytes | Path | PictureError:
    """The content of the file of one picture, or why there is none; a path where the file is no plain one.

    A file that is missing is the fault of its name, and so is one that may not be read. But a machine where not even
    its folder is there does not see the pictures; nor does one that lacks a file which `is_certain`.

    Raises:
        DataError: this machine cannot read it.
    """
    try:
        return _content(place)
    except MissingData as exc:
        if is_certain or not (place.is_remote or _is_there(place.parent)):
            raise
        return PictureError(str(exc).partition(" on the machine")[0])


def _content(place: Place) -> bytes | Path | PictureError:
    if not place.is_remote:
        with accessing(place):
            try:
                found = os.stat(place.name)  # noqa: PTH116
                if stat.S_ISREG(found.st_mode) and found.st_size <= MAX_BYTES:
                    return Path(place.name).read_bytes()
            except OSError as exc:
                if exc.errno not in OF_THE_FILE:
                    raise
                return PictureError(f"{text_of(place)} cannot be opened: {reason_of(exc)}")
        return Path(place.name)  # which is refused in the words of `predict`
    with opened(place) as file:
        return file.read(MAX_BYTES + 1)


def _is_there(folder: Place) -> bool:
    try:
        return is_folder(folder)
    except MissingData:
        return False


def _remote(name: str) -> tuple[FileSystem, str]:
    """The file system of a place in a bucket, and its path there."""
    bucket, _, key = name.removeprefix(S3).partition("/")
    return _connection(bucket, os.environ.get(ENDPOINT)), f"{bucket}/{key}" if key else bucket


@cache
def _connection(bucket: str, endpoint: str | None) -> FileSystem:
    """The connection that all files of a bucket share."""
    from pyarrow.fs import FileSystem

    scheme, _, address = (endpoint or "").rpartition("://")
    options = f"?endpoint_override={quote(address.rstrip('/'))}&scheme={scheme or 'https'}" if endpoint else ""
    return FileSystem.from_uri(f"{S3}{bucket}{options}")[0]
