"""A training run, from a recipe to a model file and a report.

In: a recipe and data. Out: a run directory (see `runs`), and a `Run` that reads it.

    recipe → data → splits → train → calibrate → export → evaluate → report

To understand training, read these five files in this order:

    recipe.py            every choice of a run, as one flat table
    data.py              from a recipe and a source to the images to train on, to validate on and to report on
    network/nets.py      from a recipe to a network
    network/loop.py      from a network and images to trained weights, a row per epoch
    results.py           from trained weights to the model file, its figures and the report

This file calls them in that order.
"""

from __future__ import annotations

import json
import math
import os
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from subprocess import list2cmdline
from typing import TYPE_CHECKING, Any

from torch import nn

import inkdigit.markup as markup
import inkdigit.runs as runs
from inkdigit.data.splits import Splits
from inkdigit.errors import DataError, InkdigitError, UsageError
from inkdigit.files import check_free, locked, read_rows, write_atomic
from inkdigit.measure.ledger import read_report
from inkdigit.model.recognizer import Recognizer
from inkdigit.report import numbers, run_curves
from inkdigit.scale.cluster import check_workers, connected
from inkdigit.training import curves, environment, parallel, tracking, trial
from inkdigit.training.data import open_for, sources_of, splits_of
from inkdigit.training.device import choose_device, gpu_memory, use_threads
from inkdigit.training.distill import Teacher, open_teacher
from inkdigit.training.network import checkpoint, loop
from inkdigit.training.network.augment import Augment
from inkdigit.training.own.functions import Own
from inkdigit.training.own.network import Build
from inkdigit.training.parallel import check_resumed, share_out
from inkdigit.training.progress import Progress, watching
from inkdigit.training.recipe import Recipe
from inkdigit.training.results import Job, write_model, write_report
from inkdigit.training.trial import OnEpoch, OnTick
from inkdigit.types import DataLike, Dataset, Log, check_functions, silent

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run, read from its directory."""

    folder: Path

    def _repr_html_(self) -> str:
        """What a notebook shows: curves and figures; of a run that cannot be read, why."""
        try:
            report, history, steps = self.report, self.history, self.steps
        except InkdigitError as exc:
            return markup.block("Run", str(exc), note=str(self.folder))
        seconds = numbers.duration(report.get("train_seconds") or 0)
        figures = {
            "measured on": f"{report['n']:,} images ({report.get('report_name')})",
            "95 % interval": markup.percent_range(report["accuracy_ci95"]),
            "trained": f"{numbers.plural(len(history), 'epoch')} in {seconds}",
            "parameters": numbers.number(report.get("model", {}).get("parameters")),
            "report": self.folder / runs.PAGE,
        }
        title = f"{markup.percent(report['accuracy'])} right"
        return markup.block(title, run_curves.html(history, steps), markup.facts(figures), note=report.get("title"))

    def plot(self) -> Figure:
        """The curves of loss and accuracy, as a figure of matplotlib that a notebook shows, and `savefig` writes.

        Raises:
            MissingExtra: matplotlib is not installed.
            DataError: the run has no curves, or they cannot be read.
        """
        if not self.history:
            raise DataError(f"{self.folder} has no {runs.METRICS}", expected="a run that has trained an epoch")
        return run_curves.figure(self.history, self.steps)

    @cached_property
    def history(self) -> list[dict[str, float]]:
        """A row per epoch: losses, accuracies, learning rate, seconds."""
        return read_rows(self.folder / runs.METRICS)

    @cached_property
    def steps(self) -> list[dict[str, float]]:
        """A row every few steps: epoch as a fraction, loss, accuracy, learning rate."""
        return read_rows(self.folder / runs.STEPS)

    @cached_property
    def report(self) -> dict[str, Any]:
        """The content of `report.json`."""
        return read_report(self.folder)

    @cached_property
    def model(self) -> Recognizer:
        """The trained model, loaded from its file."""
        return Recognizer.load(runs.model_path(self.folder))  # a folder may have the name of a bundled model


def train(
    recipe: Recipe | str | Path,
    data: DataLike | None = None,
    *,
    net: Build | None = None,
    augment: Augment | None = None,
    source: str | None = None,
    out: str | Path | None = None,
    seed: int | None = None,
    device: str = "auto",
    engine: str = "local",
    address: str | None = None,
    workers: int | None = None,
    import_seconds: float | None = None,
    progress: bool = True,
    log: Log = silent,
    on_tick: OnTick | None = None,
    on_epoch: OnEpoch | None = None,
    log_to: str | Sequence[str] = (),
) -> Run:
    """Train as `recipe` says and write a run directory: `out`, or a new one under `runs/`.

    `data` is a data set, a SOURCE or arrays (images, labels), else what the recipe names; `source` is the SOURCE of a
    data set that was opened before; `device` is auto, cpu, cuda or mps; `import_seconds` is what the import took. With
    the engine `ray`, `workers` processes of `address` share each batch; `progress` and `on_tick` are off then.
    `net` builds a network of your own, float (N, 1, 28, 28) → (N, K); a parameter `outputs` of it is given K. `augment`
    changes each batch, float (B, 1, 28, 28) of 0–255, after the recipe. `progress` is a line an epoch and a bar.
    `on_epoch` is given each row, and `log_to` names where else they go: tensorboard, mlflow, wandb.

    Raises:
        UsageError: an unknown recipe, source, device or engine, splits that the data cannot give, an unfit teacher,
            network or augmentation; or another training is at work in `out`.
        EngineError: there is no cluster at the address, or its processes keep dying.
        DataError, ModelFileError: the data, or the file of the teacher, cannot be used.
        Diverged: the loss is no longer a number.
        TrainingError: the GPU's memory is full.
        OutputError: the run directory is taken, or cannot be written.
    """
    check_functions(net=net, augment=augment, log=log, on_tick=on_tick, on_epoch=on_epoch)
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
    own, places = Own(net, augment), tracking.check(log_to)
    recipe = own.noted_in(recipe if seed is None else recipe.change({"seed": seed}))
    on_ray = check_workers(engine, address, workers)
    with connected(address, workers=workers) if on_ray else nullcontext():
        with _clock() as seconds:
            target = choose_device("auto" if on_ray and device == "cuda" else device)  # of this process
            dataset, teacher, splits = _open(recipe, recipe.data if data is None else data, log)
            built = _build(recipe, dataset, splits, own)
            recipe = recipe.change(sources_of(source or data, recipe))  # so that recipe.toml alone repeats the run
            about = environment.describe(dataset, source=recipe.data, device=target)
            about["teacher"] = None if teacher is None else teacher.describe().to_json()
            if on_ray:
                share_out(about, recipe, len(splits.train), workers=workers, device=device)
            folder = runs.create(recipe.name, seed=recipe.seed, out=None if out is None else Path(out))
        with locked(folder, "training"):
            check_free(folder)  # another training may have written here in the meantime
            about["logged"] = tracking.begin(places, folder)
            job = Job(folder, recipe, dataset, splits, about, target, teacher, own)
            spent, watched = _before_training(import_seconds, seconds()), watching(visible=progress, on_tick=on_tick)
            return _finish(job, _begin(job, built), watched, device=device, seconds=spent, on_epoch=on_epoch, log=log)


def _open(recipe: Recipe, data: DataLike, log: Log) -> tuple[Dataset, Teacher | None, Splits]:
    """The data, the teacher and the splits of a recipe."""
    dataset = open_for(recipe, data, log=log)
    return dataset, open_teacher(recipe, dataset), splits_of(dataset, recipe)


def _build(recipe: Recipe, dataset: Dataset, splits: Splits, own: Own) -> nn.Sequential:
    """The network before its first step; the user's own functions are tried before anything is written."""
    net = trial.build(recipe, splits, len(dataset.classes), own=own.net)
    own.check(net, recipe, dataset)
    return net


