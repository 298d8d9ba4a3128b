"""An audit: each label is judged by a network that did not train on its image (confident learning).

In: a data set and a recipe. Out: a directory with `issues.csv`, `probs.npz` and `audit.html` (see `report.audit`), and
the `Audit`. The training split is divided into folds, each writer in one fold where enough writers are known; one
network per fold trains on the other folds and predicts this one. The test split is predicted by all of these networks:
their logits are averaged, as in an ensemble.

    audits/20261120-101502-mnist-s0/     issues.csv · probs.npz · audit.html
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import inkdigit.runs as runs
from inkdigit.data.sources import as_dataset
from inkdigit.data.splits import DEFAULT_DIVISOR, split
from inkdigit.errors import UsageError
from inkdigit.files import check_free, locked, remove_lock
from inkdigit.measure.wrong_labels import Audit, AuditedSplit, Doubts
from inkdigit.report.audit import write
from inkdigit.report.template import require_jinja
from inkdigit.training import trial
from inkdigit.training.convert.calibrate import fit_temperature
from inkdigit.training.data import open_for
from inkdigit.training.device import choose_device
from inkdigit.training.network import loop
from inkdigit.training.network.predict import Outputs, predict
from inkdigit.training.recipe import Recipe
from inkdigit.training.trial import OnTick
from inkdigit.types import DataLike, Dataset, Log, Part, check_functions, silent

ROOT = Path("audits")


@dataclass(frozen=True, eq=False)
class Audited:
    """The results of an audit, and their directory."""

    folder: Path
    audit: Audit


def audit(
    source: DataLike,
    *,
    recipe: Recipe | str | Path = "fast",
    folds: int = 5,
    seed: int | None = None,
    out: str | Path | None = None,
    top: int = 200,
    device: str = "auto",
    log: Log = silent,
    on_tick: OnTick | None = None,
) -> Audited:
    """Look for wrong labels and repeated images in every split of `source`; the page shows `top` of each.

    Raises:
        UsageError: an unknown recipe, source or device, folds that the data cannot be divided into, a recipe with a
            teacher.
        DataError: the data cannot be used.
        Diverged: the loss is no longer a number.
        MissingExtra: Jinja is not installed.
        OutputError: the directory is taken, or cannot be written.
    """
    check_functions(log=log, on_tick=on_tick)
    chosen = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
    chosen = chosen if seed is None else chosen.change({"seed": seed})
    if top < 1:
        raise UsageError("The page would show nothing", expected="a top of 1 or more", received=top)
    if chosen.teacher is not None:
        raise UsageError(
            "A teacher may have learned the labels that are in question",
            expected="a recipe without a teacher",
            received=f"teacher = {chosen.teacher!r}",
        )
    chosen.check_described("An audit")
    target = choose_device(device)
    require_jinja()
    dataset = as_dataset(open_for(chosen, source, log=log), log=log)  # its test split too, whatever the protocol
    train = dataset.train.readable
    known = dataset.train.take(train)
    by_writer = _knows_writers(known, folds)
    fold_of = divide(known, folds, seed=chosen.seed, classes=dataset.classes)
    folder = runs.create(dataset.name, seed=chosen.seed, out=None if out is None else Path(out), root=ROOT)
    with locked(folder, "audit"):
        check_free(folder)  # another audit may have written here in the meantime
        division = "whole writers in each" if by_writer else "the same share of each class in each"
        how = f"recipe {chosen.name}, seed {chosen.seed}, {folds} folds, {division}"
        results = Audit(dataset, _judge(dataset, train, known, fold_of, chosen, target, log=log, on_tick=on_tick), how)
        log("Looking for copies.")
        write(folder, results, top=top)
        remove_lock(folder)
    return Audited(folder, results)


def _judge(
    dataset: Dataset,
    train: NDArray[np.intp],
    known: Part,
    fold_of: NDArray[np.int64],
    chosen: Recipe,
    device: torch.device,
    *,
    log: Log,
    on_tick: OnTick | None,
) -> tuple[AuditedSplit, ...]:
    """Train a network per fold, and judge both splits by networks that did not train on them."""
    test = None if dataset.test is None else dataset.test.readable
    unseen = None if dataset.test is None or test is None or not len(test) else dataset.test.take(test)
    probs, test_probs = _predict_by_folds(
        replace(dataset, train=known), unseen, fold_of, chosen, device, log=log, on_tick=on_tick
    )
    audited = [AuditedSplit("train", dataset.train, train, Doubts(known.labels, probs))]
    if dataset.test is not None and test is not None and unseen is not None:
        audited.append(AuditedSplit("test", dataset.test, test, Doubts(unseen.labels, test_probs)))
    return tuple(audited)


def divide(part: Part, folds: int, *, seed: int, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """The fold (N,), from 0, of every image: whole writers where there are as many as folds, else class by class.

    Raises:
        UsageError: fewer than two folds, or a class that a network would have to predict and could not learn.
    """
    if folds < 2:
        raise UsageError("A network trains on all folds but one", expected="2 folds or more", received=folds)
    counts = np.bincount(part.labels, minlength=len(classes))
    present = np.flatnonzero(counts)
    if len(present) < 2:
        raise UsageError("There is nothing to distinguish", expected="images of two classes or more")
    rarest = present[counts[present].argmin()]
    if counts[rarest] < folds:
        raise UsageError(
            f"{folds} folds are too many for these images",
            expected="an image of every class in each",
            received=f"{counts[rarest]} of class {classes[rarest]!r}",
            hint=f"Use --folds {counts[rarest]}." if counts[rarest] > 1 else "Add images of it, or leave it out.",
        )
    rng = np.random.default_rng(seed)
    fold_of = (_by_writer if _knows_writers(part, folds) else _by_class)(part, folds, rng)
    for fold in range(folds):
        if absent := np.setdiff1d(present, part.labels[fold_of != fold]).tolist():
            raise UsageError(
                f"All images of class {classes[absent[0]]!r} are by writers of one fold: no network would learn it",
                expected="writers of several classes",
                hint="Use another --seed, or more --folds.",
            )
    return fold_of


def _knows_writers(part: Part, folds: int) -> bool:
    return part.writers is not None and len(np.unique(part.writers)) >= folds


def _by_writer(part: Part, folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Writers in a random order, those with the most images first, each to the fold that has the fewest."""
    assert part.writers is not None
    _, writer, written = np.unique(part.writers, return_inverse=True, return_counts=True)
    order = rng.permutation(len(written))
    fold_of_writer, sizes = np.zeros(len(written), np.int64), np.zeros(folds, np.int64)
    for w in order[np.argsort(-written[order], kind="stable")]:
        fold_of_writer[w] = sizes.argmin()
        sizes[fold_of_writer[w]] += written[w]
    return fold_of_writer[writer]


