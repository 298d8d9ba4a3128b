"""SIGKILL at random moments of trainings, exports, searches and adaptations.

In: how many kills, a seed. Out: a `Drill` each. After a kill every file is absent, the old one or complete; the next
command continues or says in one line what to do; in the end a run is bit for bit the undisturbed one.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from random import Random

from benchmarks.hardening.soak_checks import broken, can_be_resumed, compare_runs, half_written, left_aside
from benchmarks.hardening.soak_commands import (
    KILLED,
    Drill,
    Ended,
    Moment,
    check_refusal,
    check_success,
    run,
    strike,
    watch,
)
from benchmarks.hardening.soak_material import DATA, TRAIN_PHASES, Material, Task, files_of, training_phase
from inkdigit import runs

KILLS_IN_A_ROW = 3  # of one run, before it runs to its end
MORE = 2  # times as many attempts as kills, since a command may end before its moment
TRIALS = 3
WRITING_S = 0.01  # from the first new file of an export to the last rename, and a little more
REFUSED = {2, 4}  # exit codes of a run that cannot be resumed
# When a run is killed, and the commands that resume it; resumed runs that are killed late have no epochs left.
CHAINS = (
    ("training", "export", "report"),
    ("training", "training", "report"),
    ("training", "export", "report"),
    ("start", "training", "export"),
)
SEEDS_PHASES = ("first seed", "second seed")
TUNE_PHASES = ("start", "trials", "comparison", "page")
WRITE_PHASES = ("working", "writing")


def moments(n: int, phases: Sequence[str], rng: Random) -> list[Moment]:
    """`n` moments, spread over the phases, in a random order."""
    chosen = list(islice(cycle(phases), n))
    rng.shuffle(chosen)
    return [Moment(phase, rng.random()) for phase in chosen]


def training(drill: Drill, task: Task) -> None:
    """Kill trainings and the commands that resume them, then let them end."""
    for number, phases in zip(range(MORE * task.n), cycle(CHAINS), strict=False):
        if drill.n >= task.n or not drill.in_time():
            return
        chain = [Moment(phase, task.rng.random()) for phase in phases[: task.n - drill.n]]
        _train_with_kills(drill, task.material, task.place / f"run-{number}", chain)


def _train_with_kills(drill: Drill, material: Material, place: Path, chain: Sequence[Moment]) -> None:
    """One run: killed at each moment of `chain`, resumed in between and at the end."""
    words, kills, where = material.train(place, seed=0), 0, f"run killed {len(chain)} times"
    for moment in chain:
        before = files_of(place)

        def phase(before: dict[str, tuple[int, int]] = before) -> str:
            return training_phase(place, before)

        ended = strike(words, moment, cwd=material.folder, phase=phase, phases=TRAIN_PHASES, usual=material.usual)
        if ended.code != KILLED:
            drill.check(check_success(ended), where="it ended before it was killed")
            break
        kills += 1
        where = f"killed in {phase()} at {moment.share:.2f} of {moment.phase}"
        _count(drill, phase(), place, where)
        words = _continue(drill, material, place, where)
    if not runs.is_finished(place):
        drill.check(check_success(run(words, cwd=material.folder)), where=where)
    if drill.check(compare_runs(place, material.run(0)), where=where):
        drill.resumed += kills
    shutil.rmtree(place, ignore_errors=True)


def _count(drill: Drill, phase: str, place: Path, where: str) -> None:
    """Count a kill, and check that it left every file complete."""
    drill.n += 1
    drill.phases[phase] += 1
    drill.leftovers += len(left_aside(place))
    drill.intact += drill.check(half_written(place), where=where)


def _continue(drill: Drill, material: Material, place: Path, where: str) -> list[str | Path]:
    """The command that continues; a run that cannot be resumed says so in one line, and is started again."""
    if can_be_resumed(place):
        return ["train", "--resume", place]
    drill.check(check_refusal(run(["train", "--resume", place], cwd=material.folder), codes=REFUSED), where=where)
    shutil.rmtree(place, ignore_errors=True)
    return material.train(place, seed=0)


def seeds(drill: Drill, task: Task) -> None:
    """Kill a training of several seeds; the same command continues."""
    for number in range(MORE * task.n):
        if drill.n >= task.n or not drill.in_time():
            return
        _train_seeds(drill, task, task.place / f"seeds-{number}", moments(task.n - drill.n, SEEDS_PHASES, task.rng))


def _train_seeds(drill: Drill, task: Task, out: Path, chain: Sequence[Moment]) -> None:
    material, place, kills, where = task.material, task.place, 0, f"killed {len(chain)} times"
    words = [*material.train(out, seed=0)[:-4], "--seeds", "0-1", "--out", out]

    def phase() -> str:
        return SEEDS_PHASES[runs.is_finished(out / "s0")]

    usual = dict.fromkeys(SEEDS_PHASES, sum(material.usual.values()) / 2)
    for moment in chain:
        ended = strike(words, moment, cwd=place, phase=phase, phases=SEEDS_PHASES, usual=usual)
        if ended.code != KILLED:
            drill.check(check_success(ended), where="it ended before it was killed")
            break
        kills += 1
        where = f"killed in the {phase()} at {moment.share:.2f}"
        _count(drill, phase(), out, where)
        for run_folder in (out / "s0", out / "s1"):  # as the error says: remove it, nothing was trained
            if (run_folder / runs.RECIPE).is_file() and not can_be_resumed(run_folder):
                drill.check(check_refusal(run(words, cwd=place), codes={9}), where=where)
                shutil.rmtree(run_folder)
    well = drill.check(check_success(run(words, cwd=place)), where=where)
    for seed in (0, 1):
        well = drill.check(compare_runs(out / f"s{seed}", material.run(seed)), where=f"{where}, seed {seed}") and well
    drill.resumed += kills * well


def tune(drill: Drill, task: Task) -> None:
    """Kill searches and the commands that continue them; the same command ends each."""
    material, place, rng, n = task.material, task.place, task.rng, task.n
    names = (("start.toml", "trials"), ("study.html", "comparison"), ("winner.toml", "page"))

    def phase(out: Path) -> str:
        return next((name for file, name in reversed(names) if (out / file).exists()), "start")

    first = place / "undisturbed"
    ended, usual = watch(search(material, first), cwd=place, phase=lambda: phase(first))
    if not drill.check(check_success(ended) or _searched(ended, first), where="undisturbed"):
        return
    begun = ended.out.partition("; the start")[2].partition("\n")[0]
    waiting = moments(MORE * n, ("trials", "comparison", "trials", "start"), rng)
    while drill.n < n and waiting and drill.in_time():
        out, kills, where = place / f"search-{len(waiting)}", 0, "search"
        for _ in range(min(KILLS_IN_A_ROW, n - drill.n, len(waiting))):
            moment = waiting.pop()
            ended = strike(
                search(material, out),
                moment,
                cwd=place,
                phase=lambda out=out: phase(out),
                phases=TUNE_PHASES,
                usual=usual,
            )
            if ended.code != KILLED:
                break
            kills += 1
            where = f"killed in {phase(out)} at {moment.share:.2f} of {moment.phase}"
            _count(drill, phase(out), out, where)
        ended = run(search(material, out), cwd=place)
        problem = check_success(ended) or _searched(ended, out)
        if problem is None and begun not in ended.out:
            problem = f"the start has another result than {begun}"
        drill.resumed += kills * drill.check(problem or half_written(out), where=where)


def search(material: Material, out: Path) -> list[str | Path]:
    """The command that searches, or continues the search."""
    words = ["tune", material.start, "--data", DATA, "--space", material.space, "--trials", str(TRIALS)]
    return [*words, "--jobs", "1", "--out", out]


def _searched(ended: Ended, out: Path) -> str | None:
    if not all((out / name).is_file() for name in ("start.toml", "study.db", "winner.toml", "study.html")):
        return f"{out.name} lacks files"
    return None if f" of {TRIALS}: " in ended.out else f"there are not {TRIALS} trials: {ended.out}"


def adapt(drill: Drill, task: Task) -> None:
    """Kill adaptations; the model that they start from is never changed."""
    material, place, rng, n = task.material, task.place, task.rng, task.n
    source = place / "source.onnx"
    shutil.copyfile(material.model, source)
    _files(drill, [adaptation(material, source, seed=0)], ["adapted.onnx"], place, rng, n)
    if source.read_bytes() != material.model.read_bytes():
        drill.check("the model that was adapted has changed", where="source.onnx")


def adaptation(material: Material, source: Path, *, seed: int) -> list[str | Path]:
    """The command that adapts, without the file that it writes."""
    words = ["adapt", source, "--data", material.own, "--replay", DATA, "--steps", "1", "--seed", str(seed)]
    return [*words, "--out"]


def export(drill: Drill, task: Task) -> None:
    """Kill exports to every format, and the joining of models."""
    material, place, rng, n = task.material, task.place, task.rng, task.n
    commands: list[list[str | Path]] = [
        ["export", material.run(0), "--format", "safetensors", "--out"],
        ["export", material.run(0), "--format", "onnx-int8", "--out"],
        ["ensemble", material.run(0), material.run(1), "--out"],
        ["export", material.run(0), "--format", "keras", "--out"],
        ["export", material.run(0), "--format", "pt2", "--out"],
    ]
    names = ["weights.safetensors", "int8.onnx", "joined.onnx", "model.keras", "program.pt2"]
    _files(drill, commands, names, place, rng, n)


def weights(drill: Drill, task: Task) -> None:
    """Kill exports of a bundled model: the shortest of these drills."""
    material, place, rng, n = task.material, task.place, task.rng, task.n
    commands: list[list[str | Path]] = [["export", material.model, "--format", "safetensors", "--out"]]
    _files(drill, commands, ["weights.safetensors"], place, rng, n)


def _files(
    drill: Drill, commands: Sequence[list[str | Path]], names: Sequence[str], place: Path, rng: Random, n: int
) -> None:
    """Kill commands that write one file, half of them where an older file is; then let each end with what is left.

    The last word of each command is the option that takes the file, with the name in `names`.
    """
    shares = [n // len(commands) + (i < n % len(commands)) for i in range(len(commands))]
    for command, name, share in zip(commands, names, shares, strict=True):
        if not share:
            continue
        folder = place / name.replace(".", "-")
        folder.mkdir()
        target = folder / name
        words = [*command, target]
        ended, usual = watch(words, cwd=folder, phase=lambda folder=folder: _writing(folder, set()))
        if not drill.check(check_success(ended) or broken(target), where=f"undisturbed, {name}"):
            continue
        usual |= {"writing": WRITING_S}
        enough = drill.n + share
        for moment, old in zip(_spread(MORE * share, rng), cycle((b"the old file", None)), strict=False):
            if drill.n < enough and drill.in_time():
                _strike_file(drill, words, target, moment, usual, old)
        drill.check(check_success(run(words, cwd=folder)) or broken(target), where=f"{name}, after the kills")


def _spread(n: int, rng: Random) -> Iterator[Moment]:
    """Moments of a command that writes one file, at its end: half of them while it does."""
    yield from moments(n, ("writing", "working") if rng.random() < 0.5 else ("working", "writing"), rng)


def _writing(folder: Path, before: set[str]) -> str:
    return "writing" if {path.name for path in folder.iterdir()} - before else "working"


def _strike_file(
    drill: Drill,
    words: Sequence[str | Path],
    target: Path,
    moment: Moment,
    usual: dict[str, float],
    old: bytes | None,
) -> None:
    """One kill: afterwards `target` is absent, the old file, or a complete one."""
    target.unlink(missing_ok=True)
    if old is not None:
        target.write_bytes(old)
    before = {path.name for path in target.parent.iterdir()}
    aside = len(left_aside(target.parent))
    phase: Callable[[], str] = lambda: _writing(target.parent, before)  # noqa: E731
    ended = strike(words, moment, cwd=target.parent, phase=phase, phases=WRITE_PHASES, usual=usual)
    where = f"{target.name}, killed at {moment.share:.2f} of {moment.phase}"
    if ended.code != KILLED:
        drill.check(check_success(ended) or broken(target), where=where)
        return
    drill.n += 1
    drill.phases[f"{target.name}, {phase()}"] += 1
    drill.leftovers += len(left_aside(target.parent)) - aside
    drill.intact += drill.check(old_or_complete(target, old), where=where)


def old_or_complete(target: Path, old: bytes | None) -> str | None:
    """The problem with a file that was to be written; None if it is absent, the old one, or complete."""
    if not target.exists():
        return None if old is None else f"{target.name}: the old file is gone"
    return None if target.read_bytes() == old else broken(target)
