"""A model that learns to read one more hand, and forgets none of the others.

In: a model file with weights, and a few dozen labelled pictures. Out: a model file that began as that one, and what it
reads before and after. A quarter of every batch are the user's pictures, each a little different every time; the rest
rehearses what the model knows. Then the weights go back towards where they began (Wortsman and others 2022) until the
model reads as many of the old pictures that are kept from it as it did, but for a few.
"""

from __future__ import annotations

import copy
import math
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import inkdigit.runs as runs
from inkdigit.errors import TrainingError, UsageError
from inkdigit.files import write_atomic, writing
from inkdigit.model.card import Calibration
from inkdigit.model.provenance import Adaptation, Data, ModelFile, Provenance
from inkdigit.model.recognizer import Recognizer
from inkdigit.training import environment
from inkdigit.training.adapt import outcome, rehearse
from inkdigit.training.adapt.outcome import Adapted, Reading
from inkdigit.training.adapt.rehearse import Old
from inkdigit.training.convert import export
from inkdigit.training.convert.calibrate import MIN_PICTURES, calibrate, stressed_copies
from inkdigit.training.convert.restore import restore
from inkdigit.training.device import CPU, deterministic, uses_bfloat16
from inkdigit.training.evaluate import evaluate_reported, log_opening
from inkdigit.training.network import loop
from inkdigit.training.recipe import Recipe
from inkdigit.training.trial import OnTick
from inkdigit.types import Dataset, Log, Metrics, Part, silent

SUFFIX = "-adapted"
STEPS, BATCH = 120, 128
OWN_SHARE = 0.25  # of a batch: with more the old is forgotten sooner than the new is learnt better
FOLDS = 3  # groups of the cross-validation: with five it took half as long again
FORGETS = 0.0005  # the share of watched old pictures that may be lost: half of what is promised, for they are a sample
WAYS = (1.0, 0.8, 0.6, 0.4, 0.2)  # how much of the way from the old weights to the new ones is gone, at the best
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
class _Job:
    """What every adaptation of one command begins with."""

    model: Recognizer
    net: nn.Sequential  # as it was
    recipe: Recipe  # of adapting
    old: Old
    rehearsal: Part
    stressed: loop.Tensors | None  # copies of old pictures that it never learnt from, as photographed
    least: int  # of the old pictures that are watched are read right afterwards
    ways: tuple[float, ...]  # as far as it may go
    steps: int
    on_tick: OnTick | None

    @property
    def classes(self) -> int:
        """How many there are; outputs after these are of outliers."""
        return len(self.model.classes)


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
    dataset = rehearse.open_own(recognizer, data, log=log)
    own = dataset.train
    old = rehearse.open_old(recognizer, net, recipe, replay, seed=seed, log=log)
    rehearsal = rehearse.draw(old, recipe, round(steps * BATCH * (1 - OWN_SHARE)), seed=seed, log=log)
    job = _job(recognizer, net, _how(recipe, seed), old, rehearsal, steps=steps, on_tick=on_tick)
    log(f"Adapting to {len(own)} pictures of {dataset.name}, rehearsing {old.dataset.name}.")
    crossed = _cross_validate(job, own, log=log) if dataset.test is None else None
    learnt, way = _learn(job, own)
    if not way:
        raise TrainingError(
            f"Whatever is learnt of {dataset.name} costs too much of the old",
            expected=f"{job.least:,} of {len(old.watched):,} pictures of {old.dataset.name} read right",
            hint="Look whether the labels are right: inkdigit data check.",
        )
    written = export.model_bytes(
        learnt,
        _name(recognizer),
        classes=recognizer.classes,
        kind=recognizer.prepare,
        calibration=_calibration(job, learnt),
        samples=own.images,
        provenance=_provenance(recognizer, dataset, old, {"seed": seed, "steps": steps, "way": way}, job.recipe),
    )
    before, after = _write(out, written, recognizer, old, recipe, log=log)
    return _told(recognizer, dataset, crossed, old, changed=outcome.change_of(before, after), path=out, way=way)


def _job(
    model: Recognizer,
    net: nn.Sequential,
    how: Recipe,
    old: Old,
    rehearsal: Part,
    *,
    steps: int,
    on_tick: OnTick | None,
) -> _Job:
    forgets, farthest = (FORGETS_DRAWN, FARTHEST_DRAWN) if old.drawn else (FORGETS, 1.0)
    least = _right(net, old.watched, len(model.classes)) - int(forgets * len(old.watched))
    ways = tuple(way for way in WAYS if way <= farthest)
    stressed = None if old.unlearnt is None else stressed_copies(old.unlearnt, how)
    return _Job(model, net, how, old, rehearsal, stressed, least, ways, steps, on_tick)


def _how(recipe: Recipe, seed: int) -> Recipe:
    """The recipe of adapting a network of `recipe`."""
    ranges = {field: max(getattr(recipe, field), least) for field, least in AT_LEAST.items()}
    return recipe.change({**HOW, **ranges, "learning_rate": RATE * recipe.learning_rate, "batch": BATCH, "seed": seed})


def _learn(job: _Job, own: Part) -> tuple[nn.Sequential, float]:
    """The network adapted to `own`, and how far on the way to the new weights it is; 0 where it is as it was."""
    net, old = copy.deepcopy(job.net), copy.deepcopy(job.net.state_dict())
    state = loop.start(net, job.recipe)
    total = job.steps * BATCH
    sizes = round(total * OWN_SHARE), total - round(total * OWN_SHARE)
    data = loop.Tensors.of(rehearse.mix(own, job.rehearsal, sizes, seed=job.recipe.seed), CPU)
    bfloat16 = uses_bfloat16(job.recipe, CPU)
    with deterministic(CPU):
        for _ in loop.train(state, job.recipe, data, validation=None, bfloat16=bfloat16, on_tick=job.on_tick):
            pass
    new = copy.deepcopy(net.state_dict())
    for way in job.ways:
        net.load_state_dict({k: torch.lerp(old[k], v, way) if v.is_floating_point() else v for k, v in new.items()})
        if _right(net, job.old.watched, job.classes) >= job.least:
            return net.eval(), way
    net.load_state_dict(old)
    return net.eval(), 0.0


