"""The engine `local`: processes of this machine, from Python's own pool.

A process that dies takes the whole pool with it, as `concurrent.futures` has it: a new pool gets what was not finished.
"""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from itertools import count, islice
from multiprocessing import get_context, parent_process
from typing import Any

from inkdigit.errors import WorkersDied
from inkdigit.scale.engine import MAX_DEATHS, MEMORY_HINT, Work

AHEAD = 2  # jobs for each process: one is done, one waits


class Local:
    """Worker processes, each with one thread of Python."""

    def __init__(self, workers: int) -> None:
        """Use so many processes; they start with the first job."""
        self._workers = workers

    def run(self, make: Callable[[], Work[Any, Any]], jobs: Iterable[Any]) -> Generator[tuple[Any, Any]]:
        """See `engine.Engine.run`."""
        numbered = zip(count(), jobs)
        again: dict[int, Any] = {}  # jobs whose pool broke, by their number
        deaths: Counter[int] = Counter()
        pool, made = self._pool(), pickle.dumps(make)
        running: dict[Future[Any], tuple[int, Any]] = {}
        try:
            while True:
                if again and not running:  # all jobs of a broken pool have come back
                    _check(deaths, again)
                    _stop(pool)
                    pool = self._pool()
                if not (again and running):
                    for number, job in _next(again, numbered, AHEAD * self._workers - len(running)):
                        running[_submit(pool, made, job)] = number, job
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    number, job = running.pop(future)
                    if isinstance(future.exception(), BrokenProcessPool):
                        deaths[number] += 1
                        again[number] = job
                    else:
                        yield job, future.result()
        finally:
            _stop(pool)

    def _pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self._workers, mp_context=get_context("spawn"), initializer=_start)


def _next(again: dict[int, Any], jobs: Iterator[tuple[int, Any]], most: int) -> Iterator[tuple[int, Any]]:
    """The next jobs: first those whose process died."""
    for number in list(islice(again, max(0, most))):
        yield number, again.pop(number)
        most -= 1
    yield from islice(jobs, max(0, most))


def _submit(pool: ProcessPoolExecutor, made: bytes, job: Any) -> Future[Any]:
    """Hand over a job; a pool that is broken gives a future that says so."""
    try:
        return pool.submit(_do, made, job)
    except BrokenProcessPool as exc:
        broken: Future[Any] = Future()
        broken.set_exception(exc)
        return broken


def _check(deaths: Counter[int], again: dict[int, Any]) -> None:
    number, most = deaths.most_common(1)[0]
    if most >= MAX_DEATHS:
        raise WorkersDied(f"{MAX_DEATHS} processes died with the same work: {again[number]}", hint=MEMORY_HINT)


def _stop(pool: ProcessPoolExecutor) -> None:
    """End the processes at once: what they are doing is done again by the next call."""
    processes = list((pool._processes or {}).values())  # `kill_workers` is new in Python 3.14
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()
    for process in processes:
        process.join()


def _start() -> None:
    """Begin a worker process: Ctrl-C is for its parent, and without a parent it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def _do(make: bytes, job: Any) -> Any:
    return _made(make)(job)


@cache
def _made(make: bytes) -> Work[Any, Any]:
    """What a process makes with its first job, so that an error of it is one of the job."""
    made: Work[Any, Any] = pickle.loads(make)()
    return made
