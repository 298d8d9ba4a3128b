"""The manifest of a job: which pictures there are, cut into numbered parts, and which parts are finished.

In: the inputs of a job, or the folder OUT of one that was begun. Out: its parts, one at a time. The manifest is written
before the first picture is read, so that every later call of the same command has the same parts.

    OUT/part-000000.parquet …     the finished parts
    OUT/_manifest/job.json        what the job is; written last, with the number of parts and pictures
                  parts.jsonl     a line a part: its kind, its source, where it begins, and how many rows it has
                  files.jsonl     the names of single pictures, to which parts of kind "files" refer
                  done.jsonl      a line a finished part: its rows and the SHA-256 of its file
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from inkdigit.errors import DataError, MalformedFile, OutputError, reason_of
from inkdigit.files import LOCK, write_atomic, writing
from inkdigit.parsing import parse_json, read_text
from inkdigit.scale.storage import MANIFEST

FORMAT = 1
FOLDER = MANIFEST  # readers of Parquet folders leave out what begins with an underscore
JOB, PARTS, FILES, DONE = "job.json", "parts.jsonl", "files.jsonl", "done.jsonl"
MAX_JOB_BYTES = 2**24

Kind = Literal["files", "tar", "parquet", "csv"]


@dataclass(frozen=True, slots=True)
class Part:
    """A range of pictures: `rows` of them in `source`, from `start`: a byte of a file, or a row of Parquet.

    `name` is what the rows of the source are called. `size` are the bytes of the source when the manifest was written,
    so that a change is noticed. `before` are the pictures of the source before this part, `first` all that are before
    it in the job.
    """

    number: int
    kind: Kind
    source: str
    name: str
    start: int
    rows: int
    before: int = 0
    size: int = 0
    first: int = 0

    def __str__(self) -> str:
        """Which pictures they are, for messages."""
        return (
            f"part {self.number}, pictures {self.first:,} to {self.first + self.rows - 1:,} of {self.name or 'files'}"
        )


def file_name(number: int) -> str:
    """The name of the file of a part in OUT."""
    return f"part-{number:06}.parquet"


@dataclass(frozen=True, slots=True)
class Done:
    """A finished part: its number, its rows, those of them that are errors, and the SHA-256 of its file."""

    part: int
    rows: int
    errors: int
    refused: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest of a job whose folder is OUT."""

    out: Path
    about: Mapping[str, Any]  # what all runs of the job have in common
    parts: int
    rows: int
    skipped: int  # files of the inputs that are not pictures

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return self.out / FOLDER

    def each_part(self) -> Iterator[Part]:
        """The parts in their order, as they are needed.

        Raises:
            MalformedFile: the manifest is damaged.
        """
        path, number = self.folder / PARTS, -1
        for number, line in enumerate(_lines(path)):
            try:
                part = Part(**_parse(line))
            except (ValueError, TypeError) as exc:
                raise MalformedFile(path, "a part that cannot be read", where=f"line {number + 1}") from exc
            if part.number != number:
                raise MalformedFile(path, "the parts are not in order", where=f"line {number + 1}")
            yield part
        if number + 1 != self.parts:
            raise MalformedFile(
                path, "the manifest is incomplete", expected=f"{self.parts:,} parts", received=number + 1
            )

    def names(self, part: Part) -> list[list[Any]]:
        """What `files.jsonl` says about the pictures of a part."""
        path = self.folder / FILES
        try:
            with path.open("rb") as file:
                file.seek(part.start)
                return [_parse(file.readline()) for _ in range(part.rows)]
        except (OSError, ValueError) as exc:
            raise MalformedFile(path, f"the names of part {part.number} cannot be read") from exc

    def finished(self) -> dict[int, Done]:
        """The parts that are finished: their files are there, with the bytes that were written.

        Raises:
            MalformedFile: a file of OUT cannot be read.
        """
        found: dict[int, Done] = {}
        for line in _lines(self.folder / DONE):
            with suppress(ValueError, TypeError):  # a line that was cut when the machine went down
                done = Done(**parse_json(line))
                found[done.part] = done
        return {number: done for number, done in found.items() if self._is_whole(done)}

    def _is_whole(self, done: Done) -> bool:
        path = self.out / file_name(done.part)
        try:
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == done.sha256
        except FileNotFoundError:
            return False
        except OSError as exc:
            raise MalformedFile(path, f"it cannot be read: {reason_of(exc)}") from exc

    def store(self, part: Part, data: bytes, *, rows: int, errors: int, refused: int) -> Done:
        """Write the file of a part, then note it as finished.

        Raises:
            OutputError: the disk is full, or OUT cannot be written.
        """
        write_atomic(self.out / file_name(part.number), data)
        done = Done(part.number, rows, errors, refused, hashlib.sha256(data).hexdigest())
        path = self.folder / DONE
        with writing(path), path.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(asdict(done))}\n")
            file.flush()
            os.fsync(file.fileno())
        return done


