"""Recipes and peers, side by side: the accuracy that each reaches on MNIST, and the time.

In: MNIST where `inkdigit` finds it, and an interpreter for the peers (`make bench` makes one). Out: one line of JSON a
training in `results/bench.jsonl`, as soon as it is done.

Each training is a process of its own, one at a time, with all threads. Round r trains seed r of every entrant that has
so many, so that a slow minute affects all of them; the lines of one run share a stamp, and ratios are taken within one,
seed by seed. `--go-on` adds what an interrupted run lacks. The recipes that `accuracy/measure.py` measures take
no part: they train for long, and their test split is opened once a seed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.accuracy.entries import RECIPES
from benchmarks.common import machine, results
from inkdigit.data.sources import find
from inkdigit.training.recipe import Recipe, bundled, parse_changes

LEDGER = "bench.jsonl"
PEER_SCRIPTS = machine.ROOT / "benchmarks" / "peers"
PEER_PYTHON = machine.ROOT / ".venv-peers" / "bin" / "python"
# Everything runs, and nothing is measured.
SMOKE_CHANGES = ("data=sklearn-digits", "min_steps=1", "epochs=1")
SMOKE_PICTURES, SMOKE_EPOCHS = ("--pictures", "640"), ("--epochs", "1")

# Seeds of a recipe; one of any other. The long ones have more seeds in docs/notebooks.md.
SEEDS = {"blink": 10, "fast": 10, "minute": 5, "classic": 2, "explorer": 2, "rmsprop": 2, "vgg": 2, "resnet": 2}


@dataclass(frozen=True, slots=True)
class Entrant:
    """What is measured: one of our recipes, or a peer with its abilities."""

    name: str
    seeds: int = 1
    recipe: str | None = None
    changes: tuple[str, ...] = ()  # of the recipe
    epochs: bool = True
    cuda: bool = False  # recipes and peers on PyTorch: the others come without it

    def argv(self, seed: int, options: argparse.Namespace) -> list[str]:
        """The command that trains one seed."""
        device = ("--device", options.device) if self.cuda else ()
        if self.recipe:
            changes = [f"--set={change}" for change in (*self.changes, *(SMOKE_CHANGES if options.smoke else ()))]
            curve = machine.script("speed.curve", self.recipe, "--entrant", self.name)
            return [*curve, "--seed", str(seed), *device, *changes]
        small = (*SMOKE_PICTURES, *(SMOKE_EPOCHS if self.epochs else ())) if options.smoke else ()
        script, folder = str(PEER_SCRIPTS / f"{self.name}.py"), str(find("mnist"))
        return [str(options.peer_python), script, folder, "--seed", str(seed), *device, *small]


# What a processor without bfloat16 does with the recipes that have bars.
FLOAT32 = (
    Entrant("fast-float32", 5, recipe="fast", changes=("precision=float32",)),
    Entrant("minute-float32", 2, recipe="minute", changes=("precision=float32",)),
)
PEERS = (
    Entrant("keras_convnet", seeds=3),
    Entrant("pytorch_example", seeds=2, cuda=True),
    Entrant("zoo_cnn", seeds=2, cuda=True),
    Entrant("sklearn_svm", epochs=False),
    Entrant("sklearn_knn", epochs=False),
)


def entrants() -> dict[str, Entrant]:
    """Every bundled recipe but those of `accuracy/measure.py`, those in float32, then every peer, by name."""
    names = [name for name in bundled() if name not in RECIPES]
    recipes = [Entrant(name, SEEDS.get(name, 1), recipe=name, cuda=True) for name in names]
    return {entrant.name: entrant for entrant in (*recipes, *FLOAT32, *PEERS)}


def identities(changes: Sequence[str] = ()) -> dict[str, str]:
    """The hash of each entrant's recipe as it is now, with `changes` on top."""
    return {
        entrant.name: Recipe.load(entrant.recipe, parse_changes([*entrant.changes, *changes])).sha256
        for entrant in entrants().values()
        if entrant.recipe
    }


def rounds(chosen: Iterable[Entrant], seeds: int | None = None) -> list[tuple[Entrant, int]]:
    """Who trains which seed, in order: round r holds seed r of every entrant that has so many."""
    counts = {entrant: entrant.seeds if seeds is None else seeds for entrant in chosen}
    last = max(counts.values(), default=0)
    return [(entrant, seed) for seed in range(last) for entrant, count in counts.items() if seed < count]


def lacking(todo: list[tuple[Entrant, int]], lines: list[dict[str, Any]], *, sha256: Mapping[str, str]) -> list[Any]:
    """What of `todo` has no line yet; a line of a recipe that was changed since does not count."""
    done = {
        (line["entrant"], line["seed"]) for line in lines if line.get("recipe_sha256") == sha256.get(line["entrant"])
    }
    return [(entrant, seed) for entrant, seed in todo if (entrant.name, seed) not in done]


