"""How a model predicts images that are not MNIST: photos, other handwriting, corruptions, and what is not a digit.

In: a model (default: the default model), and the data in INKDIGIT_DATA. Out: `results/robustness.json`, or what
`--out` names. `--held-out` uses training images that the model's run held out, instead of the test split: for
choosing.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.common import results
from inkdigit.data.readers.idx_npz import read_idx
from inkdigit.data.sources import open_data
from inkdigit.measure.metrics import evaluate, predict_part
from inkdigit.measure.rejection import auroc, rejected_at, scores_of
from inkdigit.measure.robustness import evaluate_corruptions
from inkdigit.model.recognizer import Recognizer
from inkdigit.picture.decode import decode
from inkdigit.picture.prepare import prepare, tight
from inkdigit.synth import drawn, printed
from inkdigit.synth.glyphs import LETTER_GLYPHS, SIGN_GLYPHS
from inkdigit.synth.scenes import pens
from inkdigit.synth.stress import photograph
from inkdigit.types import Dataset, Gray, Part

LIBRARIES = ("inkdigit", "numpy", "pillow", "onnxruntime")
COVERAGE = 0.99
SEED = 20_000  # of the drawn outliers: no training uses this seed
EACH = 2000  # of each kind of outlier that is drawn
CALLS = 20


def photos(model: Recognizer, folder: Path) -> dict[str, Any]:
    """Single digits photographed, scanned and drawn by other people: predicted right, wrong, rejected, by source."""
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    predictions = model.predict([str(folder / row["file"]) for row in rows])
    sources: dict[str, dict[str, int]] = {}
    missed = []
    for row, prediction in zip(rows, predictions, strict=True):
        counts = sources.setdefault(row["source"], {"n": 0, "right": 0, "wrong": 0, "refused": 0})
        outcome = "refused" if prediction.label is None else "right" if prediction.label == row["label"] else "wrong"
        counts["n"] += 1
        counts[outcome] += 1
        if outcome != "right":
            best = None if prediction.best is None else model.classes[prediction.best]
            missed.append({"file": row["file"], "label": row["label"], "best": best, "reason": prediction.reason})
    total = {key: sum(counts[key] for counts in sources.values()) for key in ("n", "right", "wrong", "refused")}
    return {**total, "sources": sources, "missed": missed}


def outliers(data: Path, *, limit: int | None = None) -> dict[str, list[Gray]]:
    """What should be rejected, by kind: notMNIST, and what is drawn with a random seed of its own, half of it on paper.

    Of each kind there are `limit`; without it, all of notMNIST and `EACH` of what is drawn.
    """
    notmnist = read_idx(next((data / "notmnist").glob("*images*")))
    known = {"notmnist": list(notmnist[:limit]), **dict(_drawn(EACH if limit is None else limit))}
    return {**known, "letters and scribbles": known["letters by hand"] + known["scribbles"]}


def _drawn(each: int) -> Iterator[tuple[str, list[Gray]]]:
    rng = np.random.default_rng(SEED)
    beside = _bank(rng)

    def kind(draw: Callable[[], Gray]) -> list[Gray]:
        inks = [draw() for _ in range(each)]
        return [photograph(pens.Ink(tight(ink)), beside, rng=rng)[0] if i % 2 else ink for i, ink in enumerate(inks)]

    def one_of(names: object) -> str:
        return str(rng.choice([*names]))  # type: ignore[misc]

    yield "letters by hand", kind(lambda: drawn.letter(one_of(LETTER_GLYPHS), rng=rng, size_px=80))
    yield "scribbles", kind(lambda: drawn.scribble(rng=rng, size_px=80))
    yield "signs and other scripts", kind(lambda: drawn.sign(one_of(SIGN_GLYPHS), rng=rng, size_px=80))
    yield "letters in fonts", kind(lambda: printed.letter(rng=rng, size_px=80))


def _bank(rng: np.random.Generator) -> pens.Bank:
    """Some drawn inks, for what is beside others."""
    digits = np.stack([prepare(drawn.digit(i % 10, rng=rng)) for i in range(40)])
    return pens.bank(digits, rng=rng, size=len(digits))


def rejections(model: Recognizer, digits: Part, known: dict[str, list[Gray]]) -> dict[str, Any]:
    """How the score separates digits from each kind of outlier."""
    inside = scores_of(predict_part(model, digits))
    figures = {}
    for name, images in known.items():
        predictions = model.predict([*images])
        outside = scores_of(predictions)
        figures[name] = {
            "n": len(images),
            "auroc": auroc(inside, outside),
            "refused_at_99": rejected_at(inside, outside, COVERAGE),
            "refused": float(np.mean([prediction.label is None for prediction in predictions])),
        }
    return figures


def preprocessing_times() -> dict[str, float]:
    """Milliseconds of a 12-megapixel photo, decoded and prepared, and of a clean image: the median of some calls."""
    rng = np.random.default_rng(0)
    small, _ = photograph(pens.Ink(tight(drawn.digit(7, rng=rng))), _bank(rng), rng=np.random.default_rng(7))
    file = io.BytesIO()
    Image.fromarray(small).resize((4000, 3000), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    photo, clean = file.getvalue(), prepare(drawn.digit(7, rng=rng))

    def median(call: Callable[[], object], calls: int) -> float:
        call()
        seconds = []
        for _ in range(calls):
            began = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - began)
        return float(np.median(seconds)) * 1000

    return {
        "photo_12mp_ms": median(lambda: prepare(decode(photo)), CALLS),
        "clean_28_ms": median(lambda: prepare(clean), 200 * CALLS),
    }


def held_out(model: Recognizer, dataset: Dataset) -> Part:
    """The training images that the model's run held out."""
    from inkdigit.training.convert.restore import recipes_of
    from inkdigit.training.data import splits_of

    held = splits_of(dataset, recipes_of(model)[0]).validation
    assert held is not None, "the model's run held nothing out"
    return held


