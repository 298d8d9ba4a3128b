"""What was tried for `fast` and `minute`, one change at a time, on writers that training does not see.

In: MNIST where `inkdigit` finds it. Out: one line a training in `results/choices.jsonl`, as soon as it is done; a later
run skips what it finds there for the same recipe. The test part is not looked at: `protocol = "select"`. Seeds differ
in the weights and in the writers held out, the same for all candidates, so differences are taken seed by seed.
"""

from __future__ import annotations

import argparse
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
# Recipe → seeds, and what is changed in each candidate.
CANDIDATES: dict[str, tuple[int, dict[str, dict[str, Any]]]] = {
    "fast": (
        3,
        {
            "as it is": {},
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
    "minute": (
        2,
        {
            "as it is": {},
            "plain SGD": SGD,
            "AdamW, rate 0.005": {"optimizer": "adamw", "learning_rate": 0.005, "weight_decay": 0.01},
            "no augmentation": PLAIN,
            "3 epochs": {"epochs": 3},
        },
    ),
}


def candidate(name: str, what: str) -> Recipe:
    """A candidate as it is trained, but for its seed."""
    return Recipe.load(name, {**SELECT, **CANDIDATES[name][1][what]})


def hashes() -> dict[str, dict[str, str]]:
    """Recipe → candidate → its hash as it is now."""
    return {
        name: {what: candidate(name, what).sha256 for what in candidates}
        for name, (_, candidates) in CANDIDATES.items()
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
    return {
        "accuracy": trial.accuracy(state, recipe, parts.report, device),
        "n": len(parts.report),
        "train_seconds": round(sum(row.seconds for row in rows), 3),
        "threads": torch.get_num_threads(),
        "parameters": nets.parameters(state.net),
    }


def main() -> None:
    """Train what is not there yet, one seed of every candidate after the other."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", choices=CANDIDATES, help="one of the recipes")
    options.add_argument("--smoke", action="store_true", help="one seed, on 1,000 pictures: measure nothing")
    options.add_argument("--results", type=Path, default=machine.RESULTS)
    asked = options.parse_args()
    ledger, about = asked.results / LEDGER, {"smoke": asked.smoke, **machine.describe(LIBRARIES)}
    done = {(line["recipe_sha256"], line["seed"]) for line in machine.read_lines(ledger)}
    for name in [asked.only] if asked.only else CANDIDATES:
        seeds, candidates = CANDIDATES[name]
        for seed in range(1 if asked.smoke else seeds):
            for what in candidates:
                small = {"validation": 59_000} if asked.smoke else {}
                recipe = candidate(name, what).change({**small, "seed": seed})
                if (recipe.sha256, seed) in done:
                    continue
                line = {
                    "recipe": name,
                    "candidate": what,
                    "seed": seed,
                    "recipe_sha256": recipe.sha256,
                    **train(recipe),
                }
                machine.append_line(ledger, {**about, **line})
                print(f"{name}, {what}, seed {seed}: {100 * line['accuracy']:.2f} %", flush=True)


if __name__ == "__main__":
    main()
