"""Running the service: the socket, one process or several, and a stop that finishes what is in flight.

In: `Settings`. Out: nothing until the service is told to stop.
"""

from __future__ import annotations

import ctypes
import errno
import ipaddress
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
from dataclasses import replace
from threading import Thread
from types import FrameType
from typing import TYPE_CHECKING, Any

from uvicorn import Config, Server
from uvicorn.supervisors import Multiprocess

from inkdigit.data.readers.corrections import create
from inkdigit.errors import OutputError, ServiceError, UsageError
from inkdigit.serve import counts, log
from inkdigit.serve.http.connection import Connection
from inkdigit.serve.service import Service
from inkdigit.serve.settings import ENVIRONMENT, Settings
from inkdigit.types import Log

if TYPE_CHECKING:
    from fastapi import FastAPI

BACKLOG = 2048  # connections that wait to be taken
M_MMAP_THRESHOLD, LARGE_BYTES = -3, 2**20  # mallopt(3): what is larger is a piece of its own
CONNECTIONS = 10_000  # open at a time, where the system allows it
KEEP_ALIVE_S = 30  # a connection without a request is closed then
STARTUP_FAILURE = 3  # uvicorn's exit code for a process that never served


def run(settings: Settings, *, tell: Log) -> None:
    """Serve until SIGINT or SIGTERM; `tell` is told where it listens.

    Raises:
        UsageError: no such host or model.
        ModelFileError: a model that cannot answer.
        OutputError: the port is taken, or corrections cannot be written where they should be.
        ServiceError: a worker process did not start.
    """
    log.start()
    _allow_connections()
    with _listen(settings.host, settings.port) as listener:
        address, port, *_ = listener.getsockname()
        settings = replace(settings, port=port, names=_names(settings.host, address))
        several = settings.workers > 1
        app = _check(settings) if several else make_app(settings)
        _announce(settings, listener, tell)
        config = Config(app, workers=settings.workers, factory=several, **_options(settings))
        if several:
            _run_several(config, settings, listener)
        else:
            _run_one(config, listener)


def make_app(settings: Settings | None = None) -> FastAPI:
    """The application of one process; a worker process reads its settings from the environment."""
    from inkdigit.serve.app import create_app

    log.start()
    _give_memory_back()
    _stop_with_parent()
    return create_app(settings or Settings.of_worker())


def _stop_with_parent() -> None:
    """Have a worker process stop when its parent was killed: nobody else would, and it would keep the port."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        log.write("parent_died", level="error", pid=os.getpid(), parent=parent.pid)
        os.kill(os.getpid(), signal.SIGTERM)

    Thread(target=watch, name="parent", daemon=True).start()


def _check(settings: Settings) -> str:
    """Fail here, once and clearly, where each worker process would fail for itself; where these find their app."""
    Service(settings).close()
    if settings.collect is not None:
        create(settings.collect)
    return f"{__name__}:{make_app.__name__}"


def _run_one(config: Config, listener: socket.socket) -> None:
    server = Server(config)

    def stop(_number: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    # Before uvicorn has its own handlers, and after: it raises the signal that stopped it once more.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    server.run([listener])


def _run_several(config: Config, settings: Settings, listener: socket.socket) -> None:
    with tempfile.TemporaryDirectory(prefix="inkdigit-metrics-") as folder:
        os.environ |= {ENVIRONMENT: settings.to_json(), counts.FOLDER: folder}
        workers = Workers(config, sockets=[listener])
        workers.run()
    failed = [process for process in workers.processes if process.exitcode == STARTUP_FAILURE]
    if failed:
        raise ServiceError("A worker process did not start", hint="Its log says why.")


class Workers(Multiprocess):
    """Worker processes, each started anew when it dies."""

    def keep_subprocess_alive(self) -> None:
        """Say which died: somebody may want to know why."""
        before = list(self.processes)
        super().keep_subprocess_alive()
        for process in before:
            if process not in self.processes:
                log.write("worker_died", level="error", pid=process.pid, exitcode=process.exitcode)


def _options(settings: Settings) -> dict[str, Any]:
    return {
        "http": Connection,
        "ws": "none",
        "lifespan": "on",
        "log_config": None,
        "access_log": False,  # ours has more in it
        "server_header": False,
        "proxy_headers": False,
        "backlog": BACKLOG,
        "timeout_keep_alive": KEEP_ALIVE_S,
        "timeout_graceful_shutdown": int(2 * settings.time_limit_s) + 1,
    }


def _listen(host: str, port: int) -> socket.socket:
    """A socket at the address: from now on nobody else has it."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as exc:
        raise UsageError(f"There is no host {host!r}", expected="a name or address of this machine") from exc
    family, _, _, _, (address, *_) = found[0]
    try:
        both = address == "::" and socket.has_dualstack_ipv6()  # IPv4 too: every address of this machine
        return socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=both)
    except OSError as exc:
        if exc.errno == errno.EADDRNOTAVAIL:
            raise UsageError(f"{host} is no address of this machine", hint="127.0.0.1 and 0.0.0.0 always are.") from exc
        reason = os.strerror(exc.errno) if exc.errno else "there is no such address"
        hint = "Choose another: --port 0 takes any that is free."
        raise OutputError(f"The service cannot listen at {host} port {port}: {reason}", hint=hint) from exc


def _allow_connections() -> None:
    """Let this process have more connections open than the few that systems begin with."""
    if sys.platform == "win32":
        return
    import resource

    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS if most == resource.RLIM_INFINITY else min(most, CONNECTIONS)
    if now != resource.RLIM_INFINITY and now < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _give_memory_back() -> None:
    """Have glibc return what large pictures took: left to itself it keeps up to 32 MB a piece for the next ones.

    After an overload with photos the process had 70 to 120 MB more than before, and a few like this. Pieces of 64 kB
    would give back more, and each photo would take 1.6 times as long.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)


def _names(host: str, address: str) -> tuple[str, ...]:
    """What requests may call this service: where others can reach it, whatever they know it by."""
    if not ipaddress.ip_address(address).is_loopback:
        return ()
    own = f"[{host}]" if ":" in host else host
    return tuple(sorted({"localhost", "127.0.0.1", "[::1]", own.lower()}))


def _announce(settings: Settings, listener: socket.socket, tell: Log) -> None:
    """Say what to open, and warn where others can."""
    address = listener.getsockname()[0]
    if address == "::" and listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
        host = "[::1]"
    elif address in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    else:
        host = f"[{address}]" if ":" in address else settings.host
    tell(f"Open http://{host}:{settings.port}  (Ctrl-C stops)")
    if settings.token is None and not ipaddress.ip_address(address).is_loopback:
        tell("Warning: whoever reaches this machine can ask, since there is no --token.")
