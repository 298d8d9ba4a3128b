"""What `docs/accuracy.md` reports: recipes, ensembles, a network distilled from one, and the small-model curve.

In: MNIST where `inkdigit` finds it. Out: a run directory a seed under `--runs`, one line of JSON in
`results/accuracy.jsonl` as soon as a seed is finished, and the openings of the test split that it logged, in
`results/test-openings.csv`. A later run skips the seeds that it finds there for the same recipe, and continues a
training that was stopped.

Several of these processes may run side by side, each training with one thread (`OMP_NUM_THREADS=1`; a teacher predicts
with as many as `Recognizer.threads` says). A process that needs what another one is training waits for it. What an
ensemble is made of, or the teacher of a network, is trained first.
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
from inkdigit.measure.seeds import parse_seeds
from inkdigit.runs import ENVIRONMENT, RECIPE, is_finished, model_path
from inkdigit.training.recipe import Recipe

LEDGER = "accuracy.jsonl"
LIBRARIES = ("inkdigit", "torch", "numpy", "onnxruntime")
SMOKE = {"data": "sklearn-digits", "epochs": 1, "min_steps": 1, "validation": 0.1}


@dataclass(frozen=True, slots=True)
class Bench:
    """The folders of runs and results, and how runs are trained."""

    runs: Path
    results: Path
    device: str
    about: Record  # the stamp of every line
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
        """The line of a seed in the ledger, for the recipe as it is now."""
        key = (entry.name, seed, identity(entry, self.changes))
        lines = results.read_lines(self.results / LEDGER)
        return next((line for line in lines if (line["name"], line["seed"], line["recipe_sha256"]) == key), None)


def settle(entry: Entry, seed: int, bench: Bench, *, needed: bool = False) -> Record:
    """Train one seed, and before it what it is made of; its line, which may be there already.

    Where its model file is `needed` and is not here, it is trained again; the ledger keeps its first line.

    Raises:
        RuntimeError: a command failed, or the run directory holds the run of another recipe.
        InkdigitError: a recipe or a model cannot be used.
    """
    place = bench.place(entry, seed)
    with results.locked(place):
        line_there = bench.line(entry, seed)
        if line_there is not None and (bench.has_model(entry, seed) or not needed):
            return line_there
        others = [settle(entries()[other], seed, bench, needed=True) for other in entry.made_of]
        try:
            figures = _joined(entry, seed, bench, others) if entry.members else _trained(entry, seed, bench)
        finally:  # the test split may have been opened by what failed afterwards
            add_openings(place.parent / OPENINGS, bench.results / OPENINGS)
        line = {
            **bench.about,
            "name": entry.name,
            "group": entry.group,
            "seed": seed,
            "recipe_sha256": identity(entry, bench.changes),
            **figures,
        }
        if line_there is None:
            results.append(bench.results / LEDGER, line)
    print(f"{entry.name}, seed {seed}: {line['accuracy'] * 100:.2f} %", flush=True)
    return line


def _trained(entry: Entry, seed: int, bench: Bench) -> Record:
    """Train a seed, or continue it, or read it if it is finished; its figures."""
    from inkdigit.model.provenance import ModelFile

    run, settings = bench.place(entry, seed), {"name": entry.name, **entry.changes, **bench.changes}
    teacher = bench.model(entry.teacher, seed) if entry.teacher else None
    if (run / RECIPE).exists():
        if Recipe.load(run / RECIPE).sha256 != entry.loaded(bench.changes).sha256:
            raise RuntimeError(f"{run} holds another recipe than {entry.name} is now: move {run.parent} away")
        if taught_by(run) != (teacher and ModelFile.of(teacher).sha256):
            raise RuntimeError(f"{run} was trained by another file than {teacher} is now: move {run.parent} away")
        if not is_finished(run):
            call("train", "--resume", run, "--device", bench.device)
    else:
        if teacher:
            settings["teacher"] = str(teacher)
        changed = [f"--set={key}={json.dumps(value)}" for key, value in settings.items()]
        call("train", entry.recipe, "--seed", seed, "--out", run, "--device", bench.device, *changed)
    return read(run)


def taught_by(run: Path) -> str | None:
    """The SHA-256 of the file of the teacher of a run, if it has one."""
    about = json.loads((run / ENVIRONMENT).read_text(encoding="utf-8"))
    return about["teacher"]["sha256"] if about.get("teacher") else None


def call(*words: object) -> None:
    """Run an `inkdigit` command in a process of its own; its messages are ours.

    Raises:
        RuntimeError: it failed.
    """
    argv = [str(machine.INKDIGIT), *map(str, words)]
    code = subprocess.run(argv, stdout=subprocess.DEVNULL).returncode
    if code:
        raise RuntimeError(f"{' '.join(argv)} ended with {code}")


def read(run: Path) -> Record:
    """The figures of a finished run; `wrong` are the indices of the test images that it got wrong."""
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
    """Join the members' models in one file; its figures, and the training time of the members together."""
    file = bench.place(entry, seed)
    models = [bench.model(member, seed) for member in entry.members]
    name = entry.name if entry.views == 1 else viewed(1)  # the command itself adds how many views
    call("ensemble", *models, "--out", file, "--name", name, "--views", entry.views)
    first = entries()[entry.members[0]].loaded(bench.changes)
    times = [member["train_seconds"] for member in members]  # None: it was stopped for a while
    return {
        **evaluate_file(file, first),
        "members": list(entry.members),
        "views": entry.views,
        "train_seconds": None if None in times else round(sum(times), 1),
        **{key: members[0][key] for key in ("threads", "device", "precision")},
    }


