"""One run by several processes of a cluster: Ray Train starts them, connects them, and starts them again if one dies.

In: a run that has begun, with its checkpoint, in a folder that all machines see. Out: the same folder with the rows and
the checkpoint of the last epoch, and its state. Every process runs the same loop with its share of each batch; the
first one writes. After a death all of them go on from the last checkpoint.
"""

from __future__ import annotations

import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import distributed

import inkdigit.runs as runs
from inkdigit.errors import Diverged, InkdigitError, MissingExtra, UsageError, WorkersDied, first_line
from inkdigit.scale.cluster import check_shared, has_gpus, marked, require_ray
from inkdigit.scale.engine import MAX_DEATHS
from inkdigit.training import curves, trial
from inkdigit.training.data import splits_of
from inkdigit.training.device import choose_device, use_threads
from inkdigit.training.distill import open_teacher
from inkdigit.training.network import checkpoint, loop
from inkdigit.training.network.share import Share
from inkdigit.training.recipe import Recipe
from inkdigit.training.results import Job
from inkdigit.types import Log

WORKERS = "workers"  # in env.json: how many processes share the run; absent from a run of one process


def share_out(about: dict[str, Any], recipe: Recipe, images: int, *, workers: int | None, device: str) -> None:
    """Note in `about`, the coming env.json, how many workers of the connected cluster share a run on so many images.

    Raises:
        UsageError: no number, or one with which some have no image of a batch, no core or no GPU.
    """
    batch = min(recipe.batch, images)
    if workers is None:
        raise UsageError("It is not clear how many processes share the run", expected="--workers 2, or more")
    if workers > batch:
        raise UsageError("There are more workers than images in a batch", expected=f"at most {batch}", received=workers)
    _check_room(workers, device)
    about |= {WORKERS: workers, "threads": 1}


def _check_room(workers: int, device: str) -> None:
    """Check that the cluster has what so many workers need at the same time: Ray would wait for it without end.

    Raises:
        UsageError: it has not.
    """
    for what, name in (("cores", "CPU"), ("GPUs", "GPU")) if has_gpus(device) else (("cores", "CPU"),):
        there = int(require_ray().cluster_resources().get(name, 0))
        if workers > there:
            raise UsageError(
                f"The cluster has fewer {what} than workers",
                expected=f"at most {there}",
                received=workers,
                hint="Use --device cpu." if name == "GPU" else None,
            )


def check_resumed(folder: Path, about: dict[str, Any], *, on_ray: bool, workers: int | None) -> int | None:
    """How many workers a run began with; it must go on with as many: another number computes something else.

    Raises:
        UsageError: it does not.
    """
    begun: int | None = about.get(WORKERS)
    if begun is None and on_ray:
        raise UsageError(f"{folder} was begun without workers", expected="no --engine and no --workers")
    if begun is not None and (not on_ray or workers not in (None, begun)):
        raise UsageError(f"{folder} was begun with {begun} workers", expected=f"--engine ray --workers {begun}")
    return begun


def train(job: Job, state: loop.State, *, device: str, log: Log) -> loop.State:
    """Train a run to its end on the cluster that is connected; return its state, on this machine.

    Raises:
        UsageError: the cluster is too small.
        InkdigitError: what the training raised.
        WorkersDied: processes died `MAX_DEATHS` times.
    """
    ray = require_ray()
    workers, gpus = job.about[WORKERS], has_gpus(device)
    _check_room(workers, device)
    log(f"Training with {workers} workers.")
    with marked(job.folder) as mark:
        plan = {"folder": job.folder.resolve(), "data": [ray.put(job.dataset)], "device": device, "mark": mark}
        plan["own"] = job.own
        lines, error = _fit({**plan, "gpus": gpus}, workers, gpus=gpus)
    for line in lines:
        log(line)
    if error is not None:
        raise error
    return checkpoint.read(job.folder, state.net, job.recipe, device=job.device, log=log)


