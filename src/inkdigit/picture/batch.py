"""Many images: decoded and prepared some at a time, in their order, the large ones on several cores.

In: single images of any kind, mostly files. Out: prepared images uint8 (M, 28, 28), and the errors of the others.

A large image is decoded and cleaned outside of Python's lock, so threads share the work. A small one is not: threads
would wait for each other, and take twice as long as one thread.
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

AT_A_TIME = 64  # images in one step: enough to share among the threads, and few in memory
MAX_THREADS = 4  # each may hold an image of 64 megapixels: a bound on memory
LARGE = 2**14  # bytes of a file, or pixels: from this size on a thread of its own saves time

Chunk = list[Picture | PictureError]
Read = tuple[Gray, dict[int, PictureError]]  # the prepared images, and the errors of the others by their index


def read_each(pictures: Iterable[Picture | PictureError], kind: str) -> Iterator[Read]:
    """Decode and prepare images, `AT_A_TIME` after `AT_A_TIME`; an error among them comes out as it is."""
    source, pool = iter(pictures), None
    with ExitStack() as stack:
        while chunk := list(islice(source, AT_A_TIME)):
            large = [i for i, picture in enumerate(chunk) if _is_large(picture)]
            if len(large) > 1 and pool is None:
                from concurrent.futures import ThreadPoolExecutor  # only for several large images

                pool = stack.enter_context(ThreadPoolExecutor(min(MAX_THREADS, cores())))
            begun = {i: pool.submit(_prepared, chunk[i], kind) for i in large} if pool else {}
            try:
                yield _read(chunk, kind, begun)
            finally:
                for future in begun.values():
                    future.cancel()  # where an interruption has left some


def _read(pictures: Chunk, kind: str, begun: dict[int, Future[Gray]]) -> Read:
    """Read a chunk; some of its images are `begun` by other threads."""
    errors: dict[int, PictureError] = {}

    def readable() -> Iterator[Gray]:
        for i, picture in enumerate(pictures):
            try:
                if isinstance(picture, PictureError):
                    raise picture
                gray = begun[i].result() if i in begun else decode(picture)
            except PictureError as exc:
                errors[i] = exc.with_traceback(None)  # the traceback would hold the bytes of the file
            else:
                yield gray

    return prepare_each(readable(), kind), errors


def _prepared(picture: Any, kind: str) -> Gray:
    return prepare(decode(picture), kind)


def _is_large(picture: object) -> bool:
    """Whether a file, bytes or an array is large enough for a thread of its own.

    A PIL image must not be used by two threads at once, and an opened one is decoded by the thread that needs it.
    """
    match picture:
        case str() | Path():
            try:
                return Path(picture).stat().st_size >= LARGE
            except (OSError, ValueError):
                return False  # `decode` raises the error
        case np.ndarray():
            return picture.size >= LARGE
        case bytes() | bytearray():
            return len(picture) >= LARGE
    return False
