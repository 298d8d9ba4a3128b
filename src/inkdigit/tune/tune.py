"""The search for a better recipe: trials, the winner, and whether it is one.

In: a starting recipe, a space, data, and how many trials. Out: a directory with the study, `winner.toml` (which `train`
takes) and `study.html`.

    runs/20261120-101502-tune-classic-s0/     start.toml · study.db · winner.toml · study.html
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import inkdigit.runs as runs
from inkdigit.errors import MissingExtra, TrainingError, UsageError
from inkdigit.files import check_free, locked, write_atomic
from inkdigit.machine import cores
from inkdigit.training.recipe import Recipe
from inkdigit.tune import study as memory
from inkdigit.tune.checks import check_file, check_trials
from inkdigit.tune.data import divide
from inkdigit.tune.pages import tell_story, write_page
from inkdigit.tune.search import Search, run_trials
from inkdigit.tune.space import Space
from inkdigit.tune.winner import Duel, fight, winner_toml
from inkdigit.types import Dataset, Log, silent

START = "start.toml"
WINNER = "winner.toml"
PAGE = "study.html"
MOST_JOBS = 1024  # processes; each has a library of its own in memory, of some hundred megabytes


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a search came to; `duel` is None where there was nothing to compare, and `verdict` says why."""

    folder: Path
    trials: int
    start: float | None  # validation accuracy; None where the starting recipe could not be trained
    best: float
    best_number: int
    duel: Duel | None
    verdict: str


def tune(
    recipe: Recipe | str | Path,
    *,
    trials: int = 20,
    space: str | Path | None = None,
    storage: str | None = None,
    jobs: int | None = None,
    data: str | Path | Dataset | None = None,
    out: str | Path | None = None,
    seed: int | None = None,
    log: Log = silent,
) -> Tuned:
    """Search `space` for a recipe that beats `recipe` in validation accuracy; called again, it goes on.

    It goes on where `out`, or the study of its name in `storage`, holds a search already, and stops at `trials` in all.
    Workers are processes of their own: a script that calls this needs `if __name__ == "__main__":`.

    Raises:
        UsageError: an unknown recipe, an impossible space, a storage out of reach, a study about something else.
        DataError: the data cannot be used.
        TrainingError: no trial could be trained, or workers keep dying.
        OutputError: the directory is taken, or cannot be written.
    """
    start = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
    start = start if seed is None else start.change({"seed": seed})
    if start.teacher is not None:
        raise UsageError(
            "A search has no teacher: each of its divisions of the pictures would need one of its own",
            received=f"teacher = {start.teacher!r}",
            hint="Tune without it, then train the winner with --set teacher=….",
        )
    chosen = Space.load(space, start)
    if trials < 1 or (jobs is not None and jobs < 1):
        raise UsageError("There is nothing to do", expected="at least one trial and one job")
    if jobs is not None and jobs > MOST_JOBS:
        raise UsageError("So many jobs are a slip", expected=f"{MOST_JOBS} at most", received=jobs)
    memory.require_optuna()
    try:
        from inkdigit.training.run import open_for, source_of
    except ModuleNotFoundError as exc:
        raise MissingExtra(f"Tuning needs {exc.name}", "train") from exc
    dataset = open_for(start, start.data if data is None else data, log=log)
    start = start.change({"data": source_of(data, start)})
    pictures = divide(dataset, start, chosen.budget)
    about = _about(start, chosen, dataset)
    named = None if out is None else Path(out)
    if storage is not None:  # out of reach is to be known before a directory is made
        named = named or runs.ROOT / f"tune-{start.name}"
        study = memory.open_study(storage, named.resolve().name, about=about, seed=start.seed)
    folder = _make(named, start)
    with locked(folder, "search"):
        _begin(folder, start)
        if storage is None:
            check_file(folder)
            study = memory.open_study(memory.sqlite(folder), "search", about=about, seed=start.seed)
        check_trials(study, fits=chosen.fits)
        search = Search(folder, start, chosen, pictures, study, trials, min(jobs or cores(), trials), log)
        with memory.storing():
            return _run(search)


def _about(start: Recipe, space: Space, dataset: Dataset) -> dict[str, Any]:
    """What the trials of a study have in common: none is added to a study about something else."""
    fields = start.model_dump(mode="json", exclude={"about", "data"})
    return {"recipe": fields, "space": space.describe(), "data set": f"{dataset.name}, SHA-256 {dataset.sha256[:16]}"}


def _make(named: Path | None, start: Recipe) -> Path:
    """The directory of the search: one that holds a search already, or a new one."""
    if named is not None and (named / START).is_file():
        return named
    return runs.create(f"tune-{start.name}", seed=start.seed, out=named)


def _begin(folder: Path, start: Recipe) -> None:
    """Write what the search begins at, unless it has begun.

    Raises:
        OutputError: the directory holds something else by now.
    """
    if not (folder / START).is_file():
        check_free(folder)
    if not (folder / memory.DATABASE).exists():
        write_atomic(folder / START, start.to_toml())


def _run(search: Search) -> Tuned:
    """Try, compare, tell."""
    study, folder, log = search.study, search.folder, search.log
    left = memory.take_up(study, search.space.params(search.start), by=memory.owner(folder))
    if done := len(memory.over(study)):
        log(f"Going on after {done} trials{f'; {left} that were cut short begin again' if left else ''}.")
    try:
        with memory.storing():  # in here, for Ctrl-C may come while the database is at work
            run_trials(search)
            best = memory.best(study)
            if best is None:
                why = next((trial.user_attrs[memory.REASON] for trial in memory.over(study)), None)
                raise TrainingError("No trial could be trained", received=why, hint="Change the space, or the recipe.")
            write_page(folder / PAGE, tell_story(search, best, None))
            duel = fight(search, best)
    except KeyboardInterrupt as exc:
        told = f"Stopped after {len(memory.over(study))} of {search.trials} trials. Go on with: the same command"
        raise KeyboardInterrupt(f"{told}, and --out {folder}") from exc
    write_atomic(folder / WINNER, winner_toml(search, best, duel))
    story = tell_story(search, best, duel)
    write_page(folder / PAGE, story)
    verdict = duel.verdict if duel else story.no_duel
    return Tuned(folder, len(story.rows), story.start_value, story.best_value, story.best, duel, verdict)
