"""What adapting a model gives and costs: a few dozen pictures of one user learnt, the others of that user read.

In: a model (the default one unless named), and the data in INKDIGIT_DATA. Out: lines of `results/adapting.jsonl`, one a
user and seed: what is read before and after of that user's other pictures, of MNIST's test part and of what is no
digit, and how long it took, cross-validation included, as where a user has no test part. Each looks at the test part
once, which `results/test-openings.csv` tells of.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
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
OF_EACH = 5  # pictures of each class that are learnt
UNSEEN = 100  # of each class that are read afterwards
OUTLIERS = 500  # of each kind
TURN_DEG = 60  # of the hand that writes askew
SIDE_PX = 160  # of its pictures: so large that nothing is cut off


def usps(rng: np.random.Generator) -> tuple[Part, Part]:
    """Envelopes of the eighties: pictures to learn, and others."""
    part = open_data("usps").train
    order = rng.permutation(len(part))
    places = [order[part.labels[order] == label] for label in range(len(DIGITS))]
    learnt, unseen = ([one[cut] for one in places] for cut in (slice(OF_EACH), slice(OF_EACH, OF_EACH + UNSEEN)))
    return part.take(np.concatenate(learnt)), part.take(np.concatenate(unseen))


def askew(rng: np.random.Generator) -> tuple[Part, Part]:
    """Drawn digits that lie on their side, as on a form that was fed askew: pictures to learn, and others."""
    return _turned(OF_EACH, rng), _turned(UNSEEN, rng)


def _turned(of_each: int, rng: np.random.Generator) -> Part:
    labels = np.repeat(np.arange(len(DIGITS)), of_each)
    inks = [drawn.digit(int(label), rng=rng, size_px=SIDE_PX // 2) for label in labels]
    return Part(prepare_each([_turn(np.pad(ink, SIDE_PX // 4)) for ink in inks]), labels)


def _turn(ink: Gray) -> Gray:
    return np.asarray(Image.fromarray(ink).rotate(TURN_DEG, Image.Resampling.BICUBIC))


USERS: dict[str, Callable[[np.random.Generator], tuple[Part, Part]]] = {"USPS": usps, "askew": askew}


def refused(model: Recognizer, known: Outliers) -> dict[str, float]:
    """Which share of each kind of outlier is refused."""
    return {
        kind: float(np.mean([answer.label is None for answer in model.predict([*pictures])]))
        for kind, pictures in known.items()
    }


def measure(
    model: Recognizer, user: str, seed: int, folder: Path, *, steps: int | None, known: Outliers
) -> dict[str, Any]:
    """Adapt to a user, and ask before and after."""
    from inkdigit.training.adapt import outcome
    from inkdigit.training.adapt.adapt import STEPS, adapt  # brings PyTorch: the page needs none

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
        "own": asdict(outcome.change(unseen, outcome.read(model, unseen), outcome.read(done.model, unseen))),
        "old": asdict(done.old),
        "replay": done.replay,
        "way": done.way,
        "refused_after": refused(done.model, known),
    }


def main() -> int:
    """Measure every user and seed; a line each, as soon as it is there."""
    options = results.options(__doc__, smoke="a few steps, one seed")
    options.add_argument("--model", default="default")
    options.add_argument("--seeds", type=int, default=3, help="how many; each draws its pictures anew")
    asked = options.parse_args()
    seeds, steps, each = (1, 2, 20) if asked.smoke else (asked.seeds, None, OUTLIERS)
    model = Recognizer.load(asked.model)
    known = outliers(Path(os.environ["INKDIGIT_DATA"]), limit=each)
    del known["letters and scribbles"]  # each is there on its own
    about = {**results.stamp(LIBRARIES, smoke=asked.smoke), "model": model.name}
    about["refused_before"] = refused(model, known)  # the same for all
    for user in USERS:
        for seed in range(seeds):
            with tempfile.TemporaryDirectory() as folder:
                told = measure(model, user, seed, Path(folder), steps=steps, known=known)
                add_openings(Path(folder) / OPENINGS, asked.results / OPENINGS)
            results.append(asked.results / LEDGER, {**about, **told})
    return 0


if __name__ == "__main__":
    sys.exit(main())
