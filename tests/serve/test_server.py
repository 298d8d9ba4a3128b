"""A service as a process: how it starts, how it stops, and several worker processes as one."""

from __future__ import annotations

import json
import signal
import socket
import time

import httpx
import pytest

from inkdigit.errors import NotJson, UsageError

from .conftest import post, read_answer, start


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
