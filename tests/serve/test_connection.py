"""What is no request: it ends in an error and a closed connection, and holds nothing meanwhile."""

from __future__ import annotations

import json
import socket
import time

import httpx
import pytest

from inkdigit.serve.connection import HEADER_BYTES

from .conftest import MakeServer, Served, post, raw, read_answer

GET = b"GET /info HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def hurried(make_server: MakeServer) -> Served:
    """A service that waits for half a second."""
    return make_server("--time-limit", "0.5")


def closes_after(served: Served, *pieces: bytes, pause_s: float = 0.1) -> tuple[float, bytes]:
    """How long a connection stays open to whom sends these pieces and then the last one again and again."""
    host, _, port = served.url.removeprefix("http://").partition(":")
    began, said = time.monotonic(), b""
    with socket.create_connection((host, int(port)), timeout=pause_s) as connection:
        for piece in pieces:
            connection.sendall(piece)
        while time.monotonic() - began < 20:
            try:
                if not (piece := connection.recv(2**16)):
                    break
                said += piece
            except TimeoutError:
                if pieces:
                    connection.sendall(pieces[-1])
            except ConnectionError:
                break
    return time.monotonic() - began, said


def test_a_connection_without_a_request_is_closed(hurried):
    seconds, said = closes_after(hurried)
    assert 0.4 < seconds < 10
    assert said == b""


def test_headers_that_trickle_are_not_waited_for(hurried):
    seconds, said = closes_after(hurried, b"GET / HTTP/1.1\r\n", b"X-A: b\r\n")
    assert 0.4 < seconds < 10
    assert said.startswith(b"HTTP/1.1 408 ")
    assert json.loads(said.partition(b"\r\n\r\n")[2])["kind"] == "TooSlow"


def test_nor_are_empty_lines_after_a_request(hurried):
    seconds, said = closes_after(hurried, GET, b"\r\n")
    assert seconds < 10
    assert said.startswith(b"HTTP/1.1 200 ")


def test_nor_is_the_rest_of_a_body_that_was_refused(hurried):
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999\r\n\r\n"
    seconds, said = closes_after(hurried, head, b"x" * 100)
    assert seconds < 10
    assert said.startswith(b"HTTP/1.1 413 ")


def test_headers_without_end_are_refused(server):
    # The last piece comes alone: what is sent after the answer would have the system throw that away.
    answer = raw(server, b"GET /info HTTP/1.1\r\nX-A: " + b"a" * (HEADER_BYTES - 50), b"a" * 100, pause_s=0.3)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"The headers are too large" in answer


@pytest.mark.parametrize("cut", [0, 60, 200, 300])
def test_an_offer_of_another_protocol_is_not_taken(served, seven, cut):
    offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA")
    request = post(seven, *offer) + GET
    host, _, port = served.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        for piece in (request[:cut], request[cut:]):
            connection.sendall(piece)
            time.sleep(0.1)
        said = b""
        while said.count(b"HTTP/1.1 200 ") < 2 or not said.endswith(b"}"):
            piece = connection.recv(2**16)
            assert piece, said
            said += piece
    assert b'"label": "7"' in said
    assert not [line for line in served.said if "WebSocket" in line]


def test_who_does_not_read_is_not_waited_for(hurried):
    one = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
    size = len(httpx.get(f"{hurried}/docs/swagger-ui-bundle.js").content)
    host, _, port = hurried.url.removeprefix("http://").partition(":")
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect((host, int(port)))
        connection.sendall(one * 12)
        time.sleep(2.5)
        said = 0
        try:
            while piece := connection.recv(2**20):
                said += len(piece)
        except ConnectionError:
            pass
    assert said < 12 * size


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
    assert not [line for line in served.said if "Traceback" in line]


def test_a_body_that_is_cut_off_harms_nobody(served, seven):
    host, _, port = served.url.removeprefix("http://").partition(":")
    for _ in range(5):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(post(seven)[:-50])
    assert httpx.post(f"{served}/predict", content=seven).status_code == 200
    assert not [line for line in served.said if '"level": "error"' in line]


def test_who_hangs_up_waits_for_nothing(served, vast, seven):
    body = (
        b"".join(b"--b\r\ncontent-disposition: form-data; name=file\r\n\r\n" + vast + b"\r\n" for _ in range(3))
        + b"--b--\r\n"
    )
    request = post(body, "Content-Type: multipart/form-data; boundary=b")
    host, _, port = served.url.removeprefix("http://").partition(":")
    hung_up = [socket.create_connection((host, int(port))) for _ in range(20)]
    for connection in hung_up:
        connection.sendall(request)
    time.sleep(0.2)
    for connection in hung_up:
        connection.close()
    httpx.get(f"{served}/info", timeout=60)
    told = httpx.get(f"{served}/metrics", timeout=60).text
    assert 'inkdigit_requests_total{route="/predict",status="499"}' in told
    assert httpx.post(f"{served}/predict", content=seven, timeout=60).status_code == 200


def test_nor_does_whom_another_request_waits_behind(make_server, vast):
    served = make_server()
    form = b"".join(b"--b\r\ncontent-disposition: form-data; name=file\r\n\r\n" + vast + b"\r\n" for _ in range(4))
    request = post(form + b"--b--\r\n", "Content-Type: multipart/form-data; boundary=b")
    host, _, port = served.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(request + GET)
        time.sleep(0.2)
    until = time.monotonic() + 10
    while time.monotonic() < until and not any('"status": 499' in line for line in served.said):
        time.sleep(0.02)
    assert any('"status": 499' in line for line in served.said)
    assert not [line for line in served.said if '"level": "error"' in line]


def test_requests_one_after_the_other_on_one_line(server, seven):
    host, _, port = server.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(post(seven) * 2 + GET)
        said = b""
        while said.count(b"HTTP/1.1 200 ") < 3 or not said.endswith(b"}"):
            piece = connection.recv(2**16)
            assert piece
            said += piece
        connection.sendall(GET)
        assert read_answer(connection).startswith(b"HTTP/1.1 200 ")
