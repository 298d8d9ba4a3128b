"""A model that learns to read one more hand, and forgets none of the others.

In: a model file with weights, and a few dozen labelled pictures. Out: a model file that began as that one, and what it
reads before and after. A quarter of every batch are the user's pictures, each a little different every time; the rest
rehearses what the model knows. Then the weights go back towards where they began (Wortsman and others 2022) until the
model reads as many of the old pictures that are kept from it as it did, but for a few.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
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
from inkdigit.training.adapt.outcome import Adapted, Reading, count_by_class
from inkdigit.training.adapt.rehearse import Old
from inkdigit.training.convert import export
from inkdigit.training.convert.calibrate import MIN_IMAGES, calibrate
from inkdigit.training.convert.restore import restore
from inkdigit.training.device import CPU, deterministic, uses_bfloat16
from inkdigit.training.evaluate import log_opening
from inkdigit.training.network import loop
from inkdigit.training.network.predict import predict
from inkdigit.training.recipe import Recipe
from inkdigit.training.trial import OnTick
from inkdigit.types import Dataset, Log, Part, silent

SUFFIX = "-adapted"
STEPS, BATCH = 120, 128
OWN_SHARE = 0.25  # of a batch: with more the old is forgotten sooner than the new is learnt better
FOLDS = 3  # groups of the cross-validation: with five it took half as long again
FORGETS = 0.0005  # the share of watched old pictures that may be lost: half of what is promised, for they are a sample
FRACTIONS = (1.0, 0.8, 0.6, 0.4, 0.2)  # how much of the way from the old weights to the new ones is gone, at the best
# Drawn digits do not tell what is forgotten of real ones: it goes less far whatever they say.
FORGETS_DRAWN, FARTHEST_DRAWN = 0.005, 0.4
# Of the learning rate of the recipe, whose own optimizer goes on: another one forgets several times as much.
RATE = 1 / 3
# These fields of the recipe change too; of augmentation there is as much as here, or more.
HOW = {
    "schedule": "one-cycle",
    "warmup_fraction": 0.2,
    "keep": "last",
    "early_stopping_patience_epochs": 0,
    "ema_decay": 0.0,
    "epochs": 1,
    "min_steps": 0,
}
AT_LEAST = {"rotate_deg": 8.0, "zoom": 0.08, "shift_px": 1.0, "shear": 0.1, "squish": 0.05, "thickness": 0.2}


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """A network adapted to some pictures."""

    net: nn.Sequential
    fraction: float  # of the way from the old weights to the new ones; 0 where the network is as it was
    calibration: Calibration


def adapt(
    model: Recognizer | str | Path,
    data: Dataset | str | Path,
    *,
    out: str | Path,
    replay: Dataset | str | Path = rehearse.AUTO,
    steps: int = STEPS,
    seed: int = 0,
    log: Log = silent,
    on_tick: OnTick | None = None,
) -> Adapted:
    """Adapt a model to a user's pictures and write it to `out`, with what it reads before and after.

    `data` is a data set or a SOURCE; `replay` the one that is rehearsed, "drawn" for digits that we draw, or "auto":
    what the model learnt from, where that is at hand, else drawn digits.

    Raises:
        UsageError: no such model or data, a file without trainable weights, labels that the model does not know.
        DataError: the data cannot be used, or there are too few pictures.
        TrainingError: whatever is learnt of these pictures costs too much of the old.
        OutputError: `out` cannot be written.
    """
    if steps < 1 or seed < 0:
        raise UsageError("This cannot be done", expected="steps from 1, a seed from 0", received=f"{steps}, {seed}")
    recognizer, out = Recognizer.of(model), Path(out)
    runs.check_place(out, reads=[recognizer.path])
    net, recipe = restore(recognizer)
    own = rehearse.open_own(recognizer, data, log=log)

    old = rehearse.open_old(recognizer, net, recipe, replay, seed=seed, log=log)
    own_count = round(steps * BATCH * OWN_SHARE)
    old_count = steps * BATCH - own_count
    rehearsed = rehearse.draw(old, recipe, old_count, seed=seed, log=log)
    how = adapting_recipe(recipe, seed)
    log(f"Adapting to {len(own.train)} pictures of {own.name}, rehearsing {old.dataset.name}.")

    def learn(part: Part) -> Learned:
        mixed = rehearse.mix(part, rehearsed, (own_count, old_count), seed=seed)
        adapted = train(net, how, mixed, on_tick=on_tick)
        fraction = interpolate(adapted, net, old)
        return Learned(adapted, fraction, recalibrate(recognizer, net, adapted, old))

    unseen = None if own.test is not None else cross_validate(learn, own, seed=seed, log=log)
    learned = learn(own.train)
    if not learned.fraction:
        raise TrainingError(
            f"Whatever is learnt of {own.name} costs too much of the old",
            expected=f"{min_right(old):,} of {len(old.watched):,} pictures of {old.dataset.name} read right",
            hint="Look whether the labels are right: inkdigit data check.",
        )

    settings = {"seed": seed, "steps": steps, "way": learned.fraction}
    file = _export(recognizer, learned, own, _provenance(recognizer, own, old, settings, how))
    changed = _write(out, file, recognizer, old, recipe, log=log)
    return outcome.result(recognizer, out, own, unseen, old, changed, learned.fraction)


def adapting_recipe(recipe: Recipe, seed: int) -> Recipe:
    """The recipe of adapting a network of `recipe`."""
    ranges = {field: max(getattr(recipe, field), least) for field, least in AT_LEAST.items()}
    return recipe.change({**HOW, **ranges, "learning_rate": RATE * recipe.learning_rate, "batch": BATCH, "seed": seed})


def train(net: nn.Sequential, recipe: Recipe, part: Part, *, on_tick: OnTick | None) -> nn.Sequential:
    """A copy of `net` that was trained on `part`."""
    copied = copy.deepcopy(net)
    state, data = loop.start(copied, recipe), loop.Tensors.of(part, CPU)
    bfloat16 = uses_bfloat16(recipe, CPU)
    with deterministic(CPU):
        for _ in loop.train(state, recipe, data, validation=None, bfloat16=bfloat16, on_tick=on_tick):
            pass
    return copied


def interpolate(adapted: nn.Module, net: nn.Module, old: Old) -> float:
    """Move the weights of `adapted` back towards those of `net` until enough of the watched pictures are read right.

    Returns how far on the way from the old weights to the new ones they are then: 0 where they are those of `net`.
    """
    farthest = FARTHEST_DRAWN if old.drawn else 1.0
    before, after = net.state_dict(), copy.deepcopy(adapted.state_dict())
    for fraction in FRACTIONS:
        if fraction > farthest:
            continue
        adapted.load_state_dict(
            {k: torch.lerp(before[k], v, fraction) if v.is_floating_point() else v for k, v in after.items()}
        )
        if rehearse.count_right(adapted, old.watched, len(old.dataset.classes)) >= min_right(old):
            return fraction
    adapted.load_state_dict(before)
    return 0.0


def min_right(old: Old) -> int:
    """How many of the watched pictures an adapted network must read right."""
    return old.right - int((FORGETS_DRAWN if old.drawn else FORGETS) * len(old.watched))


def recalibrate(model: Recognizer, net: nn.Module, adapted: nn.Module, old: Old) -> Calibration:
    """Fitted on old pictures that the model never learnt from; without enough of them, the model's own.

    That one's threshold goes down where `adapted` would refuse more of the watched pictures than `net`.
    """
    before, classes = model.card.calibration, len(model.classes)
    if old.unlearnt is not None and len(old.unlearnt) >= MIN_IMAGES:
        told = f"{len(old.unlearnt):,} held-out training pictures of {old.dataset.name}"
        held_out = loop.Tensors.of(old.unlearnt, CPU)
        return calibrate(adapted, held_out, classes=classes, fitted_on=told, stressed=old.stressed)
    told = f"{before.fitted_on}, before the model was adapted"
    if before.accept_score is None:
        return replace(before, keeps=None, fitted_on=told)
    images = torch.from_numpy(old.watched.images)
    scores, now = (
        np.sort(predict(network, images, classes=classes).at(before.temperature).score.numpy())
        for network in (net, adapted)
    )
    refused = int((scores < before.accept_score).sum())
    if refused == len(now) or now[refused] >= before.accept_score:
        return replace(before, keeps=None, fitted_on=told)
    threshold = math.floor(now[refused] * 1e4) / 1e4
    lowered = f"lowered to answer as many of {len(now):,} pictures of {old.dataset.name} as then"
    return replace(before, accept_score=threshold, keeps=None, fitted_on=f"{told}; {lowered}")


def cross_validate(learn: Callable[[Part], Learned], own: Dataset, *, seed: int, log: Log) -> Reading:
    """What is read of each picture by a network that was adapted to the others, in `FOLDS` groups."""
    part, rng = own.train, np.random.default_rng(seed)
    fold = np.empty(len(part), np.int64)
    fold[np.lexsort((rng.random(len(part)), part.labels))] = np.arange(len(part)) % FOLDS  # of each class its share
    best, answered = np.empty(len(part), np.int64), np.empty(len(part), np.bool_)
    for k in range(FOLDS):
        log(f"Without a part of them, to be read afterwards: {k + 1} of {FOLDS}.")
        learned = learn(part.take(np.flatnonzero(fold != k)))
        held = np.flatnonzero(fold == k)
        outputs = predict(learned.net, torch.from_numpy(part.images[held]), classes=len(own.classes))
        outputs = outputs.at(learned.calibration.temperature)
        best[held], answered[held] = outputs.best.numpy(), outputs.accepted(learned.calibration).numpy()
    return Reading(best, answered, FOLDS)


def _export(model: Recognizer, learned: Learned, own: Dataset, provenance: Provenance) -> bytes:
    """The bytes of the adapted model's file; its figures are still to be measured."""
    return export.model_bytes(
        learned.net,
        adapted_name(model),
        classes=model.classes,
        kind=model.prepare,
        calibration=learned.calibration,
        samples=own.train.images,
        provenance=provenance,
    )


