"""A whole training run, from a recipe to a model file and a report: the one function that everything calls.

In: a recipe and data. Out: a run directory (see `runs`), and a `Run` that reads it. Stages: open and check the data,
split, train, calibrate, export, answer with the exported file, report. What needs torch is done here and handed on as
plain arrays.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import inkdigit.runs as runs
from inkdigit.errors import DataError, MalformedFile, UsageError
from inkdigit.files import append_row, check_free, locked, read_rows, truncate_rows, write_atomic
from inkdigit.measure.ledger import can_be_drawn, read_report
from inkdigit.model.recognizer import Recognizer
from inkdigit.training import environment, trial
from inkdigit.training.data import open_for, sources_of, splits_of
from inkdigit.training.device import choose_device, gpu_memory, use_threads
from inkdigit.training.distill import open_teacher
from inkdigit.training.network import checkpoint, loop
from inkdigit.training.recipe import Recipe
from inkdigit.training.results import Job, write_model, write_report
from inkdigit.training.trial import OnTick
from inkdigit.types import Dataset, Log, silent

EPOCH_ROW = tuple(field.name for field in fields(loop.Row) if field.name != "samples")  # the columns of metrics.csv
STEP_ROW = ("epoch", *(field.name for field in fields(loop.Sample)))  # and those of steps.csv


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run, read from its directory."""

    folder: Path

    @cached_property
    def history(self) -> list[dict[str, float]]:
        """One row an epoch: losses, accuracies, learning rate, seconds."""
        return read_rows(self.folder / runs.METRICS)

    @cached_property
    def report(self) -> dict[str, Any]:
        """What `report.json` holds."""
        return read_report(self.folder)

    @cached_property
    def model(self) -> Recognizer:
        """The trained model, loaded from its file."""
        return Recognizer.load(runs.model_path(self.folder))  # a folder may be called as a bundled model is


def train(
    recipe: Recipe | str | Path,
    *,
    data: Dataset | str | Path | None = None,
    out: str | Path | None = None,
    seed: int | None = None,
    device: str = "auto",
    import_seconds: float | None = None,
    log: Log = silent,
    on_tick: OnTick | None = None,
) -> Run:
    """Train as `recipe` says and leave a run directory: `out`, or a new one under `runs/`.

    `data` is a data set or a SOURCE, else what the recipe names; `device` is auto, cpu or cuda; `import_seconds` is
    what the caller spent on loading this, for the report.

    Raises:
        UsageError: an unknown recipe, source or device, parts that the data cannot give, an unfit teacher; or another
            training is at work in `out`.
        DataError: the data cannot be used.
        ModelFileError: the teacher's file cannot be used.
        Diverged: the loss is no longer a number.
        TrainingError: the GPU's memory is full.
        OutputError: the run directory is taken, or cannot be written.
    """
    if not isinstance(recipe, Recipe):
        recipe = Recipe.load(recipe)
    if seed is not None:
        recipe = recipe.change({"seed": seed})
    with _clock() as seconds:
        target = choose_device(device)
        dataset = open_for(recipe, data if data is not None else recipe.data, log=log)
        teacher = open_teacher(recipe, dataset)
        parts = splits_of(dataset, recipe)
        net = trial.build(recipe, parts, len(dataset.classes))
        recipe = recipe.change(sources_of(data, recipe))  # so that recipe.toml alone repeats the run
        about = environment.describe(dataset, source=recipe.data, device=target)
        about["teacher"] = None if teacher is None else teacher.describe().to_json()
        folder = runs.create(recipe.name, seed=recipe.seed, out=None if out is None else Path(out))
    with locked(folder, "training"):
        check_free(folder)  # another training may have been here meanwhile
        write_atomic(folder / runs.RECIPE, recipe.to_toml())
        write_atomic(folder / runs.ENVIRONMENT, json.dumps(about, indent=1))
        with gpu_memory("Train on the processor: --device cpu."):
            state = loop.start(net.to(target), recipe)
        checkpoint.write(folder, state)
        job = Job(folder, recipe, dataset, parts, about, target, teacher)
        return _finish(job, state, seconds=_before(import_seconds, seconds()), on_tick=on_tick, log=log)


def resume(
    run: str | Path,
    *,
    data: Dataset | None = None,
    device: str = "auto",
    import_seconds: float | None = None,
    log: Log = silent,
    on_tick: OnTick | None = None,
) -> Run:
    """Go on with an interrupted run from its last finished epoch; it ends as if it had never been stopped.

    `data` is needed only if the run began with a data set that no source opens.

    Raises:
        UsageError: no such run, it is finished, or another training is at work on it.
        DataError: data or teacher are not those that the run began with, or its files are damaged.
        TrainingError: the GPU's memory is full.
    """
    folder = runs.find(run)
    _check_unfinished(folder)
    with locked(folder, "training"):
        _check_unfinished(folder)  # it may have come to its end meanwhile
        with _clock() as seconds:
            job, state = _take_up(folder, data, device, log)
        log(f"Going on after epoch {state.epoch}.")
        return _finish(job, state, seconds=_before(import_seconds, seconds()), on_tick=on_tick, log=log)


