"""Honest confidences: one temperature, and the score below which the model does not answer.

In: logits (N, K) and labels (N,) of pictures that training never used to change a weight. Out: a `Calibration`. The
temperature minimises the negative log-likelihood (Guo, Pleiss, Sun, Weinberger 2017) of the classes alone, and the
threshold of the score (`export.score_of`) lets through a stated share of these pictures, and of their like on paper.
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
from inkdigit.training.network.loop import Tensors
from inkdigit.training.network.predict import predict
from inkdigit.training.recipe import Recipe
from inkdigit.types import Dataset, Part

KEEPS = 0.999  # the share of held-out pictures that the threshold lets through
KEEPS_WARY = 0.998  # of a network that knows outliers: it refuses far more of them for that thousandth
KEEPS_STRESSED = 0.97  # the share of those copies as photographed that it reads right: some can hardly be read
MIN_CONFIDENCE = 0.5  # of a network that knows outliers: below, it is more likely wrong than right
MIN_PICTURES = 500  # fewer say nothing about a thousandth
MIN_COPIES = 100  # read right; fewer say nothing about a hundredth
LOWEST, HIGHEST, HALVINGS = 0.05, 20.0, 60  # where the temperature is looked for


def calibrate_run(net: nn.Module, recipe: Recipe, dataset: Dataset, splits: Splits) -> Calibration:
    """Fitted on the images that a run held out; without any, taken over from the recipe where the data are the same."""
    if splits.validation is not None:
        return calibrate_held_out(net, splits.validation, recipe, classes=len(dataset.classes))
    if recipe.temperature is not None and recipe.calibrated_on == dataset.sha256:
        min_confidence = MIN_CONFIDENCE if recipe.outliers else 0.0
        twin = "the select twin of this recipe"
        return Calibration(recipe.temperature, recipe.accept_score, None, twin, min_confidence)
    return Calibration()


def calibrate_held_out(net: nn.Module, held_out: Part, recipe: Recipe, *, classes: int) -> Calibration:
    """Fit temperature and threshold on the pictures that a run of `recipe` held out, as `calibrate` does."""
    told = f"{len(held_out):,} held-out training pictures"
    pictures, stressed = Tensors.of(held_out, torch.device("cpu")), stressed_copies(held_out, recipe)
    return calibrate(net, pictures, classes=classes, fitted_on=told, stressed=stressed)


def stressed_copies(held_out: Part, recipe: Recipe) -> Tensors | None:
    """Held-out pictures as photographed, if training had such ones and outliers; None also for too few of them."""
    if not (recipe.stressed and recipe.outliers) or len(held_out) < MIN_PICTURES:
        return None
    both = extend(
        held_out, Amounts(stressed=len(held_out)), seed=recipe.seed + 1
    )  # drawn otherwise than what it learnt
    return Tensors.of(both.take(np.arange(len(held_out), len(both))), torch.device("cpu"))


def calibrate(
    net: nn.Module, held_out: Tensors, *, classes: int, fitted_on: str, stressed: Tensors | None = None
) -> Calibration:
    """Fit temperature and threshold on held-out pictures; too few of them leave the model as it is.

    The threshold goes down where it would refuse too many of the `stressed` copies that `net` reads right. Outputs of
    `net` after the first `classes` are of outliers.
    """
    if len(held_out.images) < MIN_PICTURES:
        return Calibration()
    outputs = predict(net, held_out.images, classes=classes).precise()
    temperature = fit_temperature(outputs.of_classes, held_out.labels)
    knows_outliers = outputs.of_outliers.shape[1] > 0
    coverage = KEEPS_WARY if knows_outliers else KEEPS
    threshold = _threshold(outputs.at(temperature).score, coverage)
    if stressed is not None:
        outputs = predict(net, stressed.images, classes=classes).precise()
        right = outputs.take(outputs.best == stressed.labels).at(temperature).score
        if len(right) >= MIN_COPIES:
            threshold = min(threshold, _threshold(right, KEEPS_STRESSED))
            fitted_on += (
                f", and {100 * KEEPS_STRESSED:g} % of {len(right):,} of them that are read right as photographed"
            )
    min_confidence = MIN_CONFIDENCE if knows_outliers else 0.0
    return Calibration(round(temperature, 4), round(threshold, 4), coverage, fitted_on, min_confidence)


def _threshold(score: Tensor, coverage: float) -> float:
    """The score that `coverage` of these images reach."""
    return float(torch.quantile(score, 1 - coverage))


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The divisor of the logits (N, K) that makes the labels (N,) most likely: golden-section search on its log."""
    low, high = math.log(LOWEST), math.log(HIGHEST)
    ratio = (math.sqrt(5) - 1) / 2
    for _ in range(HALVINGS):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if F.cross_entropy(logits / math.exp(left), labels) < F.cross_entropy(logits / math.exp(right), labels):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)
