"""The trainings of a search on a cluster: Ray Tune starts them, watches them, and stops those that the study prunes.

In: `Training`s, each with its images. Out: calls of `on_epoch` and `on_end` in the calling process, as `pool.train_all`
makes them. Only that process reads and writes the study. The images of several trainings are copied to a machine once.
Ray Tune wants a searcher, a scheduler and a trainable as classes that inherit from its own.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inkdigit.data.splits import Splits
from inkdigit.errors import MissingExtra
from inkdigit.tuning.pool import End, Epoch, Training, check_deaths, progress

if TYPE_CHECKING:
    from ray import ObjectRef, tune
    from ray.tune.execution.tune_controller import TuneController
    from ray.tune.experiment import Trial
    from ray.tune.schedulers import FIFOScheduler
    from ray.tune.search import Searcher

TRAINING, SPLITS, MESSAGE = "training", "splits", "message"  # the keys of a configuration, and of a result
FINISHED = "FINISHED"  # `Searcher.FINISHED`: there will be no more trials
# Ray Tune reads these from the environment alone. It would write a log of each trial in three formats, work in a folder
# of its own, print the traceback of each failure, and end a search that Ctrl-C stops as if it were finished.
SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
}


def train_all(
    next_training: Callable[[], Training | None],
    *,
    jobs: int,
    on_epoch: Callable[[Training, int, float], bool],
    on_end: Callable[[Training, End], None],
    gpus: bool = False,
) -> None:
    """See `pool.TrainAll`; the workers are processes of the cluster that is connected, each with a core.

    With `gpus` each has a GPU, too, and as many work at once as there are.
    """
    try:
        from ray import tune
        from ray.tune.error import TuneError
    except ImportError as exc:  # Ray alone does not bring pandas and pyarrow
        raise MissingExtra("The engine ray needs Ray Tune", "scale") from exc
    ask, tell, trainable = _parts(_Trainings(next_training, jobs, on_epoch, on_end))
    with _settings(jobs), tempfile.TemporaryDirectory(prefix="inkdigit-tune-") as folder:
        tuner = tune.Tuner(
            tune.with_resources(trainable, {"CPU": 1, "GPU": int(gpus)}),
            tune_config=tune.TuneConfig(search_alg=ask, scheduler=tell, num_samples=-1, reuse_actors=True),
            run_config=tune.RunConfig(
                name="search",
                storage_path=folder,
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),  # a trial that dies begins again
                verbose=0,
            ),
        )
        try:
            tuner.fit()
        except TuneError as exc:  # an error of `on_epoch` or `on_end` comes out as text, with the cause behind it
            cause: BaseException = exc
            while isinstance(cause, TuneError) and cause.__context__ is not None:
                cause = cause.__context__
            raise cause from None


@dataclass(slots=True, eq=False)
class _Trainings:
    """What runs, and whom to tell: what the searcher and the scheduler share."""

    next_training: Callable[[], Training | None]
    jobs: int
    on_epoch: Callable[[Training, int, float], bool]
    on_end: Callable[[Training, End], None]
    running: dict[str, Training] = field(default_factory=dict)  # by the name that Ray Tune gives a trial
    deaths: int = 0  # one after the other
    images: tuple[Splits, ObjectRef[Splits]] | None = None  # of the last training, and where the cluster has them

    def begin(self, name: str) -> Any:
        """The configuration of the next training; None while there is none, FINISHED if there will be none."""
        import ray

        if len(self.running) >= self.jobs:
            return None
        training = self.next_training()
        if training is None:
            return None if self.running else FINISHED
        self.running[name] = training
        if self.images is None or self.images[0] is not training.splits:
            self.images = training.splits, ray.put(training.splits)
        return {TRAINING: replace(training, splits=None), SPLITS: self.images[1]}  # type: ignore[arg-type]

    def goes_on(self, name: str, message: Epoch | End) -> bool:
        """Pass on what a training reports; whether it goes on."""
        if isinstance(message, Epoch):
            if self.on_epoch(self.running[name], message.number, message.accuracy):
                return True
            message = End(seconds=message.seconds)
        self.deaths = self.deaths + 1 if message.died else 0
        self.on_end(self.running.pop(name), message)
        check_deaths(self.deaths, hint="Is there enough memory? Try --jobs 1.")
        return False


def _parts(trainings: _Trainings) -> tuple[Searcher, FIFOScheduler, type[tune.Trainable]]:
    """What Ray Tune wants: who gives it trainings, who hears what they report, and who trains."""
    from ray import tune
    from ray.tune.schedulers import FIFOScheduler
    from ray.tune.search import Searcher

    class Ask(Searcher):
        """Gives the next training when there is a place for one. (The study stores what a searcher would.)"""

        def suggest(self, trial_id: str) -> Any:
            return trainings.begin(trial_id)

        def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
            """Nothing: `Tell` hears of it too."""

        def save(self, checkpoint_path: str) -> None:
            """Nothing."""

        def restore(self, checkpoint_path: str) -> None:
            """Nothing."""

    class Tell(FIFOScheduler):
        """Passes on what the trainings report, and stops those that shall not go on."""

        def on_trial_result(self, _: TuneController, trial: Trial, result: dict[str, Any]) -> str:
            answer: str = self.CONTINUE if trainings.goes_on(trial.trial_id, result[MESSAGE]) else self.STOP
            return answer

        def on_trial_error(self, _: TuneController, trial: Trial) -> None:
            trainings.goes_on(trial.trial_id, End(died=True, problem=_problem(trial)))

    class Train(tune.Trainable):
        """A process that trains; a step is an epoch, or the end."""

        def setup(self, config: dict[str, Any]) -> None:
            self.messages = _begin(config)

        def step(self) -> dict[str, Any]:
            return {MESSAGE: next(self.messages)}

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            """Begin another training in the same process, which has PyTorch loaded."""
            self.setup(new_config)
            return True

    return Ask(), Tell(), Train


def _begin(config: dict[str, Any]) -> Iterator[Epoch | End]:
    """Begin the training of a configuration, in a process of the cluster."""
    import ray

    from inkdigit.training.device import use_threads

    use_threads(1)  # the core that it asked for; the others are for the other workers
    return progress(replace(config[TRAINING], splits=ray.get(config[SPLITS])))


@contextmanager
def _settings(jobs: int) -> Iterator[None]:
    """Ray Tune's settings for the time of the block, and no messages on stderr but ours."""
    settings = {**SETTINGS, "TUNE_MAX_PENDING_TRIALS_PG": str(jobs)}  # else it starts one process after the other
    before = {name: os.environ.get(name) for name in settings}
    logger = logging.getLogger("ray.tune")
    level = logger.level
    os.environ.update(settings)
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _problem(trial: Trial) -> str:
    """Why a training was lost: the last line of a traceback, or that its process is gone."""
    from ray import cloudpickle
    from ray.exceptions import RayTaskError

    error = trial.pickled_error_file
    exc = cloudpickle.loads(Path(error).read_bytes()) if error and Path(error).is_file() else None
    return str(exc).strip().splitlines()[-1] if isinstance(exc, RayTaskError) else "its process or its machine is gone"
