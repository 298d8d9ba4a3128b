"""Recipes and peers, side by side: who reaches what on MNIST, in which time.

In: MNIST where `inkdigit` finds it, and an interpreter for the peers (`make bench` makes one). Out: one line of JSON a
training in `results/bench.jsonl`, as soon as it is done.

Each training is a process of its own, one at a time, with all threads. Round r trains seed r of every entrant that has
so many, so that a slow minute falls on all alike; the lines of one run share a stamp, and ratios are taken within one,
seed by seed. `--go-on` adds what a run lacks that was broken off. The recipes that `accuracy/measure.py` measures take
no part: they train for long, and their test part is opened once a seed.
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
# Everything runs and nothing is measured.
SMOKE_CHANGES = ("data=sklearn-digits", "min_steps=1", "epochs=1")
SMOKE_PICTURES, SMOKE_EPOCHS = ("--pictures", "640"), ("--epochs", "1")

# Seeds of a recipe; one of any other. The long ones are held to their claims by more seeds in docs/notebooks.md.
SEEDS = {"fast": 10, "minute": 5, "classic": 2, "explorer": 2, "rmsprop": 2, "vgg": 2, "resnet": 2}


@dataclass(frozen=True, slots=True)
class Entrant:
    """Who is measured: one of our recipes, or a peer with what it can do."""

    name: str
    seeds: int = 1
    recipe: str | None = None
    changes: tuple[str, ...] = ()  # of the recipe
    epochs: bool = True
    cuda: bool = False  # recipes and peers on PyTorch: the others come without it

    def argv(self, seed: int, asked: argparse.Namespace) -> list[str]:
        """The command that trains one seed."""
        device = ("--device", asked.device) if self.cuda else ()
        if self.recipe:
            changes = [f"--set={change}" for change in (*self.changes, *(SMOKE_CHANGES if asked.smoke else ()))]
            curve = machine.script("speed.curve", self.recipe, "--entrant", self.name)
            return [*curve, "--seed", str(seed), *device, *changes]
        small = (*SMOKE_PICTURES, *(SMOKE_EPOCHS if self.epochs else ())) if asked.smoke else ()
        script, folder = str(PEER_SCRIPTS / f"{self.name}.py"), str(find("mnist"))
        return [str(asked.peer_python), script, folder, "--seed", str(seed), *device, *small]


# What a processor without bfloat16 does with the recipes that have bars.
FLOAT32 = (
    Entrant("fast-float32", 5, recipe="fast", changes=("precision=float32",)),
    Entrant("minute-float32", 2, recipe="minute", changes=("precision=float32",)),
)
PEERS = (
    Entrant("keras_convnet", seeds=2),
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


def lines_of(run: str, asked: argparse.Namespace, *, about: dict[str, Any]) -> list[dict[str, Any]]:
    """The lines that a run to be gone on with has: the named one, or the last one if the name is empty.

    Raises:
        SystemExit: there is none, or it was of another kind or on another machine.
    """
    lines = results.read_lines(asked.results / LEDGER)
    lines = [line for line in lines if line["run"] == (run or lines[-1]["run"])]
    if not lines:
        sys.exit(f"There is no run {run} to go on with in {asked.results / LEDGER}")
    keys = ("processor", "cores")
    now = [asked.smoke, asked.device, *(about["machine"][key] for key in keys)]
    then = [lines[-1]["smoke"], lines[-1]["device"], *(lines[-1]["machine"][key] for key in keys)]
    if now != then:
        sys.exit(f"Run {lines[-1]['run']} was another: begin anew.\nThen: {then}\nNow: {now}")
    return lines


def train(entrant: Entrant, seed: int, asked: argparse.Namespace) -> dict[str, Any]:
    """Train one seed in a process of its own, and return its line.

    Raises:
        RuntimeError: it failed.
    """
    argv = entrant.argv(seed, asked)
    env = machine.environment()
    if asked.device == "cpu":
        env["CUDA_VISIBLE_DEVICES"] = "-1"  # hides every GPU
    began = time.perf_counter()
    try:
        done = subprocess.run(argv, capture_output=True, text=True, env=env)
    except OSError as exc:
        raise RuntimeError(f"{argv[0]} does not start: {exc.strerror}") from exc
    seconds = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    try:
        line: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, json.JSONDecodeError) as exc:
        raise RuntimeError(f"{' '.join(argv)} told nothing:\n{done.stdout[-500:]}") from exc
    return {**line, "process_seconds": round(seconds, 3)}


def run(todo: list[tuple[Entrant, int]], stamp: str, asked: argparse.Namespace, *, about: dict[str, Any]) -> int:
    """Train one after the other, keep each line at once; return how many failed."""
    failed = 0
    for number, (entrant, seed) in enumerate(todo, start=1):
        print(f"{number} of {len(todo)}: {entrant.name}, seed {seed}", flush=True)
        try:
            line = train(entrant, seed, asked)
        except RuntimeError as exc:
            failed += 1
            print(f"  failed: {exc}", file=sys.stderr, flush=True)
            continue
        results.append(asked.results / LEDGER, {"run": stamp, "smoke": asked.smoke, **about, **line})
        print(f"  {line['accuracy'] * 100:.2f} %, trained in {line['train_seconds']:.2f} s", flush=True)
    return failed


def ask() -> argparse.Namespace:
    """Read the command line, and check what can be checked before hours pass."""
    known = entrants()
    options = results.options(__doc__, smoke="tiny settings")
    options.add_argument("--only", nargs="+", metavar="NAME", help=f"some of: {', '.join(known)}")
    options.add_argument("--seeds", type=int, help="so many of each, instead of each one's own number")
    options.add_argument(
        "--go-on", nargs="?", const="", metavar="RUN", help="add to a run what it lacks; else the last"
    )
    options.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options.add_argument("--peer-python", type=Path, default=PEER_PYTHON, help="has requirements-peers.txt and torch")
    asked = options.parse_args()
    unknown = [name for name in asked.only or () if name not in known]
    if unknown:
        options.error(f"there is no entrant {unknown[0]!r}; there are {', '.join(known)}")
    if asked.seeds is not None and asked.seeds < 1:
        options.error("--seeds is at least 1")
    asked.chosen = [known[name] for name in asked.only or known if asked.device == "cpu" or known[name].cuda]
    peers = [entrant.name for entrant in asked.chosen if not entrant.recipe]
    if peers and find("mnist") is None:
        options.error("MNIST is not on this machine: inkdigit data get mnist")
    if peers and not asked.peer_python.exists():
        options.error(
            f"{', '.join(peers)} need {asked.peer_python}: `make bench` makes it, --peer-python names another"
        )
    return asked


def main() -> int:
    """Train everybody who was asked for; 1 if somebody failed."""
    asked = ask()
    about = machine.describe(())  # once: later the load is our own; each line tells its own versions
    todo, stamp = rounds(asked.chosen, asked.seeds), f"{datetime.now():%Y%m%d-%H%M%S}"
    if asked.go_on is not None:
        lines = lines_of(asked.go_on, asked, about=about)
        sha256 = identities(SMOKE_CHANGES if asked.smoke else ())
        todo, stamp = lacking(todo, lines, sha256=sha256), lines[-1]["run"]
    failed = run(todo, stamp, asked, about=about)
    if failed:
        print(f"{failed} of {len(todo)} failed; try them again with: --go-on {stamp}", file=sys.stderr)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
