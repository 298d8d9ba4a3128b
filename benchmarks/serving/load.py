"""A load generator: HTTP/1.1 over raw asyncio, connections kept alive, no library between the clock and the socket.

In: an address, one request as bytes, and what a right answer contains. Out: for each request its status and how long it
took. `closed` sends the next request when the last is answered; `arrive` sends so many a second, whatever happens.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

HEAD_END = b"\r\n\r\n"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
RETRY_AFTER = re.compile(rb"\r\nretry-after: *\d+", re.IGNORECASE)
TICK_S = 0.005  # between two looks at how many requests are due
WATCH_S = 0.1  # between two looks at the memory
GIVEN_UP = -1
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent, and what the body of a right answer matches."""

    data: bytes
    right: re.Pattern[bytes]


@dataclass(frozen=True, slots=True)
class Answer:
    """How one request went: status 0 if the connection ended without an answer, GIVEN_UP if we hung up first."""

    status: int
    seconds: float
    right: bool
    retry_after: bool = False


@dataclass
class Load:
    """The result of a load."""

    seconds: float
    answers: list[Answer] = field(default_factory=list)
    unsent: int = 0  # arrivals that found all connections taken

    def taken(self, *statuses: int) -> list[float]:
        """How long the requests took that were answered so, the shortest first."""
        return sorted(answer.seconds for answer in self.answers if answer.status in statuses)


class Line(asyncio.Protocol):
    """One connection; one request at a time."""

    def __init__(self, request: Request) -> None:
        """Send this request whenever `send` is awaited."""
        self._request = request
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self.began = 0.0

    @property
    def open(self) -> bool:
        """Whether another request can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    async def send(self) -> Answer:
        """Send the request; its answer."""
        assert self._transport is not None
        self._waiting = asyncio.get_running_loop().create_future()
        self.began = time.perf_counter()
        self._transport.write(self._request.data)
        return await self._waiting

    def data_received(self, data: bytes) -> None:
        """Gather an answer until it is complete."""
        self._buffer += data
        end = self._buffer.find(HEAD_END)
        if end < 0:
            return
        head = bytes(self._buffer[: end + 2])
        match = LENGTH.search(head)
        length = int(match[1]) if match else 0
        start = end + len(HEAD_END)
        if len(self._buffer) < start + length:
            return
        status, body = int(head[9:12]), bytes(self._buffer[start : start + length])
        del self._buffer[: start + length]
        seconds = time.perf_counter() - self.began
        right = status == 200 and self._request.right.search(body) is not None
        self._end(Answer(status, seconds, right, RETRY_AFTER.search(head) is not None))
        if re.search(rb"\r\nconnection: *close", head, re.IGNORECASE):
            self.hang_up()

    def connection_lost(self, _: Exception | None) -> None:
        """End the wait: no answer will come."""
        self._transport = None
        self._end(Answer(0, time.perf_counter() - self.began, False))

    def hang_up(self) -> None:
        """Close the connection now, whatever is in progress."""
        if self._transport is not None:
            self._transport.abort()

    def _end(self, answer: Answer) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(answer)


async def dial(host: str, request: Request) -> Line:
    """A new connection to `host`, as name:port."""
    name, _, port = host.partition(":")
    _, line = await asyncio.get_running_loop().create_connection(lambda: Line(request), name, int(port))
    return line


async def closed(host: str, request: Request, *, connections: int, seconds: float) -> Load:
    """Send on all connections, each as soon as it is answered, for so long."""
    load = Load(seconds)
    until = time.perf_counter() + seconds

    async def keep_sending() -> None:
        line = await dial(host, request)
        while time.perf_counter() < until:
            if not line.open:
                line = await dial(host, request)
            load.answers.append(await line.send())
        line.hang_up()

    began = time.perf_counter()
    await asyncio.gather(*(keep_sending() for _ in range(connections)))
    load.seconds = time.perf_counter() - began
    return load


async def arrive(host: str, request: Request, *, rate: float, connections: int, seconds: float) -> Load:
    """Send `rate` requests a second for so long, on so many connections at most; then hang up on what is unanswered."""
    load, free, tasks = Load(seconds), [], set()
    lines: list[Line] = []

    async def once(line: Line | None) -> None:
        if line is None or not line.open:
            try:
                line = await dial(host, request)
            except OSError:
                load.answers.append(Answer(0, 0.0, False))
                free.append(None)
                return
            lines.append(line)
        try:
            load.answers.append(await line.send())
        except asyncio.CancelledError:
            load.answers.append(Answer(GIVEN_UP, time.perf_counter() - line.began, False))
        free.append(line)

    began = time.perf_counter()
    offered = taken = 0
    while (now := time.perf_counter() - began) < seconds:
        while offered < now * rate:
            offered += 1
            if free:
                line = free.pop()
            elif taken < connections:
                taken, line = taken + 1, None
            else:
                load.unsent += 1
                continue
            task = asyncio.ensure_future(once(line))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.sleep(TICK_S)
    in_progress = list(tasks)
    for task in in_progress:
        task.cancel()
    await asyncio.gather(*in_progress, return_exceptions=True)
    for line in lines:
        line.hang_up()
    return load


async def first_answer(host: str, request: Request, *, patience_s: float) -> tuple[float, Answer]:
    """Send on new connections until one is answered with 200: the time, and that answer (or the last one)."""
    began = time.perf_counter()
    while True:
        try:
            line = await dial(host, request)
            answer = await asyncio.wait_for(line.send(), patience_s)
            line.hang_up()
        except (OSError, TimeoutError):
            answer = Answer(0, time.perf_counter() - began, False)
        waited = time.perf_counter() - began
        if answer.status == 200 or waited > patience_s:
            return waited, answer
        await asyncio.sleep(TICK_S)


async def watched(work: Awaitable[T], rss_mb: Callable[[], float]) -> tuple[T, float]:
    """The result of some work, and the maximum of memory during it."""
    peak = rss_mb()
    task = asyncio.ensure_future(work)
    while not task.done():
        peak = max(peak, rss_mb())
        await asyncio.wait([task], timeout=WATCH_S)
    return task.result(), peak


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The value that `share` of them do not exceed; None without values."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None


def figures(load: Load) -> dict[str, Any]:
    """The figures of a load at which everything should be answered."""
    good = load.taken(200)
    return {
        "n": len(load.answers),
        "failures": sum(not answer.right for answer in load.answers),
        "per_s": round(sum(answer.right for answer in load.answers) / load.seconds, 1),
        **{f"p{cent}_ms": _ms(percentile(good, cent / 100)) for cent in (50, 99)},
        "max_ms": _ms(good[-1] if good else None),
    }


def refusals(load: Load) -> dict[str, Any]:
    """The figures of a load of which most should be refused."""
    refused = [answer for answer in load.answers if answer.status == 503]
    took = load.taken(503)
    given_up = load.taken(GIVEN_UP)
    wrong = [answer for answer in load.answers if answer.status not in (0, 200, 503, GIVEN_UP)]
    return {
        "refused": len(refused),
        "refused_without_retry_after": sum(not answer.retry_after for answer in refused),
        "refused_p99_ms": _ms(percentile(took, 0.99)),
        "refused_max_ms": _ms(took[-1] if took else None),
        "answered": len(load.taken(200)),
        "answered_max_ms": _ms(max(load.taken(200), default=None)),
        "wrong": len(wrong) + sum(answer.status == 200 and not answer.right for answer in load.answers),
        "cut_off": len(load.taken(0)),
        "waiting_at_the_end": len(given_up),
        "waiting_max_ms": _ms(max(given_up, default=None)),
        "unsent": load.unsent,
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)
