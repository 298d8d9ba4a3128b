"""Files that are written whole or not at all, rows of figures, and directories in which one command works at a time.

In: paths, and what they should hold. Out: the new file or the old one, never half of either; an error of the tree for
whatever the system refuses.
"""

from __future__ import annotations

import errno
import io
import math
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

from inkdigit.errors import MalformedFile, OutputError, UsageError
from inkdigit.parsing import read_bytes

LOCK = ".lock"
MAX_ROWS, MAX_ROWS_BYTES = 1_000_000, 2**27  # of a CSV: there is a row every twenty steps

_CAUSES = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EACCES: "no permission to write there",
    errno.EPERM: "no permission to write there",
    errno.EROFS: "the file system is read-only",
    errno.EISDIR: "it is a directory",
    errno.ENOTEMPTY: "it is not empty",
    errno.EEXIST: "a file of that name is in the way",
    errno.ENOENT: "its folder does not exist",
    errno.ENOTDIR: "what should be its folder is a file",
    errno.ENAMETOOLONG: "the name is too long",
}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Translate what goes wrong while `path` is written, by us or by a library.

    Raises:
        OutputError: in place of any OSError inside the block.
    """
    try:
        yield
    except OSError as exc:
        problem = f"{path} cannot be written: {_CAUSES.get(exc.errno or 0, exc.strerror or str(exc))}"
        raise OutputError(problem, hint="Put that right, or choose another place.") from exc


@contextmanager
def looking_up(name: object) -> Iterator[None]:
    """Translate what goes wrong while a name that a user gave is looked for: too long, no permission, a NUL in it.

    Raises:
        UsageError: in place of any OSError or ValueError inside the block.
    """
    try:
        yield
    except (OSError, ValueError) as exc:
        raise UsageError(f"{str(name)[:80]!r} cannot be looked up ({getattr(exc, 'strerror', None) or exc})") from exc


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write `data` (text as UTF-8) under a temporary name in the same folder, then rename it to `path`.

    Whoever looks sees the old file or the new one, whole. A link is followed; a pipe or device is written straight.

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
        aside = target.with_name(f".{secrets.token_hex(6)}.part")
        try:
            with aside.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(target)
        finally:
            aside.unlink(missing_ok=True)


@contextmanager
def make_atomic(out: Path) -> Iterator[Path]:
    """A folder beside `out` to fill, which becomes `out` at the end: it is there whole or not at all.

    Raises:
        OutputError: `out` is taken, before or when it is filled; or it cannot be made.
    """
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.exists():
            check_free(out)
        aside = out.resolve().with_name(f".{secrets.token_hex(6)}.part")
        aside.mkdir()
    try:
        yield aside
        aside.rename(out)  # onto an empty directory too, but onto nothing else
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def check_free(out: Path) -> None:
    """Refuse a directory that holds something; for who is alone in it (see `lock`) that is then certain.

    Raises:
        OutputError: it does.
    """
    with writing(out):
        entry = first_entry(out)
    if entry is not None:
        expected, received = "a new name, or an empty directory", f"a directory that holds {entry.name}"
        hint = "Choose another name: nothing is overwritten."
        raise OutputError(f"{out} is taken", expected=expected, received=received, hint=hint)


def first_entry(folder: Path) -> Path | None:
    """Something that a directory holds; a lock, which a run that did not begin may leave, is nothing."""
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
    """The rows of a CSV of numbers, an empty cell as nan; no file, no rows.

    A last line without its newline was being written when the run was stopped, and does not count.

    Raises:
        MalformedFile: a cell is not a number, a row has too few or too many cells, or there are too many rows.
    """
    lines = _whole_lines(path)
    header = next(lines, "").split(",")
    rows = []
    for number, line in enumerate(lines, start=2):
        cells = line.split(",", len(header))
        try:
            rows.append({name: float(cell) if cell else math.nan for name, cell in zip(header, cells, strict=True)})
        except ValueError as exc:
            problem, wanted = "a row of figures that cannot be read", ", ".join(header)[:200]
            expected = f"{len(header)} numbers ({wanted})"
            raise MalformedFile(path, problem, where=f"line {number}", expected=expected, received=line[:200]) from exc
        if len(rows) > MAX_ROWS:
            raise MalformedFile(path, f"there are more than {MAX_ROWS:,} rows")
    return rows


def truncate_rows(path: Path, keep: int) -> None:
    """Keep the header and the first `keep` rows, as a resumed run needs; of no rows nothing is kept.

    Raises:
        MalformedFile: the file cannot be read.
        OutputError: the file cannot be written.
    """
    if path.is_file():
        lines = islice(_whole_lines(path), keep + 1 if keep else 0)
        write_atomic(path, "".join(f"{line}\n" for line in lines))


def _whole_lines(path: Path) -> Iterator[str]:
    if not path.is_file():
        return
    try:
        data = read_bytes(path, max_bytes=MAX_ROWS_BYTES)
    except (OSError, ValueError) as exc:
        raise MalformedFile(path, f"the rows cannot be read: {getattr(exc, 'strerror', None) or exc}") from exc
    for line in io.BytesIO(data):
        if line.endswith(b"\n"):
            yield line.decode(errors="replace").rstrip("\r\n")


@contextmanager
def locked(folder: Path, work: str) -> Iterator[None]:
    """Nobody else does `work`, or anything that takes this lock, in the folder meanwhile.

    Raises:
        UsageError: somebody does.
        OutputError: no lock can be made there.
    """
    from filelock import FileLock, Timeout  # PyTorch brings it along

    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as exc:
        raise UsageError(f"Another {work} is at work in {folder}", hint="Wait, or name another --out.") from exc
    except OSError as exc:
        raise OutputError(f"{folder} cannot be written: {exc.strerror}", hint="Choose another place.") from exc
    try:
        yield
    finally:
        lock.release()


def remove_lock(folder: Path) -> None:
    """Remove the file of a lock that is held: what was to be done alone is done, and nobody shall begin it again."""
    with suppress(OSError):  # Windows removes no open file
        (folder / LOCK).unlink()


def check_unlocked(folder: Path) -> None:
    """Refuse a directory in which somebody is at work; where nobody ever was, nothing is left.

    Raises:
        UsageError: somebody is.
    """
    if (folder / LOCK).exists():
        with locked(folder, "command"):
            pass
