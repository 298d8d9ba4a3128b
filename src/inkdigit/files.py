"""Files that are written atomically, CSV files of numbers, and a lock on a directory for one command at a time.

In: paths and contents. Out: the new file or the old one, never an incomplete one. Errors of the system become errors of
the tree.
"""

from __future__ import annotations

import errno
import io
import logging
import math
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

from inkdigit.errors import MalformedFile, MissingExtra, OutputError, UsageError, reason_of
from inkdigit.parsing import read_bytes

LOG = logging.getLogger(__name__)
LOCK = ".lock"  # hidden: a lock is not part of the content of its directory
MAX_ROWS, MAX_ROWS_BYTES = 1_000_000, 2**27  # of a CSV: with a row every 20 steps, 20 million steps of training

_CAUSES = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EACCES: "no permission to write there",
    errno.EPERM: "no permission to write there",
    errno.EROFS: "the file system is read-only",
    errno.EISDIR: "it is a directory",
    errno.ENOTEMPTY: "it is not empty",
    errno.EEXIST: "there is a file with that name",
    errno.ENOENT: "its folder does not exist",
    errno.ENOTDIR: "its folder is a file",
    errno.ENAMETOOLONG: "the name is too long",
}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Translate errors while `path` is written, by us or by a library.

    Raises:
        OutputError: instead of any OSError in the block.
    """
    try:
        yield
    except OSError as exc:
        problem = f"{path} cannot be written: {_CAUSES.get(exc.errno or 0, reason_of(exc))}"
        raise OutputError(problem, hint="Correct that, or choose another place.") from exc


@contextmanager
def looking_up(name: object) -> Iterator[None]:
    """Translate errors while the system looks up a name from a user: too long, no permission, a NUL in it.

    Raises:
        UsageError: instead of any OSError or ValueError in the block.
    """
    try:
        yield
    except (OSError, ValueError) as exc:
        raise UsageError(f"{str(name)[:80]!r} cannot be looked up ({reason_of(exc)})") from exc


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write `data` (text as UTF-8) under a temporary name in the same folder, then rename it to `path`.

    Other processes see the old file or the new one, never an incomplete one. A link is followed; a pipe or a device is
    written directly.

    Raises:
        OutputError: disk full, no permission, no such folder, or `path` is a directory.
    """
    content = data.encode() if isinstance(data, str) else data
    with writing(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a directory")
        if path.exists() and not path.is_file():
            path.write_bytes(content)
            return
        target = Path(os.path.realpath(path))
        aside = target.with_name(f".{os.urandom(6).hex()}.part")
        try:
            with aside.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(target)
            LOG.debug("Written: %s, %d bytes.", path, len(content))
        finally:
            aside.unlink(missing_ok=True)


@contextmanager
def make_atomic(out: Path, *, replace: bool = False) -> Iterator[Path]:
    """A folder beside `out` to fill; it is renamed to `out` at the end, so that `out` is never incomplete.

    With `replace` a folder that is there is removed then, whatever it holds: check that it may be.

    Raises:
        OutputError: `out` is taken, at the beginning or at the end; or it cannot be made.
    """
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.exists() and not replace:
            check_free(out)
        aside = out.resolve().with_name(f".{os.urandom(6).hex()}.part")
        aside.mkdir()
    try:
        yield aside
        if replace and out.is_dir():
            with writing(out):
                old = out.resolve().rename(aside.with_suffix(".old"))
                aside.rename(out)
            shutil.rmtree(old, ignore_errors=True)
            return
        if sys.platform == "win32" and out.is_dir():
            out.rmdir()  # if it is empty; Windows renames to a free name only
        aside.rename(out)  # elsewhere this replaces an empty directory, but nothing else
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def check_free(out: Path) -> None:
    """Check that a directory is empty; the holder of its lock (see `locked`) can rely on that.

    Raises:
        OutputError: it is not.
    """
    with writing(out):
        entry = first_entry(out)
    if entry is not None:
        expected, received = "a new name, or an empty directory", f"a directory that holds {entry.name}"
        hint = "Choose another name: nothing is overwritten."
        raise OutputError(f"{out} is taken", expected=expected, received=received, hint=hint)


def first_entry(folder: Path) -> Path | None:
    """Any entry of a directory, except a lock, which a run that never began may have left; None if it is empty."""
    return next((entry for entry in folder.iterdir() if entry.name != LOCK), None)


def append_row(path: Path, row: Mapping[str, float | None]) -> None:
    """Add one row to a CSV, the header before the first; None becomes an empty cell.

    Raises:
        OutputError: the row cannot be written.
    """
    cells = ",".join("" if value is None else str(value) for value in row.values())
    with writing(path), path.open("a", encoding="utf-8", newline="") as file:
        header = "" if file.tell() else f"{','.join(row)}\n"
        file.write(f"{header}{cells}\n")


def read_rows(path: Path) -> list[dict[str, float]]:
    """The rows of a CSV of numbers, with nan for an empty cell; an empty list if there is no file.

    A last line without a newline is ignored: it was being written when the run was stopped.

    Raises:
        MalformedFile: a cell is not a number, a row has too few or too many cells, or there are too many rows.
    """
    lines = _complete_lines(path)
    header = next(lines, "").split(",")
    rows = []
    for number, line in enumerate(lines, start=2):
        cells = line.split(",", len(header))
        try:
            rows.append({name: float(cell) if cell else math.nan for name, cell in zip(header, cells, strict=True)})
        except ValueError as exc:
            problem, names = "a row of numbers that cannot be read", ", ".join(header)[:200]
            expected = f"{len(header)} numbers ({names})"
            raise MalformedFile(path, problem, where=f"line {number}", expected=expected, received=line[:200]) from exc
        if len(rows) > MAX_ROWS:
            raise MalformedFile(path, f"there are more than {MAX_ROWS:,} rows")
    return rows


def truncate_rows(path: Path, count: int) -> None:
    """Leave the header and the first `count` rows, as a resumed run needs; 0 rows leave an empty file.

    Raises:
        MalformedFile: the file cannot be read.
        OutputError: the file cannot be written.
    """
    if path.is_file():
        lines = islice(_complete_lines(path), count + 1 if count else 0)
        write_atomic(path, "".join(f"{line}\n" for line in lines))


def _complete_lines(path: Path) -> Iterator[str]:
    """The lines of a file that end with a newline."""
    if not path.is_file():
        return
    try:
        data = read_bytes(path, max_bytes=MAX_ROWS_BYTES)
    except (OSError, ValueError) as exc:
        raise MalformedFile(path, f"the rows cannot be read: {reason_of(exc)}") from exc
    for line in io.BytesIO(data):
        if line.endswith(b"\n"):
            yield line.decode(errors="replace").rstrip("\r\n")


@contextmanager
def locked(folder: Path, work: str) -> Iterator[None]:
    """Hold the lock of a folder for the time of the block, so that no other command does `work` there.

    Raises:
        UsageError: another command holds the lock.
        OutputError: the lock cannot be made.
        MissingExtra: filelock is not installed.
    """
    try:
        from filelock import FileLock, Timeout
    except ModuleNotFoundError as exc:
        raise MissingExtra(f"Writing {folder} needs filelock", "report") from exc

    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as exc:
        raise UsageError(f"Another {work} is running in {folder}", hint="Wait, or name another --out.") from exc
    except OSError as exc:
        raise OutputError(f"{folder} cannot be written: {reason_of(exc)}", hint="Choose another place.") from exc
    try:
        yield
    finally:
        lock.release()


def remove_lock(folder: Path) -> None:
    """Remove the file of a lock that is held, because its work is finished."""
    with suppress(OSError):  # Windows does not remove an open file
        (folder / LOCK).unlink()


def check_unlocked(folder: Path) -> None:
    """Check that no command is at work in a directory, without leaving a lock where there was none.

    Raises:
        UsageError: a command is at work there.
    """
    if (folder / LOCK).exists():
        with locked(folder, "command"):
            pass
