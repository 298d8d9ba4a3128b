"""What came of each image: right, wrong or refused with its reason; how scripts count, print and store it.

In: images with what is expected of them, and a model. Out: counts as JSON has them, a table in text, a line of the
ledger `results/ink.jsonl`. A line names the photo path that it measured (`--as old` or `--as new`), so that a page can
show both side by side.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.common import results
from inkdigit.errors import PictureError
from inkdigit.model.recognizer import Recognizer
from inkdigit.types import Gray, Prediction

LEDGER = "ink.jsonl"
LIBRARIES = ("inkdigit", "numpy", "pillow", "onnxruntime")
SEVERAL = "more than one digit"
NOTHING = ""  # what is expected of an image without a digit
AT_A_TIME = 256  # images in one call: memory stays small

Counts = dict[str, Any]  # n, right, wrong, refused, reasons


@dataclass(frozen=True, slots=True)
class Asked:
    """One image and what is expected of it: a label, `SEVERAL`, or `NOTHING` for any rejection."""

    picture: Gray | str
    expected: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one image; `wrong` is an answer that was not expected."""

    asked: Asked
    prediction: Prediction | PictureError

    @property
    def label(self) -> str | None:
        """The label that was predicted; None where the image was rejected."""
        return None if isinstance(self.prediction, PictureError) else self.prediction.label

    @property
    def best(self) -> int | None:
        """The index of the most probable class, even if the image was rejected."""
        return None if isinstance(self.prediction, PictureError) else self.prediction.best

    @property
    def reason(self) -> str:
        """Why the image was rejected; empty if it was not."""
        if isinstance(self.prediction, PictureError):
            return type(self.prediction).__name__
        return self.prediction.reason or ""

    @property
    def kind(self) -> str:
        """Right, wrong or refused; what is not a single digit is right if it is refused as expected."""
        expected = self.asked.expected
        if self.label is not None:
            return "right" if self.label == expected else "wrong"
        return "right" if expected == NOTHING or self.reason == expected else "refused"

    def line(self) -> str:
        """The name, what was expected, what came, and how sure it was."""
        sure = "" if isinstance(self.prediction, PictureError) or self.best is None else self.prediction.sureness
        best = "" if self.label is not None or self.best is None else f"best {self.best}"
        expected = self.asked.expected or "nothing"
        return f"  {self.asked.name:34} {expected:20} {self.kind:8} {self.label or self.reason:20} {sure:>8} {best}"


def ask(model: Recognizer, asked: Sequence[Asked]) -> list[Outcome]:
    """Predict all images, some at a time."""
    outcomes: list[Outcome] = []
    for start in range(0, len(asked), AT_A_TIME):
        some = asked[start : start + AT_A_TIME]
        predictions = model.predict_each(one.picture for one in some)
        outcomes += [Outcome(one, prediction) for one, prediction in zip(some, predictions, strict=True)]
    return outcomes


def count(outcomes: Iterable[Outcome]) -> Counts:
    """How many were right, wrong and refused, with the reasons and with the labels of wrong answers."""
    known = [*outcomes]
    kinds = Counter(outcome.kind for outcome in known)
    return {
        "n": len(known),
        **{kind: kinds[kind] for kind in ("right", "wrong", "refused")},
        "reasons": dict(Counter(outcome.reason for outcome in known if outcome.reason).most_common()),
        "taken_for": dict(Counter(str(o.label) for o in known if o.kind == "wrong").most_common()),
    }


def show(title: str, counted: Mapping[str, Counts]) -> None:
    """Print a table: one row of counts for each name."""
    print(f"\n{title}\n  {'':44} {'n':>6} {'right':>14} {'wrong':>14} {'refused':>14}")
    for name, counts in counted.items():
        n = max(counts["n"], 1)
        shares = (f"{counts[kind]:>5} {100 * counts[kind] / n:6.2f} %" for kind in ("right", "wrong", "refused"))
        taken = ", ".join(f"{label}: {number}" for label, number in counts["taken_for"].items())
        print(f"  {name:44} {counts['n']:>6} {' '.join(shares)}  {'taken for ' + taken if taken else ''}")


def keep(outcomes: Iterable[Outcome], folder: Path | None) -> None:
    """Store the images that were not right, to be looked at: their names say what came of them."""
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for i, outcome in enumerate(outcomes):
        picture = outcome.asked.picture
        if outcome.kind != "right" and isinstance(picture, np.ndarray):
            told = (
                f"{outcome.asked.expected or 'nothing'}-{outcome.label or outcome.reason}-{outcome.asked.name}-{i}.png"
            )
            Image.fromarray(picture).save(folder / told.replace(" ", "_").replace("/", "_"))


def parser(about: str | None, *, parts: bool = True, images: bool = True) -> argparse.ArgumentParser:
    """The options of the scripts that measure how ink is found.

    With `parts` a script can take a part of its images, with `images` it makes images that can be stored.
    """
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--model", default="general")
    made.set_defaults(quick=False)
    if parts:
        made.add_argument("--quick", action="store_true", help="a part of the images, under a minute: measure nothing")
    made.add_argument("--as", dest="path", choices=("old", "new"), help="store the result as that of this photo path")
    made.add_argument("--results", type=Path, default=results.RESULTS, help="the folder of the results")
    if images:
        made.add_argument(
            "--failures", type=Path, metavar="DIR", help="store the images that were not predicted right here"
        )
    return made


def store(options: argparse.Namespace, what: str, figures: Mapping[str, Any], *, began: float) -> None:
    """Add a line to the ledger if `--as` was given; say how long it took."""
    seconds = round(time.perf_counter() - began, 1)
    print(f"{what}: {seconds} s")
    if options.path is None:
        return
    about = results.stamp(LIBRARIES, smoke=options.quick)
    names = {"what": what, "path": options.path, "model": options.model, "seconds": seconds}
    results.append(options.results / LEDGER, {**about, **names, **figures})
