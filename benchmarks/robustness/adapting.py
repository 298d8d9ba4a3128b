"""The gain and the cost of adapting a model: trained on a few dozen images of one user, measured on the others.

In: a model (default: the default model), and the data in INKDIGIT_DATA. Out: lines of `results/adapting.jsonl`, one a
user and seed: the predictions before and after, for that user's other images, for MNIST's test split and for what is
not a digit, and the time, cross-validation included, as where a user has no test split. Each opens the test split once,
which is a line in `results/test-openings.csv`.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.common import results
from benchmarks.common.runs import OPENINGS, add_openings
from benchmarks.robustness.measure import outliers
from inkdigit.data.sources import open_data
from inkdigit.model.recognizer import Recognizer
from inkdigit.picture.prepare import prepare_each
from inkdigit.synth import drawn
from inkdigit.types import DIGITS, Dataset, Gray, Part

Outliers = dict[str, list[Gray]]  # by kind

LEDGER = "adapting.jsonl"
LIBRARIES = ("inkdigit", "torch", "numpy", "pillow", "onnxruntime")
OF_EACH = 5  # training images of each class
UNSEEN = 100  # images of each class that are predicted afterwards
OUTLIERS = 500  # of each kind
TURN_DEG = 60  # of the handwriting that is askew
SIDE_PX = 160  # of its images: so large that nothing is cut off


def usps(rng: np.random.Generator) -> tuple[Part, Part]:
    """Envelopes of the eighties: training images, and others."""
    split = open_data("usps").train
    order = rng.permutation(len(split))
    places = [order[split.labels[order] == label] for label in range(len(DIGITS))]
    learnt, unseen = (
        [indices[cut] for indices in places] for cut in (slice(OF_EACH), slice(OF_EACH, OF_EACH + UNSEEN))
    )
    return split.take(np.concatenate(learnt)), split.take(np.concatenate(unseen))


def askew(rng: np.random.Generator) -> tuple[Part, Part]:
    """Drawn digits that are turned, as on a form that was scanned askew: training images, and others."""
    return _turned(OF_EACH, rng), _turned(UNSEEN, rng)


def _turned(of_each: int, rng: np.random.Generator) -> Part:
    labels = np.repeat(np.arange(len(DIGITS)), of_each)
    inks = [drawn.digit(int(label), rng=rng, size_px=SIDE_PX // 2) for label in labels]
    return Part(prepare_each([_turn(np.pad(ink, SIDE_PX // 4)) for ink in inks]), labels)


def _turn(ink: Gray) -> Gray:
    return np.asarray(Image.fromarray(ink).rotate(TURN_DEG, Image.Resampling.BICUBIC))


USERS: dict[str, Callable[[np.random.Generator], tuple[Part, Part]]] = {"USPS": usps, "askew": askew}


def rejected(model: Recognizer, known: Outliers) -> dict[str, float]:
    """The share of each kind of outlier that is rejected."""
    return {
        kind: float(np.mean([prediction.label is None for prediction in model.predict([*images])]))
        for kind, images in known.items()
    }


def measure(
    model: Recognizer, user: str, seed: int, folder: Path, *, steps: int | None, known: Outliers
) -> dict[str, Any]:
    """Adapt to a user, and predict before and after."""
    from inkdigit.training.adapt import outcome
    from inkdigit.training.adapt.adapt import STEPS, adapt  # imports PyTorch, which the page does not need

    learnt, unseen = USERS[user](np.random.default_rng(seed))
    data = Dataset(user, DIGITS, learnt, prepare=model.prepare)
    began = time.perf_counter()
    done = adapt(model, data, out=folder / f"{user}-{seed}.onnx", steps=steps or STEPS, seed=seed, log=print)
    seconds = time.perf_counter() - began
    return {
        "user": user,
        "seed": seed,
        "seconds": round(seconds, 1),
        "learnt": len(learnt),
        "own": asdict(outcome.change(unseen, outcome.predict(model, unseen), outcome.predict(done.model, unseen))),
        "old": asdict(done.old),
        "replay": done.replay,
        "way": done.fraction,
        "refused_after": rejected(done.model, known),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure every user and seed; a line each, as soon as it is there."""
    parser = results.parser(__doc__, smoke="a few steps, one seed")
    parser.add_argument("--model", default="default")
    parser.add_argument("--seeds", type=int, default=3, help="how many; each draws its images again")
    options = parser.parse_args(argv)
    seeds, steps, each = (1, 2, 20) if options.smoke else (options.seeds, None, OUTLIERS)
    model = Recognizer.load(options.model)
    known = outliers(Path(os.environ["INKDIGIT_DATA"]), limit=each)
    del known["letters and scribbles"]  # each is there on its own
    about = {**results.stamp(LIBRARIES, smoke=options.smoke), "model": model.name}
    about["refused_before"] = rejected(model, known)  # the same for all
    for user in USERS:
        for seed in range(seeds):
            with tempfile.TemporaryDirectory() as folder:
                figures = measure(model, user, seed, Path(folder), steps=steps, known=known)
                add_openings(Path(folder) / OPENINGS, options.results / OPENINGS)
            results.append(options.results / LEDGER, {**about, **figures})
    return 0


if __name__ == "__main__":
    sys.exit(main())
