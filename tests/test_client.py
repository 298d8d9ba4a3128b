"""The client: what it sends, its errors for other servers, and its retries with a busy one."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image

from inkdigit import client, connection
from inkdigit.errors import (
    Busy,
    InkdigitError,
    NotAPicture,
    PictureError,
    RequestTooLarge,
    TooSlow,
    Unauthorized,
    Unreachable,
    UsageError,
)

INFO = {"limits": {"max_bytes": 4000, "max_files": 3}}
SEEN = {"label": "7", "confidence": 0.5, "score": 1.0, "reason": None, "probs": [0.5, 0.5], "model": "tiny"}
READ = {"text": "1", "confidence": 0.5, "reason": None, "numbers": [], "model": "line"}
Reply = tuple[int, object, dict[str, str]]


@dataclass
class Request:
    """A request as it arrived."""

    path: str
    headers: dict[str, str]
    pictures: list[bytes]
    port: int  # of the client's end: the same one, the same connection


@dataclass
class Server:
    """A server that answers as a test says."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)  # to what is posted, in their order; then as Inkdigit does
    info: object = field(default_factory=lambda: INFO)
    max_together: tuple[int, tuple[int, object]] | None = None  # images of a request, and the response to more

    def reply(self, request: Request) -> Reply:
        if request.path.endswith("/info"):
            return 200, self.info, {}
        if self.replies:
            return self.replies.pop(0)
        if self.max_together and len(request.pictures) > self.max_together[0]:
            return *self.max_together[1], {}
        entries = [{"file": "1", **SEEN, "label": picture.decode()} for picture in request.pictures]
        return 200, {"model": "tiny", "predictions": entries}, {}

    @property
    def posted(self) -> list[Request]:
        return [request for request in self.requests if "/predict" in request.path]


