"""How models read the digits of hands that MNIST lacks: invented writers, and the writers of other sets.

In: models and the data in INKDIGIT_DATA. Out: a table for each, and with `--as` a line of `results/ink.jsonl` each.
Accuracy counts every digit, also those that the model would reject. The invented writers are fifty that no training
knows; the digits of ORAND's amounts are cut at the boxes that people drew, with a tenth of their height around them.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.robustness.outcomes import Asked, ask, keep, parser, store
from benchmarks.robustness.tight import cut, orand
from inkdigit.data.sources import open_data
from inkdigit.measure.metrics import predict_part
from inkdigit.model.recognizer import Recognizer
from inkdigit.synth import writers
from inkdigit.types import Part

SEED = 1_900_000_049  # no training uses it
WRITERS, QUICK_WRITERS, EACH = 50, 10, 4  # each writes every digit so often
ROOM_PX = 6  # around what an invented writer writes
MARGIN = 0.1  # of a box's height
MODELS = ("general", "best", "fast", "tiny")


def invented(count: int) -> Iterator[Asked]:
    """The digits of writers that trained nothing."""
    for number in range(count):
        rng = np.random.default_rng([SEED, number])
        hand = writers.writer(rng)
        for label in list(range(10)) * EACH:
            image = writers.write(hand, label, rng=rng, size_px=int(rng.integers(40, 120)))
            yield Asked(np.pad(image, ROOM_PX), str(label), f"writer {number}")


def boxes(folder: Path, *, quick: bool) -> Iterator[Asked]:
    """The digits of the amounts, cut."""
    for i, boxed in enumerate(orand(folder)):
        if i % (10 if quick else 1) == 0:
            yield Asked(cut(boxed, MARGIN), boxed.label, boxed.source)


def of_pictures(model: Recognizer, asked: Sequence[Asked], failures: Path | None) -> dict[str, float]:
    """The figures of a model on images."""
    outcomes = ask(model, asked)
    keep(outcomes, failures)
    return _figures(
        [one.best == int(one.asked.expected) for one in outcomes], [one.label is not None for one in outcomes]
    )


def of_part(model: Recognizer, part: Part) -> dict[str, float]:
    """The figures of a model on the prepared images of a data set."""
    answers = predict_part(model, part)
    right = [answer.best == label for answer, label in zip(answers, part.labels, strict=True)]
    return _figures(right, [answer.label is not None for answer in answers])


def _figures(right: Sequence[bool], answered: Sequence[bool]) -> dict[str, float]:
    wrong = sum(a and not r for r, a in zip(right, answered, strict=True))
    return {"n": len(right), "accuracy": float(np.mean(right)), "answered": float(np.mean(answered)), "wrong": wrong}


def measure(model: Recognizer, data: Path, *, quick: bool, failures: Path | None = None) -> dict[str, Any]:
    """The figures of each set."""
    step = 10 if quick else 1
    sets: dict[str, Any] = {
        "invented writers": of_pictures(model, [*invented(QUICK_WRITERS if quick else WRITERS)], failures),
        "ORAND, cut at its boxes": of_pictures(model, [*boxes(data / "orand_car_a", quick=quick)], failures),
    }
    for name, title in (("usps", "USPS train"), ("sklearn-digits", "scikit-learn digits")):
        dataset = open_data(name)
        part = dataset.train
        if name == "sklearn-digits" and dataset.test is not None:
            images = np.concatenate([part.images, dataset.test.images])
            part = Part(images, np.concatenate([part.labels, dataset.test.labels]))
        sets[title] = of_part(model, part.take(np.arange(0, len(part), step)))
    for title, figures in sets.items():
        print(
            f"  {model.name:10} {title:26} n {figures['n']:>6}  {100 * figures['accuracy']:6.2f} % right, "
            f"{100 * figures['answered']:6.2f} % answered, {figures['wrong']} of them wrong"
        )
    return sets


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and store the results."""
    made = parser(__doc__)
    made.set_defaults(model=",".join(MODELS))
    options = made.parse_args(argv)
    names = options.model.split(",")
    for name in names:
        model, began = Recognizer.load(name), time.perf_counter()
        options.model = name
        sets = measure(model, Path(os.environ["INKDIGIT_DATA"]), quick=options.quick, failures=options.failures)
        store(options, "hands", {"hands": sets}, began=began)
    return 0


if __name__ == "__main__":
    sys.exit(main())
