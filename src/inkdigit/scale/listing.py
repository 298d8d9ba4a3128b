"""From the inputs of a job to its parts: every picture is listed once, before the first one is read.

In: words of a user: folders, pictures, lists of files, tar shards, Parquet files, a CSV of pixels; on this machine or
in a bucket. Out: a manifest. Shards are cut into ranges; single pictures are named in a file of the manifest. What was
listed does not stay in memory, so a million files need no more than a folder of them.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from gzip import BadGzipFile
from lzma import LZMAError
from pathlib import Path, PurePosixPath

from inkdigit.errors import MalformedFile, UsageError
from inkdigit.picture.folder import is_picture_name
from inkdigit.scale.manifest import Kind, Writer
from inkdigit.scale.storage import Place, accessing, is_folder, opened, size_of, text_of, walk
from inkdigit.types import SIDE

PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")  # cannot be read from the middle: one part each
LISTS = (".txt", ".lst")
MAX_LINE_BYTES = 2**16  # of a list, or a row of a CSV
# Of Parquet files; the first that there is holds the pictures, or their paths.
COLUMNS = ("image", "picture", "png", "jpg", "jpeg", "bytes", "content", "path", "file")
LABEL, PIXELS = "label", SIDE * SIDE


class _Range:
    """Pictures of one source that follow each other, cut into parts of `rows`; None leaves them in one."""

    def __init__(
        self, writer: Writer, rows: int | None, kind: Kind, source: str = "", name: str = "", *, size: int = 0
    ) -> None:
        self._writer, self._rows, self._size = writer, rows, size
        self._kind, self._source, self._name = kind, source, name
        self._start = self._count = self._before = 0

    def add(self, at: int) -> None:
        """Add the picture that begins at a byte."""
        self._start = self._start if self._count else at
        self._count += 1
        if self._count == self._rows:
            self.end()

    def end(self) -> None:
        """End the part that is being filled."""
        if self._count:
            self._writer.add(
                self._kind,
                self._source,
                self._name,
                start=self._start,
                rows=self._count,
                before=self._before,
                size=self._size,
            )
        self._before, self._count = self._before + self._count, 0


def list_inputs(places: Sequence[Place], writer: Writer, *, rows: int, column: str | None = None) -> None:
    """List what is at `places`, in parts of at most `rows` pictures; `column` is that of Parquet files.

    Raises:
        UsageError: two inputs have the same name, or one is of no known kind, or has no such column.
        DataError: an input cannot be read, or is damaged.
    """
    names = [PurePosixPath(place.name).name for place in places]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError("Two inputs have the same name, and so would their rows", received=twice)
    lists = _Lister(writer, _Range(writer, rows, "files"), rows, column)
    for place, name in zip(places, names, strict=True):
        prefix = f"{name}/" if len(places) > 1 else ""
        if is_folder(place):
            for relative in walk(place):
                if not lists.add_file(place, relative, name=f"{prefix}{relative}"):
                    writer.skip()
        elif place.name.lower().endswith(LISTS):
            lists.add_list(place, prefix)
        elif not (lists.add_file(place, "", name=name) or lists.add_csv(place, name)):
            raise UsageError(
                f"{text_of(place)} is not an input",
                expected="a folder, a picture, a list of files (.txt), .tar, .parquet or .csv",
            )
    lists.files.end()


@dataclass(frozen=True, slots=True)
class _Lister:
    """Lists files of each kind."""

    writer: Writer
    files: _Range  # the single pictures
    rows: int  # of a part
    column: str | None

    def add_file(self, root: Place, relative: str, *, name: str, is_certain: bool = True) -> bool:
        """List a picture, a tar shard or a Parquet file; False for any other file."""
        place = root.joined(relative) if relative else root
        suffix = place.name.lower()
        if is_picture_name(Path(place.name)):
            self.files.add(self.writer.add_name([root.name, relative, name, is_certain and not relative]))
        elif suffix.endswith((".tar", *PACKED)):
            self._add_tar(place, name)
        elif suffix.endswith(".parquet"):
            self._add_parquet(place, name)
        else:
            return False
        return True

    def add_list(self, place: Place, prefix: str) -> None:
        """List the files of a list: a path or `s3://…` a line, relative ones from the folder of the list."""
        with opened(place) as file:
            for number, raw in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES), b""), 1):
                word = raw.decode(errors="surrogateescape").strip("\r\n")
                if not word.strip() or word.startswith("#"):
                    continue
                if not self.add_file(place.beside(word), "", name=f"{prefix}{word}", is_certain=False):
                    raise MalformedFile(
                        text_of(place),
                        "not the name of a picture, a .tar or a .parquet file",
                        where=f"line {number}",
                        received=word[:200],
                    )

    def _add_tar(self, place: Place, name: str) -> None:
        """Cut a tar shard into ranges; a packed one is a single part."""
        packed = is_packed(place)
        found = _Range(self.writer, None if packed else self.rows, "tar", place.name, name, size=size_of(place))
        with reading_tar(place) as tar:
            for member in tar:
                tar.members = []  # type: ignore[attr-defined]  # else all that were seen stay in memory
                if is_member(member):
                    found.add(0 if packed else member.offset)
                else:
                    self.writer.skip(not member.isdir())
            _check_end(tar, place)
        found.end()

    def _add_parquet(self, place: Place, name: str) -> None:
        """Cut a Parquet file into ranges of rows."""
        from pyarrow.parquet import ParquetFile

        size = size_of(place)
        with opened(place) as file, accessing(place):
            table = ParquetFile(file)
            total, names = table.metadata.num_rows, table.schema_arrow.names
        column_of(place, names, self.column)
        for begin in range(0, total, self.rows):
            count = min(self.rows, total - begin)
            self.writer.add("parquet", place.name, name, start=begin, rows=count, before=begin, size=size)

    def add_csv(self, place: Place, name: str) -> bool:
        """Cut a CSV of pixels into ranges of lines; False if the file is not one."""
        if not name.lower().endswith(".csv"):
            return False
        found = _Range(self.writer, self.rows, "csv", place.name, name, size=size_of(place))
        with opened(place) as file:
            header = file.readline(MAX_LINE_BYTES)
            label_at(place, header)
            at = len(header)
            for line in iter(lambda: file.readline(MAX_LINE_BYTES), b""):
                if not line.endswith(b"\n") and len(line) == MAX_LINE_BYTES:
                    problem = f"a line of more than {MAX_LINE_BYTES:,} bytes"
                    raise MalformedFile(text_of(place), problem, where=f"byte {at:,}", expected=f"{PIXELS} pixels")
                if line.strip():
                    found.add(at)
                at += len(line)
        found.end()
        return True


def column_of(place: Place, names: Sequence[str], column: str | None) -> str:
    """The column with pictures of a Parquet file that has the columns `names`.

    Raises:
        UsageError: there is none.
    """
    known = [column] if column is not None else [name for name in COLUMNS if name in names]
    if not known or known[0] not in names:
        raise UsageError(
            f"{text_of(place)} has no column with pictures",
            expected=f"the column {column!r}" if column is not None else f"one of {', '.join(COLUMNS)}",
            received=", ".join(names),
            hint="Name it: --column NAME.",
        )
    return known[0]


def label_at(place: Place, header: bytes) -> int | None:
    """The place of the label among the columns of a CSV; None if it has none.

    Raises:
        MalformedFile: the other columns are not the pixels, in their order.
    """
    names = [cell.strip(' "\ufeff').lower() for cell in header.decode(errors="replace").strip().split(",")]
    at = names.index(LABEL) if LABEL in names else None
    pixels = [name for i, name in enumerate(names) if i != at]
    rows_of_28 = [f"{row}x{column}" for row in range(1, SIDE + 1) for column in range(1, SIDE + 1)]
    if pixels not in ([f"pixel{i}" for i in range(PIXELS)], rows_of_28):
        raise MalformedFile(
            text_of(place),
            "its first line does not name the pixels of an image",
            where="line 1",
            expected=f"pixel0 to pixel{PIXELS - 1} or 1x1 to {SIDE}x{SIDE}, in this order, and a label or none",
            received=", ".join(names[:3]),
        )
    return at


@contextmanager
def reading_tar(place: Place, *, start: int = 0) -> Iterator[tarfile.TarFile]:
    """An archive from the byte `start` on, which is 0 for a packed one.

    Raises:
        MalformedFile: it is damaged.
        DataError: it cannot be read.
    """
    packed = is_packed(place)
    try:
        with opened(place) as file:
            file.seek(start)
            with tarfile.open(fileobj=file, mode="r:*" if packed else "r:") as tar:
                yield tar
    except (tarfile.TarError, EOFError, BadGzipFile, zlib.error, LZMAError) as exc:
        raise MalformedFile(text_of(place), f"the archive is damaged ({exc})") from exc


def _check_end(tar: tarfile.TarFile, place: Place) -> None:
    """Check that an archive ends where it says so: `tarfile` takes any block that it does not know for the end."""
    assert tar.fileobj is not None
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
        raise MalformedFile(
            text_of(place), "the archive is damaged", where=f"byte {tar.offset:,}", expected="a file, or the end"
        )


def is_packed(place: Place) -> bool:
    """Whether an archive is compressed."""
    return place.name.lower().endswith(PACKED)


def is_member(member: tarfile.TarInfo) -> bool:
    """Whether a member of an archive is a picture."""
    return member.isfile() and is_picture_name(Path(member.name))