@pytest.fixture
def server() -> Iterator[Server]:
    fake = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = body.split(b"--" + self.headers.get("Content-Type", "=").rpartition("=")[2].encode())[1:-1]
            pictures = [part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for part in parts]
            request = Request(self.path, dict(self.headers), pictures, self.client_address[1])
            fake.requests.append(request)
            status, answer, headers = fake.reply(request)
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)
            self.close_connection = "X-Last" in headers  # without a word of it

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        thread = Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        fake.url = f"http://127.0.0.1:{running.server_port}"
        yield fake
        running.shutdown()
        thread.join()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the client waited, each time; nobody waits for it."""
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    return waited


@pytest.fixture
def files(tmp_path: Path) -> Callable[..., list[Path]]:
    """Files that hold the words that are given."""

    def write(*words: str) -> list[Path]:
        for number, word in enumerate(words):
            (tmp_path / f"{number}.png").write_text(word, encoding="utf-8")
        return [tmp_path / f"{number}.png" for number in range(len(words))]

    return write


def test_each_file_has_its_answer_in_its_place(server, files, tmp_path):
    first, second = files("1", "2")
    odd = [tmp_path, tmp_path / "none.png", tmp_path / ("a" * 300), PictureError("A folder without pictures")]
    answers = list(client.ask(server.url, [first, *odd, second]))
    assert answers[0] == {"file": str(first), **SEEN, "label": "1"}
    assert list(answers[0]) == ["file", *SEEN]
    assert [answer.get("kind") for answer in answers] == [None, "NotAPicture", *["PictureError"] * 3, None]
    assert "is a directory" in answers[1]["error"]
    assert answers[2]["error"] == f"There is no file {tmp_path / 'none.png'}."
    assert "too long" in answers[3]["error"]
    assert answers[4] == {"file": None, "error": "A folder without pictures.", "kind": "PictureError"}
    assert answers[5]["label"] == "2"
    assert not any(str(tmp_path) in str(request) for request in server.requests)  # how files are called stays here


def test_a_few_travel_together_below_the_limits_of_the_server_over_one_connection(server, files):
    words = ["1", "2", "3", "4", "5" * 2000, "6" * 2000, "7" * 3489, "8" * 3488, "9"]
    answers = list(client.ask(server.url, files(*words)))
    assert [len(request.pictures) for request in server.posted] == [3, 2, 1, 1, 1]
    assert all(int(request.headers["Content-Length"]) <= 4000 for request in server.posted)
    assert len({request.port for request in server.posted}) == 1
    assert [answer.get("label", answer.get("kind")) for answer in answers] == [
        *words[:6],
        "PictureTooLarge",
        *words[7:],
    ]


def test_a_file_is_read_when_its_turn_comes(server, files):
    def endless() -> Iterator[Path]:
        while True:
            yield from files("1")

    answers = client.ask(server.url, endless())
    assert [next(answers)["label"] for _ in range(7)] == ["1"] * 7
    answers.close()
    assert len(server.posted) == 3


def test_model_and_token_are_passed_on(server, files):
    list(client.ask(f"{server.url}/base/", files("1"), token="secret", model="a b/c?"))
    assert [request.path for request in server.requests] == ["/base/info", "/base/predict?model=a%20b%2Fc%3F"]
    assert {request.headers["Authorization"] for request in server.requests} == {"Bearer secret"}
    list(client.ask(server.url, files("1")))
    assert server.requests[-1].path == "/predict"
    assert "Authorization" not in server.requests[-1].headers


def test_a_single_bad_picture_is_told_under_the_name_of_its_file(server, files):
    (file,) = files("1")
    server.replies = [(415, {"error": "the bytes: no picture.", "kind": "NotAPicture"}, {})]
    expected = {"file": str(file), "error": f"{file}: no picture.", "kind": NotAPicture.__name__}
    assert list(client.ask(server.url, [file])) == [expected]
    entry = {"file": "2", "error": "the bytes: no picture.", "kind": "NotAPicture"}
    server.replies = [(200, {"predictions": [{"file": "1", **SEEN}, entry]}, {})]
    assert list(client.ask(server.url, [file, file]))[1] == expected


@pytest.mark.parametrize(
    "refusal", [(413, {"error": "!", "kind": "RequestTooLarge"}), (408, {"error": "!", "kind": "TooSlow"})]
)
def test_what_is_too_much_together_travels_in_smaller_parts_from_then_on(server, files, refusal):
    server.info = {"limits": {"max_bytes": 100_000, "max_files": 64}}
    server.max_together = 3, refusal
    answers = list(client.ask(server.url, files(*"12345678123456781234")))
    assert "".join(answer["label"] for answer in answers) == "12345678123456781234"
    assert [len(request.pictures) for request in server.posted] == [16, 8, 4, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]


BUSY: Reply = (503, {"error": "Too much to do.", "kind": "Busy"}, {"Retry-After": "2"})


def test_a_busy_server_is_asked_again_when_it_says_so(server, files, waits):
    odd = (503, {"error": "Too much to do.", "kind": "Busy"}, {"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"})
    forever = (503, {"error": "Too much to do.", "kind": "Busy"}, {"Retry-After": "100000"})
    server.replies = [BUSY, odd, forever]
    assert [answer["label"] for answer in client.ask(server.url, files("1"))] == ["1"]
    assert waits == [2, 1, connection.MAX_WAIT_S]


def test_patience_with_a_busy_server_has_an_end(server, files, waits):
    server.replies = [BUSY] * 100
    with pytest.raises(Busy, match="Too much to do"):
        list(client.ask(server.url, files("1")))
    assert len(waits) == connection.MAX_RETRIES


def test_a_refusal_is_told_in_the_words_of_the_server(server, files):
    for status, error in (
        (400, UsageError),
        (401, Unauthorized),
        (404, UsageError),
        (408, TooSlow),
        (413, RequestTooLarge),
        (500, Unreachable),
        (507, Unreachable),
    ):
        server.replies = [(status, {"error": "Such is life.", "kind": "Whatever"}, {})]
        with pytest.raises(InkdigitError, match="Such is life") as caught:
            list(client.ask(server.url, files("1")))
        assert type(caught.value) is error, status


NO_ANSWERS: list[tuple[int, object]] = [
    (200, b"<html>"),
    (200, b""),
    (200, b"[" * 100_000),
    (200, b"\xff"),
    (200, []),
    (200, {"predictions": []}),
    (200, {"predictions": [{}]}),
    (200, {"predictions": ["7"]}),
    (200, {"predictions": [{**SEEN, "probs": 7}]}),
    (200, {"predictions": [{**SEEN, "confidence": "high"}]}),
    (200, {"predictions": [SEEN, SEEN]}),
    (301, {"moved": True}),
    (404, {"detail": "Not Found"}),
    (502, b"Bad Gateway"),
]


def test_what_is_no_answer_of_inkdigit_is_one_error(server, files):
    for status, answer in NO_ANSWERS:
        server.replies = [(status, answer, {})]
        with pytest.raises(Unreachable, match="does not answer as Inkdigit does"):
            list(client.ask(server.url, files("1")))
        assert server.replies == [], (status, answer)


@pytest.mark.parametrize("info", [{}, [], "", {"limits": 3}, {"limits": {"max_bytes": "many", "max_files": 3}}])
def test_a_server_that_is_another_is_told_before_the_first_answer(server, info):
    server.info = info
    with pytest.raises(Unreachable, match="/info does not list its limits"):
        client.ask(server.url, [])


def test_nobody_answers(files):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Unreachable, match=r"Connection refused\. Start one with: inkdigit serve") as caught:
        client.ask(f"http://127.0.0.1:{port}", files("1"))
    assert caught.value.exit_code == 8
    with pytest.raises(Unreachable, match="does not answer"):
        client.ask("http://no-such-host.invalid", [])


def test_somebody_is_there_and_says_nothing():
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(Unreachable, match=r"did not answer within 0\.2 s"),
    ):
        client.ask(f"http://127.0.0.1:{silent.getsockname()[1]}", [], timeout=0.2)


@pytest.mark.parametrize(("sent", "text"), [(b"SSH-2.0-OpenSSH\r\n", "not HTTP"), (b"", "without response")])
def test_somebody_is_there_and_speaks_something_else(sent, text):
    with socket.create_server(("127.0.0.1", 0)) as odd:

        def speak() -> None:
            for _ in range(2):  # a connection that breaks is tried once more
                with suppress(OSError), odd.accept()[0] as line:  # unless the test is over by then
                    line.recv(1000)
                    line.sendall(sent)

        Thread(target=speak, daemon=True).start()
        with pytest.raises(Unreachable, match=text):
            client.ask(f"http://127.0.0.1:{odd.getsockname()[1]}", [])


def test_https_to_a_server_of_http_is_one_error(server):
    with pytest.raises(Unreachable, match="does not answer"):
        client.ask(server.url.replace("http", "https"), [], timeout=5)


def test_a_connection_that_was_closed_meanwhile_is_opened_anew(server, files):
    server.replies = [(200, {"predictions": [{"file": "1", **SEEN}] * 3}, {"X-Last": "yes"})]
    assert len(list(client.ask(server.url, files(*"123456")))) == 6
    assert len({request.port for request in server.posted}) == 2


SCHEMES = ["", "localhost:8000", "ftp://localhost", "file:///etc/passwd", "http://", "http://:80"]
PLACES = ["http://a:port", "http://a:99999", "http://[::1", f"http://{'a' * 64}", "http://a..b"]


def test_an_address_that_is_none():
    for address in (*SCHEMES, *PLACES, "http://user:secret@a", "http://a/?model=fast"):
        with pytest.raises(UsageError, match="not the address of a server"):
            client.ask(address, [])


def test_the_next_step_after_an_address_without_its_scheme():
    with pytest.raises(UsageError, match="Did you mean http://localhost:8000"):
        client.ask("localhost:8000", [])


@pytest.mark.parametrize("token", ["two\r\nlines", "geheim\n", "schlüssel"])
def test_a_token_that_cannot_be_sent(server, token):
    with pytest.raises(UsageError, match="This token cannot be sent"):
        client.ask(server.url, [], token=token)


def test_the_classes_of_a_model(server):
    server.replies = [(200, {"models": [{"name": "other"}, {"name": "tiny", "classes": ["a", "b"]}]}, {})]
    assert client.classes(server.url, "tiny") == ["a", "b"]


@pytest.mark.parametrize("models", [{}, {"models": []}, {"models": [3]}, {"models": [{"name": "tiny"}]}])
def test_a_server_that_does_not_say_its_classes(server, models):
    server.replies = [(200, models, {})]
    with pytest.raises(Unreachable, match="does not list the classes"):
        client.classes(server.url, "tiny")


def test_a_client_has_predictions_and_raises_what_the_command_line_prints(server, files):
    asked = client.Client(server.url, token="sesame", model="tiny")
    assert "sesame" not in repr(asked)
    server.replies = [(200, {"models": [{"name": "tiny", "classes": list("0123456789")}]}, {})]
    assert asked.classes == tuple("0123456789")
    (first, second) = asked.predict([str(files("3", "4")[0]), b"5"])
    assert first.classes == asked.classes  # asked for once
    assert (first.label, second.label, first.confidence) == ("3", "5", 0.5)
    assert first.probs.dtype == "float32"
    assert server.posted[0].path == "/predict?model=tiny"
    server.replies = [(200, {"predictions": [SEEN]}, {})]
    assert asked.predict(np.eye(28))[0].label == "7"
    assert Image.open(io.BytesIO(server.posted[-1].pictures[0])).size == (28, 28)
    bad = {"error": "the bytes: not an image.", "kind": "NotAPicture"}
    server.replies = [(200, {"predictions": [SEEN, bad]}, {})]
    with pytest.raises(NotAPicture, match="not an image"):
        asked.predict([b"1", b"2"])
    server.replies = [(200, {"readings": [{**READ, "numbers": [{"text": "1"}]}]}, {})]
    with pytest.raises(Unreachable, match="an answer has another form"):
        asked.read(b"1")
    with pytest.raises(UsageError, match="not the address"):
        client.Client("localhost:8000")