def _check_unfinished(folder: Path) -> None:
    if runs.is_finished(folder):
        raise UsageError(f"{folder} is finished", hint=f"Look at {folder / runs.PAGE}, or train anew.")


def _take_up(folder: Path, data: Dataset | None, device: str, log: Log) -> tuple[Job, loop.State]:
    """A run as it stands after its last good checkpoint; rows of later epochs are cut off its curves.

    Raises:
        DataError: data or teacher are not those that the run began with, or its files are damaged.
    """
    recipe, about, target = Recipe.load(folder / runs.RECIPE), environment.read(folder), choose_device(device)
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
    parts = splits_of(dataset, recipe)
    net = trial.build(recipe, parts, len(dataset.classes))
    with gpu_memory("Go on on the processor: --device cpu."):
        state = checkpoint.read(folder, net, recipe, device=target, log=log)
    _cut_rows(folder, state)
    return Job(folder, recipe, dataset, parts, about, target, teacher), state


def _cut_rows(folder: Path, state: loop.State) -> None:
    """Leave the rows of the curves up to the state, so that those of the epochs after it are not there twice.

    Raises:
        DataError: the files are damaged.
    """
    for name, columns in ((runs.METRICS, EPOCH_ROW), (runs.STEPS, STEP_ROW)):
        rows = _check_rows(folder / name, columns)
        truncate_rows(folder / name, sum(row["step"] <= state.step for row in rows))


def _check_rows(path: Path, columns: Sequence[str]) -> list[dict[str, float]]:
    """Read rows whose columns are those that a run writes: it would write more under the wrong names.

    Raises:
        MalformedFile: they are others, or the file cannot be read.
    """
    rows = read_rows(path)
    if rows and tuple(rows[0]) != tuple(columns):
        expected, received = ", ".join(columns), ", ".join(rows[0])[:200]
        raise MalformedFile(path, "the columns are others", where="line 1", expected=expected, received=received)
    for number, row in enumerate(rows, 2):
        if not can_be_drawn(row) or not 0 < row["step"] < math.inf:
            raise MalformedFile(path, "figures that no training has", where=f"line {number}")
    return rows


@contextmanager
def _clock() -> Iterator[Callable[[], float]]:
    """Seconds since the block began; they stand still when it ends."""
    began, ended = time.perf_counter(), math.nan
    yield lambda: (time.perf_counter() if math.isnan(ended) else ended) - began
    ended = time.perf_counter()


def _before(import_seconds: float | None, load_seconds: float) -> dict[str, float]:
    """The stages before training; how long an import took is known only to who imported."""
    return {"load": load_seconds} if import_seconds is None else {"import": import_seconds, "load": load_seconds}


def _finish(job: Job, state: loop.State, *, seconds: dict[str, float], on_tick: OnTick | None, log: Log) -> Run:
    """Train to the end, export, answer, report; DONE comes last."""
    _train(job, state, on_tick, log)
    with _clock() as export_seconds:
        data = write_model(job, state)
    write_report(job, state, data, seconds={**seconds, "export": export_seconds()})
    checkpoint.forget_previous(job.folder)
    runs.finish(job.folder)
    return Run(job.folder)


def _train(job: Job, state: loop.State, on_tick: OnTick | None, log: Log) -> None:
    """Run the loop; after each epoch write its row and a checkpoint.

    Raises:
        TrainingError: the GPU's memory is full.
    """
    smaller = f"or train anew with a smaller batch, as with --set batch={max(1, job.recipe.batch // 2)}"
    try:
        with gpu_memory(f"Go on with: inkdigit train --resume {job.folder} --device cpu; {smaller}."):
            rows = trial.epochs(state, job.recipe, job.parts, job.device, teacher=job.teacher, on_tick=on_tick, log=log)
            for row in rows:
                _record(job.folder, row)
                checkpoint.write(job.folder, state)
    except KeyboardInterrupt as exc:
        told = f"Stopped in epoch {state.epoch + 1}. Go on with: inkdigit train --resume {job.folder}"
        raise KeyboardInterrupt(told) from exc


def _record(folder: Path, row: loop.Row) -> None:
    steps_per_epoch = row.step / row.epoch
    figures = {field.name: getattr(row, field.name) for field in fields(row) if field.name != "samples"}
    append_row(folder / runs.METRICS, figures)
    for sample in row.samples:
        append_row(folder / runs.STEPS, {"epoch": round(sample.step / steps_per_epoch, 4), **asdict(sample)})
