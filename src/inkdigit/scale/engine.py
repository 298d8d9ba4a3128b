"""Engines: jobs are shared among processes of this machine, or of a cluster.

In: a `Work` and jobs. Out: each job with its result, as they end. Both engines give every job exactly one result, try a
job again whose process has died, and leave no process running when the caller stops.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from inkdigit.errors import UsageError, did_you_mean
from inkdigit.machine import cores

Job = TypeVar("Job")
Result = TypeVar("Result")

ENGINES = ("local", "ray")
# How often the process of a job may die before the work is given up: once or twice by chance, three times for a cause.
MAX_DEATHS = 3
MEMORY_HINT = "Is there enough memory? Try fewer --workers, or a smaller --batch."

# What each process makes once, and what that does with a job: a class whose instances are called. It must be importable
# by its name; an `InkdigitError` that it raises ends the work.
Work = Callable[[Job], Result]


class Engine(Protocol):
    """Shares out work; the two implementations are `local.Local` and `ray_data.RayData`."""

    def run(self, make: Callable[[], Work[Any, Any]], jobs: Iterable[Any]) -> Generator[tuple[Any, Any]]:
        """Each job with its result, in any order.

        Every process calls `make` once, and what that returned with each of its jobs. Jobs are taken as there are
        processes for them, and results as the caller asks for them: neither piles up.

        Raises:
            InkdigitError: what the work raised.
            WorkersDied: the process of one job died `MAX_DEATHS` times.
        """
        ...


def check_engine(name: str, address: str | None) -> None:
    """Check what can be known before any work.

    Raises:
        UsageError: there is no such engine, or `local` with an address.
    """
    if name not in ENGINES:
        raise UsageError(
            f"There is no engine {name!r}", expected=" or ".join(ENGINES), hint=did_you_mean(name, ENGINES)
        )
    if name == "local" and address is not None:
        raise UsageError("The engine local has no address", expected="--engine ray with --address")


@contextmanager
def open_engine(name: str, *, workers: int | None = None, address: str | None = None) -> Iterator[Engine]:
    """The engine of a name; `address` is that of a cluster.

    `workers` are its processes; by default one a core of this machine, or of the cluster.

    Raises:
        UsageError: see `check_engine`.
        MissingExtra, NoCluster: see `cluster.connected`.
    """
    check_engine(name, address)
    if name == "local":
        from inkdigit.scale.local import Local

        yield Local(workers or cores())
        return
    from inkdigit.scale.cluster import connected, processors
    from inkdigit.scale.ray_data import RayData

    with connected(address, workers=workers):
        yield RayData(workers or processors())