def _right(net: nn.Module, part: Part, classes: int) -> int:
    return int((rehearse.answer(net, part, classes) == part.labels).sum())


def _cross_validate(job: _Job, own: Part, *, log: Log) -> Reading:
    """What is read of each picture by a network that was adapted to the others, in `FOLDS` groups."""
    rng = np.random.default_rng(job.recipe.seed)
    fold = np.empty(len(own), np.int64)
    fold[np.lexsort((rng.random(len(own)), own.labels))] = np.arange(len(own)) % FOLDS  # of each class its share
    best, answered = np.empty(len(own), np.int64), np.empty(len(own), np.bool_)
    for k in range(FOLDS):
        log(f"Without a part of them, to be read afterwards: {k + 1} of {FOLDS}.")
        held = np.flatnonzero(fold == k)
        net, _ = _learn(job, own.take(np.flatnonzero(fold != k)))
        reading = rehearse.read(net, own.take(held), _calibration(job, net), job.classes)
        best[held], answered[held] = reading.best, reading.answered
    return Reading(best, answered)


def _name(model: Recognizer) -> str:
    return model.name.removesuffix(SUFFIX) + SUFFIX


def _calibration(job: _Job, net: nn.Module) -> Calibration:
    """Fitted on old pictures that the model never learnt from; without enough of them, the model's own.

    That one's threshold goes down where `net` would refuse more of the old pictures that are watched than before.
    """
    model, old, before = job.model, job.old, job.model.card.calibration
    if old.unlearnt is not None and len(old.unlearnt) >= MIN_PICTURES:
        told = f"{len(old.unlearnt):,} held-out training pictures of {old.dataset.name}"
        held_out = loop.Tensors.of(old.unlearnt, CPU)
        return calibrate(net, held_out, classes=len(model.classes), fitted_on=told, stressed=job.stressed)
    told = f"{before.fitted_on}, before the model was adapted"
    if before.accept_score is None:
        return replace(before, keeps=None, fitted_on=told)
    scores, now = (np.sort(rehearse.scores(one, old.watched, before, job.classes)) for one in (job.net, net))
    refused = int((scores < before.accept_score).sum())
    if refused == len(now) or now[refused] >= before.accept_score:
        return replace(before, keeps=None, fitted_on=told)
    threshold = math.floor(now[refused] * 1e4) / 1e4
    lowered = f"lowered to answer as many of {len(now):,} pictures of {old.dataset.name} as then"
    return replace(before, accept_score=threshold, keeps=None, fitted_on=f"{told}; {lowered}")


def _write(out: Path, data: bytes, model: Recognizer, old: Old, recipe: Recipe, *, log: Log) -> tuple[Metrics, Metrics]:
    """Write the file with its figures on old pictures; what the model before and this one come to there.

    A look at a test part is noted beside it. What is read of drawn digits is no figure for a card.
    """
    parts = old.parts
    log(f"Reading the {len(parts.report):,} pictures of the {parts.report_name} part of {old.dataset.name}.")
    with writing(Path(tempfile.gettempdir())), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / runs.MODEL
        write_atomic(path, data)
        before, after = (evaluate_reported(one, old.dataset, parts) for one in (model, Recognizer.load(path)))
    if parts.report_name == "test":
        log_opening(out, data=old.dataset.name, name=_name(model), sha256=recipe.sha256, seed=str(recipe.seed))
    write_atomic(out, data if old.drawn else export.with_figures(data, export.figures_of(after)))
    return before, after


def _provenance(model: Recognizer, own: Dataset, old: Old, how: dict[str, Any], recipe: Recipe) -> Provenance:
    """The model's own, and what it was adapted to, from which file, and how; one adapted twice has both."""
    about, before = environment.describe(own, source=own.name, device=CPU), model.card.provenance
    step = Adaptation(
        data=Data(own.name, own.sha256),
        image_counts=_counts(own.train, own.classes),
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


def _counts(part: Part, classes: tuple[str, ...]) -> dict[str, int]:
    """How many pictures of each class there are, where there are any."""
    return {name: n for name, n in zip(classes, np.bincount(part.labels).tolist(), strict=False) if n}


def _told(
    model: Recognizer,
    dataset: Dataset,
    crossed: Reading | None,
    old: Old,
    *,
    changed: outcome.Change,
    path: Path,
    way: float,
) -> Adapted:
    """What the written file reads, and `model` before; `crossed` is the reading of cross-validation, or None."""
    own, final = dataset.train, Recognizer.load(path)
    unseen = own if dataset.test is None else dataset.test
    reading = outcome.read(final, unseen) if crossed is None else crossed
    return Adapted(
        path=path,
        pictures=_counts(own, model.classes),
        own=outcome.change(unseen, outcome.read(model, unseen), reading),
        folds=None if crossed is None else FOLDS,
        learnt=outcome.change(own, outcome.read(model, own), outcome.read(final, own)),
        old=changed,
        replay=f"{old.dataset.name}, {old.parts.report_name} part",
        flatters=old.flatters,
        way=way,
        misread=outcome.misread(unseen, reading, model.classes),
    )