def _begin(job: Job, net: nn.Sequential) -> loop.State:
    """Write what a run begins with: recipe, environment, the state before its first step."""
    write_atomic(job.folder / runs.RECIPE, job.recipe.to_toml())
    job.own.write(job.folder)
    write_atomic(job.folder / runs.ENVIRONMENT, json.dumps(job.about, indent=1))
    with gpu_memory("Train on the processor: --device cpu."):
        state = loop.start(net.to(job.device), job.recipe)
    checkpoint.write(job.folder, state)
    return state


def resume(
    run: str | Path,
    *,
    data: DataLike | None = None,
    net: Build | None = None,
    augment: Augment | None = None,
    device: str = "auto",
    engine: str = "local",
    address: str | None = None,
    workers: int | None = None,
    import_seconds: float | None = None,
    progress: bool = True,
    log: Log = silent,
    on_tick: OnTick | None = None,
    on_epoch: OnEpoch | None = None,
) -> Run:
    """Continue an interrupted run after its last finished epoch; it ends as if it had never been stopped.

    `data` is needed only if the run began with a data set or arrays that no source opens. A run that workers share goes
    on with as many as it began with. `net` and `augment` are those that it began with, `on_epoch` is as for `train`; it
    is logged where it was.

    Raises:
        UsageError: no such run, it is finished, it began with other workers, network or augmentation, or another
            training is at work on it.
        DataError: data or teacher are not those that the run began with, or its files are damaged.
        TrainingError: the GPU's memory is full.
    """
    check_functions(net=net, augment=augment, log=log, on_tick=on_tick, on_epoch=on_epoch)
    on_ray = check_workers(engine, address, workers)
    folder = runs.find(run)
    _check_unfinished(folder)
    begun = check_resumed(folder, environment.read(folder), on_ray=on_ray, workers=workers)
    with connected(address, workers=begun) if on_ray else nullcontext(), locked(folder, "training"):
        _check_unfinished(folder)  # another process may have finished it in the meantime
        with _clock() as seconds:
            here = "auto" if on_ray and device == "cuda" else device
            job, state = _reopen(folder, data, Own(net, augment), here, log)
        log(f"Going on after epoch {state.epoch}.")
        spent = _before_training(import_seconds, seconds())
        watched = watching(visible=progress, on_tick=on_tick)
        return _finish(job, state, watched, device=device, seconds=spent, on_epoch=on_epoch, log=log)