def lines_of(run: str, options: argparse.Namespace, *, about: dict[str, Any]) -> list[dict[str, Any]]:
    """The lines of the run to continue: the named one, or the last one if the name is empty.

    Raises:
        SystemExit: there is no such run, or it was of another kind or on another machine.
    """
    lines = results.read_lines(options.results / LEDGER)
    lines = [line for line in lines if line["run"] == (run or lines[-1]["run"])]
    if not lines:
        sys.exit(f"There is no run {run} to continue in {options.results / LEDGER}")
    keys = ("processor", "cores")
    now = [options.smoke, options.device, *(about["machine"][key] for key in keys)]
    then = [lines[-1]["smoke"], lines[-1]["device"], *(lines[-1]["machine"][key] for key in keys)]
    if now != then:
        sys.exit(f"Run {lines[-1]['run']} was another kind of run: start a new one.\nThen: {then}\nNow: {now}")
    return lines


def train(entrant: Entrant, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Train one seed in a process of its own, and return its line.

    Raises:
        RuntimeError: it failed.
    """
    argv = entrant.argv(seed, options)
    env = machine.environment()
    if options.device == "cpu":
        env["CUDA_VISIBLE_DEVICES"] = "-1"  # hides every GPU
    began = time.perf_counter()
    try:
        done = subprocess.run(argv, capture_output=True, encoding="utf-8", env=env)
    except OSError as exc:
        raise RuntimeError(f"{argv[0]} does not start: {exc.strerror}") from exc
    seconds = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    try:
        line: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, json.JSONDecodeError) as exc:
        raise RuntimeError(f"{' '.join(argv)} printed no line:\n{done.stdout[-500:]}") from exc
    return {**line, "process_seconds": round(seconds, 3)}


def run(todo: list[tuple[Entrant, int]], stamp: str, options: argparse.Namespace, *, about: dict[str, Any]) -> int:
    """Train one after the other, write each line at once; return how many failed."""
    failed = 0
    for number, (entrant, seed) in enumerate(todo, start=1):
        print(f"{number} of {len(todo)}: {entrant.name}, seed {seed}", flush=True)
        try:
            line = train(entrant, seed, options)
        except RuntimeError as exc:
            failed += 1
            print(f"  failed: {exc}", file=sys.stderr, flush=True)
            continue
        results.append(options.results / LEDGER, {"run": stamp, "smoke": options.smoke, **about, **line})
        print(f"  {line['accuracy'] * 100:.2f} %, trained in {line['train_seconds']:.2f} s", flush=True)
    return failed


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line, and check what can be checked before hours pass."""
    known = entrants()
    parser = results.parser(__doc__, smoke="tiny settings")
    parser.add_argument("--only", nargs="+", metavar="NAME", help=f"some of: {', '.join(known)}")
    parser.add_argument("--seeds", type=int, help="so many of each, instead of the default of each")
    parser.add_argument(
        "--go-on", nargs="?", const="", metavar="RUN", help="add to a run what it lacks; the default is the last run"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--peer-python", type=Path, default=PEER_PYTHON, help="has requirements-peers.txt and torch")
    options = parser.parse_args(argv)
    unknown = [name for name in options.only or () if name not in known]
    if unknown:
        parser.error(f"there is no entrant {unknown[0]!r}; there are {', '.join(known)}")
    if options.seeds is not None and options.seeds < 1:
        parser.error("--seeds is at least 1")
    options.chosen = [known[name] for name in options.only or known if options.device == "cpu" or known[name].cuda]
    peers = [entrant.name for entrant in options.chosen if not entrant.recipe]
    if peers and find("mnist") is None:
        parser.error("MNIST is not on this machine: inkdigit data get mnist")
    if peers and not options.peer_python.exists():
        parser.error(
            f"{', '.join(peers)} need {options.peer_python}: `make bench` makes it, --peer-python names another"
        )
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Train all chosen entrants; 1 if one failed."""
    options = parse_arguments(argv)
    about = machine.describe(())  # once: later the load is our own; each line has its own versions
    todo, stamp = rounds(options.chosen, options.seeds), f"{datetime.now():%Y%m%d-%H%M%S}"
    if options.go_on is not None:
        lines = lines_of(options.go_on, options, about=about)
        sha256 = identities(SMOKE_CHANGES if options.smoke else ())
        todo, stamp = lacking(todo, lines, sha256=sha256), lines[-1]["run"]
    failed = run(todo, stamp, options, about=about)
    if failed:
        print(f"{failed} of {len(todo)} failed; try them again with: --go-on {stamp}", file=sys.stderr)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
