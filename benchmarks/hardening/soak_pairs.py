"""Two processes into one place: one wins, or both are whole; nothing is mixed.

In: how many rounds. Out: a `Drill` each; `n` counts pairs. Both are started at the same moment. The one that loses says
so in one line; of the run that is left every file is that of the same seed trained alone.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.hardening.soak_commands import LOOK_S, Drill, Ended, Moment, refused, start, strike, together, went_well
from benchmarks.hardening.soak_kills import adaptation, search
from benchmarks.hardening.soak_material import DATA, TRAIN_PHASES, Task, training_phase
from benchmarks.hardening.soak_whole import broken, compare_runs, half_written, initialisers, left_aside
from benchmarks.serving import service

LOSES = {2, 9}  # another is at work there; the place is taken
PORT_TAKEN = 9
READY_S = 60.0
CORRUPTED = ("--corruptions", "--limit", "2")

Words = Sequence[str | Path]


def one_wins(ended: Sequence[Ended]) -> list[str]:
    """What is not right where one of two is to succeed, and the other to be refused in one line."""
    winners = [one for one in ended if one.code == 0]
    losers = [one for one in ended if one.code != 0]
    if len(winners) != 1:
        return [f"{len(winners)} of {len(ended)} succeed: {'; '.join(map(str, ended))}"]
    problems = [went_well(winners[0]), *(refused(one, codes=LOSES) for one in losers)]
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
        drill.check(went_well(ended), where="alone")
    _into_one(drill, commands, place, "both.onnx", lambda made: any(_same(made, one) for one in alone), n)


def _same(made: Path, alone: Path) -> bool:
    return alone.is_file() and initialisers(made) == initialisers(alone)


def files(drill: Drill, task: Task) -> None:
    """Write one file twice at once: exports, pages, sheets, submissions."""
    material, place, n = task.material, task.place, task.n
    commands: list[tuple[str, list[Words]]] = [
        ("weights.safetensors", [["export", model, "--format", "safetensors", "--out"] for model in ("fast", "tiny")]),
        ("seen.png", [["predict", material.own / k, "--show"] for k in "07"]),
        ("explained.html", [["explain", material.own / k / "0.png", "--out"] for k in "07"]),
        ("submission.csv", [["submit", material.test_csv, "--model", model, "--out"] for model in ("fast", "tiny")]),
    ]
    for name, pair in commands:
        folder = place / name.replace(".", "-")
        folder.mkdir()
        alone = [folder / f"{i}-{name}" for i in range(2)]
        for ended in together(*([*words, out] for words, out in zip(pair, alone, strict=True)), cwd=folder):
            drill.check(went_well(ended), where=f"{name}, alone")
        wanted = {_content(path) for path in alone if path.is_file()}
        _into_one(drill, pair, folder, name, lambda made, wanted=wanted: _content(made) in wanted, n)


def _content(path: Path) -> object:
    """What tells two such files apart: tensors lie in any order."""
    if path.suffix != ".safetensors":
        return path.read_bytes()
    from benchmarks.hardening.soak_whole import tensors

    return frozenset(tensors(path).items())


def _into_one(
    drill: Drill, commands: Sequence[Words], place: Path, name: str, is_one: Callable[[Path], bool], n: int
) -> None:
    for number in range(n):
        out = place / str(number) / name
        out.parent.mkdir()
        ended = together(*([*words, out] for words in commands), cwd=place)
        problems = [problem for one in ended if (problem := went_well(one))] or half_written(out.parent)
        if not problems and (broken(out) or not is_one(out)):
            problems = [f"{name} is neither of the two"]
        problems += [f"{path.name} is left" for path in left_aside(out.parent)]
        _count(drill, problems, f"{name}, round {number + 1}")


def folders(drill: Drill, task: Task) -> None:
    """Fill one new folder twice at once: corrections that are taken out, an audit, the page of two models."""
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
        problems = [] if all(went_well(one) is None for one in ended) else one_wins(ended)
        _count(drill, problems or _of_two_models(out) or half_written(out), f"evaluate, round {number + 1}")


def _of_two_models(folder: Path) -> list[str]:
    """What is not right where figures and page are of different models."""
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
        both = [start(["serve", "--port", str(port)], cwd=place) for _ in range(2)]
        until = time.monotonic() + READY_S
        while not any(one.is_over() for one in both) and time.monotonic() < until:
            time.sleep(LOOK_S)
        alive = [one for one in both if not one.is_over()]
        problems = [] if len(alive) == 1 else [f"{len(alive)} services run on one port"]
        if not problems and not _answers(port):
            problems.append("the service that has the port does not answer")
        for one in both:
            if one in alive:
                one.process.terminate()
            ended = one.end()
            if problem := went_well(ended) if one in alive else refused(ended, codes={PORT_TAKEN}):
                problems.append(problem)
        _count(drill, problems, f"round {number + 1}")


def _answers(port: int) -> bool:
    """Whether a service is ready before long."""
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
    """Count a pair, and what is not right about what it left."""
    drill.n += 1
    drill.whole += drill.check(problems, where=where)
