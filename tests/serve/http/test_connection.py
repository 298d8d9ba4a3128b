"""Bytes that are not a request: an error, and a closed connection that held little until then."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import re
import socket
import time
from contextlib import suppress
from importlib.metadata import version
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from inkdigit.serve.http import connection as room
from inkdigit.serve.http.connection import HEADER_BYTES, MAX_WAITING, PIECE_BYTES, Connection
from inkdigit.serve.settings import Settings

from ..conftest import START_S, Served, post, raw, read_answer, run_async, wait_until

GET = b"GET /info HTTP/1.1\r\nHost: localhost\r\n\r\n"
OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
CHUNKED = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
SHORTEST = len(b"GET / HTTP/1.1\r\n\r\n")

# Of uvicorn, but not documented: what `serve/http/connection.py` uses or replaces, by the class that has it.
DEPENDS_ON = {
    HttpToolsProtocol: {
        *("app_state", "loop", "transport", "flow", "parser", "url", "headers", "cycle", "pipeline"),
        *("connection_made", "connection_lost", "data_received", "pause_writing", "resume_writing"),
        *("on_message_begin", "on_headers_complete", "on_body", "on_message_complete", "on_response_complete"),
        *("send_400_response", "_unset_keepalive_if_required"),
    },
    RequestResponseCycle: {"scope", "response_started", "response_complete", "disconnected", "message_event"},
    FlowControl: {"pause_reading", "resume_reading"},
}


def closes_after(served: Served, *pieces: bytes, pause_s: float = 0.1) -> tuple[float, bytes]:
    """How long a connection stays open to whom sends these pieces and then the last one again and again."""
    began, received = time.monotonic(), b""
    with served.connect() as connection:
        connection.settimeout(pause_s)
        for piece in pieces:
            connection.sendall(piece)
        while time.monotonic() - began < START_S:
            try:
                if not (piece := connection.recv(2**16)):
                    break
                received += piece
            except TimeoutError:
                if pieces:
                    connection.sendall(pieces[-1])
            except ConnectionError:
                break
    return time.monotonic() - began, received


def test_a_connection_without_a_request_is_closed(hurried):
    seconds, received = closes_after(hurried)
    assert 0.4 < seconds < START_S
    assert received == b""


def test_headers_that_trickle_are_not_waited_for(hurried):
    seconds, received = closes_after(hurried, b"GET / HTTP/1.1\r\n", b"X-A: b\r\n")
    assert 0.4 < seconds < START_S
    assert received.startswith(b"HTTP/1.1 408 ")
    assert json.loads(received.partition(b"\r\n\r\n")[2])["kind"] == "TooSlow"


def test_nor_are_empty_lines_after_a_request(hurried):
    seconds, received = closes_after(hurried, GET, b"\r\n")
    assert seconds < START_S
    assert received.startswith(b"HTTP/1.1 200 ")


def test_nor_is_the_rest_of_a_body_that_was_refused(hurried):
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999\r\n\r\n"
    seconds, received = closes_after(hurried, head, b"x" * 100)
    assert seconds < START_S
    assert received.startswith(b"HTTP/1.1 413 ")


def test_headers_without_end_are_refused(server):
    # The last piece comes alone: what is sent after the answer would have the system throw that away.
    answer = raw(server, b"GET /info HTTP/1.1\r\nX-A: " + b"a" * (HEADER_BYTES - 50), b"a" * 100, pause_s=0.3)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"The headers are too large" in answer


@pytest.mark.parametrize("cut", [0, 60, 200, 300])
def test_an_offer_of_another_protocol_is_not_taken(served, seven, cut):
    offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA")
    request = post(seven, *offer) + GET
    with served.connect() as connection:
        for piece in (request[:cut], request[cut:]):
            connection.sendall(piece)
            time.sleep(0.1)
        received = b""
        while received.count(b"HTTP/1.1 200 ") < 2 or not received.endswith(b"}"):
            piece = connection.recv(2**16)
            assert piece, received
            received += piece
    assert b'"label": "7"' in received
    assert not [line for line in served.lines if "WebSocket" in line]


def test_who_does_not_read_is_not_waited_for(hurried):
    lines = [b"GET /docs/swagger-ui-bundle.js HTTP/1.1", b"Host: localhost", b"X-Request-ID: unread", b"", b""]
    size = len(httpx.get(f"{hurried}/docs/swagger-ui-bundle.js").content)
    host, _, port = hurried.url.removeprefix("http://").partition(":")
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(START_S)
        connection.connect((host, int(port)))
        connection.sendall(b"\r\n".join(lines) * 12)
        given_up = '"request_id": "unread", "method": "GET", "route": "/docs/{name}", "status": 499'
        wait_until(lambda: any(given_up in line for line in hurried.lines), what="an answer that nobody reads")
        received = 0
        with suppress(ConnectionError):
            while piece := connection.recv(2**20):
                received += len(piece)
    assert received < 12 * size


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET // HTTP/9.9\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"POST /predict HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    ],
)
def test_what_is_no_http_is_answered_in_kind(server, data):
    answer = raw(server, data)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"x-content-type-options: nosniff" in head
    assert json.loads(body)["kind"] == "UsageError"


def test_broken_chunks(served, seven):
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert raw(served.url, head + b"zz\r\nabc").startswith(b"HTTP/1.1 400 ")
    whole = b"%x\r\n%s\r\n0\r\n\r\n" % (len(seven), seven)
    assert raw(served.url, head + whole).startswith(b"HTTP/1.1 200 ")
    assert not [line for line in served.lines if "Traceback" in line]


def test_a_body_that_is_cut_off_harms_nobody(served, seven):
    for _ in range(5):
        with served.connect() as connection:
            connection.sendall(post(seven)[:-50])
    assert httpx.post(f"{served}/predict", content=seven).status_code == 200
    assert not [line for line in served.lines if '"level": "error"' in line]


def test_who_hangs_up_waits_for_nothing(served, vast, seven):
    body = (
        b"".join(b"--b\r\ncontent-disposition: form-data; name=file\r\n\r\n" + vast + b"\r\n" for _ in range(3))
        + b"--b--\r\n"
    )
    request = post(body, "Content-Type: multipart/form-data; boundary=b")
    hung_up = [served.connect() for _ in range(20)]
    for connection in hung_up:
        connection.sendall(request)
    time.sleep(0.2)
    for connection in hung_up:
        connection.close()
    gone = 'inkdigit_requests_total{route="/predict",status="499"}'
    wait_until(lambda: gone in httpx.get(f"{served}/metrics", timeout=START_S).text, what="a request that is dropped")
    assert httpx.post(f"{served}/predict", content=seven, timeout=START_S).status_code == 200


def test_nor_does_whom_another_request_waits_behind(served, vast):
    form = b"".join(b"--b\r\ncontent-disposition: form-data; name=file\r\n\r\n" + vast + b"\r\n" for _ in range(4))
    request = post(form + b"--b--\r\n", "Content-Type: multipart/form-data; boundary=b", "X-Request-ID: behind")
    with served.connect() as connection:
        connection.sendall(request + GET)
        time.sleep(0.2)
    gone = '"request_id": "behind", "method": "POST", "route": "/predict", "status": 499'
    wait_until(lambda: any(gone in line for line in served.lines), what="a request that is dropped")
    assert not [line for line in served.lines if '"level": "error"' in line]


def test_requests_one_after_the_other_on_one_line(served, seven):
    with served.connect() as connection:
        connection.sendall(post(seven) * 2 + GET)
        received = b""
        while received.count(b"HTTP/1.1 200 ") < 3 or not received.endswith(b"}"):
            piece = connection.recv(2**16)
            assert piece
            received += piece
        connection.sendall(GET)
        assert read_answer(connection).startswith(b"HTTP/1.1 200 ")


def read_answers(connection: socket.socket, count: int) -> list[bytes]:
    """The X-Request-ID of so many answers, in the order in which they come."""
    received = b""
    while received.count(b"x-request-id: ") < count or not received.endswith(b"}"):
        piece = connection.recv(2**20)
        assert piece, received[-500:]
        received += piece
    return re.findall(rb"x-request-id: (\S+)\r", received)


@pytest.mark.parametrize("offer", [b"", OFFER], ids=["plain", "offer"])
def test_a_packet_of_many_requests_is_answered_in_its_order(served, offer):
    name = b"offer" if offer else b"plain"
    one = b"GET /info HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: " + name + b"%d\r\n" + offer + b"\r\n"
    with served.connect() as connection:
        connection.sendall(b"".join(one % i for i in range(1500)))
        assert read_answers(connection, 1500) == [name + b"%d" % i for i in range(1500)]
    last = f'"{name.decode()}1499"'
    wait_until(lambda: any(last in line for line in served.lines[-5:]), what=last)
    assert sum(f'"{name.decode()}' in line for line in served.lines) == 1500
    assert not [line for line in served.lines if '"level": "error"' in line or "Traceback" in line]


@pytest.mark.parametrize("bad", [b"\0\r\n\r\n", CHUNKED + b"no chunk", b"CONNECT / HTTP/1.1\r\n\r\n"])
def test_what_is_no_request_does_not_cost_those_before_it_their_answers(bad):
    outcome = run_async(talk([GET * 3 + bad + GET]))
    assert [answer[9:12] for answer in outcome.answers] == [b"200", b"200", b"200", b"400"]
    assert outcome.is_closed


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        ([b"CONNECT / HTTP/1.1\r\nHost: localhost\r\n\r\n" + GET], "This service is not a proxy"),
        ([b"CONNECT localhost:22 HTTP/1.1\r\nHost: localhost\r\n\r\n"], "This service is not a proxy"),
        ([CHUNKED + b"0\r\n", *[b"a:\r\n" * 2000] * 5], "The chunk extensions or trailers are too large"),
        ([CHUNKED + b"0\r\na: ", *[b"b" * 8000] * 5], "The chunk extensions or trailers are too large"),
        ([CHUNKED + b"1;", *[b"b" * 8000] * 5], "The chunk extensions or trailers are too large"),
        ([b"\r\n" * (HEADER_BYTES // 2), b"\r\n" * 10], "The headers are too large"),
    ],
)
def test_what_brings_nothing_must_end_soon(pieces, text):
    outcome = run_async(talk(pieces))
    (answer,) = outcome.answers
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert text in json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    assert outcome.is_closed


def test_who_has_an_answer_has_no_second_one():
    outcome = run_async(talk([CHUNKED.replace(b"/predict", b"/early"), b"", b"no chunk"]))
    assert [answer[:13] for answer in outcome.answers] == [b"HTTP/1.1 200 "]
    assert outcome.is_closed


def test_the_rest_of_a_body_that_is_answered_is_read_over():
    early = CHUNKED.replace(b"/predict", b"/early")
    outcome = run_async(talk([early, b"", *[b"1\r\na\r\n" * 5000] * 3, b"0\r\n\r\n" + GET]))
    assert [answer[9:12] for answer in outcome.answers] == [b"200", b"200"]
    assert not outcome.is_closed


class Transport(asyncio.Transport):
    """A client that has all its packets ready, and reads all answers."""

    def __init__(self) -> None:
        super().__init__()
        self.is_paused = self.is_closed = False
        self.written = b""

    def write(self, data: Any) -> None:
        assert not self.is_closed, "an answer after the end"
        self.written += data

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def get_write_buffer_size(self) -> int:
        return 0


class Outcome(SimpleNamespace):
    """The outcome of a connection: responses, requests as the application got them, and how much was held at most."""

    answers: list[bytes]
    seen: list[tuple[str, str, bytes]]
    is_closed: bool
    max_waiting: int
    max_unread: int


async def talk(packets: list[bytes], *, protocol: type[HttpToolsProtocol] = Connection) -> Outcome:
    """Let a connection of its own have these packets, each when it reads on; an empty one gives it time to answer."""
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", scope["path"] != "/early"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            more = message["more_body"]
        seen.append((scope["method"], scope["path"], body))
        await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    config = Config(app, lifespan="off", log_config=None)
    config.load()
    service = SimpleNamespace(settings=Settings(), counts=SimpleNamespace(refused=lambda _: None))
    made: Any = protocol(config=config, server_state=ServerState(), app_state={"service": service})
    transport, waiting, unread = Transport(), [0], [0]
    made.connection_made(transport)
    for packet in packets:
        idle = 0  # turns of the event loop
        while not transport.is_closed and idle < 10 and (transport.is_paused or not packet):
            await asyncio.sleep(0)
            idle += not made.server_state.tasks
        if transport.is_closed:
            break
        assert not transport.is_paused, "it never reads on"
        made.data_received(packet)
        waiting.append(len(made.pipeline))
        unread.append(len(getattr(made, "_unread", b"")))
    while made.server_state.tasks and not transport.is_closed and not _waits_for_more(made):
        await asyncio.sleep(0)
    is_closed = transport.is_closed
    made.connection_lost(None)
    while made.server_state.tasks:
        await asyncio.sleep(0)
    answers = re.split(rb"(?=HTTP/1\.1 \d{3} )", transport.written)[1:]
    return Outcome(answers=answers, seen=seen, is_closed=is_closed, max_waiting=max(waiting), max_unread=max(unread))


def _waits_for_more(made: Any) -> bool:
    """Whether the application waits for a body that does not come."""
    return (
        made.cycle is not None and made.cycle.more_body and not made.pipeline and not made.cycle.message_event.is_set()
    )


def request(number: int, *, body: bytes, is_chunked: bool, offers: bool) -> bytes:
    """A request that says which one it is."""
    lines = [b"POST /%d HTTP/1.1" % number, b"Host: localhost", *(OFFER.splitlines() if offers else [])]
    lines += [b"Transfer-Encoding: chunked" if is_chunked else b"Content-Length: %d" % len(body)]
    if is_chunked:
        chunks = [body[i : i + 7] for i in range(0, len(body), 7)]
        body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    return b"\r\n".join([*lines, b"", body])


SENT = st.lists(st.tuples(st.binary(max_size=40), st.booleans(), st.booleans()), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(SENT, st.integers(1, 60), st.lists(st.floats(0, 1), max_size=6))
def test_wherever_packets_are_cut_the_application_sees_the_same_requests(sent, times, cuts):
    data = [request(i, body=b, is_chunked=c, offers=o) for i, (b, c, o) in enumerate(sent * times)]
    whole = b"".join(data)
    places = [0, *sorted(int(cut * len(whole)) for cut in cuts), len(whole)]
    outcome = run_async(talk([whole[a:b] for a, b in pairwise(places) if b > a]))
    assert outcome.seen == [("POST", f"/{i}", body) for i, (body, _, _) in enumerate(sent * times)]
    assert len(outcome.answers) == len(data)
    assert not outcome.is_closed


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_arrives_ends_in_answers(data):
    """Requests with bytes changed, taken out or put in: each answered once at most, an error comes last."""
    whole = b"".join(request(i, body=b, is_chunked=c, offers=o) for i, (b, c, o) in enumerate(data.draw(SENT)))
    for at, much, other in data.draw(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9), st.binary(max_size=9)))):
        place = int(at * len(whole))
        whole = whole[:place] + other + whole[place + much :]
    cut = int(data.draw(st.floats(0, 1)) * len(whole))
    outcome = run_async(talk([part for part in (whole[:cut], whole[cut:]) if part]))
    bad = [i for i, answer in enumerate(outcome.answers) if answer.startswith(b"HTTP/1.1 400 ")]
    assert bad in ([], [len(outcome.answers) - 1])
    assert len(outcome.answers) <= len(outcome.seen) + 1


def test_few_requests_are_parsed_before_their_turn():
    whole, size = b"GET / HTTP/1.1\r\n\r\n" * 8000, 2**15
    outcome = run_async(talk([whole[i : i + size] for i in range(0, len(whole), size)]))
    assert len(outcome.answers) == len(outcome.seen) == 8000
    assert outcome.max_waiting <= MAX_WAITING + PIECE_BYTES // SHORTEST
    assert 0 < outcome.max_unread <= size


def test_what_is_used_of_uvicorn_is_there():
    """After a new release of uvicorn: adapt `serve/http/connection.py`, then raise the bound in `pyproject.toml`."""
    parts: dict[type, object] = {}

    class Plain(HttpToolsProtocol):
        def on_response_complete(self) -> None:
            parts.update({HttpToolsProtocol: self, RequestResponseCycle: self.cycle, FlowControl: self.flow})
            super().on_response_complete()

    run_async(talk([GET], protocol=Plain))
    gone = [
        f"{kind.__name__}.{name}"
        for kind, names in DEPENDS_ON.items()
        for name in names
        if not hasattr(parts[kind], name)
    ]
    assert not gone, (
        f"uvicorn {version('uvicorn')} has no {', '.join(sorted(gone))}, which serve/http/connection.py uses"
    )


def test_what_is_used_of_uvicorn_is_named_here():
    """What the classes of `serve/http/connection.py` use of themselves, and have not of their own."""
    used, own = set(), {*vars(room.Connection), *vars(room.Flow)}
    for node in ast.walk(ast.parse(inspect.getsource(room))):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("self", "super()"):
            (own if isinstance(node.ctx, ast.Store) else used).add(node.attr)
    assert used - own <= set().union(*DEPENDS_ON.values())
