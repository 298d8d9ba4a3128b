"""A service as a process: how it starts, how it stops, and several worker processes as one."""

from __future__ import annotations

import inspect
import json
import os
import re
import signal
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import httpx
import pytest
from uvicorn import Config, Server
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from inkdigit.errors import NotJson, UsageError
from inkdigit.serve import server

from .conftest import START_S, MakeServer, Served, post, read_answer, wait_until


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_finishes_what_is_in_flight(start_server, seven, number):
    served = start_server("--time-limit", "60")
    request = post(seven, "Expect: 100-continue")
    with served.connect() as connection:
        connection.sendall(request[:-100])
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")  # it is in flight: its body is waited for
        served.process.send_signal(number)
        wait_until(lambda: not _is_listening(served), what="nobody new is let in")
        connection.sendall(request[-100:])
        answer = read_answer(connection)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in head
    assert json.loads(body)["predictions"][0]["label"] == "7"
    assert served.stop() == 0
    assert not [line for line in served.lines if "Traceback" in line]


@pytest.fixture(scope="module")
def several(make_server: MakeServer) -> Served:
    """A service of two worker processes, in reach of others."""
    return make_server("--workers", "2", "--host", "0.0.0.0", "--time-limit", "60")


def test_workers_count_together(several, seven):
    served = several
    assert any(line.startswith("Warning: anyone who can reach") for line in served.lines)
    for _ in range(20):
        assert httpx.post(f"{served}/predict", content=seven).status_code == 200
    for _ in range(6):  # either worker may answer
        data = httpx.get(f"{served}/metrics").text
        assert 'inkdigit_requests_total{route="/predict",status="200"} 20.0' in data
        assert 'inkdigit_pictures_total{label="7",model="general"} 20.0' in data
        assert "inkdigit_queue 0.0" in data


def test_it_needs_no_home_and_writes_nothing_but_corrections(start_server, tmp_path):
    (tmp_path / "here").mkdir()
    env = {"HOME": "/nonexistent", "INKDIGIT_TOKEN": "a-secret"}
    served = start_server("--host", "0.0.0.0", "--collect", tmp_path / "kept.db", cwd=tmp_path / "here", env=env)
    assert served.url.startswith("http://127.0.0.1:")
    assert not any(line.startswith("Warning: ") for line in served.lines)
    data = httpx.get(f"{served}/info").json()
    assert (data["collects"], data["needs_token"]) == (True, True)
    for kind, error in (
        ("text/plain", NotJson),
        ("application/json", UsageError),
    ):
        headers = {"Authorization": "Bearer a-secret", "Content-Type": kind}
        answer = httpx.post(f"{served}/corrections", content=b"{}", headers=headers)
        assert (answer.status_code, answer.json()["kind"]) == (error.http_status, error.__name__)
    assert served.stop() == 0
    assert list((tmp_path / "here").iterdir()) == []


def test_the_queue_is_that_of_all_workers(several, vast):
    with ThreadPoolExecutor(8) as pool:
        calls = [
            pool.submit(httpx.post, f"{several}/predict", files=[("file", vast)] * 4, timeout=2 * START_S)
            for _ in range(8)
        ]
        # Each worker has some of the eight, and either says how many both have.
        wait_until(lambda: _queue(several) >= 6 or all(each.done() for each in calls), what="eight calls")
        assert not all(each.done() for each in calls)
        assert {each.result().status_code for each in calls} == {200}
    wait_until(lambda: [_queue(several) for _ in range(6)] == [0] * 6, what="an empty queue")


def _queue(served: Served) -> float:
    data = re.search(r"^inkdigit_queue (.*)$", httpx.get(f"{served}/metrics", timeout=START_S).text, re.MULTILINE)
    assert data
    return float(data[1])


@pytest.mark.skipif(sys.platform == "win32", reason="nothing is killed like that there")
def test_a_worker_that_is_killed_comes_back_and_the_service_answers_on(several, seven):
    served = several
    started = _wait_for(served, "started", 2)
    os.kill(started[0]["pid"], signal.SIGKILL)
    (died,) = _wait_for(served, "worker_died", 1)
    assert (died["pid"], died["exitcode"], died["level"]) == (started[0]["pid"], -signal.SIGKILL, "error")
    for _ in range(5):  # by the other one
        assert httpx.post(f"{served}/predict", content=seven, timeout=START_S).status_code == 200
    assert len(_wait_for(served, "started", 3)) == 3
    assert httpx.get(f"{served}/metrics", timeout=START_S).status_code == 200


@pytest.mark.skipif(sys.platform == "win32", reason="nothing is killed like that there")
def test_if_the_parent_is_killed_its_workers_stop(start_server, tmp_path):
    served = start_server(
        "--workers", "2", env={"TMPDIR": str(tmp_path)}
    )  # the counts of a parent that was killed stay
    workers = {line["pid"] for line in _wait_for(served, "started", 2)}
    served.stop(signal.SIGKILL)
    assert {line["pid"] for line in _wait_for(served, "parent_died", 2)} == workers
    assert {line["pid"] for line in _wait_for(served, "stopped", 2)} == workers
    wait_until(lambda: not _is_listening(served), what="no service")


@pytest.mark.skipif(sys.platform == "win32", reason="nothing is killed like that there")
def test_a_single_process_that_is_killed_has_ended(start_server):
    served = start_server()
    assert served.stop(signal.SIGKILL) == -signal.SIGKILL
    assert not _is_listening(served)


def _wait_for(served: Served, event: str, count: int) -> list[dict]:
    """The lines of the log about an event, when there are so many."""
    wait_until(lambda: len(_said(served, event)) >= count, what=f"{count} lines {event}")
    return _said(served, event)


def _said(served: Served, event: str) -> list[dict]:
    return [json.loads(line) for line in [*served.lines] if f'"event": "{event}"' in line]


def _is_listening(served: Served) -> bool:
    try:
        served.connect().close()
    except OSError:
        return False
    return True


def test_what_is_used_of_uvicorn_is_there():
    """After a new release of uvicorn: adapt `serve/server.py`, then raise the bound in `pyproject.toml`."""
    used = (
        (Multiprocess, "run"),
        (Multiprocess, "keep_subprocess_alive"),
        (Process, "pid"),
        (Process, "exitcode"),
    )
    gone = [f"{kind.__name__}.{name}" for kind, name in used if not hasattr(kind, name)]
    gone += [] if hasattr(Server(Config("")), "should_exit") else ["Server.should_exit"]
    gone += [] if "self.processes" in inspect.getsource(Multiprocess) else ["Multiprocess.processes"]
    assert not gone, f"uvicorn {version('uvicorn')} has no {', '.join(gone)}, which serve/server.py uses"
    assert list(inspect.signature(Multiprocess).parameters) == ["config", "sockets"]
    assert server.STARTUP_FAILURE == STARTUP_FAILURE


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
@pytest.mark.parametrize("host", ["::", "::1"])
def test_what_it_says_to_open_can_be_opened(make_server, host):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    served = make_server("--host", host)  # ready, at the address that it says
    assert httpx.get(f"{served}/info").status_code == 200
    port = served.url.rpartition(":")[2]
    assert httpx.get(f"http://[::1]:{port}/info").status_code == 200