def adapted_name(model: Recognizer) -> str:
    """The name of an adapted model: one that is adapted twice has the suffix once."""
    return model.name.removesuffix(SUFFIX) + SUFFIX


def _provenance(model: Recognizer, own: Dataset, old: Old, how: dict[str, Any], recipe: Recipe) -> Provenance:
    """The model's own, and what it was adapted to, from which file, and how; one adapted twice has both."""
    about, before = environment.describe(own, source=own.name, device=CPU), model.card.provenance
    step = Adaptation(
        data=Data(own.name, own.sha256),
        image_counts=count_by_class(own.train, own.classes),
        replay=Data(old.dataset.name, old.dataset.sha256),
        augmentation={field: getattr(recipe, field) for field in AT_LEAST},
        settings={"from": {"name": model.name, **asdict(ModelFile.of(model.path))}, **how},
    )
    return replace(
        before,
        created=about["started"],
        commit=about["commit"],
        libraries=about["libraries"],
        saw_mnist=before.saw_mnist or any(source.data.holds_mnist for source in step.sources()),
        adaptations=(*before.adaptations, step),
    )


def _write(out: Path, file: bytes, model: Recognizer, old: Old, recipe: Recipe, *, log: Log) -> outcome.Change:
    """Write the file with its figures on old pictures; return how many of these are read right before and after.

    A look at a test part is noted beside it. What is read of drawn digits is no figure for a card.
    """
    splits = old.splits
    log(f"Reading the {len(splits.report):,} pictures of the {splits.report_name} part of {old.dataset.name}.")
    before, after = outcome.measure_old(model, file, old)
    if splits.report_name == "test":
        name = adapted_name(model)
        log_opening(out, data=old.dataset.name, name=name, sha256=recipe.sha256, seed=str(recipe.seed))
    write_atomic(out, file if old.drawn else export.with_figures(file, export.figures_of(after)))
    return outcome.change_of(before, after)
