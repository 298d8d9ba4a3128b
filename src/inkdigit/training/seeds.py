"""One recipe with several random seeds: a run directory for each, and the mean of their results.

In: a recipe, seeds, data. Out: a folder with `seeds.json` and `seeds.md`, and its `Seeds`. Called again it continues: a
finished run of the same recipe, data and seed is taken over, an unfinished one is resumed. They are trained one after
the other, or by the processes of a cluster, which see the folder.

    runs/20261120-101502-fast-seeds/   seeds.json · seeds.md       beside 20261120-101502-fast-s0/, …-s1/
    DIR/                               seeds.json · seeds.md · s0/ · s1/ …                   where --out names it
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import inkdigit.runs as runs
from inkdigit.errors import (
    DataError,
    Diverged,
    InkdigitError,
    OutputError,
    ParityError,
    TrainingError,
    UsageError,
)
from inkdigit.files import check_unlocked, first_entry, locked, write_atomic, writing
from inkdigit.measure.ledger import Entry, read_finished
from inkdigit.measure.seeds import NOT_YET, Seeds, format_seeds, gather, read_summary, relative, resolve
from inkdigit.model.provenance import ModelFile
from inkdigit.model.recognizer import find
from inkdigit.report.numbers import percent
from inkdigit.report.seeds import PAGE, to_markdown
from inkdigit.scale.cluster import connected, has_gpus, marked, require_ray, uses_ray
from inkdigit.scale.engine import MAX_DEATHS
from inkdigit.training import environment, run, tracking, trial
from inkdigit.training.data import open_for, sources_of, splits_of
from inkdigit.training.device import choose_device
from inkdigit.training.distill import open_teacher
from inkdigit.training.network import checkpoint
from inkdigit.training.network.augment import Augment
from inkdigit.training.own.functions import Own
from inkdigit.training.own.network import Build
from inkdigit.training.recipe import Recipe
from inkdigit.training.seed_task import result_of, train_apart
from inkdigit.training.trial import OnTick
from inkdigit.types import DataLike, Dataset, Log, check_functions, silent


@dataclass(frozen=True, eq=False)
class Trained:
    """The results of several seeds, and their folder; `seeds.missing` holds those that failed."""

    folder: Path
    seeds: Seeds


@dataclass(frozen=True, eq=False)
class _Plan:
    """Which runs to train, with which options, and how far they are."""

    folder: Path
    recipe: Recipe  # its field `data` opens the data again
    seeds: tuple[int, ...]
    named: bool  # --out names the folder, and the runs are inside it
    dataset: Dataset
    is_opened: bool  # by the caller: no source opens it
    identity: dict[str, Any]
    device: str
    gpus: bool  # of a cluster, one for each run
    progress: bool
    log: Log
    on_tick: OnTick | None
    own: Own
    log_to: tuple[str, ...]
    places: dict[int, Path] = field(default_factory=dict)  # seed → run directory, once it has a name
    entries: dict[int, Entry] = field(default_factory=dict)  # of the seeds that are finished
    missing: dict[int, str] = field(default_factory=dict)  # of the other seeds: the reason

    def of_seed(self, seed: int) -> Recipe:
        """The recipe of one run."""
        return self.recipe.change({"seed": seed})


def train_seeds(
    recipe: Recipe | str | Path,
    seeds: Sequence[int],
    *,
    data: DataLike | None = None,
    net: Build | None = None,
    augment: Augment | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    engine: str = "local",
    address: str | None = None,
    import_seconds: float | None = None,
    progress: bool = True,
    log: Log = silent,
    on_tick: OnTick | None = None,
    log_to: str | Sequence[str] = (),
) -> Trained:
    """Train `recipe` with each of `seeds`; the runs are written to `out`, else under `runs/`.

    With the engine `local` they are trained one after the other. With `ray` each is a task of the cluster at `address`,
    with one core and one thread; they end in any order. A seed whose loss is no longer a number, or whose file does not
    predict what its network does, does not stop the others. The other arguments are those of `run.train`.

    Raises:
        UsageError: no seed, a seed twice, something unknown, or the same is being trained already.
        MissingExtra, NoCluster: Ray is not installed, or there is no cluster at the address.
        DataError: the data cannot be used.
        OutputError: something else is in the place of a run or the summary, or they cannot be written.
        TrainingError: no seed could be trained, or the GPU's memory is full.
    """
    check_functions(net=net, augment=augment, log=log, on_tick=on_tick)
    if not seeds or len(set(seeds)) < len(seeds):
        raise UsageError("These seeds make no runs", expected="one seed or more, each once", received=list(seeds))
    on_ray, own, places = uses_ray(engine, address), Own(net, augment), tracking.check(log_to)
    recipe = own.noted_in(recipe if isinstance(recipe, Recipe) else Recipe.load(recipe))
    here = "auto" if on_ray and device == "cuda" else device  # this machine need not have what the cluster has
    dataset = _check_trainable([recipe.change({"seed": seed}) for seed in seeds], data, own, here, log=log)
    recipe = recipe.change(sources_of(data, recipe))
    identity = _identity(recipe, dataset.sha256, recipe.teacher and ModelFile.of(find(recipe.teacher)).sha256)
    with connected(address) if on_ray else nullcontext():
        plan = _Plan(
            _find_folder(recipe, identity, seeds, log=log) if out is None else Path(out),
            recipe,
            tuple(sorted(seeds)),
            named=out is not None,
            dataset=dataset,
            is_opened=isinstance(data, Dataset | tuple),
            identity=identity,
            device=device,
            gpus=on_ray and has_gpus(device),
            progress=progress,
            log=log,
            on_tick=on_tick,
            own=own,
            log_to=places,
        )
        _train_set(plan, lambda: _train_on_ray(plan) if on_ray else _train_all(plan, import_seconds))
    if not plan.entries:
        raise TrainingError("No seed could be trained", received=next(iter(plan.missing.values())))
    return Trained(plan.folder, _seeds(plan))


def _train_set(plan: _Plan, train: Callable[[], None]) -> None:
    """Find out what is finished, and `train` the rest while no other command writes to the folder.

    Raises:
        UsageError: the same is being trained already.
        OutputError: something else is in the place of a run or the summary.
    """
    try:
        _find_finished(plan)
    except OutputError:
        check_unlocked(plan.folder)  # another training may just be writing what is in the way
        raise
    with writing(plan.folder):
        plan.folder.mkdir(parents=True, exist_ok=True)
    with locked(plan.folder, "training"):
        _find_finished(plan)  # another training may have written here in the meantime
        for seed, entry in plan.entries.items():
            plan.log(f"Seed {seed}: taken over from {entry.folder}")
        train()


def _check_trainable(recipes: Sequence[Recipe], data: DataLike | None, own: Own, device: str, *, log: Log) -> Dataset:
    """Open the data and build a network, so that what cannot be trained is an error before anything is written."""
    first = recipes[0]
    choose_device(device)
    dataset = open_for(first, first.data if data is None else data, log=log)
    own.check(trial.build(first, splits_of(dataset, first), len(dataset.classes), own=own.net), first, dataset)
    for recipe in recipes:
        open_teacher(recipe, dataset)
    return dataset


def _find_folder(recipe: Recipe, identity: dict[str, Any], seeds: Sequence[int], *, log: Log) -> Path:
    """The folder under `runs/` where the same seeds were stopped, else a new one."""
    for folder in sorted((path.parent for path in runs.ROOT.glob(f"*/{runs.SEEDS}")), reverse=True):
        if _is_stopped(folder, {**identity, "seeds": format_seeds(sorted(seeds))}):
            log(f"Going on with {folder}, which was stopped.")
            return folder
    return runs.create_named(f"{recipe.name}-seeds")


def _find_places(plan: _Plan) -> dict[int, Path]:
    """Where runs are or will be; without --out a run gets its name when it begins.

    Raises:
        OutputError: the folder is a run, or holds other seeds or another recipe.
    """
    folder = plan.folder
    recorded = _recorded(folder) if (folder / runs.SEEDS).exists() else {}
    if not plan.named:
        return recorded
    places = {seed: folder / f"s{seed}" for seed in plan.seeds}
    another = "Choose another name: nothing is overwritten."
    if (folder / runs.RECIPE).exists():
        raise OutputError(f"{folder} is taken", expected="a folder for several runs", received="a run", hint=another)
    if not (folder / runs.SEEDS).exists():
        return places
    summary = read_summary(folder)
    if any(summary.get(key) != value for key, value in plan.identity.items()):
        expected = "seeds of this recipe and data"
        raise OutputError(f"{folder} is taken", expected=expected, received="others", hint=another)
    if others := sorted(set(recorded) - set(plan.seeds)):
        hint = f"Name them all: --seeds {format_seeds(sorted({*recorded, *plan.seeds}))}."
        raise OutputError(f"{folder} holds other seeds too", received=format_seeds(others), hint=hint)
    return places | recorded


def _identity(recipe: Recipe, data_sha256: str, teacher_sha256: str | None) -> dict[str, Any]:
    """The hashes that all runs of a folder of seeds share."""
    return {"recipe_sha256": recipe.sha256, "data_sha256": data_sha256, "teacher_sha256": teacher_sha256}


def _is_stopped(folder: Path, expected: dict[str, Any]) -> bool:
    """Whether the folder holds these seeds of this recipe and data, and was stopped before its end."""
    try:
        summary = read_summary(folder)
    except DataError:
        return False
    return all(summary.get(key) == value for key, value in expected.items()) and summary.get("state") == "unfinished"


def _recorded(folder: Path) -> dict[int, Path]:
    return {row["seed"]: resolve(folder, row["run"]) for row in read_summary(folder)["runs"] if row["run"] is not None}


def _find_finished(plan: _Plan) -> None:
    """Read what exists: finished runs become entries, unfinished ones will be resumed.

    Raises:
        OutputError: something else is in the way.
    """
    for known in (plan.places, plan.entries, plan.missing):
        known.clear()
    plan.places.update(_find_places(plan))
    for seed in plan.seeds:
        place = plan.places.get(seed)
        if place is not None and _exists(plan, seed, place) and runs.is_finished(place):
            plan.entries[seed] = read_finished(place)
        else:
            plan.missing[seed] = NOT_YET


def _exists(plan: _Plan, seed: int, place: Path) -> bool:
    """Whether the run has begun: its directory is there and is not empty.

    Raises:
        OutputError: the directory is not a run of this recipe, data and seed, or cannot be continued.
    """
    with writing(place):
        if not place.exists() or (place.is_dir() and first_entry(place) is None):
            return False
    try:
        recipe = Recipe.load(place / runs.RECIPE)
        about = environment.read(place)
        teacher_sha256 = (about.get("teacher") or {}).get("sha256")
        same = recipe.seed == seed and _identity(recipe, about["data"]["sha256"], teacher_sha256) == plan.identity
    except (UsageError, DataError):
        same = False
    if not same:
        raise OutputError(
            f"{place} is taken",
            expected=f"nothing, or a run of this recipe and data with seed {seed}",
            received="something else",
            hint="Choose another --out: nothing is overwritten.",
        )
    if not runs.is_finished(place) and not checkpoint.exists(place):
        raise OutputError(f"{place} was stopped before it began", hint="Remove it: nothing was trained.")
    return True


def _train_all(plan: _Plan, import_seconds: float | None) -> None:
    """Train what is missing, one after the other; the summary is written after every seed.

    Raises:
        TrainingError: the GPU's memory is full.
    """
    _write(plan)
    for number, seed in enumerate(plan.seeds, 1):
        if seed in plan.entries:
            continue
        place = _begin(plan, seed, number)
        try:
            _train(plan, seed, place, import_seconds)
            _end(plan, seed, None)
        except (Diverged, ParityError) as exc:
            _end(plan, seed, exc)
        except KeyboardInterrupt as exc:
            message = f"Stopped in seed {seed}, {number} of {len(plan.seeds)}. Go on with: the same command"
            raise KeyboardInterrupt(message) from exc
        import_seconds = None  # only the first run waited for the import
    _write(plan)


def _begin(plan: _Plan, seed: int, number: int) -> Path:
    """Give a run its directory, and write down which it is."""
    if seed not in plan.places:
        plan.places[seed] = runs.create(plan.recipe.name, seed=seed)
    _write(plan)  # so that the summary names the run, however it ends
    plan.log(f"Seed {seed}, {number} of {len(plan.seeds)}: {plan.places[seed]}")
    return plan.places[seed]


def _end(plan: _Plan, seed: int, error: InkdigitError | None) -> None:
    """Note how a run ended."""
    if error is not None:
        plan.missing[seed] = f"{error.kind}: {error.problem}"
        plan.log(f"Seed {seed} failed: {error}")
        return
    plan.entries[seed] = read_finished(plan.places[seed])
    del plan.missing[seed]
    plan.log(f"Seed {seed}: {percent(plan.entries[seed].report['accuracy'])} %")


def _train(plan: _Plan, seed: int, place: Path, import_seconds: float | None) -> None:
    more: dict[str, Any] = {
        "data": plan.dataset if plan.is_opened else None,
        "device": plan.device,
        "import_seconds": import_seconds,
        "progress": plan.progress,
        "log": plan.log,
        "on_tick": plan.on_tick,
        **plan.own.functions,
    }
    if (place / runs.RECIPE).is_file():
        run.resume(place, **more)
    else:
        run.train(plan.of_seed(seed), out=place, log_to=plan.log_to, **more)


def _train_on_ray(plan: _Plan) -> None:
    """Train what is missing as tasks of the cluster, each with a core; Ray runs one again whose process died.

    Raises:
        InkdigitError: what stops all of the seeds, such as a folder that a machine does not see.
    """
    ray = require_ray()
    options = {"num_cpus": 1, "num_gpus": int(plan.gpus), "max_retries": MAX_DEATHS - 1}
    task, dataset = ray.remote(**options)(train_apart), ray.put(plan.dataset)
    waiting: dict[Any, int] = {}
    _write(plan)
    with marked(plan.folder) as mark:
        try:
            for number, seed in enumerate(plan.seeds, 1):
                if seed not in plan.entries:
                    place = _begin(plan, seed, number).resolve()
                    source = None if plan.is_opened else plan.recipe.data
                    own = (plan.own, plan.log_to)
                    ref = task.remote(plan.of_seed(seed), place, dataset, source, plan.device, mark, sys.argv, *own)
                    waiting[ref] = seed
            while waiting:
                done = ray.wait(list(waiting))[0][0]
                seed = waiting.pop(done)
                lines, error = result_of(done, seed)
                for line in lines:
                    plan.log(f"Seed {seed}: {line}")
                _end(plan, seed, error)
                _write(plan)
        except KeyboardInterrupt as exc:
            message = f"Stopped after {len(plan.entries)} of {len(plan.seeds)} seeds. Go on with: the same command"
            raise KeyboardInterrupt(message) from exc
        finally:
            for ref in waiting:
                ray.cancel(ref, force=True)


def _seeds(plan: _Plan) -> Seeds:
    return gather(str(plan.folder), [plan.entries[seed] for seed in sorted(plan.entries)], plan.missing)


def _write(plan: _Plan) -> None:
    """Write the summary of what is finished so far.

    Raises:
        OutputError: it cannot be written.
    """
    results = _seeds(plan).to_json(plan.folder) if plan.entries else {"runs": []}
    places = {seed: relative(plan.folder, place) for seed, place in plan.places.items()}
    missing = [
        {"seed": seed, "run": places.get(seed), "state": "unfinished", "reason": reason}
        for seed, reason in plan.missing.items()
    ]
    summary = {
        "state": "unfinished" if NOT_YET in plan.missing.values() else "finished",
        "seeds": format_seeds(plan.seeds),
        **plan.identity,
        **results,
        "runs": sorted([*results["runs"], *missing], key=lambda row: row["seed"]),
    }
    write_atomic(plan.folder / runs.SEEDS, json.dumps(summary, indent=1, ensure_ascii=False))
    if plan.entries:
        write_atomic(plan.folder / PAGE, to_markdown(_seeds(plan), plan.folder))