def _check_unfinished(folder: Path) -> None:
    if runs.is_finished(folder):
        raise UsageError(f"{folder} is finished", hint=f"Look at {folder / runs.PAGE}, or train again.")


def _reopen(folder: Path, data: DataLike | None, own: Own, device: str, log: Log) -> tuple[Job, loop.State]:
    """A run as it was after its last good checkpoint; rows of later epochs are cut off its curves.

    Raises:
        UsageError: its network or augmentation is missing, or another one.
        DataError: data or teacher are not those that the run began with, or its files are damaged.
    """
    recipe = Recipe.load(folder / runs.RECIPE)
    own.check_same(recipe, folder)
    about = environment.read(folder)
    target = choose_device(device)
    if threads := about.get("threads"):
        use_threads(threads)
    dataset = open_for(recipe, data if data is not None else about["data"]["source"], log=log)
    if dataset.sha256 != about["data"]["sha256"]:
        raise DataError(
            f"{about['data']['source']} is not the data that {folder} began with",
            expected=f"SHA-256 {about['data']['sha256'][:12]}…",
            received=f"{dataset.sha256[:12]}…",
        )
    teacher = open_teacher(recipe, dataset)
    if teacher is not None and teacher.describe().to_json() != about.get("teacher"):
        raise DataError(f"{teacher.model.path} is not the teacher that {folder} began with")
    splits = splits_of(dataset, recipe)
    net = trial.build(recipe, splits, len(dataset.classes), own=own.net)
    with gpu_memory("Continue on the processor: --device cpu."):
        state = checkpoint.read(folder, net, recipe, device=target, log=log)
    curves.cut(folder, after_step=state.step)
    return Job(folder, recipe, dataset, splits, about, target, teacher, own), state


