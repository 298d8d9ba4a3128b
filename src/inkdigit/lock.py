"""One at a time: a directory in which two commands at once would leave files that are of neither alone.

In: a directory. Out: a lock on it that goes with the process, however that ends; the file of that name stays, and says
nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from inkdigit.errors import OutputError, UsageError

LOCK = ".lock"


@contextmanager
def alone(folder: Path, work: str) -> Iterator[None]:
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


def forget(folder: Path) -> None:
    """Remove the file of a lock that is held: what was to be done alone is done, and nobody shall begin it again."""
    with suppress(OSError):  # Windows removes no open file
        (folder / LOCK).unlink()


def check_unlocked(folder: Path) -> None:
    """Refuse a directory in which somebody is at work; where nobody ever was, nothing is left.

    Raises:
        UsageError: somebody is.
    """
    if (folder / LOCK).exists():
        with alone(folder, "command"):
            pass
