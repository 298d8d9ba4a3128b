"""Ray: a cluster that is there, or one of this machine alone for as long as it is needed.

In: an address, or none. Out: a connection for the time of a block. Ray shares out the work, watches its processes and
starts them again; what can go wrong at the start becomes one error of the tree.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from inkdigit.errors import EngineError, MissingExtra, NoCluster, OutputError, UsageError, first_line, reason_of
from inkdigit.files import write_atomic
from inkdigit.scale.engine import check_engine

CONNECT_S = 5.0  # to wait for an answer from the address: Ray itself tries for ten minutes
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
    if address is not None and address != AUTO:
        _check_answers(address)
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    own = {} if address is not None else {"num_cpus": workers, "include_dashboard": False}
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **own)
    except (ConnectionError, RuntimeError, ValueError) as exc:  # versions that differ are a RuntimeError
        raise NoCluster(
            f"There is no cluster that can be used at {address or 'this machine'}: {first_line(exc)}",
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
        UsageError: there is no such engine, or an address that is not one.
        NoCluster: nobody answers at the address.
        MissingExtra: Ray is not installed.
    """
    check_engine(engine, address)
    if engine == "local":
        return False
    if address is not None and address != AUTO:
        _check_answers(address)
    require_ray()
    return True


def check_workers(engine: str, address: str | None, workers: int | None) -> bool:
    """Whether processes of a cluster share a run.

    Raises:
        UsageError: the three do not go together.
        MissingExtra: Ray is not installed.
    """
    if workers is not None and workers < 1:
        raise UsageError("There is no worker to train", expected="--workers of at least 1", received=workers)
    on_ray = uses_ray(engine, address)
    if workers is not None and not on_ray:
        raise UsageError("The engine local has no workers", expected="--engine ray with --workers")
    return on_ray


def processors() -> int:
    """The processors of the cluster that is connected."""
    return max(1, int(require_ray().cluster_resources().get("CPU", 1)))


def has_gpus(device: str) -> bool:
    """Whether work on `device` gets a GPU of CUDA for each of its processes: where the cluster has any.

    Raises:
        UsageError: it must, and the cluster has none.
    """
    found = device in ("auto", "cuda") and require_ray().cluster_resources().get("GPU", 0) >= 1
    if device == "cuda" and not found:
        raise UsageError("CUDA is not available on this cluster", hint="Use --device cpu, or a cluster with GPUs.")
    return bool(found)


@contextmanager
def marked(folder: Path) -> Iterator[Path]:
    """A file in `folder` for the time of the block, by which `check_shared` finds out which machines see the folder.

    Raises:
        OutputError: it cannot be written.
    """
    mark = folder.resolve() / f".{secrets.token_hex(6)}.shared"
    write_atomic(mark, "")
    try:
        yield mark
    finally:
        mark.unlink(missing_ok=True)


def check_shared(mark: Path) -> None:
    """Check, on a machine of the cluster, that it sees the folder with this file.

    Raises:
        OutputError: it does not.
    """
    if not mark.is_file():
        raise OutputError(
            f"The machine {socket.gethostname()} of the cluster does not see {mark.parent}",
            expected="a folder on storage that all machines share, under the same path",
            hint="Name one: --out.",
        )


def check_version(expected: str) -> None:
    """Check, on a machine of the cluster, that it has the version of Inkdigit that gives it work.

    Raises:
        EngineError: it has another one.
    """
    if (here := version("inkdigit")) != expected:
        raise EngineError(
            f"The machine {socket.gethostname()} has another version of Inkdigit",
            expected=expected,
            received=here,
            hint="Install the same version on every machine.",
        )


def require_ray() -> Any:
    """The module `ray`.

    Raises:
        MissingExtra: it is not installed.
    """
    # Ray prints to stdout that a process has died, whatever its options are; only the environment can say no to it.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
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
            f"There is no cluster at {address}: {reason_of(exc)}",
            expected="the address of a Ray cluster that runs",
            hint="Start one with: ray start --head",
        ) from exc
