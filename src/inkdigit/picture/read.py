"""Many pictures through the door: decoded and prepared some at a time, in their order, the large ones on all cores.

In: single pictures of any kind, files above all. Out: prepared pictures uint8 (M, 28, 28), and what could not be read.

A large picture is decoded and cleaned outside of Python's lock, so threads share the work. Of a small one almost
nothing is: threads would only wait for each other, and take twice as long as one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from inkdigit.errors import PictureError
from inkdigit.machine import cores
from inkdigit.picture.decode import Picture, decode
from inkdigit.picture.prepare import prepare, prepare_each
from inkdigit.types import Gray

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

AT_A_TIME = 64  # pictures that are held at a time
LARGE = 2**14  # bytes of a file, or pixels, from which on a thread of its own pays

Chunk = list[Picture | PictureError]
Read = tuple[Gray, dict[int, PictureError]]  # what can be read, and the errors of the others by their index


def read_each(pictures: Iterable[Picture | PictureError], kind: str) -> Iterator[Read]:
    """Decode and prepare pictures, `AT_A_TIME` after `AT_A_TIME`; an error among them comes out as it is."""
    from concurrent.futures import ThreadPoolExecutor  # for several pictures alone

    source = iter(pictures)
    with ThreadPoolExecutor(cores()) as pool:
        while chunk := list(islice(source, AT_A_TIME)):
            yield _read(chunk, kind, pool)


def _read(pictures: Chunk, kind: str, pool: ThreadPoolExecutor) -> Read:
    begun: dict[int, Future[Gray]] = {
        i: pool.submit(_prepared, picture, kind)
        for i, picture in enumerate(pictures)
        if not isinstance(picture, PictureError) and _is_large(picture)
    }
    errors: dict[int, PictureError] = {}

    def readable() -> Iterator[Gray]:
        for i, picture in enumerate(pictures):
            try:
                if isinstance(picture, PictureError):
                    raise picture
                gray = begun[i].result() if i in begun else decode(picture)
            except PictureError as exc:
                errors[i] = exc
            else:
                yield gray

    try:
        return prepare_each(readable(), kind), errors
    finally:
        for future in begun.values():
            future.cancel()  # those that an interruption left over


def _prepared(picture: Picture, kind: str) -> Gray:
    return prepare(decode(picture), kind)


def _is_large(picture: Picture) -> bool:
    if isinstance(picture, str | Path):
        try:
            return Path(picture).stat().st_size >= LARGE
        except (OSError, ValueError):
            return False  # `decode` says what is wrong
    if isinstance(picture, np.ndarray):
        return picture.size >= LARGE
    if isinstance(picture, Image.Image):
        return picture.width * picture.height >= LARGE
    return len(picture) >= LARGE
