"""One of Inkdigit's recipes, trained once: its test accuracy after each epoch, and what each stage takes.

In: a recipe and a seed. Out: one line of JSON on stdout, in the form that the peers print (`peers/form.py`).

It has the stages of `inkdigit train`. Between epochs, off the clock, the network that counts
predicts the test split in float32: these figures choose nothing, not even under the protocol `select`. The accuracy at
the end is that of the exported model file, on prepared images.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers import form

LIBRARIES = ("inkdigit", "torch", "numpy", "onnxruntime")


def measure(name: str, changes: dict[str, Any], *, entrant: str, device: str, clock: form.Clock) -> dict[str, Any]:
    """Train the recipe with `changes`; the line of `entrant`. `clock` began when Python and NumPy were loaded."""
    import torch

    from inkdigit.measure import metrics
    from inkdigit.model.recognizer import Recognizer
    from inkdigit.training import environment, trial
    from inkdigit.training.data import open_for, splits_of
    from inkdigit.training.device import choose_device, uses_bfloat16
    from inkdigit.training.network import loop
    from inkdigit.training.recipe import Recipe
    from inkdigit.training.results import Job, write_model

    clock.stop("import")
    recipe, target = Recipe.load(name, changes), choose_device(device)
    dataset = open_for(recipe, recipe.data, log=lambda _: None)
    parts = splits_of(dataset, recipe)
    test = parts.report if parts.report_name == "test" else dataset.part("test")
    state = loop.start(trial.build(recipe, parts, len(dataset.classes)).to(target), recipe)
    learnt, held = loop.Tensors.of(parts.train, target), loop.Tensors.of(test, target)
    if target.type == "cuda":
        torch.cuda.synchronize()
    clock.stop("load")

    clock.seconds["train"] = 0.0
    for row in trial.epochs(state, recipe, parts, target):
        clock.seconds["train"] += row.seconds
        with loop.candidate(state, learnt, recipe) as net:
            clock.mark(row.epoch, loop.evaluate(net, held, bfloat16=False)[1])

    with tempfile.TemporaryDirectory() as folder:
        clock.skip()
        about = environment.describe(dataset, source=recipe.data, device=target)
        job = Job(Path(folder), recipe, dataset, parts, about, target)
        write_model(job, state)
        clock.stop("export")
        recognizer = Recognizer.load(Path(folder))
        predictions, seconds = form.predict_all(recognizer.predict, test.images)
    figures = metrics.measure(
        predictions, test.labels, classes=recognizer.classes, model=name, data=dataset.name, split="test"
    )
    accuracy = round(figures.accuracy, 6)
    clock.curve[-1] = (*clock.curve[-1][:2], accuracy)  # the last point is the accuracy of the file that ships
    gpu = {"gpu": torch.cuda.get_device_name()} if target.type == "cuda" else {}
    return form.line(
        clock,
        entrant=entrant,
        kind="recipe",
        seed=recipe.seed,
        recipe_sha256=recipe.sha256,
        parameters=recognizer.card.parameters,
        threads=torch.get_num_threads(),
        device=target.type,
        **gpu,
        bfloat16=uses_bfloat16(recipe, target),
        answer_seconds=round(seconds, 4),
        accuracy=accuracy,
        n=figures.n,
        libraries=LIBRARIES,
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Train, measure on the test split, print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help="a bundled name")
    parser.add_argument("--entrant", metavar="NAME", help="what the line calls it; the default is the recipe's name")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a field of the recipe")
    options = parser.parse_args(argv)
    clock = form.Clock()
    from inkdigit.errors import InkdigitError
    from inkdigit.training.recipe import parse_changes

    try:
        changes = {**parse_changes(options.set), "seed": options.seed}
        entrant = options.entrant or options.recipe
        form.print_line(measure(options.recipe, changes, entrant=entrant, device=options.device, clock=clock))
    except InkdigitError as exc:
        sys.exit(str(exc))


if __name__ == "__main__":
    main()
