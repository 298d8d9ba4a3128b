"""Calibration: a temperature for the confidences, and the score below which the model rejects an image.

In: a network and images that did not change its weights. Out: a `Calibration`. The temperature minimises the negative
log-likelihood of the classes (Guo, Pleiss, Sun, Weinberger 2017). The threshold of the score (`predict.score_of`)
accepts a stated share of these images, its coverage, and of their stressed copies.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inkdigit.data.splits import Splits
from inkdigit.model.card import Calibration
from inkdigit.synth.generated import Amounts, extend
from inkdigit.training.device import CPU
from inkdigit.training.network.loop import Tensors
from inkdigit.training.network.predict import predict
from inkdigit.training.recipe import Recipe
from inkdigit.types import Dataset, Part

COVERAGE = 0.999  # the share of held-out images that the threshold accepts
COVERAGE_WITH_OUTLIERS = 0.998  # of a network that knows outliers: for that thousandth it rejects far more of them
COVERAGE_STRESSED = 0.95  # of the stressed copies that are classified correctly: some are hardly legible
MIN_CONFIDENCE = 0.5  # of a network that knows outliers: below it an answer is more likely wrong than right
MIN_IMAGES = 500  # fewer say nothing about a quantile of a thousandth
MIN_COPIES = 100  # classified correctly; fewer say nothing about a quantile of a hundredth
MIN_TEMPERATURE = 0.05  # limits of the search; the bundled models have 0.5 to 1
MAX_TEMPERATURE = 20.0
SEARCH_STEPS = 60  # of golden-section search: each leaves 62 % of the interval, all of them 1e-12


def calibrate_run(net: nn.Module, recipe: Recipe, dataset: Dataset, splits: Splits) -> Calibration:
    """Fit on the images that a run held out; without any, take over what the recipe has, if the data are the same."""
    if splits.validation is not None:
        return calibrate_held_out(net, splits.validation, recipe, classes=len(dataset.classes))
    if recipe.temperature is not None and recipe.calibrated_on == dataset.sha256:
        min_confidence = MIN_CONFIDENCE if recipe.outliers else 0.0
        twin = "the select twin of this recipe"
        return Calibration(recipe.temperature, recipe.accept_score, None, twin, min_confidence)
    return Calibration()


def calibrate_held_out(net: nn.Module, held_out: Part, recipe: Recipe, *, classes: int) -> Calibration:
    """Fit temperature and threshold on the images that a run of `recipe` held out, as `calibrate` does."""
    return calibrate(
        net,
        Tensors.of(held_out, CPU),
        classes=classes,
        fitted_on=f"{len(held_out):,} held-out training images",
        stressed=stressed_copies(held_out, recipe),
    )


def stressed_copies(held_out: Part, recipe: Recipe) -> Tensors | None:
    """Stressed copies of held-out images, where the recipe has such copies and outliers; None for too few images."""
    if not (recipe.stressed and recipe.outliers) or len(held_out) < MIN_IMAGES:
        return None
    seed = recipe.seed + 1  # not the copies that it was trained on
    both = extend(held_out, Amounts(stressed=len(held_out)), seed=seed)
    return Tensors.of(both.take(np.arange(len(held_out), len(both))), CPU)


def calibrate(
    net: nn.Module, held_out: Tensors, *, classes: int, fitted_on: str, stressed: Tensors | None = None
) -> Calibration:
    """Fit temperature and threshold on held-out images; too few of them leave the model uncalibrated.

    The threshold is lowered where it would reject too many of the `stressed` copies that `net` classifies correctly.
    Outputs of `net` after the first `classes` are of outliers.
    """
    if len(held_out.images) < MIN_IMAGES:
        return Calibration()
    outputs = predict(net, held_out.images, classes=classes).precise()
    temperature = fit_temperature(outputs.of_classes, held_out.labels)
    knows_outliers = outputs.of_outliers.shape[1] > 0
    coverage = COVERAGE_WITH_OUTLIERS if knows_outliers else COVERAGE
    threshold = _threshold(outputs.at(temperature).score, coverage)
    if stressed is not None:
        outputs = predict(net, stressed.images, classes=classes).precise()
        correct = outputs.take(outputs.best == stressed.labels).at(temperature).score
        if len(correct) >= MIN_COPIES:
            threshold = min(threshold, _threshold(correct, COVERAGE_STRESSED))
            fitted_on += (
                f", and {100 * COVERAGE_STRESSED:g} % of {len(correct):,} of them that are read right as photographed"
            )
    min_confidence = MIN_CONFIDENCE if knows_outliers else 0.0
    return Calibration(round(temperature, 4), round(threshold, 4), coverage, fitted_on, min_confidence)


def _threshold(score: Tensor, coverage: float) -> float:
    """The score that a share `coverage` of the images reaches."""
    return float(torch.quantile(score, 1 - coverage))


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The divisor of the logits (N, K) that makes the labels (N,) most likely: golden-section search on its log."""
    low, high = math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE)
    ratio = (math.sqrt(5) - 1) / 2
    for _ in range(SEARCH_STEPS):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if F.cross_entropy(logits / math.exp(left), labels) < F.cross_entropy(logits / math.exp(right), labels):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)
