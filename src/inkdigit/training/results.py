"""The results of a training run: the model file, its figures, the report.

In: a `Job` and the state that training ended in. Out: `model.onnx`, `predictions.npz`, `report.json`, `report.html` in
the run directory. Figures come from the exported file, never from the torch network. What needs torch (augmented
images, shapes of layers) is computed here and handed to the page as plain arrays.
"""

from __future__ import annotations

import io
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import inkdigit.runs as runs
from inkdigit.data.checks import Check, check_dataset
from inkdigit.data.splits import Splits, set_aside
from inkdigit.files import read_rows, write_atomic
from inkdigit.measure.metrics import Metrics, measure, predict_part, stack_probs
from inkdigit.model.recognizer import Recognizer
from inkdigit.picture.prepare import prepare
from inkdigit.report import run as run_page
from inkdigit.report.explain import Insight
from inkdigit.training import environment, internals
from inkdigit.training.convert import model_file
from inkdigit.training.convert.calibrate import calibrate_run
from inkdigit.training.distill import Teacher
from inkdigit.training.network import loop
from inkdigit.training.network.augment import augment, changes
from inkdigit.training.network.describe import layers_of
from inkdigit.training.openings import log_opening
from inkdigit.training.own.functions import Own
from inkdigit.training.recipe import Recipe
from inkdigit.types import SIDE, Dataset, Floats, Gray, Prediction

STAGES = ("import", "load", "train", "export", "evaluate")  # each has its seconds; the page adds its own


@dataclass(frozen=True, eq=False)
class Job:
    """One run in progress: what all of its stages need."""

    folder: Path
    recipe: Recipe
    dataset: Dataset
    splits: Splits
    about: dict[str, Any]  # env.json
    device: torch.device
    teacher: Teacher | None = None
    own: Own = Own()  # noqa: RUF009  frozen, and without fields that could change


def write_model(job: Job, state: loop.State) -> bytes:
    """Calibrate, export, and write the model file, whose figures are measured later; return its bytes.

    Raises:
        ParityError: the file does not predict what the network does.
        OutputError: it cannot be written.
    """
    net = state.net.cpu()
    data = model_file.model_bytes(
        net,
        job.recipe.name,
        classes=job.dataset.classes,
        kind=job.dataset.prepare,
        calibration=calibrate_run(net, job.recipe, job.dataset, job.splits),
        samples=job.splits.train.images,
        provenance=environment.provenance(job.recipe, job.dataset, job.about, trained=len(job.splits.train)),
    )
    write_atomic(runs.model_path(job.folder), data)
    return data


def write_report(job: Job, state: loop.State, data: bytes, *, seconds: dict[str, float]) -> None:
    """Evaluate the exported file on the reported split, put the figures on its card, write the page.

    `data` are the bytes of the model file; `seconds` holds the duration of each stage before.

    Raises:
        OutputError: a file cannot be written.
    """
    began = time.perf_counter()
    model = Recognizer.load(runs.model_path(job.folder))
    predictions, metrics = _evaluate(job, model)
    write_predictions(job, predictions, len(model.classes))
    shipped = model_file.with_figures(data, model_file.figures_of(metrics))
    write_atomic(runs.model_path(job.folder), shipped)
    about_model = _about_model(model, state, size_bytes=len(shipped))
    insight = internals.insight(model, job.splits.report, predictions, net=job.own.net)
    seconds = {**seconds, "evaluate": time.perf_counter() - began}
    story = _story(job, metrics, predictions, about_model=about_model, insight=insight, seconds=seconds)
    run_page.write(job.folder, story)


def _evaluate(job: Job, model: Recognizer) -> tuple[list[Prediction], Metrics]:
    """Predict and measure the split that the run reports on; a test split is opened here, once."""
    recipe, report = job.recipe, job.splits.report
    if job.splits.report_name == "test":
        log_opening(job.folder, data=job.dataset.name, name=recipe.name, sha256=recipe.sha256, seed=str(recipe.seed))
    predictions = predict_part(model, report)
    metrics = measure(
        predictions,
        report.labels,
        classes=model.classes,
        model=recipe.name,
        data=job.dataset.name,
        split=job.splits.report_name,
    )
    return predictions, metrics


