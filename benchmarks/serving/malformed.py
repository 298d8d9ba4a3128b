"""One malformed request: what is sent, how it ends, and which answers are right.

In: a method, a target, a body, headers. Out: an `Attack`, as `serving/abuse.py` sends it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CLOSED = 0  # the service closed the connection without an answer
SILENT = -1  # it neither answered nor closed
REFUSED = frozenset({400, 413, 414, 415, 422, 431})
END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Attack:
    """Bytes to send, with pauses of so many seconds between them; the statuses that are right, and how many answers."""

    steps: tuple[bytes | float, ...]
    right: frozenset[int]
    end: Literal["wait", "half", "reset"] = "wait"  # then: our side is closed, or the whole connection is torn down
    answers: int = 1  # at most


def head(method: str, target: str | bytes, *headers: str | bytes, host: str = "localhost") -> bytes:
    """The first lines of a request, without the empty one: the service closes the connection after it."""
    lines = [method.encode() + b" " + _bytes(target) + b" HTTP/1.1", f"Host: {host}".encode(), b"Connection: close"]
    return b"\r\n".join([*lines, *map(_bytes, headers)])


def post(target: str | bytes, body: bytes, *headers: str | bytes) -> bytes:
    """A complete POST whose length is right."""
    return head("POST", target, f"Content-Length: {len(body)}", *headers) + END + body


def sent(request: bytes, *right: int, end: Literal["wait", "half", "reset"] = "wait", answers: int = 1) -> Attack:
    """A request that is sent at once."""
    return Attack((request,), frozenset(right), end, answers)


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text
