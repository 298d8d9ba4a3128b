"""What was tried for the recipes, one change or a few at a time, on writers that training does not see.

In: MNIST where `inkdigit` finds it. Out: one line a training in `results/choices.jsonl`, as soon as it is done; a later
run skips what it finds there for the same recipe. The test part is not looked at: `protocol = "select"`. Seeds differ
in the weights and in the writers held out, the same for all candidates, so differences are taken seed by seed.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import machine
from inkdigit.data.sources import open_data
from inkdigit.training.recipe import Recipe

LEDGER = "choices.jsonl"
LIBRARIES = ("inkdigit", "torch", "numpy")
SELECT = {"protocol": "select", "validation": 10_000, "min_steps": 0}
SGD = {"optimizer": "sgd", "learning_rate": 0.35, "momentum": 0.9}
PLAIN = {"rotate_deg": 0.0, "zoom": 0.0, "shift_px": 0.0}
THIN_START = {
    "filters": [24, 48, 96, 128],
    "kernel": 3,
    "convs_per_block": [1, 1, 1, 2],
    "pooling": ["none", "stride", "average", "none"],
    "padding": ["valid", "valid", "same", "valid"],
}
BLOCKS_OF_THREE = {
    "filters": [32, 64],
    "kernel": 3,
    "convs_per_block": 3,
    "pooling": ["max", "none"],
    "padding": "valid",
}
HALVED_FIRST = {
    "filters": [12, 24, 30],
    "kernel": [5, 3, 3],
    "convs_per_block": 1,
    "pooling": ["stride", "average", "none"],
    "padding": "valid",
}
ALL_CHANGES = {"elastic_px": 0.7, "squish": 0.1, "shear": 0.15, "thickness": 0.5}


@dataclass(frozen=True)
class Choice:
    """What was tried for one recipe: a start, and what is changed of it in each candidate."""

    base: str  # the bundled recipe that the start is made of
    seeds: int
    candidates: dict[str, dict[str, Any]]
    start: dict[str, Any] = field(default_factory=dict)


AS_IT_IS: dict[str, dict[str, Any]] = {"as it is": {}}
CHOICES = {
    "fast": Choice(
        "fast",
        3,
        AS_IT_IS
        | {
            "plain SGD": SGD,
            "plain SGD, batches of 64": {**SGD, "batch": 64},
            "AdamW, rate 0.01": {"optimizer": "adamw", "learning_rate": 0.01, "weight_decay": 0.01},
            "rate 0.2": {"learning_rate": 0.2},
            "filters 16-32-96": {"filters": [16, 32, 96]},
            "pooling last": {"pool_first": False},
            "max pooling": {"pooling": ["stride", "max", "none"]},
            "same padding": {"padding": "same"},
            "augmented": {"rotate_deg": 10.0, "zoom": 0.1, "shift_px": 2.0},
        },
    ),
    "minute": Choice(
        "minute",
        2,
        AS_IT_IS
        | {
            "plain SGD": SGD,
            "AdamW, rate 0.005": {"optimizer": "adamw", "learning_rate": 0.005, "weight_decay": 0.01},
            "no augmentation": PLAIN,
            "3 epochs": {"epochs": 3},
        },
    ),
    # It begins as `minute` does, trained longer.
    "best": Choice(
        "minute",
        2,
        AS_IT_IS
        | {
            "24 epochs": {"epochs": 24},
            "elastic, 1 px": {"elastic_px": 1.0},
            "squish and shear": {"squish": 0.1, "shear": 0.15},
            "strokes thinner and thicker": {"thickness": 0.5},
            "filters 48-96-192": {"filters": [48, 96, 192]},
            "two 3×3 first": THIN_START,
            "two 3×3 first, all changes of the pictures, 16 epochs": {**THIN_START, **ALL_CHANGES, "epochs": 16},
            "the same, filters 32-64-128-192": {
                **THIN_START,
                **ALL_CHANGES,
                "filters": [32, 64, 128, 192],
                "epochs": 16,
            },
            "two blocks of three, 32-64, all changes, 16 epochs": {**BLOCKS_OF_THREE, **ALL_CHANGES, "epochs": 16},
            "two blocks of three, 48-96, all changes, 20 epochs": {
                **BLOCKS_OF_THREE,
                **ALL_CHANGES,
                "filters": [48, 96],
                "epochs": 20,
            },
            "one convolution more": {"convs_per_block": [1, 2, 2]},
            "dropout 0.3": {"dense_dropout": 0.3},
            "larger shifts, inside the picture": {"shift_px": 4.0, "shift_inside": True},
            "one square erased": {"erase_px": 8},
            "moving average of the weights": {"ema_decay": 0.998},
            "whitening start": {"whiten": True},
            "no label smoothing": {"label_smoothing": 0.0},
            "batches of 64": {"batch": 64},
            "plain SGD": SGD,
        },
        start={"epochs": 12},
    ),
    "tiny": Choice(
        "minute",
        2,
        AS_IT_IS
        | {
            "5×5 first, in a quarter of the time": HALVED_FIRST,
            "5×5 first, 64 epochs": {**HALVED_FIRST, "epochs": 64},
            "four single convolutions": {
                "filters": [8, 16, 24, 22],
                "convs_per_block": 1,
                "pooling": ["none", "max", "max", "none"],
                "padding": ["same", "same", "same", "valid"],
            },
            "two blocks of three, no padding": {**BLOCKS_OF_THREE, "filters": [10, 18]},
            "no augmentation": PLAIN,
            "average pooling": {"pooling": ["average", "average", "none"]},
            "global max": {"head": "global_max"},
            "plain SGD": SGD,
            "weight decay 2e-3": {"weight_decay": 2e-3},
            "weight decay 1e-4": {"weight_decay": 1e-4},
            "batches of 64": {"batch": 64},
            "SiLU": {"activation": "silu"},
            "40 epochs": {"epochs": 40},
            "label smoothing 0.05": {"label_smoothing": 0.05},
        },
        start={
            "filters": [10, 18, 24],
            "kernel": 3,
            "convs_per_block": [2, 2, 1],
            "pooling": ["max", "max", "none"],
            "padding": ["same", "same", "valid"],
            "label_smoothing": 0.0,
            "weight_decay": 5e-4,
            "rotate_deg": 8.0,
            "zoom": 0.08,
            "shift_px": 1.5,
            "epochs": 16,
        },
    ),
}


def candidate(name: str, what: str) -> Recipe:
    """A candidate as it is trained, but for its seed."""
    choice = CHOICES[name]
    return Recipe.load(choice.base, {**SELECT, **choice.start, **choice.candidates[what]})


def hashes() -> dict[str, dict[str, str]]:
    """Recipe → candidate → its hash as it is now."""
    return {
        name: {what: candidate(name, what).sha256 for what in choice.candidates} for name, choice in CHOICES.items()
    }


def train(recipe: Recipe) -> dict[str, Any]:
    """Train a candidate; its accuracy on the held-out writers, and what it took."""
    from dataclasses import replace

    import torch

    from inkdigit.training import loop, nets, trial
    from inkdigit.training.run import parts_of

    device = torch.device("cpu")
    parts = parts_of(open_data("mnist"), recipe)
    state = loop.start(trial.build(recipe, parts, 10), recipe)
    rows = list(trial.epochs(state, recipe, replace(parts, validation=None), device))
    bfloat16 = trial.uses_bfloat16(recipe, device)
    loss, accuracy = loop.evaluate(state.net, loop.Tensors.of(parts.report, device), bfloat16=bfloat16)
    return {
        "accuracy": accuracy,
        "loss": loss,
        "n": len(parts.report),
        "train_seconds": round(sum(row.seconds for row in rows), 3),
        "threads": torch.get_num_threads(),
        "parameters": nets.parameters(state.net),
    }


def main() -> None:
    """Train what is not there yet, one seed of every candidate after the other."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", choices=CHOICES, help="one of the recipes")
    options.add_argument("--share", metavar="I/N", default="0/1", help="every N-th training from the I-th on: 0/2, 1/2")
    options.add_argument("--smoke", action="store_true", help="one seed, on 1,000 pictures: measure nothing")
    options.add_argument("--results", type=Path, default=machine.RESULTS)
    asked = options.parse_args()
    ledger, about = asked.results / LEDGER, {"smoke": asked.smoke, **machine.describe(LIBRARIES)}
    done = {(line["recipe_sha256"], line["seed"]) for line in machine.read_lines(ledger)}
    first, every = map(int, asked.share.split("/"))
    for name, what, seed in islice(trainings(asked.only, smoke=asked.smoke), first, None, every):
        recipe = candidate(name, what).change({"seed": seed, **({"validation": 59_000} if asked.smoke else {})})
        if (recipe.sha256, seed) in done:
            continue
        line = {"recipe": name, "candidate": what, "seed": seed, "recipe_sha256": recipe.sha256, **train(recipe)}
        machine.append_line(ledger, {**about, **line})
        print(f"{name}, {what}, seed {seed}: {100 * line['accuracy']:.2f} %", flush=True)


def trainings(only: str | None, *, smoke: bool = False) -> Iterator[tuple[str, str, int]]:
    """Recipe, candidate and seed, one seed of every candidate after the other."""
    for name in [only] if only else CHOICES:
        choice = CHOICES[name]
        for seed in range(1 if smoke else choice.seeds):
            yield from ((name, what, seed) for what in choice.candidates)


if __name__ == "__main__":
    main()
