"""Ray: a cluster that is there, or one of this machine alone for as long as it is needed.

In: an address, or none. Out: a connection for the time of a block. Ray shares out the work, watches its processes and
starts them again; what can go wrong at the start becomes one error of the tree.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from inkdigit.errors import MissingExtra, NoCluster, UsageError, did_you_mean

CONNECT_S = 5.0  # to wait for an answer from the address: Ray itself tries for ten minutes
ENGINES = ("local", "ray")
AUTO = "auto"  # the cluster that this machine belongs to


@contextmanager
def connected(address: str | None = None, *, workers: int | None = None) -> Iterator[None]:
    """Ray for the time of the block: the cluster at `address`, else one that is started here and ended again.

    `workers` are the processors of one that is started here; by default all. A connection that there is already, as in
    a notebook, is used and stays.

    Raises:
        MissingExtra: Ray is not installed.
        UsageError: the address is not one.
        NoCluster: there is no cluster at the address, or one of another version of Ray or Python.
    """
    ray = require_ray()
    if ray.is_initialized():
        yield
        return
    if address is not None and address != AUTO:
        _check_answers(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    own = {} if address is not None else {"num_cpus": workers, "include_dashboard": False}
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **own)
    except (ConnectionError, RuntimeError, ValueError) as exc:  # versions that differ are a RuntimeError
        raise NoCluster(
            f"There is no cluster that can be used at {address or 'this machine'}: {_first_line(exc)}",
            expected="a Ray cluster of the same versions of Ray and Python",
            hint="Start one with: ray start --head",
        ) from exc
    try:
        yield
    finally:
        ray.shutdown()


def uses_ray(engine: str, address: str | None) -> bool:
    """Whether the engine of this name is Ray, which must be installed then.

    Raises:
        UsageError: there is no such engine, or one without an address has one.
        MissingExtra: Ray is not installed.
    """
    if engine not in ENGINES:
        hint = did_you_mean(engine, ENGINES)
        raise UsageError(f"There is no engine {engine!r}", expected=" or ".join(ENGINES), hint=hint)
    if engine == "local":
        if address is not None:
            raise UsageError("The engine local has no address", expected="--engine ray with --address")
        return False
    require_ray()
    return True


def processors() -> int:
    """The processors of the cluster that is connected."""
    return max(1, int(require_ray().cluster_resources().get("CPU", 1)))


def require_ray() -> Any:
    """The module `ray`.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import ray
    except ModuleNotFoundError as exc:
        raise MissingExtra(f"The engine ray needs {exc.name}", "scale") from exc
    return ray


def _check_answers(address: str) -> None:
    """Check that something answers at `host:port`."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise UsageError("This is not the address of a cluster", expected="HOST:PORT, or auto", received=address)
    try:
        socket.create_connection((host, int(port)), CONNECT_S).close()
    except (OSError, OverflowError) as exc:
        raise NoCluster(
            f"There is no cluster at {address}: {getattr(exc, 'strerror', None) or exc}",
            expected="the address of a Ray cluster that runs",
            hint="Start one with: ray start --head",
        ) from exc


def _first_line(exc: BaseException) -> str:
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0]