def _by_class(part: Part, folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """The images of a class in a random order, one fold after the other; the next class begins where the last ended."""
    order = rng.permutation(len(part))
    order = order[np.argsort(part.labels[order], kind="stable")]
    fold_of = np.zeros(len(part), np.int64)
    fold_of[order] = np.arange(len(part)) % folds
    return fold_of


def _predict_by_folds(
    dataset: Dataset,
    unseen: Part | None,
    fold_of: NDArray[np.int64],
    recipe: Recipe,
    device: torch.device,
    *,
    log: Log,
    on_tick: OnTick | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Train a network per fold; return probabilities of the training images (N, K) and of the unseen ones (M, K).

    One temperature for all is fitted on the training images, each as the network predicts it that did not train on it.
    """
    classes = len(dataset.classes)
    logits = torch.zeros(len(dataset.train), classes, dtype=torch.float64)
    test_logits = []
    folds = int(fold_of.max()) + 1
    for fold in range(folds):
        held = np.flatnonzero(fold_of == fold)
        held_out = dataset.train.take(held)
        net = _train(dataset, held, recipe, device, on_tick=on_tick)
        outputs = _predict_part(net, held_out, device, classes)
        logits[held] = outputs.of_classes
        agreeing = (outputs.best.numpy() == held_out.labels).mean()
        log(f"Fold {fold + 1} of {folds}: {100 * agreeing:.2f} % of {len(held):,} images are read as labelled.")
        if unseen is not None:
            test_logits.append(_predict_part(net, unseen, device, classes).of_classes)
    temperature = fit_temperature(logits, torch.tensor(dataset.train.labels))
    probs = torch.softmax(logits / temperature, 1).numpy()
    if not test_logits:
        return probs, np.zeros((0, classes))
    return probs, torch.softmax(torch.stack(test_logits).mean(0) / temperature, 1).numpy()


def _train(
    dataset: Dataset, held: NDArray[np.int64], recipe: Recipe, device: torch.device, *, on_tick: OnTick | None
) -> nn.Sequential:
    """A network that is trained on all training images but those `held` out."""
    rest = np.setdiff1d(np.arange(len(dataset.train)), held)
    divided = replace(dataset, train=dataset.train.take(rest), test=dataset.train.take(held))
    # Images that a run holds out only to measure are trained on here; those that training decides by are held out.
    share = (recipe.validation or 1 / DEFAULT_DIVISOR) if recipe.needs_validation else 0
    stratified = recipe.validation_split == "stratified"
    splits = split(divided, protocol="final", validation=share, seed=recipe.seed, stratified=stratified)
    state = loop.start(trial.build(recipe, splits, len(dataset.classes)).to(device), recipe)
    for _ in trial.epochs(state, recipe, splits, device, on_tick=on_tick):
        pass
    return state.net.eval()


def _predict_part(net: nn.Sequential, part: Part, device: torch.device, classes: int) -> Outputs:
    return predict(net, torch.tensor(part.images, device=device), classes=classes).precise()
