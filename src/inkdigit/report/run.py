"""The report of a run: `plots/*.png`, `report.json` and `report.html`.

In: a `Story`, all plain arrays and numbers. Out: the three in a folder, each whole or absent. The page needs nothing
but itself: pictures are inside it, in light and in dark, and no script runs.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inkdigit.files import write_atomic, writing
from inkdigit.measure.metrics import worst_mistakes
from inkdigit.parsing import parse_toml
from inkdigit.report import explain, run_plots
from inkdigit.report.canvas import DARK, LIGHT, Theme
from inkdigit.report.explain import Insight
from inkdigit.report.numbers import duration, number, percent
from inkdigit.report.template import pictures, render
from inkdigit.runs import PAGE, REPORT
from inkdigit.types import Floats, Gray, Metrics, Prediction

if TYPE_CHECKING:
    from inkdigit.data.checks import Check, PartCheck

PLOTS = "plots"
TEMPLATE = "run.html.j2"


@dataclass(frozen=True, eq=False)
class Story:
    """All that the page shows; the run makes it.

    A row of `history` is an epoch: epoch (from 1), step, learning_rate, train_loss, train_accuracy, validation_loss,
    validation_accuracy (absent or NaN where nothing was held out), seconds, images_per_second. A row of `steps` is
    every so many steps: step, epoch (as a float), learning_rate, loss, and accuracy if it is known. `images`, `labels`,
    `probs` and `predictions` are the evaluated part, `probs` NaN where the model gave none; `augmented` is aligned with
    `glimpses`. `model` may hold file, bytes, parameters, layers (a list of lines), temperature and whatever else its
    card says; `seconds` is stage → seconds, to which drawing the figures adds `report`.
    """

    title: str
    report_name: str  # "validation" or "test"
    metrics: Metrics
    check: Check
    history: list[dict[str, float]]
    steps: list[dict[str, float]]
    images: Gray  # (N, 28, 28)
    labels: NDArray[np.int64]  # (N,)
    probs: Floats  # (N, K)
    predictions: list[Prediction]  # N
    glimpses: list[tuple[int, Gray]]  # M of (label, gray (H, W)), before the door
    augmented: Gray  # (M, 28, 28)
    recipe_toml: str
    environment: dict[str, Any]
    model: dict[str, Any]
    seconds: dict[str, float]
    insight: Insight | None = None


def write(folder: Path, story: Story) -> dict[str, Any]:
    """Draw the figures, write them, `report.json` and `report.html` into `folder`, and return what is in `report.json`.

    Everything is made before anything is written.

    Raises:
        MissingExtra: matplotlib or Jinja is not installed.
        OutputError: a file cannot be written.
    """
    began = time.perf_counter()
    figures = {theme.name: draw(story, theme=theme) for theme in (LIGHT, DARK)}
    plates = {} if story.insight is None else explain.draw(story.insight)
    story = replace(story, seconds={**story.seconds, "report": time.perf_counter() - began})
    report = summary(story)
    text = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False)
    html = _render(story, report, figures, plates)
    with writing(folder / PLOTS):
        (folder / PLOTS).mkdir(parents=True, exist_ok=True)
    for name, drawn in (*figures[LIGHT.name].items(), *plates.items()):
        write_atomic(folder / PLOTS / f"{name}.png", drawn)
    write_atomic(folder / REPORT, text + "\n")
    write_atomic(folder / PAGE, html)
    return report


def summary(story: Story) -> dict[str, Any]:
    """What `report.json` holds: strict JSON types, null for what is not a number."""
    recipe = parse_toml(story.recipe_toml)
    figures = story.metrics.to_json()
    report = {
        "title": story.title,
        "report_name": story.report_name,
        "protocol": recipe.get("protocol"),
        "accuracy": figures.pop("accuracy"),
        "accuracy_ci95": figures.pop("accuracy_ci95"),
        "train_seconds": story.seconds.get("train"),
        **figures,
        "epochs": len(story.history),
        "final_epoch": story.history[-1] if story.history else None,
        "seconds": story.seconds,
        "worst_mistakes": list(_mistakes(story)),
        "model_name": story.metrics.model,
        "model": story.model,
        "check": story.check.to_json(),
        "recipe": recipe,
        "environment": story.environment,
    }
    strict: dict[str, Any] = _strict(report)
    return strict


def draw(story: Story, *, theme: Theme) -> dict[str, bytes]:
    """Every figure that this story has something for: file stem → PNG bytes."""
    classes, metrics = story.metrics.classes, story.metrics
    counts = {name: list(part.per_class.values()) for name, part in _parts(story.check).items()}
    drawn = {"class-distribution": run_plots.class_distribution(counts, story.check.classes, theme=theme)}
    if story.glimpses:
        drawn["glimpses"] = run_plots.glimpses(story.glimpses, story.augmented, classes, theme=theme)
    if story.history or story.steps:
        drawn["loss"] = run_plots.loss(story.history, story.steps, theme=theme)
        drawn["learning-rate"] = run_plots.learning_rate(story.history, story.steps, theme=theme)
    if story.history:
        reported = (story.report_name, metrics.accuracy)
        drawn["accuracy"] = run_plots.accuracy(story.history, story.steps, reported=reported, theme=theme)
    drawn["confusion"] = run_plots.confusion(metrics.confusion, classes, theme=theme)
    if len(worst_mistakes(story.probs, story.labels, 1)):
        drawn["worst-mistakes"] = run_plots.worst(story.images, story.labels, story.probs, classes, theme=theme)
    drawn["answers"] = run_plots.answers(story.images, story.labels, story.predictions, classes, theme=theme)
    if metrics.reliability.count.any():
        drawn["reliability"] = run_plots.reliability(metrics.reliability, theme=theme)
        drawn["risk-coverage"] = run_plots.risk_coverage(metrics, theme=theme)
    return drawn


def _parts(check: Check) -> dict[str, PartCheck]:
    return {"train": check.train} if check.test is None else {"train": check.train, "test": check.test}


def _mistakes(story: Story) -> Iterator[dict[str, Any]]:
    """The wrong answers that the page shows, by their index in the evaluated part."""
    classes = story.metrics.classes
    for i in worst_mistakes(story.probs, story.labels, run_plots.MISTAKES):
        read = int(story.probs[i].argmax())
        confidence = round(float(story.probs[i, read]), 6)
        yield {"index": int(i), "true": classes[story.labels[i]], "read_as": classes[read], "confidence": confidence}


def _strict(value: Any) -> Any:
    """The value in strict JSON types: NumPy's numbers as Python's, nan and infinity as None, the rest as text."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _strict(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)


