"""Two processes with one output path: one wins, or both results are complete; nothing is mixed.

In: how many rounds. Out: a `Drill` each; `n` counts pairs. Both are started at the same moment. The one that loses says
so in one line; every file of the run that remains is that of the same seed trained alone.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.hardening.soak_checks import broken, compare_runs, half_written, initialisers, left_aside
from benchmarks.hardening.soak_commands import (
    LOOK_S,
    Drill,
    Ended,
    Moment,
    check_refusal,
    check_success,
    start,
    strike,
    together,
)
from benchmarks.hardening.soak_kills import adaptation, search
from benchmarks.hardening.soak_material import DATA, TRAIN_PHASES, Task, training_phase
from benchmarks.serving import service

LOSES = {2, 9}  # another command is running there; the path is taken
PORT_TAKEN = 9
READY_S = 60.0
CORRUPTED = ("--corruptions", "--limit", "2")

Words = Sequence[str | Path]


def one_wins(ended: Sequence[Ended]) -> list[str]:
    """The problems where one of two should succeed, and the other should be refused in one line."""
    winners = [command for command in ended if command.code == 0]
    losers = [command for command in ended if command.code != 0]
    if len(winners) != 1:
        return [f"{len(winners)} of {len(ended)} succeed: {'; '.join(map(str, ended))}"]
    problems = [check_success(winners[0]), *(check_refusal(loser, codes=LOSES) for loser in losers)]
    return [problem for problem in problems if problem]


def train(drill: Drill, task: Task) -> None:
    """Train two seeds into one directory."""
    material, place, n = task.material, task.place, task.n
    for number in range(n):
        run = place / str(number)
        ended = together(*(material.train(run, seed=seed) for seed in (0, 1)), cwd=place)
        problems = one_wins(ended) or compare_runs(run, material.run(0 if ended[0].code == 0 else 1))
        _count(drill, problems, f"round {number + 1}")


def resume(drill: Drill, task: Task) -> None:
    """Resume a killed run twice at once."""
    material, place, rng, n = task.material, task.place, task.rng, task.n
    for number in range(n):
        run = place / str(number)
        strike(
            material.train(run, seed=0),
            Moment("training", rng.random()),
            cwd=place,
            phase=lambda run=run: training_phase(run, {}),
            phases=TRAIN_PHASES,
            usual=material.usual,
        )
        ended = together(*[["train", "--resume", run]] * 2, cwd=place)
        _count(drill, one_wins(ended) or compare_runs(run, material.run(0)), f"round {number + 1}")


def seeds(drill: Drill, task: Task) -> None:
    """Train the same seeds into one folder, twice at once."""
    material, place, n = task.material, task.place, task.n
    for number in range(n):
        out = place / str(number)
        words = [*material.train(out, seed=0)[:-4], "--seeds", "0-1", "--out", out]
        problems = one_wins(together(words, words, cwd=place)) or half_written(out)
        problems = problems or [
            problem for seed in (0, 1) for problem in compare_runs(out / f"s{seed}", material.run(seed))
        ]
        _count(drill, problems, f"round {number + 1}")


def tune(drill: Drill, task: Task) -> None:
    """Search twice at once in one directory."""
    material, place, n = task.material, task.place, task.n
    for number in range(n):
        out = place / str(number)
        ended = together(*[search(material, out)] * 2, cwd=place)
        problems = one_wins(ended) or half_written(out)
        if not problems and not (out / "winner.toml").is_file():
            problems = ["there is no winner.toml"]
        _count(drill, problems, f"round {number + 1}")


def adapt(drill: Drill, task: Task) -> None:
    """Adapt with two seeds into one file: both end, and the file is one of the two."""
    material, place, n = task.material, task.place, task.n
    alone = [place / f"alone-{seed}.onnx" for seed in (0, 1)]
    commands = [adaptation(material, material.model, seed=seed) for seed in (0, 1)]
    for ended in together(*([*words, out] for words, out in zip(commands, alone, strict=True)), cwd=place):
        drill.check(check_success(ended), where="alone")
    _into_one(drill, commands, place, "both.onnx", lambda made: any(_same(made, file) for file in alone), n)


def _same(made: Path, alone: Path) -> bool:
    return alone.is_file() and initialisers(made) == initialisers(alone)


def files(drill: Drill, task: Task) -> None:
    """Write one file twice at once: exports, pages, sheets, submissions."""
    material, place, n = task.material, task.place, task.n
    commands: list[tuple[str, list[Words]]] = [
        (
            "weights.safetensors",
            [["export", model, "--format", "safetensors", "--force", "--out"] for model in ("fast", "tiny")],
        ),
        ("seen.png", [["predict", material.own / k, "--show"] for k in "07"]),
        ("explained.html", [["explain", material.own / k / "0.png", "--out"] for k in "07"]),
        (
            "submission.csv",
            [["submit", material.test_csv, "--model", model, "--force", "--out"] for model in ("fast", "tiny")],
        ),
    ]
    for name, pair in commands:
        folder = place / name.replace(".", "-")
        folder.mkdir()
        alone = [folder / f"{i}-{name}" for i in range(2)]
        for ended in together(*([*words, out] for words, out in zip(pair, alone, strict=True)), cwd=folder):
            drill.check(check_success(ended), where=f"{name}, alone")
        expected = {_content(path) for path in alone if path.is_file()}
        _into_one(drill, pair, folder, name, lambda made, expected=expected: _content(made) in expected, n)


def _content(path: Path) -> object:
    """What tells two such files apart: tensors may be in any order."""
    if path.suffix != ".safetensors":
        return path.read_bytes()
    from benchmarks.hardening.soak_checks import tensors

    return frozenset(tensors(path).items())


def _into_one(
    drill: Drill, commands: Sequence[Words], place: Path, name: str, is_one: Callable[[Path], bool], n: int
) -> None:
    for number in range(n):
        out = place / str(number) / name
        out.parent.mkdir()
        ended = together(*([*words, out] for words in commands), cwd=place)
        problems = [problem for command in ended if (problem := check_success(command))] or half_written(out.parent)
        if not problems and (broken(out) or not is_one(out)):
            problems = [f"{name} is neither of the two"]
        problems += [f"{path.name} is left" for path in left_aside(out.parent)]
        _count(drill, problems, f"{name}, round {number + 1}")


def folders(drill: Drill, task: Task) -> None:
    """Fill one new folder twice at once: exported corrections, an audit, the page of two models."""
    material, place = task.material, task.place
    audit = ["audit", material.train_csv, "--recipe", material.start, "--folds", "2", "--out"]
    taken_out = ["corrections", "export", material.corrections, "--out"]
    for name, words in (("audit", audit), ("corrections", taken_out)):
        for number in range(task.n):
            out = place / f"{name}-{number}"
            ended = together(*[[*words, out]] * 2, cwd=place)
            _count(drill, one_wins(ended) or half_written(out), f"{name}, round {number + 1}")
    for number in range(task.n):
        out = place / f"corrupted-{number}"
        commands = [["evaluate", model, "--data", DATA, *CORRUPTED, "--out", out] for model in ("fast", "tiny")]
        ended = together(*commands, cwd=place)
        problems = [] if all(check_success(command) is None for command in ended) else one_wins(ended)
        _count(drill, problems or _of_two_models(out) or half_written(out), f"evaluate, round {number + 1}")


def _of_two_models(folder: Path) -> list[str]:
    """The problem if figures and page are of different models."""
    model = json.loads((folder / "corruptions.json").read_text(encoding="utf-8"))["model"]
    title = (folder / "corruptions.html").read_text(encoding="utf-8").partition("<title>")[2].partition("<")[0]
    return [] if model in title else [f"corruptions.json is of {model}, corruptions.html of another: {title!r}"]


def one_port(drill: Drill, task: Task) -> None:
    """Start two services on one port."""
    place, n = task.place, task.n
    for number in range(n):
        with socket.socket() as probe:
            probe.bind((service.HOST, 0))
            port = probe.getsockname()[1]
        services = [start(["serve", "--port", str(port)], cwd=place) for _ in range(2)]
        until = time.monotonic() + READY_S
        while not any(started.is_over() for started in services) and time.monotonic() < until:
            time.sleep(LOOK_S)
        alive = [started for started in services if not started.is_over()]
        problems = [] if len(alive) == 1 else [f"{len(alive)} services run on one port"]
        if not problems and not _answers(port):
            problems.append("the service that has the port does not answer")
        for started in services:
            if started in alive:
                started.process.terminate()
            ended = started.end()
            if problem := check_success(ended) if started in alive else check_refusal(ended, codes={PORT_TAKEN}):
                problems.append(problem)
        _count(drill, problems, f"round {number + 1}")


def _answers(port: int) -> bool:
    """Whether a service becomes ready in time."""
    until = time.monotonic() + READY_S
    while time.monotonic() < until:
        connection = http.client.HTTPConnection(service.HOST, port, timeout=10)
        try:
            connection.request("GET", "/health/ready")
            if connection.getresponse().status == 200:
                return True
        except OSError:
            time.sleep(0.05)
        finally:
            connection.close()
    return False


def _count(drill: Drill, problems: Sequence[str], where: str) -> None:
    """Count a pair, and the problems of its results."""
    drill.n += 1
    drill.intact += drill.check(problems, where=where)
