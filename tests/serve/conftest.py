"""Running services: `inkdigit serve` in a process of its own, with requests over HTTP as from any client."""

from __future__ import annotations

import asyncio
import io
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import httpx
import numpy as np
import pytest
from PIL import Image

from inkdigit.picture.prepare import prepare
from inkdigit.synth.drawn import digit
from inkdigit.types import Gray

START_S = 60  # for whatever is waited for: far above what a busy machine takes
T = TypeVar("T")


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, run in a thread of its own: a browser that is driven has an event loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


@dataclass
class Served:
    """A running service: its address, its process, and the lines of its stderr."""

    url: str
    process: subprocess.Popen[str]
    lines: list[str]

    def __str__(self) -> str:
        return self.url

    def processor_s(self) -> float:
        """Seconds of processor time that it has taken, whatever else the machine does; 0 where there is no /proc."""
        if not Path("/proc/self/stat").exists():
            return 0.0
        text = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8")
        user, system = text.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def connect(self) -> socket.socket:
        """A connection to it."""
        host, _, port = self.url.removeprefix("http://").partition(":")
        return socket.create_connection((host, int(port)), timeout=START_S)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to stop; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(START_S)


MakeServer = Callable[..., Served]


def start(*options: object, env: dict[str, str] | None = None, cwd: Path | None = None) -> Served:
    """`inkdigit serve` with these options on a free port, ready."""
    command = [sys.executable, "-m", "inkdigit", "serve", "--port", "0", *map(str, options)]
    process = subprocess.Popen(
        command,
        env={**os.environ, **(env or {})},
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    served = Served("", process, [])
    Thread(target=_listen, args=(served,), daemon=True).start()  # a full pipe would stop it
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        if served.url and _is_ready(served.url):
            return served
        time.sleep(0.02)
    process.kill()
    raise AssertionError("\n".join(["the service did not start", *served.lines]))


def wait_until(holds: Callable[[], T], *, what: str) -> T:
    """Ask again and again until the answer is true; the answer."""
    until = time.monotonic() + START_S
    while not (answer := holds()):
        assert time.monotonic() < until, f"{what}: not within {START_S} s"
        time.sleep(0.02)
    return answer


def _listen(served: Served) -> None:
    assert served.process.stderr is not None
    with served.process.stderr as stderr:
        for line in stderr:
            served.lines.append(line.rstrip("\n"))
            if match := re.match(r"Open (http://\S+)", line):
                served.url = match[1]


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready", timeout=START_S).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="session")
def make_server() -> Iterator[MakeServer]:
    """A running service with these options, the same one for all tests that ask for them; stopped after the last test.

    A test that stops a service, or that counts all that it logs, starts its own.
    """
    running: dict[tuple[str, ...], Served] = {}

    def make(*options: object) -> Served:
        key = tuple(map(str, options))
        if key not in running:
            running[key] = start(*options)
        return running[key]

    yield make
    for served in running.values():  # all at once: each takes a while
        served.process.terminate()
    for served in running.values():
        served.stop()


@pytest.fixture
def start_server() -> Iterator[MakeServer]:
    """Start a service of the test's own; it is stopped when the test is done."""
    running: list[Served] = []

    def make(*options: object, **kwargs: object) -> Served:
        running.append(start(*options, **kwargs))  # type: ignore[arg-type]
        return running[-1]

    yield make
    for served in running:
        served.stop()


@pytest.fixture(scope="session")
def served(make_server: MakeServer) -> Served:
    """A service as it is without options: address, process, log."""
    return make_server()


@pytest.fixture(scope="session")
def hurried(make_server: MakeServer) -> Served:
    """A service that waits for half a second."""
    return make_server("--time-limit", "0.5")


@pytest.fixture(scope="session")
def server(served: Served) -> str:
    """The address of a service as it is without options."""
    return served.url


def raw(url: str, *pieces: bytes, pause_s: float = 0.0, wait_s: float = START_S) -> bytes:
    """Send bytes as they are, one piece after the other; what comes back until the service closes or says no more."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=wait_s) as connection:
        for i, piece in enumerate(pieces):
            time.sleep(pause_s if i else 0)
            connection.sendall(piece)
        return read_answer(connection)


def read_answer(connection: socket.socket) -> bytes:
    """One answer: its headers, and as much body as they say."""
    answer = b""
    while piece := _receive(connection):
        answer += piece
        head, end, body = answer.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        if end and length and len(body) >= int(length[1]):
            break
    return answer


def _receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(2**16)
    except ConnectionError:
        return b""


def post(body: bytes, *headers: str, path: str = "/predict") -> bytes:
    """A request as it goes over the line."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def png(gray: Gray) -> bytes:
    """A picture as the bytes of a PNG."""
    file = io.BytesIO()
    Image.fromarray(gray).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="session")
def seven() -> bytes:
    """A clean 7 of 28×28 pixels."""
    return png(prepare(digit(7, rng=np.random.default_rng(1), size_px=112, thickness=0.09)))


@pytest.fixture(scope="session")
def vast() -> bytes:
    """A picture that takes long to answer: 15 megapixels in a few kilobytes."""
    paper = np.full((3000, 5000), 220, np.uint8)
    paper[1000:2000, 2400:2500] = 30
    return png(paper)
