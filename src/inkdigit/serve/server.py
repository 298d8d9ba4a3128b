"""Run the service: the socket, one process or several, and a stop that finishes the requests in flight.

In: `Settings`. Out: nothing until a signal stops the service.
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

BACKLOG = 2048  # connections that wait to be accepted: uvicorn's default, a burst of many clients
# mallopt(3): a block above this size has a mapping of its own. See `_give_memory_back` for how it was chosen.
M_MMAP_THRESHOLD, LARGE_BYTES = -3, 2**20
MAX_CONNECTIONS = 10_000  # open at a time, where the system allows it: systems start with 1,024, too few for idle ones
KEEP_ALIVE_S = 30  # a connection without a request is closed then: a person who draws sends several within it
STARTUP_FAILURE = 3  # uvicorn's exit code for a process that never served


def run(settings: Settings, *, announce: Log) -> None:
    """Serve until SIGINT or SIGTERM; `announce` gets the address to open, and a warning if others can reach it.

    Raises:
        UsageError: there is no such host or model.
        ModelFileError: a model cannot answer.
        OutputError: the port is in use, or the file of corrections cannot be written.
        ServiceError: a worker process did not start.
    """
    log.start()
    _allow_connections()
    with _listen(settings.host, settings.port) as listener:
        address, port, *_ = listener.getsockname()
        settings = replace(settings, port=port, names=_names(settings.host, address))
        several = settings.workers > 1
        app = _check(settings) if several else make_app(settings)
        _announce(settings, listener, announce)
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
    """Stop a worker process whose parent was killed: nothing else would, and it would hold the port."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        log.write("parent_died", level="error", pid=os.getpid(), parent=parent.pid)
        os.kill(os.getpid(), signal.SIGTERM)

    Thread(target=watch, name="parent", daemon=True).start()


def _check(settings: Settings) -> str:
    """Fail once in the parent process instead of in each worker; the import path of the application of a worker."""
    Service(settings).close()
    if settings.collect is not None:
        create(settings.collect)
    return f"{__name__}:{make_app.__name__}"


def _run_one(config: Config, listener: socket.socket) -> None:
    server = Server(config)

    def stop(_number: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    # For the time before uvicorn sets its own handlers, and after: it raises the signal that stopped it once more.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    server.run([listener])


def _run_several(config: Config, settings: Settings, listener: socket.socket) -> None:
    with tempfile.TemporaryDirectory(prefix="inkdigit-metrics-", ignore_cleanup_errors=True) as folder:
        os.environ |= {ENVIRONMENT: settings.to_json(), counts.FOLDER: folder}
        workers = Workers(config, sockets=[listener])
        workers.run()
    failed = [process for process in workers.processes if process.exitcode == STARTUP_FAILURE]
    if failed:
        raise ServiceError("A worker process did not start", hint="Its log says why.")


class Workers(Multiprocess):
    """Worker processes, each started again when it dies."""

    def keep_subprocess_alive(self) -> None:
        """Log which process died."""
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
        "access_log": False,  # our log has more fields
        "server_header": False,
        "proxy_headers": False,
        "backlog": BACKLOG,
        "timeout_keep_alive": KEEP_ALIVE_S,
        "timeout_graceful_shutdown": int(2 * settings.time_limit_s) + 1,
    }


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens at the address."""
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as exc:
        raise UsageError(f"There is no host {host!r}", expected="a name or address of this machine") from exc
    family, _, _, _, (address, *_) = addresses[0]
    try:
        both = address == "::" and socket.has_dualstack_ipv6()  # IPv4 too: every address of this machine
        return socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=both)
    except OSError as exc:
        if exc.errno == errno.EADDRNOTAVAIL:
            problem = f"{host} is not an address of this machine"
            raise UsageError(problem, hint="127.0.0.1 and 0.0.0.0 always are.") from exc
        # Python adds the address; `os.strerror` does not know the numbers of Windows.
        reason = (exc.strerror or "there is no such address").partition(" (while attempting")[0]
        hint = "Choose another port: --port 0 is any free one."
        raise OutputError(f"The service cannot listen at {host} port {port}: {reason}", hint=hint) from exc


def _allow_connections() -> None:
    """Allow this process more open connections than the default of the system."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = MAX_CONNECTIONS if hard == resource.RLIM_INFINITY else min(hard, MAX_CONNECTIONS)
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def _give_memory_back() -> None:
    """Make glibc return the memory of large images: by default it stores blocks of up to 32 MB for later use.

    After an overload with photos the process had 70 to 120 MB more than before, and with this a few MB more. A limit of
    64 kB would return more memory, but each photo would take 1.6 times as long.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)


def _names(host: str, address: str) -> tuple[str, ...]:
    """The names in `Host` that this service accepts; none, which means any name, if other machines can reach it."""
    if not ipaddress.ip_address(address).is_loopback:
        return ()
    own = f"[{host}]" if ":" in host else host
    return tuple(sorted({"localhost", "127.0.0.1", "[::1]", own.lower()}))


def _announce(settings: Settings, listener: socket.socket, announce: Log) -> None:
    """Print the address to open, and a warning if other machines can use it."""
    address = listener.getsockname()[0]
    if address == "::" and listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
        host = "[::1]"
    elif address in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    else:
        host = f"[{address}]" if ":" in address else settings.host
    announce(f"Open http://{host}:{settings.port}  (Ctrl-C stops)")
    if settings.token is None and not ipaddress.ip_address(address).is_loopback:
        announce("Warning: anyone who can reach this machine can use the service, because there is no --token.")
