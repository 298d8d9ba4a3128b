"""The trials of a search: proposed by the sampler, trained by the workers, stored in the study.

In: a `Search`. Out: a study with as many trials as requested. Only this process reads and writes the study.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inkdigit.errors import UsageError
from inkdigit.training.recipe import Recipe
from inkdigit.tuning.pool import End, TrainAll, Training
from inkdigit.tuning.space import Space
from inkdigit.tuning.splits import Division
from inkdigit.tuning.study import (
    IS_START,
    OWNER,
    SECONDS,
    best_trial,
    ended_trials,
    owner,
    prune_trial,
    retry_or_fail,
)
from inkdigit.types import Log

if TYPE_CHECKING:
    from optuna import Study, Trial


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """A running search: what all of its stages need."""

    folder: Path
    start: Recipe
    space: Space
    division: Division
    study: Study
    trials: int
    jobs: int
    device: str
    train_all: TrainAll
    log: Log

    def recipe(self, params: Mapping[str, Any]) -> Recipe:
        """The starting recipe with the changes of a trial; it must be valid with the protocol of the start.

        Raises:
            UsageError: the fields do not go together.
        """
        return self.start.change(self.space.changes(params))


def run_trials(search: Search) -> None:
    """Run trials until there are as many as requested."""
    study, log = search.study, search.log
    running: dict[int, Trial] = {}

    def next_training() -> Training | None:
        while len(ended_trials(study)) + len(running) < search.trials:
            trial = study.ask()
            trial.set_user_attr(OWNER, owner(search.folder))
            try:
                recipe = _propose(search, trial)
            except UsageError as exc:
                prune_trial(study, trial, str(exc))
                log(f"Trial {trial.number:<3} pruned: {exc}")
                continue
            running[trial.number] = trial
            division = search.division
            return Training(trial.number, recipe, division.trial, division.classes, search.device)
        return None

    def on_epoch(training: Training, epoch: int, accuracy: float) -> bool:
        trial = running[training.key]
        trial.report(accuracy, epoch)
        return IS_START in trial.user_attrs or not trial.should_prune()

    def on_end(training: Training, end: End) -> None:
        log(_store_end(search, running.pop(training.key), end))

    search.train_all(next_training, jobs=search.jobs, on_epoch=on_epoch, on_end=on_end)


def _propose(search: Search, trial: Trial) -> Recipe:
    """The recipe of a trial: the sampler's changes to the starting recipe, limited to the budget.

    Raises:
        UsageError: the fields do not go together.
    """
    start, budget = search.start, search.space.budget
    epochs = min(start.epochs, budget.epochs or start.epochs)
    if IS_START in trial.user_attrs:
        search.space.suggest(trial, only=search.space.params(start))
        return start.change({"epochs": epochs})
    search.space.suggest(trial)
    return search.recipe(trial.params).change({"epochs": epochs})


def _store_end(search: Search, trial: Trial, end: End) -> str:
    """Store the end of a trial in the study; return a line for the log."""
    study, name = search.study, f"Trial {trial.number:<3}"
    if end.died:
        again = retry_or_fail(study, trial, end.problem or "")
        return f"{name} lost: {end.problem}; {'it will run again' if again else 'given up'}"
    trial.set_user_attr(SECONDS, round(end.seconds, 2))
    if end.problem is not None:
        prune_trial(study, trial, end.problem)
        return f"{name} pruned: {end.problem}"
    if end.accuracy is None:
        prune_trial(study, trial, "below the median of the trials before it")
        return f"{name} pruned: below the median  ({end.seconds:.0f} s)"
    study.tell(trial, end.accuracy)
    mark = "  the best so far" if (best := best_trial(study)) and best.number == trial.number else ""
    start = "  (the start)" if IS_START in trial.user_attrs else ""
    return f"{name} {100 * end.accuracy:.2f} %  ({end.seconds:.0f} s){start}{mark}"
