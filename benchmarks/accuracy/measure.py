"""What `docs/accuracy.md` says: recipes, ensembles, a network distilled from one, and the small-model curve, by seeds.

In: MNIST where `inkdigit` finds it. Out: a run directory a seed under `--runs`, one line of JSON in
`results/accuracy.jsonl` as soon as a seed is finished, and the openings of the test part that it logged, in
`results/test-openings.csv`. A later run skips the seeds that it finds there for the same recipe, and goes on with a
training that was stopped.

Several of these may work side by side, each training with one thread (`OMP_NUM_THREADS=1`; a teacher answers with as
many as `Recognizer.threads` says): what one is training, another that needs it waits for. An ensemble, or a network
that learns from one, has what it is made of trained first.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.entries import Entry, entries, identity, viewed
from benchmarks.common import machine, results
from benchmarks.common.results import Record
from benchmarks.common.runs import OPENINGS, add_openings, read_run
from inkdigit.errors import InkdigitError, UsageError
from inkdigit.runs import ENVIRONMENT, RECIPE, is_finished, model_path
from inkdigit.training.recipe import Recipe, parse_seeds

LEDGER = "accuracy.jsonl"
LIBRARIES = ("inkdigit", "torch", "numpy", "onnxruntime")
SMOKE = {"data": "sklearn-digits", "epochs": 1, "min_steps": 1, "validation": 0.1}


@dataclass(frozen=True, slots=True)
class Bench:
    """Where runs and results lie, and how they are trained."""

    runs: Path
    results: Path
    device: str
    about: Record  # what every line says
    changes: Mapping[str, Any] = field(default_factory=dict)  # of every recipe: a smoke run's

    def place(self, entry: Entry, seed: int) -> Path:
        """The run directory of a seed, or the file of an ensemble."""
        return self.runs / entry.name / (f"s{seed}.onnx" if entry.members else f"s{seed}")

    def model(self, name: str, seed: int) -> Path:
        """The model file of a seed."""
        entry = entries()[name]
        return self.place(entry, seed) if entry.members else model_path(self.place(entry, seed))

    def has_model(self, entry: Entry, seed: int) -> bool:
        """Whether the model file of a seed is here: the ledger may come from another machine."""
        place = self.place(entry, seed)
        return place.is_file() if entry.members else is_finished(place)

    def line(self, entry: Entry, seed: int) -> Record | None:
        """What the ledger says of a seed of the recipe as it is now."""
        key = (entry.name, seed, identity(entry, self.changes))
        lines = results.read_lines(self.results / LEDGER)
        return next((line for line in lines if (line["name"], line["seed"], line["recipe_sha256"]) == key), None)


def settle(entry: Entry, seed: int, bench: Bench, *, needed: bool = False) -> Record:
    """Train one seed, and before it what it is made of; the line that says so, which may be there already.

    Where its model file is `needed` and is not here, it is trained again; the ledger keeps its first line.

    Raises:
        RuntimeError: a command failed, or another recipe's run lies where this one's should.
        InkdigitError: a recipe or a model cannot be used.
    """
    place = bench.place(entry, seed)
    with results.locked(place.with_name(f".{place.name}.lock")):
        kept = bench.line(entry, seed)
        if kept is not None and (bench.has_model(entry, seed) or not needed):
            return kept
        others = [settle(entries()[other], seed, bench, needed=True) for other in entry.made_of]
        try:
            figures = _joined(entry, seed, bench, others) if entry.members else _trained(entry, seed, bench)
        finally:  # the test part may have been opened by what failed afterwards
            add_openings(place.parent / OPENINGS, bench.results / OPENINGS)
        line = {
            **bench.about,
            "name": entry.name,
            "group": entry.group,
            "seed": seed,
            "recipe_sha256": identity(entry, bench.changes),
            **figures,
        }
        if kept is None:
            results.append(bench.results / LEDGER, line)
    print(f"{entry.name}, seed {seed}: {line['accuracy'] * 100:.2f} %", flush=True)
    return line


def _trained(entry: Entry, seed: int, bench: Bench) -> Record:
    """Train a seed, or go on with it, or find it finished; its figures."""
    from inkdigit.model.provenance import ModelFile

    run, settings = bench.place(entry, seed), {"name": entry.name, **entry.changes, **bench.changes}
    teacher = bench.model(entry.teacher, seed) if entry.teacher else None
    if (run / RECIPE).exists():
        if Recipe.load(run / RECIPE).sha256 != entry.loaded(bench.changes).sha256:
            raise RuntimeError(f"{run} holds another recipe than {entry.name} is now: move {run.parent} away")
        if taught_by(run) != (teacher and ModelFile.of(teacher).sha256):
            raise RuntimeError(f"{run} learns from another file than {teacher} is now: move {run.parent} away")
        if not is_finished(run):
            call("train", "--resume", run, "--device", bench.device)
    else:
        if teacher:
            settings["teacher"] = str(teacher)
        changed = [f"--set={key}={json.dumps(value)}" for key, value in settings.items()]
        call("train", entry.recipe, "--seed", seed, "--out", run, "--device", bench.device, *changed)
    return read(run)


def taught_by(run: Path) -> str | None:
    """The SHA-256 of the file that a run learns from, if it learns from any."""
    about = json.loads((run / ENVIRONMENT).read_text(encoding="utf-8"))
    return about["teacher"]["sha256"] if about.get("teacher") else None


def call(*words: object) -> None:
    """Run an `inkdigit` command in a process of its own; its talk is ours.

    Raises:
        RuntimeError: it failed.
    """
    argv = [str(machine.INKDIGIT), *map(str, words)]
    code = subprocess.run(argv, stdout=subprocess.DEVNULL).returncode
    if code:
        raise RuntimeError(f"{' '.join(argv)} ended with {code}")


def read(run: Path) -> Record:
    """The figures of a finished run; `wrong` are the numbers of the test pictures that it got wrong."""
    report, about, wrong = read_run(run)
    return {
        "parameters": report["model"]["parameters"],
        "bytes": model_path(run).stat().st_size,
        **{key: report[key] for key in ("n", "accuracy", "accuracy_ci95", "nll", "ece")},
        "wrong": wrong,
        "train_seconds": round(report["train_seconds"], 1),
        "epochs": report["epochs"],
        "threads": about["threads"],
        "device": about["device"],
        "precision": _precision(Recipe.load(run / RECIPE), about["device"]),
    }


def _precision(recipe: Recipe, device: str) -> str:
    import torch

    from inkdigit.training.device import uses_bfloat16

    kind = torch.device("cpu" if device == "cpu" else "cuda")
    return "bfloat16" if uses_bfloat16(recipe, kind) else "float32"


def _joined(entry: Entry, seed: int, bench: Bench, members: Sequence[Record]) -> Record:
    """Join the members' models in one file; its figures, and what training the members took together."""
    file = bench.place(entry, seed)
    models = [bench.model(member, seed) for member in entry.members]
    name = entry.name if entry.views == 1 else viewed(1)  # the command itself adds how many views
    call("ensemble", *models, "--out", file, "--name", name, "--views", entry.views)
    first = entries()[entry.members[0]].loaded(bench.changes)
    return {
        **answer(file, first),
        "members": list(entry.members),
        "views": entry.views,
        "train_seconds": round(sum(member["train_seconds"] for member in members), 1),
        **{key: members[0][key] for key in ("threads", "device", "precision")},
    }