def measure(model: Recognizer, data: Path, *, choosing: bool, limit: int | None, of_each: int | None) -> dict[str, Any]:
    """All figures of `docs/robustness.md` for one model: `limit` digits corrupted, `of_each` kind of outlier."""
    mnist = open_data("mnist")
    assert mnist.test is not None
    digits = held_out(model, mnist) if choosing else mnist.test
    measured = replace(mnist, test=digits)
    corrupted = evaluate_corruptions(model, measured, limit=limit, log=print)
    usps = evaluate(model, open_data("usps"))
    return {
        "model": model.name,
        "held_out": choosing,
        "threshold": {"keeps": model.card.calibration.keeps, "fitted_on": model.card.calibration.fitted_on},
        "digits": f"{len(digits):,} {'held-out training' if choosing else 'test'} images of MNIST",
        "photos": photos(model, data / "photos" / "single"),
        "usps": {"n": usps.n, "accuracy": usps.accuracy, "answered": usps.answered},
        "mnist": evaluate(model, measured).to_json(),
        "corruptions": corrupted.to_json(),
        "outliers": rejections(model, digits, outliers(data, limit=of_each)),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default")
    parser.add_argument("--held-out", action="store_true", help="held-out training images instead of the test split")
    parser.add_argument("--limit", type=int, help="the number of digits that are corrupted; the default is all")
    parser.add_argument("--smoke", action="store_true", help="a few images: measure nothing")
    parser.add_argument("--out", type=Path, default=results.RESULTS / "robustness.json")
    options = parser.parse_args(argv)
    data = Path(os.environ["INKDIGIT_DATA"])
    model = Recognizer.load(options.model)
    about = results.stamp(LIBRARIES, smoke=options.smoke)
    limit, of_each = (20, 20) if options.smoke else (options.limit, None)
    figures = measure(model, data, choosing=options.held_out, limit=limit, of_each=of_each)
    results.write(options.out, {**about, **figures, "door": preprocessing_times()})
    return 0


if __name__ == "__main__":
    sys.exit(main())