def _render(
    story: Story, report: dict[str, Any], figures: dict[str, dict[str, bytes]], plates: dict[str, bytes]
) -> str:
    """The page as text, everything that comes from outside escaped."""
    metrics = story.metrics
    shown = {
        "report": report,
        "metrics": metrics,
        "right": int(metrics.confusion.trace()),
        "digits": 2 if metrics.n >= 5000 else 1,  # of a percentage: what the number of pictures can carry
        **pictures(figures),
        "recipe_toml": story.recipe_toml,
        "parts": list(_parts(story.check)),
        "checks": check_rows(story.check),
        "findings": story.check.findings(),
        "confusions": _confusions(metrics),
        "final_epoch": _final_epoch(story.history),
        **explain.shown(story.insight, plates),
    }
    return render(TEMPLATE, shown)


def check_rows(check: Check) -> list[tuple[str, list[Any], bool]]:
    """The checks as rows of a table: what was looked at, a cell a part, and whether anything but 0 is a fault."""
    parts = list(_parts(check).values())
    raw = ", ".join(f"{height} × {width}" for height, width in check.raw_shapes[:3])
    more = ", …" if len(check.raw_shapes) > 3 else ""
    more += " (thinned)" if max(max(shape) for shape in check.raw_shapes or [(0, 0)]) > 128 else ""
    rows: list[tuple[str, list[Any], bool]] = [
        ("pictures", [part.n for part in parts], False),
        ("as the source holds them", [f"{raw}{more}" or None] * len(parts), False),
        ("as the network sees them", [" × ".join(map(str, part.shape[1:])) for part in parts], False),
        ("type", [part.dtype for part in parts], False),
        ("lowest and highest value", [f"{part.lowest}–{part.highest}" for part in parts], False),
        ("missing values", [part.bad_cells.missing for part in parts], True),
        ("values that are no whole number", [part.bad_cells.not_numbers for part in parts], True),
        ("values outside 0–255", [part.bad_cells.outside for part in parts], True),
        ("unknown labels", [part.bad_cells.unknown_labels for part in parts], True),
        ("pictures that cannot be read", [part.unreadable for part in parts], True),
        ("blank pictures", [part.blank for part in parts], True),
        ("pictures that repeat another", [part.duplicates for part in parts], True),
        ("equal pictures, different labels", [len(part.conflicting_groups) for part in parts], True),
        ("writers", [part.writers for part in parts], False),
    ]
    if check.shared is not None:
        rows.append(("test pictures also in training", [None, check.shared], True))
    return rows


def _confusions(metrics: Metrics, most: int = 10) -> list[dict[str, Any]]:
    """The most frequent mistakes, class for class, with their share of the true class."""
    counts = metrics.confusion * ~np.eye(len(metrics.classes), dtype=bool)  # (K, K), the diagonal 0
    shares = counts / np.maximum(metrics.confusion.sum(axis=1, keepdims=True), 1)
    order = np.argsort(-counts, axis=None, kind="stable")[:most]
    return [
        {"true": metrics.classes[i], "read": metrics.classes[j], "count": int(counts[i, j]), "share": shares[i, j]}
        for i, j in zip(*np.unravel_index(order, counts.shape), strict=True)
        if counts[i, j]
    ]


def _final_epoch(history: list[dict[str, float]]) -> dict[str, str]:
    """The figures of the last epoch in words; those that are not numbers left out."""
    row = {key: value for key, value in (history[-1] if history else {}).items() if math.isfinite(value)}
    return {key: _in_words(key, value) for key, value in row.items()}


def _in_words(key: str, value: float) -> str:
    if key.endswith("accuracy"):
        return f"{percent(value)} %"
    if key.endswith("loss"):
        return f"{value:.4f}"
    return duration(value) if key == "seconds" else number(value)