def answer(file: Path, recipe: Recipe) -> Record:
    """The figures of a model file on the test part of the recipe's data: the answers that its card tells of."""
    from inkdigit.data.sources import open_data
    from inkdigit.data.splits import set_aside
    from inkdigit.measure.metrics import measure, predict_part, stack_probs
    from inkdigit.model.recognizer import Recognizer

    model = Recognizer.load(file)
    part = set_aside(open_data(recipe.data), recipe.test_fraction).test
    assert part is not None
    predictions = predict_part(model, part)
    metrics = measure(
        predictions, part.labels, classes=model.classes, model=model.card.name, data=recipe.data, split="test"
    )
    wrong = np.flatnonzero(stack_probs(predictions, len(model.classes)).argmax(1) != part.labels)
    return {
        "parameters": model.card.parameters,
        "bytes": file.stat().st_size,
        **{key: getattr(metrics, key) for key in ("n", "accuracy", "accuracy_ci95", "nll", "ece")},
        "wrong": wrong.tolist(),
    }


def plan(chosen: Sequence[Entry], seeds: Sequence[int] | None) -> list[tuple[Entry, int]]:
    """Which seeds of whom, in order: every entry's first seed, then every entry's second."""
    asked = [(entry, seed) for entry in chosen for seed in (range(entry.seeds) if seeds is None else seeds)]
    return sorted(asked, key=lambda pair: pair[1])


def ask() -> argparse.Namespace:
    """Read the command line."""
    known = entries()
    groups = dict.fromkeys(entry.group for entry in known.values())
    options = results.options(__doc__, smoke="one epoch on little data")
    options.set_defaults(results=None)  # with --smoke, beside the runs
    options.add_argument("--only", nargs="+", metavar="NAME", help=f"some of: {', '.join({**groups, **known})}")
    options.add_argument("--seeds", metavar="0-2", help="these seeds, instead of each one's own number")
    options.add_argument("--runs", type=Path, help="where run directories lie; runs/accuracy unless named")
    options.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    asked = options.parse_args()
    unknown = [name for name in asked.only or () if name not in {**groups, **known}]
    if unknown:
        options.error(f"there is nothing called {unknown[0]!r}; there are {', '.join({**groups, **known})}")
    try:
        asked.seeds = None if asked.seeds is None else parse_seeds(asked.seeds)
    except UsageError as exc:
        options.error(str(exc))
    asked.chosen = [entry for entry in known.values() if not asked.only or {entry.name, entry.group} & {*asked.only}]
    asked.runs = asked.runs or machine.ROOT / "runs" / ("accuracy-smoke" if asked.smoke else "accuracy")
    asked.results = asked.results or (asked.runs if asked.smoke else results.RESULTS)
    return asked


def main() -> int:
    """Train what is not there yet; 1 if something failed, which stops nothing else."""
    asked = ask()
    about = results.stamp(LIBRARIES, smoke=asked.smoke)
    bench = Bench(asked.runs, asked.results, asked.device, about, SMOKE if asked.smoke else {})
    failed = 0
    for entry, seed in plan(asked.chosen, asked.seeds):
        try:
            settle(entry, seed, bench)
        except (RuntimeError, InkdigitError, OSError) as exc:
            failed += 1
            print(f"{entry.name}, seed {seed}, failed: {exc}", file=sys.stderr, flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
