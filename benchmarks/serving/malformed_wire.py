"""Malformed requests below the body: lengths that lie, chunks, cut and slow senders, headers, targets, methods.

In: a random generator. Out: an `Attack`; `KINDS` holds one function a kind, by the words of the table.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from benchmarks.serving.malformed import CLOSED, END, REFUSED, Attack, head, post, sent
from benchmarks.serving.malformed_pictures import intact

DIGIT = intact("PNG")
SLOW_S = 1.0  # between two bytes of a slow sender
SLOW_BYTES = 40
CHUNKED = "Transfer-Encoding: chunked"
UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
TUNNEL = b"CONNECT / HTTP/1.1\r\nHost: localhost\r\n\r\n"
JSON = "Content-Type: application/json"
SECRETS = ("etc/passwd", "etc/hostname", "proc/self/environ", "app/serve.db", "pyproject.toml", "app.py")


def lying_lengths(rng: Random) -> Attack:
    """A Content-Length that is not that of the body, or no length at all."""
    size = len(DIGIT)
    short, long = rng.randrange(1, size), size + rng.randrange(1, 10**6)
    huge = rng.choice([10**7, 2**31, 2**32 + 5, 2**63, 2**64, 2**64 + size, 10**30])
    odd = rng.choice(["", "+5", "0x10", "1e3", "5 5", "5,5", "five", "1.0", "-0", "५", "5;", "\x0b5"])
    lengths: list[tuple[list[object], set[int], bool]] = [
        ([short], {200, 415, 422}, False),  # a PNG without its last chunk can be read
        ([long], {400, 408, CLOSED}, True),
        ([-rng.randrange(1, 10**9)], {400}, False),
        ([huge], {400, 413}, False),
        ([size, size + rng.randrange(1, 9)], {400}, False),
        ([odd], {400}, False),
        ([0], {400}, False),
        ([], {400}, False),
    ]
    values, right, cut = rng.choice(lengths)
    headers = [f"Content-Length: {value}" for value in values]
    return sent(head("POST", "/predict", *headers) + END + DIGIT, *right, end="half" if cut else "wait")


def broken_chunks(rng: Random) -> Attack:
    """A chunked body whose sizes are wrong or whose end is missing."""
    size = f"{len(DIGIT):x}".encode()
    chunk = size + b"\r\n" + DIGIT + b"\r\n"
    bodies: list[tuple[bytes, set[int], bool]] = [
        (b"zz\r\n" + DIGIT + b"\r\n0\r\n\r\n", {400, CLOSED}, False),
        (b"-5\r\n" + DIGIT + b"\r\n0\r\n\r\n", {400, CLOSED}, False),
        (b"f" * rng.choice([9, 16, 17, 40]) + b"\r\n" + DIGIT, {400, 408, 413, CLOSED}, True),
        (size + b"\r\n" + DIGIT[: rng.randrange(len(DIGIT))], {400, 408, CLOSED}, True),
        (f"{len(DIGIT) - 5:x}".encode() + b"\r\n" + DIGIT + b"\r\n0\r\n\r\n", {400, CLOSED}, False),
        (chunk, {400, 408, CLOSED}, True),
        (
            size + b";" + b"x" * rng.choice([10, 10_000, 100_000]) + b"\r\n" + DIGIT + b"\r\n0\r\n\r\n",
            {200, *REFUSED},
            False,
        ),
        (chunk + b"0\r\n" + b"Trailer: x\r\n" * rng.choice([1, 10_000]) + b"\r\n", {200, *REFUSED, CLOSED}, False),
        (b"0\r\n\r\n", {400}, False),
        (b"1\r\n\0\r\n" * rng.choice([10, 5_000]) + b"0\r\n\r\n", {415, 422}, False),
    ]
    body, right, cut = rng.choice(bodies)
    return sent(head("POST", "/predict", CHUNKED) + END + body, *right, end="half" if cut else "wait")


def cut_bodies(rng: Random) -> Attack:
    """A sender that goes away before the end, softly or hard."""
    request = post(rng.choice(["/predict", "/explain"]), DIGIT)
    beginning = request[: rng.randrange(1, len(request))]
    return sent(beginning, 400, 408, CLOSED, end=rng.choice(["half", "reset"]))


def slow_senders(rng: Random) -> Attack:
    """A byte a second, of the headers or of the body."""
    first = head("POST", "/predict", f"Content-Length: {len(DIGIT)}")
    slow, start = rng.choice([(first, 5), (first + END + DIGIT, len(first) + len(END))])
    drops = [step for i in range(start, start + SLOW_BYTES) for step in (slow[i : i + 1], SLOW_S)]
    return Attack((slow[:start], *drops), frozenset({408, CLOSED}))


def header_floods(rng: Random) -> Attack:
    """Many headers, or one that is large, or invalid names and values."""
    size = rng.choice([1_000, 10_000, 100_000, 1_000_000])
    headers = rng.choice(
        [
            ["X-Many: 1"] * (size // 100),
            [f"X-{rng.getrandbits(64)}: {i}" for i in range(min(size // 100, 2_000))],
            ["X-Large: " + "a" * size],
            ["Cookie: " + "a=b; " * (size // 5)],
            ["X" * size + ": 1"],
            [": no name"],
            ["No colon"],
            ["X-Nul: a\0b"],
            ["X-Return: a\rb"],
            [b"X-Latin: \xe9\xff\xfe"],
            ["X-Fold: a\r\n folded"],
            ["X-Space : 1"],
            ["X-Request-ID: " + rng.choice(["a" * 65, "../../x", '"}\\n{"level": "fake', "ü", "a b", "<script>"])],
            [
                "Content-Type: "
                + rng.choice(["/", "image/" + "x" * 5_000, "multipart/", ";;;", "text/html; charset=\x7f"])
            ],
            ["Content-Encoding: " + rng.choice(["gzip", "br", "deflate, gzip"])],
            ["Accept: " + rng.choice(["*/*;q=2", "a" * 5_000, ",,,,"])],
            ["Range: bytes=" + "0-," * rng.choice([1, 1_000])],
            ["Authorization: " + rng.choice(["Bearer", "Bearer " + "é" * 100, "Basic Og==", "Bearer \x80"])],
            ["Expect: " + rng.choice(["100-continue", "200-ok"])],
            ["Upgrade: " + rng.choice(["h2c", "websocket"]), "Connection: Upgrade", "Sec-WebSocket-Key: x"],
        ]
    )
    return sent(post("/predict", DIGIT, *headers), 200, 401, 417, 426, *REFUSED, CLOSED)


def smuggling(rng: Random) -> Attack:
    """A second request hidden in the body of the first; it must not be answered."""
    hidden = head("GET", "/models") + END
    both = f"Content-Length: {rng.choice([4, 5, 6])}"
    doubtful = rng.choice(
        [
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding : chunked",
            "Transfer-Encoding:\x0bchunked",
            "Transfer-Encoding: chunked, identity",
            "Transfer-Encoding: identity",
            "X: y\nTransfer-Encoding: chunked",
            "Transfer-Encoding:\r\n chunked",
        ]
    )
    requests = [
        head("POST", "/predict", both, CHUNKED) + END + b"0\r\n\r\n" + hidden,
        head("POST", "/predict", CHUNKED, both) + END + b"0\r\n\r\n" + hidden,
        head("POST", "/predict", both, doubtful) + END + b"0\r\n\r\n" + hidden,
        head("POST", "/predict", doubtful) + END + b"0\r\n\r\n" + hidden,
        head("GET", "/health/live", f"Content-Length: {len(hidden)}") + END + hidden,
    ]
    return sent(rng.choice(requests), 200, 501, *REFUSED, CLOSED)


def traversal(rng: Random) -> Attack:
    """A target or a model name that points out of the service."""
    up = rng.choice(["../", "..%2f", "%2e%2e/", "%2e%2e%2f", "..%5c", "..\\", "....//", "%252e%252e%252f", "..%c0%af"])
    secret = up * rng.randrange(1, 9) + rng.choice(SECRETS)
    places = ["/web/", "/", "//", "/docs/", "/v2/models/", "/web/app.js/", "file:///", "/static/", "/web/%00"]
    if rng.random() < 0.4:
        target = rng.choice(["/predict?model=", "/explain?model="]) + rng.choice(
            [secret, "/" + secret, "general%00.onnx"]
        )
        return sent(post(target, DIGIT), 404, 400)
    if rng.random() < 0.3:
        return sent(post(f"/v2/models/{secret}/infer", b"{}", JSON), 404, 400, 405)
    return sent(head("GET", rng.choice(places) + secret) + END, 404, 400)


def odd_text(rng: Random) -> Attack:
    """NUL, control characters, unicode and endless text where names are expected."""
    text = rng.choice(
        [
            b"\0",
            b"%00",
            b"%0d%0aX-Injected:%201",
            b"%ff%fe",
            "ünï".encode(),
            "💥".encode(),
            b"%F0%9F%92%A5",
            b"%",
            b"%zz",
            b"\x7f",
            b"\xff",
            b"a" * rng.choice([300, 9_000, 70_000]),
            b"<script>alert(1)</script>",
            b"' OR 1=1--",
            b"${7*7}",
            b"{{7*7}}",
            b"%E2%80%AE",
        ]
    )
    targets = [b"/predict?model=" + text, b"/predict?" + text + b"=1", b"/v2/models/" + text + b"/infer"]
    if rng.random() < 0.5:
        target = rng.choice(targets)
        return sent(post(target, DIGIT), 200, 404, 405, *REFUSED, CLOSED)
    return sent(head("GET", rng.choice([b"/", b"/web/", b"/v2/models/"]) + text) + END, 404, *REFUSED, CLOSED)


def wrong_methods(rng: Random) -> Attack:
    """A method that the route does not have, or an invalid one."""
    method = rng.choice(
        ["DELETE", "PUT", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "FOO", "get", "P\0ST", "X" * 5_000, ""]
    )
    target = rng.choice(["/predict", "/models", "/health/ready", "/metrics", "/", "/v2", "/corrections", "/nowhere"])
    return sent(head(method, target) + END, 400, 404, 405, 501, CLOSED)


def other_protocols(rng: Random) -> Attack:
    """HTTP/0.9, HTTP/2, TLS, or no protocol at all."""
    request = rng.choice(
        [
            b"GET /\r\n\r\n",
            b"GET / HTTP/0.9\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: b\r\nConnection: close\r\n\r\n",
            b"GET / HTTQ/1.1\r\nHost: localhost\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(200),
            rng.randbytes(rng.choice([1, 100, 10_000])) + b"\r\n\r\n",
            b"\r\n" * rng.choice([1, 1_000]) + b"\r\n",
            b"SSH-2.0-OpenSSH_9.9\r\n",
            b"\0" * 1_000,
            b"CONNECT localhost:22 HTTP/1.1\r\nHost: localhost\r\n\r\n",
            TUNNEL,
            b"GET http://example.org/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            b"GET /health/live HTTP/1.1\nHost: localhost\nConnection: close\n\n",
        ]
    )
    return sent(request, 200, 400, 404, 405, 501, 505, CLOSED, end="half")


def pipelines(rng: Random) -> Attack:
    """Many requests before the first answer; each is answered, in its turn, whatever protocol it offers besides."""
    count = rng.choice([2, 20, 100, 1_500])
    request = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n" + rng.choice([b"", UPGRADE]) + b"\r\n"
    if rng.random() < 0.2:  # the last one is invalid
        return sent(request * (count - 1) + rng.choice([b"\0\r\n\r\n", TUNNEL]), 400, answers=count)
    last = head("GET", "/health/live") + END
    return sent(request * (count - 1) + last, 200, answers=count)


def endless_ends(rng: Random) -> Attack:
    """Bytes that bring nothing: trailers, extensions of a chunk, empty lines."""
    size = rng.choice([100_000, 1_000_000])
    body = rng.choice(
        [
            b"0\r\n" + b"a:\r\n" * (size // 4),
            b"0\r\na: " + b"b" * size,
            b"1;" + b"b" * size,
            b"1" + b" " * size,
            b"0" * size,
        ]
    )
    if rng.random() < 0.2:
        return sent(b"\r\n" * (size // 2), 400, CLOSED)
    return sent(head("POST", "/predict", CHUNKED) + END + body, 400, CLOSED)


def idle(rng: Random) -> Attack:
    """A connection without a request, or with a request that never ends, for as long as the service allows."""
    beginning = rng.choice([b"", b"G", b"POST /predict HTTP/1.1\r\nHost: localhost\r\n"])
    return Attack((beginning,), frozenset({408, CLOSED}))


KINDS: dict[str, Callable[[Random], Attack]] = {
    "lengths that lie": lying_lengths,
    "broken chunks": broken_chunks,
    "cut off in the middle": cut_bodies,
    "a byte a second": slow_senders,
    "connections that say nothing": idle,
    "header floods, odd headers": header_floods,
    "request smuggling": smuggling,
    "path traversal": traversal,
    "NUL, unicode, endless names": odd_text,
    "wrong methods": wrong_methods,
    "other protocols, noise": other_protocols,
    "pipelining": pipelines,
    "trailers and empty lines without end": endless_ends,
}
