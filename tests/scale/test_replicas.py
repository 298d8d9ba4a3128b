"""Replicas behind nginx with the configuration of deploy/: what they send, what happens when one of them ends."""

from __future__ import annotations

import http.client
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from benchmarks.scale import replicas
from inkdigit.client import ask
from inkdigit.errors import Busy
from inkdigit.serve.defaults import MAX_BYTES

ROOT = Path(__file__).parents[2]
GONE = 0  # the replica closes the connection without an answer
pytestmark = pytest.mark.skipif(shutil.which("nginx") is None, reason=replicas.NO_NGINX)


@contextmanager
def stub(status: int, got: list[dict[str, str]]) -> Iterator[int]:
    """A replica that answers everything but its health with `status`; its port. `got` has the headers of requests."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.reply(200)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            got.append(dict(self.headers))
            if status == GONE:
                self.close_connection = True
            else:
                self.reply(status)

        def reply(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "2")
            if status == 503:
                self.send_header("Retry-After", "7")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer((replicas.HOST, 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@dataclass
class Proxy:
    """A running nginx."""

    port: int

    def send(
        self, path: str, body: bytes = b"x", method: str = "POST", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the answer to one request; `_` in the name of a header is `-`."""
        connection = http.client.HTTPConnection(replicas.HOST, self.port, timeout=10)
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        with connection.getresponse() as response:
            answer = response.status, dict(response.headers), response.read()
        connection.close()
        return answer


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[Callable[..., Proxy]]:
    """Start nginx before two replicas that answer with these statuses; nobody listens in place of missing ones."""
    with ExitStack() as stack:

        def start(*statuses: int, got: list[dict[str, str]]) -> Proxy:
            ports = [stack.enter_context(stub(status, got)) for status in statuses]
            ports += replicas.free_ports(2 - len(ports))
            return Proxy(stack.enter_context(replicas.proxy(ports, tmp_path)))

        tmp_path.chmod(0o755)
        yield start


@pytest.mark.slow
def test_a_replica_may_end_under_load_without_a_lost_request(tmp_path):
    record = replicas.measure(tmp_path, rounds=1, threads=3, calm_s=0.3, hang_s=0)
    assert replicas.problems(record) == []
    assert all(record["phases"][phase]["n"] > 0 for phase in replicas.PHASES if phase != replicas.HUNG)
    assert record["reasons"]["refused"] > 0


@pytest.mark.parametrize("failure", [GONE, 502])
def test_a_prediction_is_sent_to_the_other_replica(behind, failure):
    got = []
    proxy = behind(failure, 200, got=got)
    statuses = [proxy.send("/predict")[0] for _ in range(4)]
    assert statuses == [200] * 4
    assert len(got) > 4
    assert len({headers["X-Request-ID"] for headers in got}) == 4


def test_a_correction_is_not_sent_twice(behind):
    got = []
    proxy = behind(GONE, GONE, got=got)
    status, _, body = proxy.send("/corrections")
    assert (status, json.loads(body)["kind"]) == (502, "InternalError")
    assert len(got) == 1


def test_a_correction_reaches_the_replica_that_is_left(behind):
    got = []
    proxy = behind(200, got=got)
    assert [proxy.send("/corrections")[0] for _ in range(4)] == [200] * 4


def test_the_answer_of_a_busy_replica_is_passed_on_and_it_is_not_left_out(behind):
    got = []
    proxy = behind(503, 503, got=got)
    for _ in range(10):  # more than the failures after which a replica is left out
        status, headers, _ = proxy.send("/predict")
        assert (status, headers["Retry-After"]) == (503, "7")
    assert len(got) == 10


def test_without_replicas_the_answer_is_that_of_a_busy_service(behind, monkeypatch):
    proxy = behind(got=[])
    status, headers, body = proxy.send("/predict", X_Request_ID="mine")
    assert (status, headers["Retry-After"], headers["X-Request-ID"]) == (Busy.http_status, "1", "mine")
    assert json.loads(body)["kind"] == Busy.__name__
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(Busy):
        list(ask(f"http://{replicas.HOST}:{proxy.port}", [ROOT / "examples" / "7-pen-on-paper.png"]))


def test_what_is_too_large_is_refused_before_it_is_read(behind):
    got = []
    proxy = behind(200, 200, got=got)
    assert proxy.send("/predict", b"x" * MAX_BYTES)[0] == 200
    status, headers, body = proxy.send("/predict", b"", Content_Length=str(MAX_BYTES + 1), X_Request_ID="large")
    assert (status, headers["X-Request-ID"]) == (413, "large")
    assert json.loads(body)["kind"] == "RequestTooLarge"
    assert len(got) == 1


def test_a_request_id_is_passed_on_if_the_service_would_accept_it(behind):
    got = []
    proxy = behind(200, 200, got=got)
    proxy.send("/predict", X_Request_ID="Mine-1.2_3")
    proxy.send("/predict", X_Request_ID="not one")
    proxy.send("/predict")
    first, second, third = (headers["X-Request-ID"] for headers in got)
    assert first == "Mine-1.2_3"
    assert len({second, third, "not one"}) == 3
    assert {len(second), len(third)} == {32}
    assert {headers["Host"] for headers in got} == {replicas.HOST}


def test_the_counts_of_one_replica_are_not_shown(behind):
    status, _, body = behind(200, 200, got=[]).send("/metrics", method="GET")
    assert (status, json.loads(body)["kind"]) == (404, "NotFound")
