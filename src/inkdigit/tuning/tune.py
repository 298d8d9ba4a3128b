"""The search for a better recipe, start to end: open data and study, run the trials, compare winner and start.

In: a starting recipe, a space, data, a number of trials. Out: a directory with the study, `winner.toml` (a recipe for
`train`) and `study.html`.

    runs/20261120-101502-tune-classic-s0/     start.toml · study.db · winner.toml · study.html
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import inkdigit.runs as runs
from inkdigit.errors import TrainingError, UsageError, requiring
from inkdigit.files import check_free, locked, write_atomic
from inkdigit.machine import check_device, cores
from inkdigit.scale.cluster import connected, has_gpus, processors, uses_ray
from inkdigit.training.recipe import Recipe
from inkdigit.tuning import pool, ray_tune
from inkdigit.tuning.pages import content_of, write_page
from inkdigit.tuning.pool import TrainAll
from inkdigit.tuning.search import Search, run_trials
from inkdigit.tuning.space import Space
from inkdigit.tuning.splits import divide
from inkdigit.tuning.study import (
    DATABASE,
    REASON,
    best_trial,
    ended_trials,
    open_study,
    owner,
    queue_first,
    require_optuna,
    sqlite_url,
    storing,
)
from inkdigit.tuning.study_checks import check_file, check_trials
from inkdigit.tuning.winner import Comparison, compare, winner_toml
from inkdigit.types import DataLike, Dataset, Log, check_functions, silent

START = "start.toml"
WINNER = "winner.toml"
PAGE = "study.html"
MAX_JOBS = 1024  # processes: each needs some hundred megabytes for PyTorch, so a larger number is a typing mistake


@dataclass(frozen=True, slots=True)
class Tuned:
    """The result of a search; `comparison` is None if there was nothing to compare, and `verdict` says why."""

    folder: Path
    trials: int
    start: float | None  # validation accuracy; None if the starting recipe could not be trained
    best: float
    best_number: int
    comparison: Comparison | None
    verdict: str


def tune(
    recipe: Recipe | str | Path,
    *,
    trials: int = 20,
    space: str | Path | None = None,
    storage: str | None = None,
    jobs: int | None = None,
    data: DataLike | None = None,
    out: str | Path | None = None,
    seed: int | None = None,
    device: str = "auto",
    engine: str = "local",
    address: str | None = None,
    log: Log = silent,
) -> Tuned:
    """Search `space` for a recipe with a higher validation accuracy than `recipe`.

    If `out`, or the study of its name in `storage`, already has a search, the search continues until it has `trials`
    trials in total. Workers are `jobs` separate processes, by default one for each core, or one where `device` (auto,
    cpu, cuda or mps) is a GPU; of this machine or with the engine `ray` of the cluster at `address`: a script that
    calls this needs `if __name__ == "__main__":`.

    Raises:
        UsageError: an unknown recipe, engine or device, an impossible space, a storage that cannot be opened, a study
            of another search.
        MissingExtra: a library is not installed.
        NoCluster: there is no cluster at the address.
        DataError: the data cannot be used.
        TrainingError: no trial could be trained, or workers keep dying.
        OutputError: the directory is taken, or cannot be written.
    """
    check_functions(log=log)
    start = _start_from(recipe, seed)
    chosen = Space.load(space, start)
    _check_counts(trials, jobs)
    require_optuna()
    check_device(device)  # before a cluster is waited for
    uses_ray(engine, address)
    with requiring("Tuning needs"):
        from inkdigit.training.data import open_for, source_of
    dataset = open_for(start, start.data if data is None else data, log=log)
    start = start.change({"data": source_of(data, start)})
    division = divide(dataset, start, chosen.budget)
    about = _about(start, chosen, dataset)
    with _workers(engine, address, jobs, device) as (train_all, most):
        named = None if out is None else Path(out)
        if storage is not None:  # opened first: if that fails, no directory is made
            named = named or runs.ROOT / f"tune-{start.name}"
            study = open_study(storage, named.resolve().name, about=about, seed=start.seed)
        folder = _create(named, start)
        with locked(folder, "search"):
            _write_start(folder, start)
            if storage is None:
                check_file(folder)
                study = open_study(sqlite_url(folder), "search", about=about, seed=start.seed)
            check_trials(study, fits=chosen.fits)
            search = Search(folder, start, chosen, division, study, trials, min(most, trials), device, train_all, log)
            with storing():
                return _run(search)


def _check_counts(trials: int, jobs: int | None) -> None:
    """Check that there is something to do, and not too much at once.

    Raises:
        UsageError: there is not.
    """
    if trials < 1 or (jobs is not None and jobs < 1):
        raise UsageError("There is nothing to do", expected="at least one trial and one job")
    if jobs is not None and jobs > MAX_JOBS:
        raise UsageError("There are too many jobs", expected=f"at most {MAX_JOBS}", received=jobs)


@contextmanager
def _workers(engine: str, address: str | None, jobs: int | None, device: str) -> Iterator[tuple[TrainAll, int]]:
    """What runs the trainings, and how many at once: `jobs`, else one for each core, or one on a GPU of this machine.

    Raises:
        MissingExtra: a library of Ray is not installed.
        NoCluster: there is no cluster at the address.
        UsageError: an unknown device, or one that is not there.
    """
    if engine == "local":
        from inkdigit.training.device import CPU, choose_device

        yield pool.train_all, jobs or (cores() if choose_device(device) == CPU else 1)
        return
    with connected(address, workers=jobs):
        yield partial(ray_tune.train_all, gpus=has_gpus(device)), jobs or processors()


def _start_from(recipe: Recipe | str | Path, seed: int | None) -> Recipe:
    """The recipe that a search starts from, with another random seed where one is given.

    Raises:
        UsageError: an unknown recipe, or one with a teacher.
    """
    start = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
    start = start if seed is None else start.change({"seed": seed})
    start.check_described("A search")
    if start.teacher is not None:
        raise UsageError(
            "A search cannot use a teacher: it may have seen the images that trials are validated on",
            received=f"teacher = {start.teacher!r}",
            hint="Tune without it, then train the winner with --set teacher=….",
        )
    return start


def _about(start: Recipe, space: Space, dataset: Dataset) -> dict[str, Any]:
    """What all trials of a study have in common; a search with other values cannot continue that study."""
    fields = start.model_dump(mode="json", exclude={"about", "data"})
    return {"recipe": fields, "space": space.describe(), "data set": f"{dataset.name}, SHA-256 {dataset.sha256[:16]}"}


def _create(named: Path | None, start: Recipe) -> Path:
    """The directory of the search: one that already has a search, or a new one."""
    if named is not None and (named / START).is_file():
        return named
    return runs.create(f"tune-{start.name}", seed=start.seed, out=named)


def _write_start(folder: Path, start: Recipe) -> None:
    """Write the starting recipe, unless the search has begun.

    Raises:
        OutputError: the directory now holds something else.
    """
    if not (folder / START).is_file():
        check_free(folder)
    if not (folder / DATABASE).exists():
        write_atomic(folder / START, start.to_toml())


def _run(search: Search) -> Tuned:
    """Run the trials, compare winner and start, write the recipe and the page."""
    study, folder, log = search.study, search.folder, search.log
    unfinished = queue_first(study, search.space.params(search.start), by=owner(folder))
    if ended := len(ended_trials(study)):
        log(f"Continuing after {ended} trials{f'; {unfinished} interrupted trials run again' if unfinished else ''}.")
    try:
        with storing():  # inside, because Ctrl-C may come while the database is working
            run_trials(search)
            best = best_trial(study)
            if best is None:
                reason = next((trial.user_attrs[REASON] for trial in ended_trials(study)), None)
                raise TrainingError(
                    "No trial could be trained", received=reason, hint="Change the space or the recipe."
                )
            write_page(folder / PAGE, content_of(search, best, None))  # if the comparison is stopped, the page is there
            comparison = compare(search, best)
    except KeyboardInterrupt as exc:
        stopped = f"Stopped after {len(ended_trials(study))} of {search.trials} trials. Go on with: the same command"
        raise KeyboardInterrupt(f"{stopped}, and --out {folder}") from exc
    write_atomic(folder / WINNER, winner_toml(search, best, comparison))
    content = content_of(search, best, comparison)
    write_page(folder / PAGE, content)
    return Tuned(
        folder=folder,
        trials=len(content.rows),
        start=content.start_value,
        best=content.best_value,
        best_number=content.best,
        comparison=comparison,
        verdict=comparison.verdict if comparison else content.no_comparison,
    )