def evaluate_file(file: Path, recipe: Recipe) -> Record:
    """The figures of a model file on the test split of the recipe's data: on prepared images."""
    from inkdigit.data.sources import open_data
    from inkdigit.data.splits import set_aside
    from inkdigit.measure.metrics import measure, predict_part, stack_probs
    from inkdigit.model.recognizer import Recognizer

    model = Recognizer.load(file)
    split = set_aside(open_data(recipe.data), recipe.test_fraction).test
    assert split is not None
    predictions = predict_part(model, split)
    metrics = measure(
        predictions, split.labels, classes=model.classes, model=model.card.name, data=recipe.data, split="test"
    )
    wrong = np.flatnonzero(stack_probs(predictions, len(model.classes)).argmax(1) != split.labels)
    return {
        "parameters": model.card.parameters,
        "bytes": file.stat().st_size,
        **{key: getattr(metrics, key) for key in ("n", "accuracy", "accuracy_ci95", "nll", "ece")},
        "wrong": wrong.tolist(),
    }


def plan(chosen: Sequence[Entry], seeds: Sequence[int] | None) -> list[tuple[Entry, int]]:
    """Which seeds of whom, in order: every entry's first seed, then every entry's second."""
    seeds_of = [(entry, seed) for entry in chosen for seed in (range(entry.seeds) if seeds is None else seeds)]
    return sorted(seeds_of, key=lambda pair: pair[1])


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    known = entries()
    groups = dict.fromkeys(entry.group for entry in known.values())
    parser = results.parser(__doc__, smoke="one epoch on little data")
    parser.set_defaults(results=None)  # with --smoke, beside the runs
    parser.add_argument("--only", nargs="+", metavar="NAME", help=f"some of: {', '.join({**groups, **known})}")
    parser.add_argument("--seeds", metavar="0-2", help="these seeds, instead of the default of each")
    parser.add_argument("--runs", type=Path, help="the folder of run directories; the default is runs/accuracy")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    options = parser.parse_args(argv)
    unknown = [name for name in options.only or () if name not in {**groups, **known}]
    if unknown:
        parser.error(f"there is nothing called {unknown[0]!r}; there are {', '.join({**groups, **known})}")
    try:
        options.seeds = None if options.seeds is None else parse_seeds(options.seeds)
    except UsageError as exc:
        parser.error(str(exc))
    options.chosen = [
        entry for entry in known.values() if not options.only or {entry.name, entry.group} & {*options.only}
    ]
    options.runs = options.runs or machine.ROOT / "runs" / ("accuracy-smoke" if options.smoke else "accuracy")
    options.results = options.results or (options.runs if options.smoke else results.RESULTS)
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Train what is missing; 1 if something failed, which stops nothing else."""
    options = parse_arguments(argv)
    about = results.stamp(LIBRARIES, smoke=options.smoke)
    bench = Bench(options.runs, options.results, options.device, about, SMOKE if options.smoke else {})
    failed = 0
    for entry, seed in plan(options.chosen, options.seeds):
        try:
            settle(entry, seed, bench)
        except (RuntimeError, InkdigitError, OSError) as exc:
            failed += 1
            print(f"{entry.name}, seed {seed}, failed: {exc}", file=sys.stderr, flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