def _about_model(model: Recognizer, state: loop.State, *, size_bytes: int) -> dict[str, Any]:
    calibration = model.card.calibration
    return {
        "file": runs.MODEL,
        "bytes": size_bytes,
        "parameters": model.card.parameters,
        "layers": layers_of(state.net),
        "temperature": calibration.temperature,
        "accept_score": calibration.accept_score,
        "calibrated_on": calibration.fitted_on,
    }


def _story(
    job: Job,
    metrics: Metrics,
    predictions: list[Prediction],
    *,
    about_model: dict[str, Any],
    insight: Insight,
    seconds: dict[str, float],
) -> run_page.Content:
    history = read_rows(job.folder / runs.METRICS)
    report = job.splits.report
    seconds = {"train": sum(row["seconds"] for row in history), **seconds}
    return run_page.Content(
        title=f"{job.recipe.name} on {job.dataset.name}, seed {job.recipe.seed}",
        report_name=job.splits.report_name,
        metrics=metrics,
        check=check_data(job),
        history=history,
        steps=read_rows(job.folder / runs.STEPS),
        images=report.images,
        labels=report.labels,
        probs=stack_probs(predictions, len(metrics.classes)),
        predictions=predictions,
        glimpses=list(job.dataset.glimpses),
        augmented=augmented_glimpses(job),
        augments=changes(job.recipe),
        drops=bool(job.recipe.dense_dropout or any(job.recipe.per_block("dropout"))),
        trained=len(job.splits.train),
        held_out=0 if job.splits.validation is None else len(job.splits.validation),
        recipe_toml=job.recipe.to_toml(),
        environment=job.about,
        model=about_model,
        seconds={stage: seconds[stage] for stage in STAGES if stage in seconds},
        insight=insight,
    )


def check_data(job: Job) -> Check:
    """The checks of the data that the run may look at: a `select` run leaves the test split out."""
    is_all = job.recipe.protocol == "all"
    dataset = job.dataset if is_all else set_aside(job.dataset, job.recipe.test_fraction)
    return check_dataset(dataset if job.splits.report_name == "test" else replace(dataset, test=None))


def augmented_glimpses(job: Job) -> Gray:
    """The images of the data page with the augmentation of training: uint8 (M, 28, 28)."""
    if not job.dataset.glimpses:
        return np.zeros((0, SIDE, SIDE), np.uint8)
    prepared = np.stack([prepare(raw, job.dataset.prepare) for _, raw in job.dataset.glimpses])
    generator = torch.Generator().manual_seed(job.recipe.seed)
    changed = augment(torch.from_numpy(prepared), job.recipe, generator=generator)
    if job.own.changing is not None:
        torch.manual_seed(job.recipe.seed)
        changed = job.own.changing(changed)
    return changed.squeeze(1).round().clamp(0, 255).to(torch.uint8).numpy()


def write_predictions(job: Job, predictions: list[Prediction], classes: int) -> None:
    """Write probs (N, K), logits (N, K) after the temperature, labels (N,): enough to draw every figure again."""
    probs: Floats = stack_probs(predictions, classes)
    scores: NDArray[np.float32] = np.array([math.nan if p.score is None else p.score for p in predictions], np.float32)
    with np.errstate(divide="ignore"):
        # The score is the log-sum-exp of the logits; with outliers, that of the outliers is subtracted from it.
        logits = np.log(probs) + scores[:, None]
    buffer = io.BytesIO()
    np.savez_compressed(buffer, probs=probs, logits=logits, labels=job.splits.report.labels)
    write_atomic(job.folder / runs.PREDICTIONS, buffer.getvalue())
