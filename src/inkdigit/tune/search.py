"""The trials of a search: asked of the sampler, trained by the workers, told to the study.

In: a `Search`. Out: a study with as many trials as were asked for. All talk with the study happens in this process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inkdigit.errors import UsageError
from inkdigit.training.recipe import Recipe
from inkdigit.tune import pool
from inkdigit.tune import study as memory
from inkdigit.tune.data import Pictures
from inkdigit.tune.pool import End, Training
from inkdigit.tune.space import Space
from inkdigit.types import Log

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """One search under way: what all of its stages look at."""

    folder: Path
    start: Recipe
    space: Space
    pictures: Pictures
    study: Study
    trials: int
    jobs: int
    log: Log

    def recipe(self, params: Mapping[str, Any]) -> Recipe:
        """The start with what a trial changes; it must be possible as it stands, with the start's own protocol.

        Raises:
            UsageError: the fields do not go together.
        """
        return self.start.change(self.space.changes(params))


def start_trial(study: Study) -> FrozenTrial | None:
    """The trial of the starting recipe, where it has a value."""
    return next((trial for trial in memory.finished(study) if memory.START in trial.user_attrs), None)


def run_trials(search: Search) -> None:
    """Run trials until there are as many as were asked for."""
    study, log = search.study, search.log
    busy: dict[int, Trial] = {}

    def take() -> Training | None:
        while len(memory.over(study)) + len(busy) < search.trials:
            trial = study.ask()
            trial.set_user_attr(memory.OWNER, memory.owner(search.folder))
            try:
                recipe = _propose(search, trial)
            except UsageError as exc:
                memory.prune(study, trial, str(exc))
                log(f"Trial {trial.number:<3} pruned: {exc}")
                continue
            busy[trial.number] = trial
            return Training(trial.number, recipe, search.pictures.trial, search.pictures.classes)
        return None

    def on_epoch(training: Training, epoch: int, accuracy: float) -> bool:
        trial = busy[training.key]
        trial.report(accuracy, epoch)
        return memory.START in trial.user_attrs or not trial.should_prune()

    def on_end(training: Training, end: End) -> None:
        log(_tell(search, busy.pop(training.key), end))

    pool.train_all(take, jobs=search.jobs, on_epoch=on_epoch, on_end=on_end)


def _propose(search: Search, trial: Trial) -> Recipe:
    """The recipe of a trial: what the sampler proposes over the start, cut to the budget.

    Raises:
        UsageError: the fields do not go together.
    """
    start, budget = search.start, search.space.budget
    epochs = min(start.epochs, budget.epochs or start.epochs)
    if memory.START in trial.user_attrs:
        search.space.suggest(trial, only=search.space.params(start))
        return start.change({"epochs": epochs})
    search.space.suggest(trial)
    return search.recipe(trial.params).change({"epochs": epochs})


def _tell(search: Search, trial: Trial, end: End) -> str:
    """Put the end of a trial into the study; return the line that says so."""
    study, name = search.study, f"Trial {trial.number:<3}"
    if end.died:
        again = memory.lose(study, trial, end.problem or "")
        return f"{name} lost: {end.problem}; {'it begins again' if again else 'given up'}"
    trial.set_user_attr(memory.SECONDS, round(end.seconds, 2))
    if end.problem is not None:
        memory.prune(study, trial, end.problem)
        return f"{name} pruned: {end.problem}"
    if end.accuracy is None:
        memory.prune(study, trial, "below the median of the trials before it")
        return f"{name} pruned: below the median  ({end.seconds:.0f} s)"
    study.tell(trial, end.accuracy)
    mark = "  the best so far" if (best := memory.best(study)) and best.number == trial.number else ""
    start = "  (the start)" if memory.START in trial.user_attrs else ""
    return f"{name} {100 * end.accuracy:.2f} %  ({end.seconds:.0f} s){start}{mark}"
