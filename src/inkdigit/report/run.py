"""The report of a run: `plots/*.png`, `report.json` and `report.html`.

In: the `Content` of the page, all plain arrays and numbers. Out: the three in a folder, each complete or absent. The
page needs no other file: images are inside it, in light and in dark colours, and no script runs.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inkdigit.files import write_atomic, writing
from inkdigit.measure.metrics import Metrics, worst_mistakes
from inkdigit.parsing import parse_toml
from inkdigit.report import explain, run_plots
from inkdigit.report.canvas import DARK, LIGHT, Theme
from inkdigit.report.explain import Insight
from inkdigit.report.numbers import duration, number, percent
from inkdigit.report.template import pictures, render
from inkdigit.runs import PAGE, REPORT
from inkdigit.types import Floats, Gray, Prediction

if TYPE_CHECKING:
    from inkdigit.data.checks import Check, SplitCheck

PLOTS = "plots"
MAX_STEM = 100  # characters of the name of a plot
TEMPLATE = "run.html.j2"


@dataclass(frozen=True, eq=False)
class Content:
    """Everything that the page shows; training makes it.

    A row of `history` is an epoch: epoch (from 1), step, learning_rate, train_loss, train_accuracy, validation_loss,
    validation_accuracy (absent or NaN if nothing was held out), seconds, images_per_second. A row of `steps` is one
    logged step: step, epoch (as a float), learning_rate, loss, and accuracy if it is known. `images`, `labels`, `probs`
    and `predictions` are those of the evaluated split, with NaN in `probs` where the model gave none; `augmented` has
    the same order as `glimpses`. `augments` is whether the recipe changes training images, and `drops` whether it has
    dropout; `trained` and `held_out` count the images of the training split that the network learned from and was
    validated on. `model` may have file, bytes, parameters, layers (a row each: name, kind, kernel, output, parameters),
    temperature and other fields of its card; `seconds` is stage → seconds, and drawing the figures adds the stage
    `report`.
    """

    title: str
    report_name: str  # "validation", "test" or "train"
    metrics: Metrics
    check: Check
    history: list[dict[str, float]]
    steps: list[dict[str, float]]
    images: Gray  # (N, 28, 28)
    labels: NDArray[np.int64]  # (N,)
    probs: Floats  # (N, K)
    predictions: list[Prediction]  # N
    glimpses: list[tuple[int, Gray]]  # M of (label, gray (H, W)), not prepared
    augmented: Gray  # (M, 28, 28)
    augments: bool
    drops: bool
    trained: int
    held_out: int
    recipe_toml: str
    environment: dict[str, Any]
    model: dict[str, Any]
    seconds: dict[str, float]
    insight: Insight | None = None


def write(folder: Path, content: Content) -> dict[str, Any]:
    """Draw the figures, write them, `report.json` and `report.html` into `folder`; return the content of `report.json`.

    Everything is made before the first file is written.

    Raises:
        MissingExtra: matplotlib or Jinja is not installed.
        OutputError: a file cannot be written.
    """
    began = time.perf_counter()
    figures = draw(content, theme=LIGHT)
    dark = draw_grids(content, theme=DARK)
    plates = {} if content.insight is None else explain.draw(content.insight)
    content = replace(content, seconds={**content.seconds, "report": time.perf_counter() - began})
    report = summary(content)
    text = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False)
    html = _render(content, report, {**pictures(figures, dark), **explain.shown(content.insight, plates)})
    with writing(folder / PLOTS):
        (folder / PLOTS).mkdir(parents=True, exist_ok=True)
    for name, drawn in (*figures.items(), *plates.items()):
        stem = re.sub(r"[^\w.-]", "-", name)[-MAX_STEM:]  # a user's layer may have any name
        write_atomic(folder / PLOTS / f"{stem}.png", drawn)
    write_atomic(folder / REPORT, text + "\n")
    write_atomic(folder / PAGE, html)
    return report


def summary(content: Content) -> dict[str, Any]:
    """The content of `report.json`: strict JSON types, null for NaN and infinity."""
    recipe = parse_toml(content.recipe_toml)
    figures = content.metrics.to_json()
    report = {
        "title": content.title,
        "report_name": content.report_name,
        "protocol": recipe.get("protocol"),
        "accuracy": figures.pop("accuracy"),
        "accuracy_ci95": figures.pop("accuracy_ci95"),
        "train_seconds": content.seconds.get("train"),
        **figures,
        "trained": content.trained,
        "held_out": content.held_out,
        "epochs": len(content.history),
        "final_epoch": content.history[-1] if content.history else None,
        "seconds": content.seconds,
        "worst_mistakes": list(_mistakes(content)),
        "model_name": content.metrics.model,
        "model": content.model,
        "check": content.check.to_json(),
        "recipe": recipe,
        "environment": content.environment,
    }
    strict: dict[str, Any] = _strict(report)
    return strict


def draw(content: Content, *, theme: Theme) -> dict[str, bytes]:
    """Every figure that there are data for: file stem → PNG bytes."""
    classes, metrics = content.metrics.classes, content.metrics
    counts = {name: list(part.per_class.values()) for name, part in _splits(content.check).items()}
    drawn = {"class-distribution": run_plots.class_distribution(counts, content.check.classes, theme=theme)}
    if content.history or content.steps:
        drawn["loss"] = run_plots.loss(content.history, content.steps, theme=theme)
        drawn["learning-rate"] = run_plots.learning_rate(content.history, content.steps, theme=theme)
    if content.history:
        reported = (content.report_name, metrics.accuracy)
        drawn["accuracy"] = run_plots.accuracy(content.history, content.steps, reported=reported, theme=theme)
    drawn["confusion"] = run_plots.confusion(metrics.confusion, classes, theme=theme)
    if metrics.reliability.count.any():
        drawn["reliability"] = run_plots.reliability(metrics.reliability, theme=theme)
        drawn["risk-coverage"] = run_plots.risk_coverage(metrics, theme=theme)
    return drawn | draw_grids(content, theme=theme)


def draw_grids(content: Content, *, theme: Theme) -> dict[str, bytes]:
    """The figures that hold images, which keep their colours in any theme: file stem → PNG bytes."""
    classes, drawn = content.metrics.classes, {}
    if content.glimpses:
        drawn["glimpses"] = run_plots.glimpses(content.glimpses, content.augmented, classes, theme=theme)
    if len(worst_mistakes(content.probs, content.labels, 1)):
        drawn["worst-mistakes"] = run_plots.worst(content.images, content.labels, content.probs, classes, theme=theme)
    drawn["answers"] = run_plots.answers(content.images, content.labels, content.predictions, classes, theme=theme)
    return drawn


def _splits(check: Check) -> dict[str, SplitCheck]:
    return {"train": check.train} if check.test is None else {"train": check.train, "test": check.test}


def _mistakes(content: Content) -> Iterator[dict[str, Any]]:
    """The wrong answers that the page shows, with their index in the evaluated split."""
    classes = content.metrics.classes
    for i in worst_mistakes(content.probs, content.labels, run_plots.MISTAKES):
        read = int(content.probs[i].argmax())
        confidence = round(float(content.probs[i, read]), 6)
        yield {"index": int(i), "true": classes[content.labels[i]], "read_as": classes[read], "confidence": confidence}


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


def _render(content: Content, report: dict[str, Any], shown: dict[str, Any]) -> str:
    """The page as text, with the figures as `shown`; everything from outside is escaped."""
    metrics = content.metrics
    values = {
        "report": report,
        "metrics": metrics,
        "right": int(metrics.confusion.trace()),
        "digits": 2 if metrics.n >= 5000 else 1,  # of a percentage: more would not be supported by the number of images
        "recipe_toml": content.recipe_toml,
        "splits": list(_splits(content.check)),
        "checks": check_rows(content.check, content.trained, content.held_out),
        "training_means": _training_means(content),
        "augments": content.augments,
        "about_model": {key: value for key, value in content.model.items() if key != "layers"},
        "findings": content.check.findings(),
        "confusions": _confusions(metrics),
        "final_epoch": _final_epoch(content.history),
        **shown,
    }
    return render(TEMPLATE, values)


def _training_means(content: Content) -> str:
    """What the training figures of an epoch are, and why they may be worse than those after it."""
    causes = {"on augmented images": content.augments, "with dropout": content.drops}
    how = " and ".join(name for name, is_so in causes.items() if is_so)
    return f"Training figures are means over an epoch in which the network still learns{', ' + how if how else ''}."


def check_rows(check: Check, trained: int, held_out: int) -> list[tuple[str, list[Any], bool]]:
    """The checks as rows of a table: the name, a cell for each split, and whether a value other than 0 is a fault.

    `trained` and `held_out` count the images of the training split that the network learned from and was validated on.
    """
    parts = list(_splits(check).values())
    others = [None] * (len(parts) - 1)
    rows: list[tuple[str, list[Any], bool]] = [
        ("images", [part.n for part in parts], False),
        *([("… trained on", [trained, *others], False)] if held_out else []),
        *([("… held out for validation", [held_out, *others], False)] if held_out else []),
        ("width × height in the source", [check.sizes] * len(parts), False),
        ("width × height for the network", [" × ".join(map(str, part.shape[:0:-1])) for part in parts], False),
        ("type", [part.dtype for part in parts], False),
        ("lowest and highest value", [f"{part.lowest}–{part.highest}" for part in parts], False),
        ("missing values", [part.bad_cells.missing for part in parts], True),
        ("values that are not integers", [part.bad_cells.not_numbers for part in parts], True),
        ("values outside 0–255", [part.bad_cells.outside for part in parts], True),
        ("unknown labels", [part.bad_cells.unknown_labels for part in parts], True),
        ("images that cannot be read", [part.unreadable for part in parts], True),
        ("blank images", [part.blank for part in parts], True),
        ("images that repeat another", [part.duplicates for part in parts], True),
        ("equal images, different labels", [len(part.conflicting_groups) for part in parts], True),
        ("writers", [part.writers for part in parts], False),
    ]
    if check.shared is not None:
        rows.append(("test images also in training", [None, check.shared], True))
    return rows


def _confusions(metrics: Metrics, max_rows: int = 10) -> list[dict[str, Any]]:
    """The most frequent mistakes between two classes, with their share of the true class."""
    counts = metrics.confusion * ~np.eye(len(metrics.classes), dtype=bool)  # (K, K), the diagonal 0
    shares = counts / np.maximum(metrics.confusion.sum(axis=1, keepdims=True), 1)
    order = np.argsort(-counts, axis=None, kind="stable")[:max_rows]
    return [
        {"true": metrics.classes[i], "read": metrics.classes[j], "count": int(counts[i, j]), "share": shares[i, j]}
        for i, j in zip(*np.unravel_index(order, counts.shape), strict=True)
        if counts[i, j]
    ]


def _final_epoch(history: list[dict[str, float]]) -> dict[str, str]:
    """The figures of the last epoch as text; NaN and infinity are left out."""
    row = {key: value for key, value in (history[-1] if history else {}).items() if math.isfinite(value)}
    return {key: _as_text(key, value) for key, value in row.items()}


def _as_text(key: str, value: float) -> str:
    if key.endswith("accuracy"):
        return f"{percent(value)} %"
    if key.endswith("loss"):
        return f"{value:.4f}"
    return duration(value) if key == "seconds" else number(value)
