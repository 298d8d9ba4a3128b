"""Local processes that train: each takes one training at a time and tells of every epoch.

In: `Training`s, whole with their pictures. Out: calls of `on_epoch` and `on_end` in the process that asked. The workers
know no study and no disk, so one that dies takes nothing with it but the training it was at.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from inkdigit.data.splits import Splits
from inkdigit.errors import InkdigitError, TrainingError
from inkdigit.training.recipe import Recipe

LOSSES_IN_A_ROW = 3  # workers that die with no training finished between them: it is not the training


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """One training: its key among all, what to train, and on what; its accuracy is that on `parts.report`."""

    key: Any
    recipe: Recipe
    parts: Splits
    classes: int


@dataclass(frozen=True, slots=True)
class End:
    """How a training ended: with an accuracy, stopped by who listened, with a problem, or with its worker's death."""

    accuracy: float | None = None
    seconds: float = 0.0  # of the epochs
    problem: str | None = None
    died: bool = False


@dataclass(slots=True, eq=False)
class _Worker:
    process: BaseProcess
    pipe: Connection
    training: Training | None = None


def train_all(
    take: Callable[[], Training | None],
    *,
    jobs: int,
    on_epoch: Callable[[Training, int, float], bool],
    on_end: Callable[[Training, End], None],
) -> None:
    """Train what `take` gives, `jobs` at once, until it gives None and all have ended.

    `on_epoch` gets the epoch (from 1) and the accuracy on the validation part, nan without one; where it returns False
    the training is stopped. After a death `on_end` may leave the training to `take` again.

    Raises:
        TrainingError: worker after worker dies.
    """
    workers: list[_Worker] = []
    deaths = 0
    try:
        while True:
            _feed(workers, take, jobs)
            busy = {worker.pipe: worker for worker in workers if worker.training is not None}
            if not busy:
                return
            for pipe in wait(list(busy)):
                worker = next(w for w in workers if w.pipe is pipe)
                said, training = _hear(worker), worker.training
                assert training is not None
                if isinstance(said, tuple):
                    _tell(worker, on_epoch(training, *said))
                    continue
                worker.training = None
                deaths = deaths + 1 if said.died else 0
                if said.died:
                    workers.remove(worker)
                on_end(training, said)
            if deaths >= LOSSES_IN_A_ROW:
                raise TrainingError(
                    f"{deaths} workers died one after the other",
                    hint="Is there enough memory? Try --jobs 1; what they said is above.",
                )
    finally:
        _dismiss(workers)


def _feed(workers: list[_Worker], take: Callable[[], Training | None], jobs: int) -> None:
    """Give every worker that is free something to do, and make workers as long as there is something."""
    idle = [worker for worker in workers if worker.training is None]
    for _ in range(jobs - len(workers) + len(idle)):
        training = take()
        if training is None:
            return
        worker = idle.pop() if idle else _hire()
        if worker not in workers:
            workers.append(worker)
        worker.training = training
        _tell(worker, training)


def _hire() -> _Worker:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs,), daemon=True)
    with _deaf_to_ctrl_c():
        process.start()
    theirs.close()  # or its end would stay open when it dies
    return _Worker(process, ours)


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Processes that are started in this block never hear Ctrl-C: it is their parent's to answer."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _tell(worker: _Worker, what: Training | bool) -> None:
    with suppress(OSError):  # it is dead: the next look at its pipe says so
        worker.pipe.send(what)


def _hear(worker: _Worker) -> tuple[int, float] | End:
    try:
        said: tuple[int, float] | End = worker.pipe.recv()
    except (EOFError, OSError):
        worker.process.join()
        return End(died=True, problem=f"its process ended with code {worker.process.exitcode}")
    return said


def _dismiss(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.process.terminate()
    for worker in workers:
        worker.process.join()
        worker.pipe.close()


def _work(pipe: Connection) -> None:
    """What a worker does all its life; it ends with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from inkdigit.training.device import use_threads

    use_threads(1)  # the other processors are for the other workers
    try:
        while True:
            pipe.send(_train(pipe, pipe.recv()))
    except (EOFError, OSError):
        return  # the parent is gone


def _train(pipe: Connection, training: Training) -> End:
    from inkdigit.training import trial
    from inkdigit.training.device import choose_device
    from inkdigit.training.network import loop

    recipe, parts, seconds = training.recipe, training.parts, 0.0
    device = choose_device("auto")
    try:
        state = loop.start(trial.build(recipe, parts, training.classes).to(device), recipe)
        for row in trial.epochs(state, recipe, parts, device):
            seconds += row.seconds
            pipe.send((row.epoch, float("nan") if row.validation_accuracy is None else row.validation_accuracy))
            if not pipe.recv():
                return End(seconds=seconds)
        return End(trial.accuracy(state, recipe, parts.report, device), seconds)
    except InkdigitError as exc:
        return End(seconds=seconds, problem=str(exc))
