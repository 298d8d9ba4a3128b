"""Adapt a model to one writer without forgetting what it knows.

In: a model file with weights, and a few dozen labelled images. Out: a new model file, and how well both files do. A
quarter of every batch are the user's images, each augmented in another way every time; the rest rehearses what the
model knows. Afterwards the weights are interpolated back towards the old ones (Wortsman and others 2022), until the
model classifies almost as many of the old samples correctly as before. These samples are not rehearsed.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import inkdigit.runs as runs
from inkdigit.errors import TrainingError, UsageError
from inkdigit.files import write_atomic
from inkdigit.model.card import Calibration
from inkdigit.model.provenance import Adaptation, Data, ModelFile, Provenance
from inkdigit.model.recognizer import Recognizer
from inkdigit.training import environment
from inkdigit.training.adapt import outcome, rehearse
from inkdigit.training.adapt.outcome import Adapted, Change, Predictions, count_by_class
from inkdigit.training.adapt.rehearse import OldSamples
from inkdigit.training.convert import model_file
from inkdigit.training.convert.calibrate import MIN_IMAGES, calibrate
from inkdigit.training.convert.restore import restore
from inkdigit.training.device import CPU, choose_device, deterministic, gpu_memory, uses_bfloat16
from inkdigit.training.network import loop
from inkdigit.training.network.predict import predict
from inkdigit.training.openings import log_opening
from inkdigit.training.own.network import Build
from inkdigit.training.recipe import Recipe
from inkdigit.training.trial import OnTick
from inkdigit.types import DataLike, Dataset, Log, Part, check_functions, silent

Weights = Mapping[str, torch.Tensor]

SUFFIX = "-adapted"  # of the name on the card
# With the cross-validation this takes some 80 s for `general` on two cores; the limit of the command is 120 s.
STEPS, BATCH = 120, 128
OWN_SHARE = 0.25  # of a batch: with more, the model forgets old samples sooner than it learns the new ones better
FOLDS = 3  # of the cross-validation: with five it took half as long again
FRACTIONS = (1.0, 0.8, 0.6, 0.4, 0.2)  # of the distance from old weights to new ones, in the order they are tried
# The share of the watched samples that may be forgotten: half of the promised 0.1 points, because they are a sample.
MAX_FORGOTTEN = 0.0005
# Drawn digits do not show what the model forgets of real ones, so the fraction is limited whatever they show.
MAX_FORGOTTEN_DRAWN, MAX_FRACTION_DRAWN = 0.005, 0.4
# Of the recipe's learning rate. The recipe's own optimizer continues: with another one the model forgets several times
# as much.
RATE = 1 / 3
# The fields of the recipe that an adaptation sets: one pass over the mixture, whose last weights count.
TRAINING_FIELDS = {
    "schedule": "one-cycle",
    "warmup_fraction": 0.2,
    "keep": "last",
    "early_stopping_patience_epochs": 0,
    "ema_decay": 0.0,
    "epochs": 1,
    "min_steps": 0,
    "steps_per_epoch": 0,
    "prefer_hard": 0.0,
}
# The least augmentation: a few dozen images must stand for all that their writer will write.
MIN_AUGMENTATION = {"rotate_deg": 8.0, "zoom": 0.08, "shift_px": 1.0, "shear": 0.1, "squish": 0.05, "thickness": 0.2}


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """A network that was adapted to some samples."""

    net: nn.Sequential
    fraction: float  # of the distance from the old weights to the new ones; 0 if the network is unchanged
    calibration: Calibration


def adapt(
    model: Recognizer | str | Path,
    data: DataLike,
    *,
    out: str | Path,
    replay: DataLike = rehearse.AUTO,
    steps: int = STEPS,
    seed: int = 0,
    device: str = "auto",
    net: Build | None = None,
    log: Log = silent,
    on_tick: OnTick | None = None,
) -> Adapted:
    """Adapt a model to a user's samples, write it to `out`, and measure it before and after.

    `data` is a data set, a SOURCE or arrays (images, labels). `replay` is what to rehearse: the same, "drawn" for drawn
    digits, or "auto" for the model's training data if they are available, else drawn digits. `seed` is the random seed;
    `device` is auto, cpu, cuda or mps; `net` builds the network of a model that is the user's own.

    Raises:
        UsageError: no such model, data or device, a file without trainable weights, or with those of a network that is
            not given, labels that the model does not know.
        DataError: the data cannot be used, or have too few samples.
        TrainingError: the model would forget too many of the old samples.
        OutputError: `out` cannot be written.
    """
    check_functions(net=net, log=log, on_tick=on_tick)
    if steps < 1 or seed < 0:
        raise UsageError("Bad steps or seed", expected="steps from 1, a seed from 0", received=f"{steps}, {seed}")
    recognizer, out, target = Recognizer.of(model), Path(out), choose_device(device)
    runs.check_place(out, reads=[recognizer.path])
    before, recipe = restore(recognizer, net=net)
    own = rehearse.open_own(recognizer, data, log=log)
    old = rehearse.open_old(recognizer, before, recipe, replay, seed=seed, log=log)
    own_count = round(steps * BATCH * OWN_SHARE)
    old_count = steps * BATCH - own_count
    rehearsed = rehearse.draw(old, recipe, old_count, seed=seed, log=log)
    adapting = adapting_recipe(recipe, seed)
    log(f"Adapting to {len(own.train)} images of {own.name}, rehearsing {old.dataset.name}.")

    def learn(samples: Part, fraction: float | None = None) -> Learned:
        mixture = rehearse.mix(samples, rehearsed, (own_count, old_count), seed=seed)
        adapted = train(before, adapting, mixture, device=target, on_tick=on_tick)
        if fraction is None:
            fraction = interpolate(adapted, before, old)
        else:
            blend(adapted, before.state_dict(), adapted.state_dict(), fraction)
        return Learned(adapted, fraction, recalibrate(recognizer, before, adapted, old))

    learned = learn(own.train)
    if not learned.fraction:
        raise _forgets_too_much(own, old)
    crossed = None
    if own.test is None:  # with the fraction of the file: these figures are said of it
        crossed = cross_validate(lambda part: learn(part, learned.fraction), own, seed=seed, log=log)

    settings = {"seed": seed, "steps": steps, "way": learned.fraction}
    file = _export(recognizer, learned, own, _provenance(recognizer, own, old, settings, adapting))
    old_change = _write(out, file, recognizer, old, recipe, log=log)
    return outcome.measure(recognizer, out, own, crossed, old, old_change, learned.fraction)


def _forgets_too_much(own: Dataset, old: OldSamples) -> TrainingError:
    return TrainingError(
        f"The model cannot learn {own.name} without forgetting too many old images",
        expected=f"{min_correct(old):,} of {len(old.watched):,} images of {old.dataset.name} classified correctly",
        hint="Check whether the labels are right: inkdigit data check.",
    )


def adapting_recipe(recipe: Recipe, seed: int) -> Recipe:
    """The recipe by which a network of `recipe` is adapted."""
    changes: dict[str, Any] = TRAINING_FIELDS | {"batch": BATCH, "seed": seed}
    changes["learning_rate"] = RATE * recipe.learning_rate
    for field, minimum in MIN_AUGMENTATION.items():
        changes[field] = max(getattr(recipe, field), minimum)
    return recipe.change(changes)


def train(
    net: nn.Sequential, recipe: Recipe, part: Part, *, device: torch.device = CPU, on_tick: OnTick | None
) -> nn.Sequential:
    """Train a copy of `net` on `part`; it comes back on the processor, where all the rest is computed."""
    bfloat16 = uses_bfloat16(recipe, device)
    with deterministic(device), gpu_memory("Adapt on the processor: --device cpu."):
        trained = copy.deepcopy(net).to(device)
        state, data = loop.start(trained, recipe), loop.Tensors.of(part, device)
        for _ in loop.train(state, recipe, data, validation=None, bfloat16=bfloat16, on_tick=on_tick):
            pass
    return trained.to(CPU)


def interpolate(adapted: nn.Module, net: nn.Module, old: OldSamples) -> float:
    """Move the weights of `adapted` back towards those of `net` until enough watched samples are classified correctly.

    Returns the fraction of the distance from the old weights to the new ones; 0 if they are those of `net` again.
    """
    max_fraction = MAX_FRACTION_DRAWN if old.drawn else 1.0
    before, after = net.state_dict(), copy.deepcopy(adapted.state_dict())
    for fraction in FRACTIONS:
        if fraction > max_fraction:
            continue
        blend(adapted, before, after, fraction)
        if rehearse.count_correct(adapted, old.watched, len(old.dataset.classes)) >= min_correct(old):
            return fraction
    adapted.load_state_dict(before)
    return 0.0


def blend(net: nn.Module, before: Weights, after: Weights, fraction: float) -> None:
    """Give `net` the weights that are `fraction` of the way from those before to those after."""
    net.load_state_dict(
        {k: torch.lerp(before[k], v, fraction) if v.is_floating_point() else v for k, v in after.items()}
    )


def min_correct(old: OldSamples) -> int:
    """The number of watched samples that an adapted network must classify correctly."""
    max_forgotten = MAX_FORGOTTEN_DRAWN if old.drawn else MAX_FORGOTTEN
    return old.correct - int(max_forgotten * len(old.watched))


def recalibrate(model: Recognizer, net: nn.Module, adapted: nn.Module, old: OldSamples) -> Calibration:
    """Calibrate an adapted network on the held-out old samples, or take over the calibration of the model.

    It is taken over if too few samples are held out. Its threshold is then lowered if `adapted` would reject more of
    the watched samples than `net`.
    """
    before, classes = model.card.calibration, len(model.classes)
    if old.held_out is not None and len(old.held_out) >= MIN_IMAGES:
        fitted_on = f"{len(old.held_out):,} held-out training images of {old.dataset.name}"
        held_out = loop.Tensors.of(old.held_out, CPU)
        return calibrate(adapted, held_out, classes=classes, fitted_on=fitted_on, stressed=old.stressed)
    taken_over = replace(before, keeps=None, fitted_on=f"{before.fitted_on}, before the model was adapted")
    if before.accept_score is None:
        return taken_over
    images = torch.from_numpy(old.watched.images)
    scores, adapted_scores = (
        np.sort(predict(network, images, classes=classes).at(before.temperature).score.numpy())
        for network in (net, adapted)
    )
    rejected = int((scores < before.accept_score).sum())
    if rejected == len(scores) or adapted_scores[rejected] >= before.accept_score:
        return taken_over
    lowered = f"lowered to answer as many of {len(scores):,} images of {old.dataset.name} as then"
    # Rounded down, so that the image with this score is still answered.
    threshold = math.floor(adapted_scores[rejected] * 1e4) / 1e4
    return replace(taken_over, accept_score=threshold, fitted_on=f"{taken_over.fitted_on}; {lowered}")


def cross_validate(learn: Callable[[Part], Learned], own: Dataset, *, seed: int, log: Log) -> Predictions:
    """Predict each of the user's images by a network that was adapted without its fold, one of `FOLDS`."""
    part, rng = own.train, np.random.default_rng(seed)
    fold = np.empty(len(part), np.int64)
    by_class = np.lexsort((rng.random(len(part)), part.labels))
    fold[by_class] = np.arange(len(part)) % FOLDS  # so that every fold has its share of each class
    best, answered = np.empty(len(part), np.int64), np.empty(len(part), np.bool_)
    for k in range(FOLDS):
        log(f"Cross-validation: fold {k + 1} of {FOLDS}.")
        learned = learn(part.take(np.flatnonzero(fold != k)))
        left_out = np.flatnonzero(fold == k)
        outputs = predict(learned.net, torch.from_numpy(part.images[left_out]), classes=len(own.classes))
        outputs = outputs.at(learned.calibration.temperature)
        best[left_out], answered[left_out] = outputs.best.numpy(), outputs.accepted(learned.calibration).numpy()
    return Predictions(best, answered, FOLDS)


