"""Candidates for the recipes, trained, and evaluated on writers that they were not trained on: see `speed/choices.py`.

In: MNIST where `inkdigit` finds it. Out: one line a training in `results/choices.jsonl`, as soon as it is done; a later
run skips what is there already for the same recipe. The test split is not looked at: `protocol = "select"`. Seeds
differ in the weights and in the writers held out, the same for all candidates, so differences are taken seed by seed.
Candidates store their logits under `--runs` for the groups that predict together: the line of each group comes last,
once its members have theirs. A member whose logits are not there is trained again; its line stays.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from benchmarks.common import machine, results
from benchmarks.speed.choices import CHOICES, LEDGER, candidate, groups
from inkdigit.data.sources import open_data
from inkdigit.files import write_atomic
from inkdigit.training import trial
from inkdigit.training.convert.calibrate import fit_temperature
from inkdigit.training.data import splits_of
from inkdigit.training.network import loop, nets
from inkdigit.training.network.predict import logits as outputs_of
from inkdigit.training.recipe import Recipe
from inkdigit.types import Floats

LIBRARIES = ("inkdigit", "torch", "numpy")


def train(recipe: Recipe) -> tuple[dict[str, Any], Floats]:
    """Train a candidate; its accuracy on the held-out writers, its cost, and its logits (N, 10) for them."""
    parts = splits_of(open_data("mnist"), recipe)
    state = loop.start(trial.build(recipe, parts, 10), recipe)
    rows = list(trial.epochs(state, recipe, replace(parts, validation=None), torch.device("cpu")))
    logits = outputs_of(state.net, torch.from_numpy(parts.report.images)).numpy()
    took = {
        "train_seconds": round(sum(row.seconds for row in rows), 3),
        "threads": torch.get_num_threads(),
        "parameters": nets.parameters(state.net),
    }
    return {**reached(logits, recipe), **took}, logits


def reached(logits: Floats, recipe: Recipe) -> dict[str, Any]:
    """Accuracy of logits (N, 10) on the N images that a recipe holds out, and their cross-entropy when calibrated.

    The cross-entropy tells candidates apart that accuracy does not: it depends on more images than a few mistakes.
    """
    labels = splits_of(open_data("mnist"), recipe).report.labels
    outputs, known = torch.from_numpy(logits).double(), torch.from_numpy(labels)
    calibrated = outputs / fit_temperature(outputs, known)
    return {
        "accuracy": float((logits.argmax(1) == labels).mean()),
        "nll": float(functional.cross_entropy(calibrated, known)),
        "n": len(labels),
    }


def join(members: Sequence[Recipe], lines: Sequence[dict[str, Any]], runs: Path) -> dict[str, Any]:
    """What candidates reach by the mean of their logits, and took together; `lines` are their lines."""
    logits = np.mean([logits_of(recipe, runs) for recipe in members], axis=0)
    took = {key: sum(line[key] for line in lines) for key in ("train_seconds", "parameters")}
    return {**reached(logits, members[0]), **took, "threads": lines[0]["threads"]}


def logits_of(recipe: Recipe, runs: Path) -> Floats:
    """The logits of a candidate that was trained, here or elsewhere."""
    if not file_of(recipe, runs).exists():
        store(recipe, train(recipe)[1], runs)
    logits: Floats = np.load(file_of(recipe, runs))
    return logits


def store(recipe: Recipe, logits: Floats, runs: Path) -> None:
    """Write the logits of a candidate where `logits_of` reads them."""
    written = io.BytesIO()
    np.save(written, logits)
    runs.mkdir(parents=True, exist_ok=True)
    write_atomic(file_of(recipe, runs), written.getvalue())


def file_of(recipe: Recipe, runs: Path) -> Path:
    """Where the logits of a candidate are stored."""
    return runs / f"{recipe.sha256[:12]}-s{recipe.seed}.npy"


def main(argv: Sequence[str] | None = None) -> None:
    """Train what is missing, one seed of every candidate after the other."""
    parser = results.parser(__doc__, smoke="one seed, on 1,000 images")
    parser.add_argument("--only", choices=CHOICES, help="one of the tables")
    parser.add_argument("--share", metavar="I/N", default="0/1", help="every N-th training from the I-th on: 0/2, 1/2")
    parser.add_argument("--runs", type=Path, default=machine.ROOT / "runs" / "choices", help="where logits are stored")
    options = parser.parse_args(argv)
    ledger, about = options.results / LEDGER, results.stamp(LIBRARIES, smoke=options.smoke)

    def known() -> dict[tuple[str, int], dict[str, Any]]:  # others may be adding to it
        return {(line["recipe_sha256"], line["seed"]): line for line in results.read_lines(ledger)}

    def add(name: str, what: str, sha256: str, seed: int, figures: dict[str, Any]) -> None:
        line = {"recipe": name, "candidate": what, "seed": seed, "recipe_sha256": sha256, **figures}
        results.append(ledger, {**about, **line})
        print(f"{name}, {what}, seed {seed}: {100 * line['accuracy']:.2f} %", flush=True)

    first, every = map(int, options.share.split("/"))
    for name, what, seed in islice(trainings(options.only, smoke=options.smoke), first, None, every):
        recipe = candidate(name, what).change({"seed": seed, **({"validation": 59_000} if options.smoke else {})})
        if (recipe.sha256, seed) not in known():
            figures, logits = train(recipe)
            store(recipe, logits, options.runs)
            add(name, what, recipe.sha256, seed, figures)
    for name, group, seed in islice([] if options.smoke else joinings(options.only), first, None, every):
        lines, sha256 = known(), groups(name)[group]
        members = [candidate(name, what).change({"seed": seed}) for what in CHOICES[name].together[group]]
        trained = [lines.get((recipe.sha256, seed)) for recipe in members]
        if (sha256, seed) not in lines and all(trained):
            add(name, group, sha256, seed, join(members, trained, options.runs))


def trainings(only: str | None, *, smoke: bool = False) -> Iterator[tuple[str, str, int]]:
    """Table, candidate and seed, one seed of every candidate after the other."""
    for name in [only] if only else CHOICES:
        choice = CHOICES[name]
        for seed in range(1 if smoke else choice.seeds):
            yield from ((name, what, seed) for what in choice.candidates)


def joinings(only: str | None) -> Iterator[tuple[str, str, int]]:
    """Table, group and seed."""
    for name in [only] if only else CHOICES:
        for seed in range(CHOICES[name].seeds):
            yield from ((name, group, seed) for group in CHOICES[name].together)


if __name__ == "__main__":
    main()
