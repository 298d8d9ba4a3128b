"""Worker processes that train: each runs one training at a time and reports every epoch.

In: `Training`s, each with its images. Out: calls of `on_epoch` and `on_end` in the calling process. The workers have no
access to the study and write no files, so a worker that dies loses only its current training. `ray_tune.train_all` does
the same with the processes of a cluster.
"""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from inkdigit.data.splits import Splits
from inkdigit.errors import InkdigitError, TrainingError
from inkdigit.training.recipe import Recipe

# So many workers that die one after the other, with no training finished between them, end the search: one or two may
# run out of memory by chance, three have a cause that the next one meets too.
MAX_DEATHS_IN_A_ROW = 3


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """One training: its key among all, its recipe and its images; its accuracy is that on `splits.report`."""

    key: Any
    recipe: Recipe
    splits: Splits
    classes: int
    device: str = "auto"


@dataclass(frozen=True, slots=True)
class End:
    """How a training ended: with an accuracy, stopped by `on_epoch` (none), with a problem, or its worker died."""

    accuracy: float | None = None
    seconds: float = 0.0  # of the epochs
    problem: str | None = None
    died: bool = False


@dataclass(frozen=True, slots=True)
class Epoch:
    """An epoch of a training: its number (from 1), its accuracy on the validation split, the seconds so far."""

    number: int
    accuracy: float  # nan without a validation split
    seconds: float


class TrainAll(Protocol):
    """Runs trainings; the two implementations are `train_all` here and in `ray_tune`."""

    def __call__(
        self,
        next_training: Callable[[], Training | None],
        *,
        jobs: int,
        on_epoch: Callable[[Training, int, float], bool],
        on_end: Callable[[Training, End], None],
    ) -> None:
        """Run what `next_training` returns, `jobs` at once, until it returns None and all trainings have ended.

        `on_epoch` gets the epoch (from 1) and the accuracy on the validation split, nan without one; the training is
        stopped if it returns False. If a worker died, `next_training` may return its training again.

        Raises:
            TrainingError: `MAX_DEATHS_IN_A_ROW` workers die, and no training ends between.
        """
        ...


@dataclass(slots=True, eq=False)
class _Worker:
    process: BaseProcess
    pipe: Connection | Any  # on Windows a PipeConnection, which other systems do not have
    training: Training | None = None


def train_all(
    next_training: Callable[[], Training | None],
    *,
    jobs: int,
    on_epoch: Callable[[Training, int, float], bool],
    on_end: Callable[[Training, End], None],
) -> None:
    """See `TrainAll`; the workers are processes of this machine."""
    workers: list[_Worker] = []
    deaths = 0
    try:
        while True:
            _assign(workers, next_training, jobs)
            busy = {worker.pipe: worker for worker in workers if worker.training is not None}
            if not busy:
                return
            for pipe in wait(list(busy)):
                worker = next(w for w in workers if w.pipe is pipe)
                message, training = _receive(worker), worker.training
                assert training is not None
                if isinstance(message, Epoch):
                    _send(worker, on_epoch(training, message.number, message.accuracy))
                    continue
                worker.training = None
                deaths = deaths + 1 if message.died else 0
                if message.died:
                    workers.remove(worker)
                on_end(training, message)
            check_deaths(deaths, hint="Is there enough memory? Try --jobs 1; the messages of the workers are above.")
    finally:
        _stop(workers)


def check_deaths(in_a_row: int, *, hint: str) -> None:
    """Check that not so many workers have died one after the other that the next one will die, too.

    Raises:
        TrainingError: they have.
    """
    if in_a_row >= MAX_DEATHS_IN_A_ROW:
        raise TrainingError(f"{in_a_row} workers died one after the other", hint=hint)


def _assign(workers: list[_Worker], next_training: Callable[[], Training | None], jobs: int) -> None:
    """Give a training to every idle worker, and start workers up to `jobs`, as long as there are trainings."""
    idle = [worker for worker in workers if worker.training is None]
    for _ in range(jobs - len(workers) + len(idle)):
        training = next_training()
        if training is None:
            return
        worker = idle.pop() if idle else _start()
        if worker not in workers:
            workers.append(worker)
        worker.training = training
        _send(worker, training)


def _start() -> _Worker:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs,), daemon=True)
    with _ignoring_ctrl_c():
        process.start()
    theirs.close()  # else this end stays open when the worker dies
    return _Worker(process, ours)


@contextmanager
def _ignoring_ctrl_c() -> Iterator[None]:
    """Processes that are started in this block ignore Ctrl-C: their parent stops them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _send(worker: _Worker, message: Training | bool) -> None:
    with suppress(OSError):  # the worker has died, which `_receive` reports
        worker.pipe.send(message)


def _receive(worker: _Worker) -> Epoch | End:
    """The epoch that a worker reports, or the end of its training."""
    try:
        message: Epoch | End = worker.pipe.recv()
    except (EOFError, OSError):
        worker.process.join()
        return End(died=True, problem=f"its process ended with code {worker.process.exitcode}")
    return message


def _stop(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.process.terminate()
    for worker in workers:
        worker.process.join()
        worker.pipe.close()


def _work(pipe: Connection) -> None:
    """The main function of a worker: train what comes through the pipe until its parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from inkdigit.training.device import use_threads

    use_threads(1)  # the other processors are for the other workers
    try:
        while True:
            pipe.send(_train(pipe, pipe.recv()))
    except (EOFError, OSError):
        return  # the parent has ended


def _train(pipe: Connection, training: Training) -> End:
    """Run one training, and send each epoch; stop it where the answer is False."""
    for message in progress(training):
        if isinstance(message, End):
            return message
        pipe.send(message)
        if not pipe.recv():
            break
    return End(seconds=message.seconds)


def progress(training: Training) -> Iterator[Epoch | End]:
    """Run one training: each epoch as it ends, then the end of the training."""
    from inkdigit.training import trial
    from inkdigit.training.device import choose_device
    from inkdigit.training.network import loop

    recipe, splits, seconds = training.recipe, training.splits, 0.0
    device = choose_device(training.device)
    try:
        state = loop.start(trial.build(recipe, splits, training.classes).to(device), recipe)
        for row in trial.epochs(state, recipe, splits, device):
            seconds += row.seconds
            yield Epoch(row.epoch, math.nan if row.validation_accuracy is None else row.validation_accuracy, seconds)
        yield End(trial.accuracy(state, recipe, splits.report, device), seconds)
    except InkdigitError as exc:
        yield End(seconds=seconds, problem=str(exc))