def _export(model: Recognizer, learned: Learned, own: Dataset, provenance: Provenance) -> bytes:
    """The bytes of the adapted model's file, before its figures are measured."""
    return model_file.model_bytes(
        learned.net,
        adapted_name(model),
        classes=model.classes,
        kind=model.prepare,
        calibration=learned.calibration,
        samples=own.train.images,
        provenance=provenance,
    )


def adapted_name(model: Recognizer) -> str:
    """The name of the adapted model; after a second adaptation it has the suffix once."""
    return model.name.removesuffix(SUFFIX) + SUFFIX


def _provenance(
    model: Recognizer, own: Dataset, old: OldSamples, settings: dict[str, Any], recipe: Recipe
) -> Provenance:
    """The provenance of the model with one more adaptation: to which data, from which file, with which settings."""
    about, before = environment.describe(own, source=own.name, device=CPU), model.card.provenance
    step = Adaptation(
        data=Data(own.name, own.sha256),
        image_counts=count_by_class(own.train, own.classes),
        replay=Data(old.dataset.name, old.dataset.sha256),
        augmentation={field: getattr(recipe, field) for field in MIN_AUGMENTATION},
        settings={"from": {"name": model.name, **asdict(ModelFile.of(model.path))}, **settings},
    )
    return replace(
        before,
        created=about["started"],
        commit=about["commit"],
        libraries=about["libraries"],
        saw_mnist=before.saw_mnist or any(source.data.holds_mnist for source in step.sources()),
        adaptations=(*before.adaptations, step),
    )


def _write(out: Path, file: bytes, model: Recognizer, old: OldSamples, recipe: Recipe, *, log: Log) -> Change:
    """Write the file with its figures on the old samples; return how the models do on these before and after.

    A use of the test split is logged beside the file. Figures on drawn digits are not written to the card.
    """
    splits = old.splits
    log(f"Measuring on the {len(splits.report):,} images of the {splits.report_name} split of {old.dataset.name}.")
    before, after = outcome.measure_old(model, file, old)
    if splits.report_name == "test":
        name = adapted_name(model)
        log_opening(out, data=old.dataset.name, name=name, sha256=recipe.sha256, seed=str(recipe.seed))
    write_atomic(out, file if old.drawn else model_file.with_figures(file, model_file.figures_of(after)))
    return outcome.change_of_metrics(before, after)
