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
from gzip import BadGzipFile
from lzma import LZMAError
from pathlib import Path, PurePosixPath

from inkdigit.errors import DataError, MalformedFile, UsageError
from inkdigit.picture.folder import is_picture_name
from inkdigit.scale.manifest import Writer
from inkdigit.scale.storage import Place, accessing, is_folder, opened, size_of, walk

PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")  # cannot be read from the middle: one part each
LISTS = (".txt", ".lst")
MAX_LINE_BYTES = 2**16  # of a list, or a row of a CSV


class _Run:
    """Single pictures that follow each other: they become parts of `rows`."""

    def __init__(self, writer: Writer, rows: int) -> None:
        self._writer, self._rows = writer, rows
        self._start, self._count = 0, 0

    def add(self, root: Place, relative: str, *, name: str) -> None:
        """Add a picture: where it is, and the name that its row gets."""
        start = self._writer.add_name([root.name, relative, name])
        self._start = self._start if self._count else start
        self._count += 1
        if self._count == self._rows:
            self.end()

    def end(self) -> None:
        """End the part that is being filled."""
        if self._count:
            self._writer.add("files", "", "", start=self._start, rows=self._count)
        self._count = 0


def list_inputs(words: Sequence[str], writer: Writer, *, rows: int) -> None:
    """List what `words` name, in parts of at most `rows` pictures.

    Raises:
        UsageError: two inputs have the same name, or one is of no known kind.
        DataError: an input cannot be read, or is damaged.
    """
    places = [Place(word) for word in words]
    names = [PurePosixPath(place.bare).name for place in places]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError("Two inputs have the same name, and so would their rows", received=twice)
    run = _Run(writer, rows)
    for place, name in zip(places, names, strict=True):
        prefix = f"{name}/" if len(places) > 1 else ""
        if is_folder(place):
            for relative in walk(place):
                if not _list_file(place, relative, f"{prefix}{relative}", writer, run, rows=rows):
                    writer.skip()
        elif _suffix(place).endswith(LISTS):
            _list_names(place, writer, run, rows=rows)
        elif not (_list_file(place, "", name, writer, run, rows=rows) or _list_csv(place, name, writer, rows=rows)):
            raise UsageError(
                f"{place.bare} is not an input",
                expected="a folder, a picture, a list of files (.txt), .tar, .parquet or .csv",
            )
    run.end()


def _suffix(place: Place) -> str:
    return place.bare.lower()


def _list_file(root: Place, relative: str, name: str, writer: Writer, run: _Run, *, rows: int) -> bool:
    """List a picture, a tar shard or a Parquet file; False for any other file."""
    place = root.joined(relative) if relative else root
    suffix = _suffix(place)
    if is_picture_name(Path(place.bare)):
        run.add(root, relative, name=name)
        return True
    if suffix.endswith((".tar", *PACKED)):
        _list_tar(place, name, writer, rows=rows)
        return True
    if suffix.endswith(".parquet"):
        _list_parquet(place, name, writer, rows=rows)
        return True
    return False


def _list_names(place: Place, writer: Writer, run: _Run, *, rows: int) -> None:
    """List the files of a list: a path or `s3://…` a line, relative ones from the folder of the list."""
    with opened(place) as file:
        for number, raw in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES), b""), 1):
            word = raw.decode(errors="surrogateescape").strip("\r\n")
            if not word.strip() or word.startswith("#"):
                continue
            if place.is_remote or word.startswith("s3://") or Path(word).is_absolute():
                target = Place(word)
            else:
                target = Place(str(Path(place.name).parent / word))
            if not _list_file(target, "", word, writer, run, rows=rows):
                raise MalformedFile(
                    place.bare,
                    "not the name of a picture, a .tar or a .parquet file",
                    where=f"line {number}",
                    received=word[:200],
                )


def _list_tar(place: Place, name: str, writer: Writer, *, rows: int) -> None:
    """Cut a tar shard into ranges; a packed one is a single part."""
    packed = is_packed(place)
    size, begin, count, before = size_of(place), 0, 0, 0
    with reading_tar(place) as tar:
        for member in tar:
            tar.members = []  # type: ignore[attr-defined]  # else all that were seen stay in memory
            if not is_member(member):
                writer.skip(member.isfile())
                continue
            begin = begin if count else member.offset
            count += 1
            if count == rows and not packed:
                writer.add("tar", place.name, name, start=begin, rows=count, before=before, size=size)
                count, before = 0, before + count
        _check_end(tar, place)
    if count:
        writer.add("tar", place.name, name, start=0 if packed else begin, rows=count, before=before, size=size)


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
        raise MalformedFile(place.bare, f"the archive is damaged ({exc})") from exc


def _check_end(tar: tarfile.TarFile, place: Place) -> None:
    """Check that an archive ends where it says so: `tarfile` takes any block that it does not know for the end."""
    assert tar.fileobj is not None
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
        raise MalformedFile(
            place.bare, "the archive is damaged", where=f"byte {tar.offset:,}", expected="a file, or the end"
        )


def is_packed(place: Place) -> bool:
    """Whether an archive is compressed."""
    return place.bare.lower().endswith(PACKED)


def is_member(member: tarfile.TarInfo) -> bool:
    """Whether a member of an archive is a picture."""
    return member.isfile() and is_picture_name(Path(member.name))


def _list_parquet(place: Place, name: str, writer: Writer, *, rows: int) -> None:
    """Cut a Parquet file into ranges of rows."""
    from pyarrow.parquet import ParquetFile

    size = size_of(place)
    with opened(place) as file, accessing(place):
        total = ParquetFile(file).metadata.num_rows
    for begin in range(0, total, rows):
        writer.add("parquet", place.name, name, start=begin, rows=min(rows, total - begin), before=begin, size=size)


def _list_csv(place: Place, name: str, writer: Writer, *, rows: int) -> bool:
    """Cut a CSV of pixels into ranges of lines; False if the file is not one."""
    if not name.lower().endswith(".csv"):
        return False
    size, begin, count, before = size_of(place), 0, 0, 0
    with opened(place) as file:
        at = len(file.readline(MAX_LINE_BYTES))  # the header
        for line in iter(lambda: file.readline(MAX_LINE_BYTES), b""):
            if not line.endswith(b"\n") and len(line) == MAX_LINE_BYTES:
                raise DataError(f"{place.bare} has a line of more than {MAX_LINE_BYTES:,} bytes", expected="784 pixels")
            if line.strip():
                begin = begin if count else at
                count += 1
            at += len(line)
            if count == rows:
                writer.add("csv", place.name, name, start=begin, rows=count, before=before, size=size)
                count, before = 0, before + count
    if count:
        writer.add("csv", place.name, name, start=begin, rows=count, before=before, size=size)
    return True
