"""The pictures of one part, read where the work is done.

In: a part, and for single pictures their names. Out: an `Entry` for each of its rows, in order, one after the other: no
more than a window of them is in memory. A picture that cannot be read is an entry with its error; a source that is not
there, or has changed since it was listed, is an error of the whole part.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from inkdigit.errors import DataError, PictureError
from inkdigit.picture.decode import MAX_BYTES, Picture
from inkdigit.scale.listing import MAX_LINE_BYTES, PIXELS, column_of, is_member, label_at, reading_tar
from inkdigit.scale.manifest import Part
from inkdigit.scale.storage import Place, accessing, as_text, opened, read_picture, size_of, text_of
from inkdigit.types import SIDE, Gray

IDS = ("id", "key", "name")
PARQUET_ROWS = 64  # that are read at a time


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One row to be: its name, the file or shard that it is from, and its picture or why there is none."""

    id: str
    source: str
    picture: Picture | PictureError


def read_part(part: Part, names: Sequence[Sequence[Any]], *, column: str | None = None) -> Iterator[Entry]:
    """The entries of a part; `names` are those of single pictures, `column` that of a Parquet file.

    Raises:
        DataError: the source is not there, cannot be read, or is not what was listed.
        UsageError: a Parquet file has no column with pictures.
    """
    if part.kind == "files":
        yield from _files(names)
        return
    place = Place(part.source)
    if (size := size_of(place)) != part.size:
        raise _changed(part, expected=f"{part.size:,} bytes", received=f"{size:,}")
    readers = {"tar": _tar, "csv": _csv}
    entries = _parquet(part, place, column) if part.kind == "parquet" else readers[part.kind](part, place)
    count = 0
    for count, entry in enumerate(entries, 1):  # noqa: B007  the last one is the number of entries
        yield entry
    if count != part.rows:
        raise _changed(part, expected=f"{part.rows:,} pictures from {part.start:,}", received=count)


def _changed(part: Part, *, expected: object, received: object) -> DataError:
    return DataError(
        f"{text_of(Place(part.source))} is not what it was when this job listed it",
        expected=expected,
        received=received,
        hint="Put the old file back, or begin a new job with another --out.",
    )


def _files(names: Sequence[Sequence[Any]]) -> Iterator[Entry]:
    for root, relative, name, is_certain in names:
        place = Place(root).joined(relative) if relative else Place(root)
        yield Entry(as_text(name), text_of(place), read_picture(place, is_certain=is_certain))


def _tar(part: Part, place: Place) -> Iterator[Entry]:
    with reading_tar(place, start=part.start) as tar:
        yield from islice(_members(tar, part, place), part.rows)


def _members(tar: tarfile.TarFile, part: Part, place: Place) -> Iterator[Entry]:
    for member in tar:
        tar.members = []  # type: ignore[attr-defined]  # else all that were seen stay in memory
        if not is_member(member):
            continue
        picture: bytes | PictureError
        if member.size > MAX_BYTES:
            picture = PictureError("It is too large", expected=f"at most {MAX_BYTES:,} bytes", received=member.size)
        else:
            content = tar.extractfile(member)
            picture = content.read() if content else b""
        yield Entry(f"{as_text(part.name)}/{as_text(member.name)}", text_of(place), picture)


def _parquet(part: Part, place: Place, column: str | None) -> Iterator[Entry]:
    from pyarrow.parquet import ParquetFile

    with opened(place) as file, accessing(place):
        table = ParquetFile(file)
        names = table.schema_arrow.names
        column = column_of(place, names, column)
        identity = next((name for name in IDS if name in names and name != column), None)
        wanted = [column] if identity is None else [column, identity]
        skip = part.start
        groups: list[int] = []
        for group in range(table.num_row_groups):  # those before the part are not read
            rows = table.metadata.row_group(group).num_rows
            if groups or skip < rows:
                groups.append(group)
            else:
                skip -= rows
        at = part.start - skip
        for batch in table.iter_batches(PARQUET_ROWS, row_groups=groups, columns=wanted):
            for row in batch.to_pylist():
                if part.start <= at < part.start + part.rows:
                    own = None if identity is None else row[identity]
                    own = at if own is None or own != own else own  # a missing name is None or not a number
                    yield Entry(f"{as_text(part.name)}/{own}", text_of(place), _cell(row[column], place))
                at += 1
            if at >= part.start + part.rows:
                return


def _cell(value: object, place: Place) -> Picture | PictureError:
    """The picture in a cell: bytes, a path (relative ones from the folder of the file), or both in a structure."""
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes):
        return value
    if isinstance(value, str) and value:
        if place.is_remote and value.startswith("/"):
            return PictureError("A table in a bucket names a file of a machine", received=value)
        return read_picture(place.beside(value))
    return PictureError("There is no picture in this row", expected="bytes or a path", received=type(value).__name__)


def _csv(part: Part, place: Place) -> Iterator[Entry]:
    with opened(place) as file:
        label = label_at(place, file.readline(MAX_LINE_BYTES))
        file.seek(part.start)
        lines = (line for line in iter(lambda: file.readline(MAX_LINE_BYTES), b"") if line.strip())
        for row, line in enumerate(islice(lines, part.rows), part.before + 1):
            yield Entry(f"{as_text(part.name)}/{row}", text_of(place), _pixels(line, label))


def _pixels(line: bytes, label: int | None) -> Gray | PictureError:
    """The image (28, 28) of a line of numbers, without the one at `label`."""
    cells = line.replace(b'"', b"").split(b",")
    if label is not None:
        del cells[label : label + 1]
    try:
        values = np.array(cells, np.bytes_).astype(np.int64)
    except (ValueError, OverflowError):
        return PictureError("A pixel is not a whole number", expected=f"{PIXELS} numbers from 0 to 255")
    if len(values) != PIXELS or values.min() < 0 or values.max() > 255:
        low, high = (values.min(), values.max()) if len(values) else (0, 0)
        received = f"{len(values)} from {low} to {high}"
        return PictureError("This row is not an image", expected=f"{PIXELS} numbers from 0 to 255", received=received)
    return values.astype(np.uint8).reshape(SIDE, SIDE)