def begun(out: Path) -> Manifest | None:
    """The manifest in OUT; None if no job was begun there.

    Raises:
        DataError: it is damaged, or of another format.
        OutputError: OUT holds something else.
    """
    path = out / FOLDER / JOB
    if not path.is_file():
        _check_unused(out)
        return None
    try:
        stored = parse_json(read_text(path, max_bytes=MAX_JOB_BYTES))
        if stored["format"] != FORMAT:
            raise DataError(f"{path} has another format", expected=FORMAT, received=stored["format"])
        manifest = Manifest(out, dict(stored["about"]), stored["parts"], stored["rows"], stored["skipped"])
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise MalformedFile(path, "the job cannot be read", hint="Choose another --out.") from exc
    with writing(out):
        for left in out.glob(".*.part"):  # what a killed call was writing
            left.unlink()
        _end_line(out / FOLDER / DONE)
    return manifest


def _check_unused(out: Path) -> None:
    """Check that OUT is empty, or has no more than a manifest that was not finished."""
    with writing(out):
        entries = sorted(out.iterdir()) if out.exists() else []
    if others := [entry.name for entry in entries if entry.name not in (FOLDER, LOCK)]:
        raise OutputError(
            f"{out} is taken",
            expected="a new name, an empty folder, or the folder of the same job",
            received=f"a folder that holds {others[0]}",
            hint="Choose another name: nothing is overwritten.",
        )


class Writer:
    """Writes a manifest part by part; nothing that was listed stays in memory."""

    def __init__(self, out: Path) -> None:
        """Begin anew: what an interrupted listing has left is written over."""
        folder = out / FOLDER
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._files = (folder / FILES).open("wb")
            self._parts = (folder / PARTS).open("w", encoding="utf-8")
            (folder / DONE).unlink(missing_ok=True)
        self._out, self._count, self._rows, self._skipped = out, 0, 0, 0

    def add(self, kind: Kind, source: str, name: str, *, start: int, rows: int, before: int = 0, size: int = 0) -> None:
        """Add a part."""
        part = Part(self._count, kind, source, name, start, rows, before, size, self._rows)
        with writing(self._out / FOLDER / PARTS):
            self._parts.write(f"{json.dumps(asdict(part))}\n")
        self._count, self._rows = self._count + 1, self._rows + rows

    def add_name(self, entry: list[Any]) -> int:
        """Add the name of a picture; the byte at which it begins."""
        with writing(self._out / FOLDER / FILES):
            start = self._files.tell()
            self._files.write(f"{json.dumps(entry)}\n".encode())
            return start

    def skip(self, count: int = 1) -> None:
        """Count files that are not pictures."""
        self._skipped += count

    def finish(self, about: Mapping[str, Any]) -> Manifest:
        """Write what the job is: from now on it has begun.

        Raises:
            DataError: there is not one picture.
        """
        with writing(self._out / FOLDER):
            for file in (self._files, self._parts):  # on the disk before the file that makes them the manifest
                file.flush()
                os.fsync(file.fileno())
        self.close()
        if not self._count:
            raise DataError("There are no pictures in the input", received=f"{self._skipped:,} other files")
        manifest = Manifest(self._out, about, self._count, self._rows, self._skipped)
        stored = {"format": FORMAT, "parts": self._count, "rows": self._rows, "skipped": self._skipped, "about": about}
        write_atomic(manifest.folder / JOB, json.dumps(stored, indent=1))
        return manifest

    def close(self) -> None:
        """Close the files."""
        with writing(self._out / FOLDER):
            self._files.close()
            self._parts.close()


def check_same(manifest: Manifest, about: Mapping[str, Any]) -> None:
    """Check that OUT holds the same job.

    Raises:
        OutputError: it was begun with another model, input or option.
    """
    ours = json.loads(json.dumps(about))
    for key in manifest.about | ours:
        if manifest.about.get(key) != ours.get(key):
            raise OutputError(
                f"{manifest.out} holds another job: its {key.replace('_', ' ')} is not the same",
                expected=manifest.about.get(key),
                received=ours.get(key),
                hint="Choose another --out, or call with the same model, input and options again.",
            )


def _end_line(path: Path) -> None:
    """End a last line that was cut, so that the next one is a line of its own."""
    if path.is_file() and path.read_bytes()[-1:] not in (b"", b"\n"):
        with path.open("a", encoding="utf-8") as file:
            file.write("\n")


def _parse(line: str | bytes) -> Any:
    """The value of a line that was written here. (`parse_json` refuses names that are not valid text.)

    Raises:
        ValueError: it is not JSON, or nested too deep.
    """
    try:
        return json.loads(line)
    except RecursionError as exc:
        raise ValueError("nested too deep") from exc


def _lines(path: Path) -> Iterable[str]:
    """The lines of a file; none if there is no file."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            yield from file
    except FileNotFoundError:
        return
    except OSError as exc:
        raise MalformedFile(path, f"it cannot be read: {reason_of(exc)}") from exc
