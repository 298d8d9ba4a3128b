"""The rows of a training where teams look at them: TensorBoard, MLflow, Weights & Biases.

In: names of these, and the rows of the loop. Out: what their own pages read. `Tracker` is the port; a library is
imported when it is used. env.json has the names of the runs there, so that a run that is resumed goes on in the same.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from inkdigit.errors import MissingExtra, UsageError, did_you_mean, first_line
from inkdigit.files import writing
from inkdigit.training.curves import EPOCH_COLUMNS
from inkdigit.training.network.loop import Row
from inkdigit.training.recipe import Recipe
from inkdigit.types import Log

PROJECT = "inkdigit"  # the experiment of MLflow and the project of W&B, where the environment names no other
MAX_TEXT = 500  # characters of a parameter: what MLflow's oldest servers take
FIGURES = ("accuracy", "nll", "brier", "ece")  # of the report, logged at the end


class Tracker(Protocol):
    """A run in one of these places."""

    errors: tuple[type[Exception], ...]  # what its library raises if the place does not answer

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Log values at a step of the optimizer."""
        ...

    def close(self, *, finished: bool) -> None:
        """End the run there; one that is not finished may be resumed."""
        ...


class TensorBoard:
    """Event files in the run directory, for `tensorboard --logdir runs`."""

    errors: tuple[type[Exception], ...] = (OSError,)  # of its writer, for which the disk may be full

    def __init__(self, folder: Path, recipe: Recipe, after_step: int) -> None:
        """Begin, or go on after a step: what was logged of later ones is struck out."""
        from torch.utils.tensorboard import SummaryWriter

        purged = after_step + 1 if after_step else None
        self._writer: Any = SummaryWriter(str(folder), purge_step=purged)
        if not after_step:
            code = "".join(f"    {line}\n" for line in recipe.to_toml().splitlines())  # Markdown
            self._writer.add_text("recipe", code)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """See `Tracker`."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self, *, finished: bool) -> None:  # noqa: ARG002
        """See `Tracker`."""
        self._writer.close()


class MLflow:
    """A run at MLFLOW_TRACKING_URI, in the experiment `inkdigit` or that of MLFLOW_EXPERIMENT_NAME."""

    def __init__(self, run: str, recipe: Recipe, after_step: int) -> None:
        """Begin, or go on with, the run of this ID, which is there."""
        from mlflow.entities import Param
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        self.errors: tuple[type[Exception], ...] = (MlflowException,)
        self._client, self._run = MlflowClient(), run
        self._client.update_run(run, status="RUNNING")
        if not after_step:
            fields = recipe.model_dump(exclude_none=True).items()
            self._client.log_batch(run, params=[Param(name, str(value)[:MAX_TEXT]) for name, value in fields])

    @staticmethod
    def begin(name: str) -> str:
        """Make a run; its ID."""
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        try:
            client = MlflowClient()
            known = client.get_experiment_by_name(experiment)
            number = client.create_experiment(experiment) if known is None else known.experiment_id
            run: str = client.create_run(number, run_name=name).info.run_id
        except MlflowException as exc:
            raise UsageError(f"MLflow cannot be used: {first_line(exc)}", hint="See MLFLOW_TRACKING_URI.") from exc
        return run

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """See `Tracker`."""
        from mlflow.entities import Metric

        now = round(time.time() * 1000)
        self._client.log_batch(self._run, metrics=[Metric(name, value, now, step) for name, value in values.items()])

    def close(self, *, finished: bool) -> None:
        """See `Tracker`."""
        self._client.set_terminated(self._run, "FINISHED" if finished else "KILLED")


class WandB:
    """A run in the project `inkdigit`, or that of WANDB_PROJECT."""

    def __init__(self, run: str, name: str, recipe: Recipe, after_step: int) -> None:
        """Begin, or go on with, the run of this ID; offline, `wandb sync --append` joins the parts.

        Raises:
            UsageError: W&B does not take it, for want of a key for example.
        """
        import wandb

        self.errors: tuple[type[Exception], ...] = (wandb.errors.Error,)
        resumes = after_step and os.environ.get("WANDB_MODE") != "offline"
        try:
            self._run: Any = wandb.init(
                project=os.environ.get("WANDB_PROJECT", PROJECT),
                name=name,
                id=run,
                resume="allow" if resumes else None,
                config=recipe.model_dump(mode="json", exclude_none=True),
                settings=wandb.Settings(console="off"),
            )
        except self.errors as exc:
            hint = "Without an account: WANDB_MODE=offline."
            raise UsageError(f"W&B cannot be used: {first_line(exc)}", hint=hint) from exc

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """See `Tracker`."""
        self._run.log(dict(values), step=step)

    def close(self, *, finished: bool) -> None:
        """See `Tracker`."""
        self._run.finish(exit_code=0 if finished else 1)


LIBRARIES = {"tensorboard": "tensorboard", "mlflow": "mlflow", "wandb": "wandb"}  # name, and extra → module


def check(names: str | Sequence[str]) -> tuple[str, ...]:
    """The names, each once, of places whose library is installed.

    Raises:
        UsageError: an unknown name.
        MissingExtra: a library is not installed.
    """
    chosen = tuple(dict.fromkeys([names] if isinstance(names, str) else names))
    for name in chosen:
        if name not in LIBRARIES:
            hint = did_you_mean(str(name), LIBRARIES)
            raise UsageError(f"Nothing is logged to {name!r}", expected=", ".join(LIBRARIES), hint=hint)
        if find_spec(LIBRARIES[name]) is None:
            raise MissingExtra(f"Logging to {name} needs its library", name)
    return chosen


def begin(names: Sequence[str], folder: Path) -> dict[str, str]:
    """Name the run in each place: place → ID, for env.json.

    Raises:
        UsageError: a place cannot be used.
    """
    ids = dict.fromkeys(names, "")
    if "mlflow" in ids:
        ids["mlflow"] = MLflow.begin(folder.name)
    if "wandb" in ids:
        ids["wandb"] = uuid.uuid4().hex[:8]
    return ids


@dataclass(slots=True, eq=False)
class Tracking:
    """All places of one run."""

    log: Log
    places: dict[str, Tracker] = field(default_factory=dict)
    last_step: int = 0

    def row(self, row: Row) -> None:
        """Log an epoch: the points of its curve, then its own figures."""
        for step, values in points(row).items():
            self._each(lambda tracker, step=step, values=values: tracker.add(step, values))  # type: ignore[misc]
        self.last_step = row.step

    def report(self, report: Mapping[str, Any]) -> None:
        """Log the figures of the model file, under the name of the split that they are from."""
        values = {f"{report['report_name']}_{name}": report[name] for name in FIGURES if name in report}
        self._each(lambda tracker: tracker.add(self.last_step, values))

    def close(self, *, finished: bool) -> None:
        """End the run everywhere."""
        self._each(lambda tracker: tracker.close(finished=finished))

    def _each(self, call: Callable[[Tracker], None]) -> None:
        """Call each place; one that does not answer is left out from then on, since the training matters more."""
        for name, tracker in list(self.places.items()):
            try:
                call(tracker)
            except tracker.errors as exc:
                self.log(f"{name} does not answer, and is left out from here on: {first_line(exc)}")
                del self.places[name]


def points(row: Row) -> dict[int, dict[str, float]]:
    """What is logged of an epoch: step → name → value, with the names of metrics.csv; `step_` is of a few steps."""
    found: dict[int, dict[str, float]] = {}
    for sample in row.samples:
        means = {"step_loss": sample.loss, "step_accuracy": sample.accuracy, "learning_rate": sample.learning_rate}
        found[sample.step] = means
    figures = {name: getattr(row, name) for name in EPOCH_COLUMNS if name != "step"}
    found[row.step] = found.get(row.step, {}) | {name: value for name, value in figures.items() if value is not None}
    return found


@contextmanager
def opened(logged: Mapping[str, str], folder: Path, recipe: Recipe, *, after_step: int, log: Log) -> Iterator[Tracking]:
    """The places where a run in `folder` is logged, from `after_step` on; at the end of the block it ends there, too.

    Raises:
        MissingExtra: a library is not installed.
        UsageError: a place cannot be used.
        OutputError: nothing can be written in `folder`.
    """
    check(tuple(logged))
    tracking = Tracking(log, last_step=after_step)
    finished = False
    try:
        if "tensorboard" in logged:
            with writing(folder):
                tracking.places["tensorboard"] = TensorBoard(folder, recipe, after_step)
        if "mlflow" in logged:
            tracking.places["mlflow"] = MLflow(logged["mlflow"], recipe, after_step)
        if "wandb" in logged:
            tracking.places["wandb"] = WandB(logged["wandb"], folder.name, recipe, after_step)
        yield tracking
        finished = True
    finally:
        tracking.close(finished=finished)