def _fit(plan: dict[str, Any], workers: int, *, gpus: bool) -> tuple[list[str], InkdigitError | None]:
    """Let Ray Train run `_work` in so many processes; what the first of them returned."""
    try:
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchTrainer
        from ray.train.v2.api.exceptions import TrainingFailedError, WorkerGroupError
    except ImportError as exc:  # Ray alone does not bring pandas and pyarrow
        raise MissingExtra("The engine ray needs Ray Train", "scale") from exc
    with tempfile.TemporaryDirectory(prefix="inkdigit-train-") as folder, _interruptible():
        trainer = TorchTrainer(
            _work,
            train_loop_config=plan,
            scaling_config=ScalingConfig(num_workers=workers, use_gpu=gpus, resources_per_worker=_resources(gpus)),
            run_config=RunConfig(
                name="run", storage_path=folder, failure_config=FailureConfig(max_failures=MAX_DEATHS - 1)
            ),
        )
        try:
            result: Any = trainer.fit()
        except TrainingFailedError as exc:
            failures = exc.worker_failures.values() if isinstance(exc, WorkerGroupError) else ()
            for failure in failures:
                if isinstance(failure, InkdigitError):
                    raise failure from None
            raise WorkersDied(
                f"The workers ended {MAX_DEATHS} times: {first_line(next(iter(failures), exc))}",
                hint="Is there enough memory? What was trained is kept: --resume goes on.",
            ) from exc
    returned: tuple[list[str], InkdigitError | None] = result.return_value
    return returned


def _resources(gpus: bool) -> dict[str, float]:
    """What each worker has: one core, for its one thread, and a GPU where there are any."""
    return {"CPU": 1, "GPU": 1} if gpus else {"CPU": 1}


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C is a KeyboardInterrupt, and what Ray Train has set for it is gone after the block.

    Ray Train ends its processes at Ctrl-C, and then this one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as exc:
        raise KeyboardInterrupt from exc
    finally:
        signal.signal(signal.SIGINT, before)


def _work(plan: dict[str, Any]) -> tuple[list[str], InkdigitError | None]:
    """Train in one of the processes; what it has to say, and an error that all of them have."""
    share = Share(distributed.get_rank(), distributed.get_world_size())
    use_threads(1)  # the core that the worker has
    lines: list[str] = []
    for first in (True, False):  # a damaged checkpoint is replaced by the one before while no other process reads it
        problem = None
        try:
            if share.is_first == first:
                job, state = _open(plan, share, lines.append)
        except InkdigitError as exc:
            problem = exc
        if (problem := _any(problem, share)) is not None:
            return lines, problem
    try:
        rows = trial.epochs(
            state,
            job.recipe,
            job.splits,
            job.device,
            teacher=job.teacher,
            own_augment=job.own.changing,
            share=share,
            log=lines.append,
        )
        for row in rows:
            if share.is_first:
                curves.append(job.folder, row)
                checkpoint.write(job.folder, state)
    except Diverged as exc:  # in the same step of all workers: they know the loss of the whole batch
        return lines, exc
    return lines, None


def _open(plan: dict[str, Any], share: Share, log: Log) -> tuple[Job, loop.State]:
    """The run as it was after its last good checkpoint."""
    ray = require_ray()
    check_shared(plan["mark"])
    if plan["gpus"]:
        from ray.train.torch import get_device

        torch.cuda.set_device(get_device())  # the processes of a machine see all of its GPUs
    folder, dataset = plan["folder"], ray.get(plan["data"][0])
    recipe = Recipe.load(folder / runs.RECIPE)
    device = choose_device(plan["device"])
    splits = splits_of(dataset, recipe)
    job = Job(folder, recipe, dataset, splits, {}, device, open_teacher(recipe, dataset), plan["own"])
    net = trial.build(recipe, splits, len(dataset.classes), own=job.own.net)
    state = checkpoint.read(folder, net, recipe, device=device, log=log)
    if share.is_first:
        curves.cut(folder, after_step=state.step)
    return job, state


def _any(problem: InkdigitError | None, share: Share) -> InkdigitError | None:
    """The problem of any of the processes, the first that has one."""
    problems: list[InkdigitError | None] = [None] * share.of
    distributed.all_gather_object(problems, problem)
    return next((each for each in problems if each is not None), None)
