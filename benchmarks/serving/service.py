"""A service to be measured: `inkdigit serve` as a fresh process, watched from outside and stopped at the end.

In: the words of the command line. Out: its address, the memory of all its processes, its log.
"""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
COMMAND = (sys.executable, "-m", "inkdigit", "serve")
START_S = 60.0  # longer, and it will not start at all
STOP_S = 20.0
LOOK_S = 0.005  # between two looks whether it is ready


@dataclass(frozen=True)
class Service:
    """A running service."""

    port: int
    pid: int
    log: Path  # its stderr
    start_s: float  # from before the process was started until it was ready

    @property
    def host(self) -> str:
        """Its address, as the header has it."""
        return f"{HOST}:{self.port}"

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{self.host}"

    def rss_mb(self) -> float:
        """The memory of all its processes: 10^6 bytes, pages that they share counted each time."""
        return sum(_rss(pid) for pid in _family(self.pid)) / 1e6

    def get(self, path: str) -> int:
        """The status of one GET on a connection of its own; 0 without an answer."""
        return _status(self.port, path)


@contextmanager
def running(*words: str, log: Path, command: Sequence[str] = COMMAND) -> Iterator[Service]:
    """Start a service that is ready when the block begins; it is stopped at the end.

    Exits with its log if it does not start.
    """
    port = _free_port()
    began = time.perf_counter()
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [*command, "--host", HOST, "--port", str(port), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
    try:
        while _status(port, "/health/ready") != 200:
            if process.poll() is not None or time.perf_counter() - began > START_S:
                sys.exit(f"The service does not start:\n{log.read_text(encoding='utf-8', errors='replace')[-2000:]}")
            time.sleep(LOOK_S)
        yield Service(port, process.pid, log, time.perf_counter() - began)
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            print("The service had to be killed.", file=sys.stderr)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _status(port: int, path: str) -> int:
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def _family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    family = [pid]
    for parent in family:  # grows during the loop
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                family += map(int, children.read_text(encoding="utf-8").split())
            except OSError:  # it has ended
                continue
    return family


def _rss(pid: int) -> int:
    """Resident bytes of one process; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))
