"""Predictions for unlabelled images: a page and a grid to look at, next to a submission.

In: images and the predictions of a model. Out: `<stem>-answers.html` (a random selection, the least confident, the
number of each class) and `<stem>-answers.png` (only the random selection, 3 × 5).
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

ROWS, COLUMNS = 3, 5  # of the grid, as in notebooks
LEAST_CONFIDENT = 60  # answers: two or three screens, which a person still looks through
SEED = 0  # the same rows are selected every time: good ones cannot be picked
UNSURE = 0.9  # a lower confidence is counted as unsure: one answer in ten may be wrong
TEMPLATE = "predictions.html.j2"


@dataclass(frozen=True, slots=True)
class Answer:
    """One image as the page shows it; `row` counts the rows of the file from 1."""

    row: int
    image: str  # a data URI
    label: str
    confidence: str
    runner_up: str | None


def write(
    beside: Path, images: Gray, predictions: Sequence[Prediction], *, classes: Sequence[str], model: str
) -> tuple[Path, Path]:
    """Write the page and the grid next to the file `beside`, and return their paths.

    `images` is uint8 (N, H, W), N at least 1, with one prediction each; `model` is the name of the model on the page.

    Raises:
        MissingExtra: Jinja or matplotlib is not installed; nothing is written.
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
    """Fifteen of `n` indices at random, or all if there are fewer; always the same."""
    return np.random.default_rng(SEED).choice(n, min(n, ROWS * COLUMNS), replace=False)


def least_confident(predictions: Sequence[Prediction], k: int) -> NDArray[np.int64]:
    """The indices (≤ k,) of the least confident predictions, the lowest first; those without confidence come before."""
    confidence = np.array([-1.0 if p.confidence is None else p.confidence for p in predictions])
    return np.argsort(confidence, kind="stable")[:k]


def count_classes(predictions: Sequence[Prediction], classes: Sequence[str]) -> dict[str, int]:
    """For how many images each class is the most probable one."""
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
    lowest = least_confident(predictions, LEAST_CONFIDENT)
    confidence = np.array([p.confidence for p in predictions if p.confidence is not None] or [np.nan])
    return {
        "file": file,
        "model": model,
        "n": len(images),
        "sample": [_answer(int(i), images[i], predictions[i], classes) for i in sample],
        "least_confident": [_answer(int(i), images[i], predictions[i], classes) for i in lowest],
        "counts": count_classes(predictions, classes),
        "blank": sum(p.best is None for p in predictions),
        "unsure": int((confidence < UNSURE).sum()),
        "limit": UNSURE,
        "median": None if np.isnan(confidence[0]) else float(np.median(confidence)),
    }


def _answer(i: int, image: Gray, prediction: Prediction, classes: Sequence[str]) -> Answer:
    source = template.image_uri(image)
    if prediction.best is None:
        return Answer(i + 1, source, NO_ANSWER, prediction.reason or "no answer", None)
    return Answer(i + 1, source, classes[prediction.best], prediction.sureness, prediction.runner_up(classes))


def _grid(images: Gray, predictions: Sequence[Prediction], classes: Sequence[str]) -> bytes:
    tiles = []
    for image, prediction in zip(images, predictions, strict=True):
        best = prediction.best
        name = NO_ANSWER if best is None else short(classes[best], 10)
        confidence = "no ink" if best is None else prediction.sureness
        tiles.append(Tile(image, ((name, LIGHT.text), (confidence, LIGHT.muted))))
    rows = [tiles[i : i + COLUMNS] for i in range(0, len(tiles), COLUMNS)]
    with drawing(LIGHT):
        return tile_grid(rows, columns=COLUMNS)
