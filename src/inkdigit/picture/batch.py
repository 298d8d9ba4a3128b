"""Many pictures through the door: decoded and prepared some at a time, in their order, the large ones on all cores.

In: single pictures of any kind, files above all. Out: prepared pictures uint8 (M, 28, 28), and what could not be read.

A large picture is decoded and cleaned outside of Python's lock, so threads share the work. Of a small one almost
nothing is: threads would only wait for each other, and take twice as long as one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inkdigit.errors import PictureError
from inkdigit.machine import cores
from inkdigit.picture.decode import Picture, decode
from inkdigit.picture.prepare import prepare, prepare_each
from inkdigit.types import Gray

if TYPE_CHECKING:
    from concurrent.futures import Future

AT_A_TIME = 64  # pictures that are held at a time
MAX_THREADS = 4  # each may hold a picture of 64 megapixels
LARGE = 2**14  # bytes of a file, or pixels, from which on a thread of its own pays

Chunk = list[Picture | PictureError]
Read = tuple[Gray, dict[int, PictureError]]  # what can be read, and the errors of the others by their index


def read_each(pictures: Iterable[Picture | PictureError], kind: str) -> Iterator[Read]:
    """Decode and prepare pictures, `AT_A_TIME` after `AT_A_TIME`; an error among them comes out as it is."""
    source, pool = iter(pictures), None
    with ExitStack() as stack:
        while chunk := list(islice(source, AT_A_TIME)):
            large = [i for i, picture in enumerate(chunk) if _is_large(picture)]
            if len(large) > 1 and pool is None:
                from concurrent.futures import ThreadPoolExecutor  # for several large pictures alone

                pool = stack.enter_context(ThreadPoolExecutor(min(MAX_THREADS, cores())))
            begun = {i: pool.submit(_prepared, chunk[i], kind) for i in large} if pool else {}
            try:
                yield _read(chunk, kind, begun)
            finally:
                for future in begun.values():
                    future.cancel()  # those that an interruption left over


def _read(pictures: Chunk, kind: str, begun: dict[int, Future[Gray]]) -> Read:
    """Read a chunk; some of its pictures are `begun` by other threads."""
    errors: dict[int, PictureError] = {}

    def readable() -> Iterator[Gray]:
        for i, picture in enumerate(pictures):
            try:
                if isinstance(picture, PictureError):
                    raise picture
                gray = begun[i].result() if i in begun else decode(picture)
            except PictureError as exc:
                errors[i] = exc.with_traceback(None)  # which would hold the bytes of the file
            else:
                yield gray

    return prepare_each(readable(), kind), errors


def _prepared(picture: Any, kind: str) -> Gray:
    return prepare(decode(picture), kind)


def _is_large(picture: object) -> bool:
    """Whether a thread of its own pays for a file, bytes or an array.

    A PIL image is not for two threads at once, and one that was opened before is decoded where it is asked for.
    """
    match picture:
        case str() | Path():
            try:
                return Path(picture).stat().st_size >= LARGE
            except (OSError, ValueError):
                return False  # `decode` says what is wrong
        case np.ndarray():
            return picture.size >= LARGE
        case bytes() | bytearray():
            return len(picture) >= LARGE
    return False
