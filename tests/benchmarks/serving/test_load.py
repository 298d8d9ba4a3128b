"""The load generator counts what a server really did, of any server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from benchmarks.serving import load

REQUEST = load.Request(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi", re.compile(b"seven"))
Reply = Callable[[int], Awaitable[bytes]]


def respond(status: int, body: bytes = b"seven", more: bytes = b"") -> bytes:
    return b"HTTP/1.1 %d x\r\nContent-Length: %d\r\n%s\r\n%s" % (status, len(body), more, body)


@asynccontextmanager
async def server(reply: Reply):
    """A server that answers each request with what `reply` says of its number; nothing closes the connection."""
    count = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        try:
            while await reader.readexactly(len(REQUEST.data)):
                count += 1
                answer = await reply(count)
                for piece in (answer[:9], answer[9:]):  # a head may come in pieces
                    writer.write(piece)
                    await writer.drain()
                if not answer:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    finally:
        listener.close()


def run(reply: Reply, work: Callable[[str], Awaitable[load.Load]]) -> load.Load:
    async def both() -> load.Load:
        async with server(reply) as host:
            return await work(host)

    return asyncio.run(both())


async def good(_: int) -> bytes:
    return respond(200)


def closed(host: str) -> Awaitable[load.Load]:
    return load.closed(host, REQUEST, connections=3, seconds=0.1)


def test_what_is_answered_rightly_is_no_failure():
    outcome = load.figures(run(good, closed))
    assert outcome["n"] > 10
    assert outcome["failures"] == 0
    assert outcome["per_s"] > 0
    assert 0 < outcome["p50_ms"] <= outcome["p99_ms"] <= outcome["max_ms"]


@pytest.mark.parametrize("wrong", [respond(200, b"eight"), respond(500), b"", respond(503, more=b"Retry-After: 1\r\n")])
def test_every_other_answer_is_a_failure(wrong):
    async def third(number: int) -> bytes:
        return wrong if number % 3 == 0 else respond(200)

    outcome = load.figures(run(third, closed))
    assert outcome["failures"] == pytest.approx(outcome["n"] / 3, abs=3)


def test_a_connection_that_the_server_closes_is_opened_anew():
    async def close(_: int) -> bytes:
        return respond(200, more=b"Connection: close\r\n")

    outcome = load.figures(run(close, closed))
    assert outcome["n"] > 3
    assert outcome["failures"] == 0


def test_requests_arrive_at_their_rate_whatever_happens():
    async def slow(_: int) -> bytes:
        await asyncio.sleep(0.05)
        return respond(503, more=b"Retry-After: 1\r\n")

    done = run(slow, lambda host: load.arrive(host, REQUEST, rate=200, connections=4, seconds=0.5))
    outcome = load.refusals(done)
    assert len(done.answers) + done.unsent == pytest.approx(100, abs=30)
    assert 4 <= outcome["refused"] <= 4 * 0.5 / 0.05
    assert outcome["unsent"] > 20
    assert outcome["refused_without_retry_after"] == outcome["wrong"] == outcome["cut_off"] == 0
    assert outcome["refused_max_ms"] >= 50


def test_refusals_tell_of_whatever_is_not_as_it_should_be():
    async def mixed(number: int) -> bytes:
        return [respond(503), respond(200, b"eight"), respond(500), respond(200), b""][number % 5]

    outcome = load.refusals(run(mixed, lambda host: load.arrive(host, REQUEST, rate=100, connections=1, seconds=0.5)))
    assert outcome["refused_without_retry_after"] == outcome["refused"] > 0
    assert outcome["wrong"] > outcome["cut_off"] > 0
    assert outcome["answered"] > 0


def test_what_is_not_answered_at_the_end_is_told():
    async def never(_: int) -> bytes:
        await asyncio.sleep(10)
        return b""

    outcome = load.refusals(run(never, lambda host: load.arrive(host, REQUEST, rate=100, connections=3, seconds=0.3)))
    assert outcome["waiting_at_the_end"] == 3
    assert outcome["waiting_max_ms"] > 100


def test_the_first_answer_is_waited_for():
    async def third(number: int) -> bytes:
        return respond(503) if number < 3 else respond(200)

    async def both() -> tuple[float, load.Answer]:
        async with server(third) as host:
            return await load.first_answer(host, REQUEST, patience_s=5)

    waited, answer = asyncio.run(both())
    assert answer.right
    assert 0 < waited < 5


def test_memory_is_watched_while_work_goes_on():
    seen = iter([10.0, 30.0, *[20.0] * 100])

    async def work() -> str:
        await asyncio.sleep(0.3)
        return "done"

    assert asyncio.run(load.watched(work(), lambda: next(seen))) == ("done", 30.0)


@pytest.mark.parametrize(("share", "value"), [(0.5, 51), (0.99, 100), (0.0, 1), (1.0, 100)])
def test_percentiles(share, value):
    assert load.percentile(range(1, 101), share) == value
    assert load.percentile([], share) is None
