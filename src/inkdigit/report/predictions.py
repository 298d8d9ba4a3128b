"""Answers to pictures that nobody labelled: a page and a grid to look at, beside a submission.

In: pictures and what a model said of them. Out: `<stem>-answers.html` (a sample, the least sure, how often each class)
and `<stem>-answers.png` (the sample alone, 3 × 5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inkdigit.files import write_atomic
from inkdigit.report import template
from inkdigit.report.canvas import LIGHT, Tile, drawing, short, tile_grid
from inkdigit.types import NO_ANSWER, Gray, Prediction

ROWS, COLUMNS = 3, 5  # of the grid, as notebooks draw it
LEAST_SURE = 60  # of the answers: two or three screens, which a person looks through
SEED = 0  # the same rows are drawn every time: nobody picks the good ones
UNSURE = 0.9  # a confidence below this is counted as unsure: one in ten may be wrong
TEMPLATE = "predictions.html.j2"


@dataclass(frozen=True, slots=True)
class Answer:
    """One picture as the page shows it; `row` counts the rows of the file from 1."""

    row: int
    picture: str  # a data URI
    said: str
    sureness: str
    runner_up: str | None


def write(
    beside: Path, images: Gray, predictions: Sequence[Prediction], *, classes: Sequence[str], model: str
) -> tuple[Path, Path]:
    """Write the page and the grid beside the file `beside`, and return their paths.

    `images` is uint8 (N, H, W), N at least 1, with one prediction each; `model` is what the page calls the model.

    Raises:
        MissingExtra: Jinja or matplotlib is not installed; then neither is written.
        OutputError: a file cannot be written.
    """
    stem = beside.name.removesuffix(".csv")
    page, grid = (beside.with_name(f"{stem}-answers{suffix}") for suffix in (".html", ".png"))
    sample = draw_sample(len(images))
    drawn = _grid(images[sample], [predictions[i] for i in sample], classes)
    html = template.render(TEMPLATE, _values(beside.name, sample, images, predictions, classes, model))
    write_atomic(page, html)
    write_atomic(grid, drawn)
    return page, grid


def draw_sample(n: int) -> NDArray[np.int64]:
    """Fifteen of `n` indices at random, or all of fewer; the same whenever they are drawn."""
    return np.random.default_rng(SEED).choice(n, min(n, ROWS * COLUMNS), replace=False)


def least_sure(predictions: Sequence[Prediction], most: int) -> NDArray[np.int64]:
    """The indices (≤ most,) of the least confident answers, the least first; a picture without any comes before."""
    confidence = np.array([-1.0 if p.confidence is None else p.confidence for p in predictions])
    return np.argsort(confidence, kind="stable")[:most]


def count_classes(predictions: Sequence[Prediction], classes: Sequence[str]) -> dict[str, int]:
    """How many pictures each class is the most probable one of."""
    best = [p.best for p in predictions if p.best is not None]
    return dict(zip(classes, np.bincount(best, minlength=len(classes)).tolist(), strict=True))


def _values(
    file: str,
    sample: NDArray[np.int64],
    images: Gray,
    predictions: Sequence[Prediction],
    classes: Sequence[str],
    model: str,
) -> dict[str, object]:
    unsure = least_sure(predictions, LEAST_SURE)
    confidence = np.array([p.confidence for p in predictions if p.confidence is not None] or [np.nan])
    return {
        "file": file,
        "model": model,
        "n": len(images),
        "sample": [_answer(int(i), images[i], predictions[i], classes) for i in sample],
        "least_sure": [_answer(int(i), images[i], predictions[i], classes) for i in unsure],
        "counts": count_classes(predictions, classes),
        "blank": sum(p.best is None for p in predictions),
        "unsure": int((confidence < UNSURE).sum()),
        "limit": UNSURE,
        "median": None if np.isnan(confidence[0]) else float(np.median(confidence)),
    }


def _answer(i: int, image: Gray, prediction: Prediction, classes: Sequence[str]) -> Answer:
    picture = template.picture_uri(image)
    if prediction.best is None:
        return Answer(i + 1, picture, NO_ANSWER, prediction.reason or "no answer", None)
    return Answer(i + 1, picture, classes[prediction.best], prediction.sureness, prediction.runner_up(classes))


def _grid(images: Gray, predictions: Sequence[Prediction], classes: Sequence[str]) -> bytes:
    tiles = []
    for image, prediction in zip(images, predictions, strict=True):
        best = prediction.best
        name = NO_ANSWER if best is None else short(classes[best], 10)
        sureness = "no ink" if best is None else prediction.sureness
        tiles.append(Tile(image, ((name, LIGHT.text), (sureness, LIGHT.muted))))
    rows = [tiles[i : i + COLUMNS] for i in range(0, len(tiles), COLUMNS)]
    with drawing(LIGHT):
        return tile_grid(rows, columns=COLUMNS)
