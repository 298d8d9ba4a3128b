"""The cost of the training loop beside the bare arithmetic, and the memory that training takes.

In: recipes, and MNIST. Out: `results/loop.json`. "Bare" is forward, backward and step of the same network on one batch
that is in memory. The loop is an epoch as `inkdigit train` runs it: it draws and augments every batch, records losses
and hits, reports progress, validates at the end, and writes rows and a checkpoint. Both take turns in one process. Peak
memory is that of `inkdigit train`.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.common import machine, results
from inkdigit.data.sources import open_data
from inkdigit.data.splits import Splits
from inkdigit.files import append_row
from inkdigit.machine import time_process
from inkdigit.runs import METRICS, STEPS
from inkdigit.training import trial
from inkdigit.training.data import splits_of
from inkdigit.training.device import uses_bfloat16
from inkdigit.training.network import checkpoint, loop
from inkdigit.training.recipe import Recipe
from inkdigit.types import Dataset

COMMAND = "python -m benchmarks.speed.loop"
LIBRARIES = ("inkdigit", "torch", "numpy")
RECIPES = ("fast", "minute", "resnet")
CPU = torch.device("cpu")
BARE_STEPS = 150
WARM_UPS = 10  # steps
AUGMENTATION = {"rotate_deg": 10.0, "zoom": 0.1, "shift_px": 2.0}  # for a recipe that has none


def variants(name: str) -> dict[str, Recipe]:
    """The recipe as it is, and with augmentation where it has none; always one epoch, with validation."""
    recipe = Recipe.load(name)
    recipe = recipe.change({"epochs": 1, "min_steps": 0, "validation": recipe.validation or 0.05})
    augmented = any(getattr(recipe, field) for field in AUGMENTATION)
    return {name: recipe} if augmented else {name: recipe, f"{name}, augmented": recipe.change(AUGMENTATION)}


def bare(recipe: Recipe, parts: Splits, classes: int) -> float:
    """Images a second of forward, backward and step alone."""
    net = trial.build(recipe, parts, classes).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer, bfloat16 = loop.make_optimizer(net, recipe), uses_bfloat16(recipe, CPU)
    images, labels = (torch.tensor(part[: recipe.batch]) for part in (parts.train.images, parts.train.labels))
    x = images.unsqueeze(1).float().contiguous(memory_format=torch.channels_last)
    net.train()
    began = 0.0
    for step in range(-WARM_UPS, BARE_STEPS):
        if step == 0:
            began = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            logits = net(x)
        optimizer.zero_grad(set_to_none=True)
        loop.loss_of(logits.float(), labels, recipe).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return BARE_STEPS * recipe.batch / (time.perf_counter() - began)


def complete(recipe: Recipe, parts: Splits, classes: int) -> float:
    """Images a second of one epoch as a run does it: with validation, progress, its row and its checkpoint."""
    state, ticks = loop.start(trial.build(recipe, parts, classes), recipe), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        began = time.perf_counter()
        for row in trial.epochs(state, recipe, parts, CPU, on_tick=ticks.append):
            append_row(folder / METRICS, {"epoch": row.epoch, "loss": row.train_loss, "seconds": row.seconds})
            for sample in row.samples:
                append_row(folder / STEPS, asdict(sample))
            checkpoint.write(folder, state)
        return state.step * recipe.batch / (time.perf_counter() - began)


def measure(name: str, recipe: Recipe, dataset: Dataset, *, rounds: int) -> dict[str, Any]:
    """Both rates in turns, and their ratio round by round."""
    parts, classes = splits_of(dataset, recipe), len(dataset.classes)
    pairs = [(bare(recipe, parts, classes), complete(recipe, parts, classes)) for _ in range(rounds)]
    shares = [full / limit for limit, full in pairs]
    row = {
        "recipe": name,
        "batch": recipe.batch,
        "n": rounds,
        "bare_images_per_s": median(limit for limit, _ in pairs),
        "loop_images_per_s": median(full for _, full in pairs),
        "share": results.summary(shares, 6),
    }
    print(row, flush=True)
    return row


def peak_mb(name: str, *, smoke: bool) -> float | None:
    """Peak memory of a run, report included; one epoch shows it."""
    changes = ["--set", "epochs=1", *(["--set", "validation=59000"] if smoke else [])]
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "run")
        return time_process([str(machine.INKDIGIT), "train", name, *changes, "--device", "cpu", "--out", out]).peak_mb


def main(argv: Sequence[str] | None = None) -> None:
    """Measure each recipe and write the results."""
    parser = results.parser(__doc__, smoke="little data, one round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(argv)
    about = {**results.stamp(LIBRARIES, smoke=options.smoke, command=COMMAND), "threads": torch.get_num_threads()}
    dataset, rows = open_data("mnist"), []
    for name in RECIPES:
        for variant, recipe in variants(name).items():
            shown = recipe.change({"validation": 59_000}) if options.smoke else recipe
            rows.append(measure(variant, shown, dataset, rounds=1 if options.smoke else options.rounds))
    memory = {name: peak_mb(name, smoke=options.smoke) for name in RECIPES}
    record = {**about, "recipes": rows, "peak_mb": memory}
    results.write(options.results / "loop.json", record)


if __name__ == "__main__":
    main()
