"""The labelled pictures on which line readers are compared: cheque amounts, development pictures, composed strings.

In: the folder INKDIGIT_DATA, and MNIST. Out: lists of `Labelled`, by the name of their set. ORAND-CAR-A is halved by
its file numbers. The composed strings are five digits of MNIST's test split, dark on a white sheet, at their own size,
and share no code with the lines that readers are trained on: pixels are copied, and the darker of two stays. Each
string has a random generator of its own, so that the first 100 are the same however many are made.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from inkdigit.data.sources import open_data
from inkdigit.measure.reading import digits_of
from inkdigit.types import Gray, Part

PHOTOS, CASES, EVEN, ODD = "photos", "cases", "ORAND-CAR-A, even", "ORAND-CAR-A, odd"
SPACED, OVERLAPPING = "composed, spaced", "composed, overlapping"
COMPOSED = (SPACED, OVERLAPPING)
FOLDERS = {PHOTOS: "photos/strings", CASES: "cases/strings", EVEN: "orand_car_a", ODD: "orand_car_a"}

SEED = 1_900_000_151  # no training uses it
STRINGS = 1000  # of each kind
LENGTH = 5  # digits of a string
GAP = (0.1, 0.4)  # between spaced digits, in shares of the mean width of both
OVERLAP = (0.0, 0.3)  # of the narrower of both: a 1 does not vanish in the digit beside it
JITTER_PX = 2  # up or down from the line
BORDER_PX = 8  # of white sheet around the ink
INKED = 32  # of 255, from which a pixel of MNIST belongs to the box of its digit


@dataclass(frozen=True, slots=True)
class Labelled:
    """A picture, and what is written in it."""

    name: str  # of letters, digits, dashes and slashes; no other picture of all sets has it
    picture: Path | Gray
    label: str  # digits only

    def __post_init__(self) -> None:
        """Refuse a label without digits: nothing could be read."""
        if not self.label:
            raise ValueError(f"{self.name}: no digit in the label")


def read_sets(data: Path, *, most: int | None = None) -> dict[str, list[Labelled]]:
    """All sets, or the first `most` pictures of each."""
    mnist = open_data("mnist").test
    if mnist is None:
        raise ValueError("MNIST has no test split here")
    sets = {name: _of_folder(data / folder, folder, _half(name))[:most] for name, folder in FOLDERS.items()}
    count = STRINGS if most is None else min(most, STRINGS)
    return sets | {
        name: [_composed(mnist, number, overlaps=name == OVERLAPPING) for number in range(count)] for name in COMPOSED
    }


def _half(name: str) -> Callable[[str], bool]:
    """Whether a file is of the half of ORAND that `name` says; every file is of another set."""
    if name not in (EVEN, ODD):
        return lambda _: True
    return lambda file: int(Path(file).stem) % 2 == (name == ODD)


def _of_folder(path: Path, folder: str, is_wanted: Callable[[str], bool]) -> list[Labelled]:
    with (path / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if is_wanted(row["file"])]
    return [Labelled(f"{folder}/{Path(row['file']).stem}", path / row["file"], digits_of(row["label"])) for row in rows]


def _composed(digits: Part, number: int, *, overlaps: bool) -> Labelled:
    """Five digits side by side: on one line up to a jitter, with gaps or overlapping."""
    rng = np.random.default_rng([SEED, number, overlaps])
    chosen = rng.integers(len(digits), size=LENGTH)
    inks = [_cut(digits.images[index]) for index in chosen]
    lefts = [0]
    for before, after in pairwise(inks):
        wide, next_wide = before.shape[1], after.shape[1]
        if overlaps:
            gap = -rng.uniform(*OVERLAP) * min(wide, next_wide)
        else:
            gap = rng.uniform(*GAP) * (wide + next_wide) / 2
        lefts.append(lefts[-1] + wide + round(gap))
    downs = rng.integers(-JITTER_PX, JITTER_PX + 1, LENGTH)
    tops = [int(down) - ink.shape[0] for ink, down in zip(inks, downs, strict=True)]
    top = min(tops)
    height = int(downs.max()) - top
    width = max(left + ink.shape[1] for left, ink in zip(lefts, inks, strict=True))
    ink_map = np.zeros((height + 2 * BORDER_PX, width + 2 * BORDER_PX), np.uint8)
    for ink, left, above in zip(inks, lefts, tops, strict=True):
        y, x = above - top + BORDER_PX, left + BORDER_PX
        place = ink_map[y : y + ink.shape[0], x : x + ink.shape[1]]
        np.maximum(place, ink, out=place)
    kind = "overlapping" if overlaps else "spaced"
    label = "".join(str(digits.labels[index]) for index in chosen)
    return Labelled(f"composed/{kind}-{number:04d}", 255 - ink_map, label)


def _cut(image: Gray) -> Gray:
    """The box of a digit's ink."""
    ys, xs = np.nonzero(image >= INKED)
    return image[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