def _finish(
    job: Job,
    state: loop.State,
    watched: AbstractContextManager[Progress],
    *,
    device: str,
    seconds: dict[str, float],
    on_epoch: OnEpoch | None,
    log: Log,
) -> Run:
    """Train to the end; calibrate and export; evaluate and report. `seconds` are those of the stages before."""
    logged = job.about.get("logged", {})  # absent before 0.3
    with tracking.opened(logged, job.folder, job.recipe, after_step=state.step, log=log) as places:

        def tell(row: loop.Row) -> None:
            places.row(row)
            if on_epoch is not None:
                on_epoch(row)

        with watched as shown:
            state = _train(job, state, device, shown, tell, log)
        with _clock() as export_seconds:
            data = write_model(job, state)
        write_report(job, state, data, seconds={**seconds, "export": export_seconds()})
        places.report(Run(job.folder).report)
    checkpoint.forget_previous(job.folder)
    runs.finish(job.folder)  # DONE comes last: without it the run is unfinished
    return Run(job.folder)


def _train(job: Job, state: loop.State, device: str, shown: Progress, tell: OnEpoch, log: Log) -> loop.State:
    """Run the loop, here or in the workers that share the run; after each epoch write its row and a checkpoint.

    Raises:
        TrainingError: the GPU's memory is full.
    """
    smaller = f"or train again with a smaller batch, as with --set batch={max(1, job.recipe.batch // 2)}"
    try:
        if parallel.WORKERS in job.about:
            before, state = state.step, parallel.train(job, state, device=device, log=log)
            for row in curves.read(job.folder, after_step=before):
                tell(row)
            return state
        with gpu_memory(f"Go on with: {_again(job, device='cpu')}; {smaller}."):
            rows = trial.epochs(
                state,
                job.recipe,
                job.splits,
                job.device,
                teacher=job.teacher,
                own_augment=job.own.changing,
                on_tick=shown.tick,
                log=log,
            )
            for row in rows:
                curves.append(job.folder, row)
                checkpoint.write(job.folder, state)
                shown.row(row)
                tell(row)
    except KeyboardInterrupt as exc:
        epoch = "" if parallel.WORKERS in job.about else f" in epoch {state.epoch + 1}"
        raise KeyboardInterrupt(f"Stopped{epoch}. Go on with: {_again(job)}") from exc
    return state


def _again(job: Job, *, device: str | None = None) -> str:
    """How a run is continued, as a command; in Python where no command can give its functions."""
    options = {"engine": "ray", "workers": job.about[parallel.WORKERS]} if parallel.WORKERS in job.about else {}
    options |= {} if device is None else {"device": device}
    if job.own.option is None:
        given = [f"{name}=…" for name, function in job.own.functions.items() if function is not None]
        given += [f"{name}={value!r}" for name, value in options.items()]
        return f"inkdigit.resume({', '.join([repr(str(job.folder)), *given])})"
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    command = ["inkdigit", "train", "--resume", str(job.folder), *job.own.option, *words]
    return list2cmdline(command) if os.name == "nt" else shlex.join(command)


@contextmanager
def _clock() -> Iterator[Callable[[], float]]:
    """Seconds since the block began; they stand still when it ends."""
    began, ended = time.perf_counter(), math.nan
    yield lambda: (time.perf_counter() if math.isnan(ended) else ended) - began
    ended = time.perf_counter()


def _before_training(import_seconds: float | None, load_seconds: float) -> dict[str, float]:
    """The seconds of the stages before training; only the caller knows how long the import took."""
    return {"load": load_seconds} if import_seconds is None else {"import": import_seconds, "load": load_seconds}
