"""A service as a process: how it starts, how it stops, and several worker processes as one."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from inkdigit.errors import NotJson, UsageError

from .conftest import Served, post, read_answer, start


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_finishes_what_is_in_flight(seven, number):
    served = start()
    host, _, port = served.url.removeprefix("http://").partition(":")
    request = post(seven)
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(request[:-100])
        time.sleep(0.3)
        served.process.send_signal(number)
        time.sleep(0.3)
        with pytest.raises(OSError):  # nobody new is let in
            socket.create_connection((host, int(port)), timeout=1).close()
        connection.sendall(request[-100:])
        answer = read_answer(connection)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in head
    assert json.loads(body)["predictions"][0]["label"] == "7"
    assert served.stop() == 0
    assert not [line for line in served.said if "Traceback" in line]


def test_workers_count_together(seven):
    served = start("--workers", "2", "--host", "0.0.0.0")
    assert any(line.startswith("Warning: whoever reaches") for line in served.said)
    for _ in range(20):
        assert httpx.post(f"{served}/predict", content=seven).status_code == 200
    for _ in range(6):  # whichever worker is asked
        told = httpx.get(f"{served}/metrics").text
        assert 'inkdigit_requests_total{route="/predict",status="200"} 20.0' in told
        assert 'inkdigit_pictures_total{label="7",model="general"} 20.0' in told
        assert "inkdigit_queue 0.0" in told
    assert served.stop() == 0


def test_it_needs_no_home_and_writes_nothing_but_corrections(tmp_path):
    (tmp_path / "here").mkdir()
    env = {"HOME": "/nonexistent", "INKDIGIT_TOKEN": "a-secret"}
    served = start("--host", "0.0.0.0", "--collect", tmp_path / "kept.db", cwd=tmp_path / "here", env=env)
    assert served.url.startswith("http://127.0.0.1:")
    assert not any(line.startswith("Warning: ") for line in served.said)
    told = httpx.get(f"{served}/info").json()
    assert (told["collects"], told["needs_token"]) == (True, True)
    for kind, error in (
        ("text/plain", NotJson),
        ("application/json", UsageError),
    ):
        headers = {"Authorization": "Bearer a-secret", "Content-Type": kind}
        answer = httpx.post(f"{served}/corrections", content=b"{}", headers=headers)
        assert (answer.status_code, answer.json()["kind"]) == (error.http_status, error.__name__)
    assert served.stop() == 0
    assert list((tmp_path / "here").iterdir()) == []


def test_the_queue_is_that_of_all_workers(make_server, vast):
    served = make_server("--workers", "2", "--time-limit", "60")
    with ThreadPoolExecutor(8) as pool:
        asked = [
            pool.submit(httpx.post, f"{served}/predict", files=[("file", vast)] * 4, timeout=120) for _ in range(8)
        ]
        time.sleep(0.5)
        first = _queue(served)
        assert {each.result().status_code for each in asked} == {200}
    assert first >= 6  # whichever worker is asked, and as if for the first time
    assert [_queue(served) for _ in range(6)] == [0] * 6


def _queue(served: Served) -> float:
    told = re.search(r"^inkdigit_queue (.*)$", httpx.get(f"{served}/metrics", timeout=60).text, re.MULTILINE)
    assert told
    return float(told[1])


@pytest.mark.skipif(sys.platform == "win32", reason="nothing is killed like that there")
def test_a_worker_that_dies_is_told_and_replaced(make_server):
    served = make_server("--workers", "2")
    until = time.monotonic() + 30
    while len(started := _said(served, "started")) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    os.kill(started[0]["pid"], signal.SIGKILL)
    while len(_said(served, "started")) < 3 and time.monotonic() < until:
        time.sleep(0.05)
    (died,) = _said(served, "worker_died")
    assert (died["pid"], died["exitcode"], died["level"]) == (started[0]["pid"], -signal.SIGKILL, "error")
    assert len(_said(served, "started")) == 3


def _said(served: Served, event: str) -> list[dict]:
    return [json.loads(line) for line in served.said if f'"event": "{event}"' in line]


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
