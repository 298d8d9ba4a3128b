"""A training without a directory, a model file or a report: what a run, an audit and a search have in common.

In: a recipe and the splits of the data. Out: a row per epoch, and a network whose accuracy can be asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from inkdigit.data.splits import Splits
from inkdigit.synth.generated import Amounts, extend
from inkdigit.training.device import deterministic, uses_bfloat16
from inkdigit.training.distill import Teacher
from inkdigit.training.network import loop, nets
from inkdigit.training.network.augment import Augment
from inkdigit.training.network.share import ALONE, Share
from inkdigit.training.own import network
from inkdigit.training.own.network import Build, missing_net
from inkdigit.training.recipe import EXTERNAL, Recipe
from inkdigit.types import Log, Part, silent

WHITENING_IMAGES = 2000  # at most: they have a million patches, enough for the covariance of a few dozen pixels
OnTick = Callable[[loop.Tick], None]
OnEpoch = Callable[[loop.Row], None]


def build(recipe: Recipe, splits: Splits, classes: int, *, own: Build | None = None) -> torch.nn.Sequential:
    """The network before its first step; its weights are drawn from the recipe's random seed.

    `own` builds that of an external recipe.

    Raises:
        UsageError: the recipe describes no possible network, or the user's own is none that can be trained.
    """
    torch.manual_seed(recipe.seed)
    images = splits.train.images
    mean, std = 0.0, 1.0
    if recipe.normalize == "standard":
        mean, std = float(images.mean() / 255), max(float(images.std() / 255), 1e-6)  # not 0: blank images train too
    if recipe.net == EXTERNAL:
        if own is None:
            raise missing_net(recipe)
        outputs = recipe.outputs(classes)
        around = nets.around(network.build(own, outputs), recipe, mean=mean, std=std)
        network.check(around, own, images, outputs=outputs)
        return around
    net = nets.build(recipe, classes, mean=mean, std=std)
    if recipe.whiten:
        every = -(-len(images) // WHITENING_IMAGES)  # spread over the set, which may be sorted by class
        nets.whiten(net, torch.tensor(images[::every]))
    return net


def epochs(
    state: loop.State,
    recipe: Recipe,
    splits: Splits,
    device: torch.device,
    *,
    teacher: Teacher | None = None,
    own_augment: Augment | None = None,
    on_tick: OnTick | None = None,
    share: Share = ALONE,
    log: Log = silent,
) -> Iterator[loop.Row]:
    """Draw the images that the recipe asks for, train to its end with deterministic operations; yield a row per epoch.

    `share` is the part of this process in a training that several do together.

    Raises:
        Diverged: the loss is no longer a number.
        DataError: a process that draws has failed.
    """
    amounts = Amounts(round(recipe.stressed * len(splits.train)), recipe.drawn, recipe.outliers)
    part = extend(splits.train, amounts, seed=recipe.seed, log=log)
    if (planned := loop.length(recipe, len(part))[1]) > recipe.epochs:
        log(f"{planned} epochs, not {recipe.epochs}: the recipe takes {recipe.min_steps} steps or more (min_steps).")
    rows = loop.train(
        state,
        recipe,
        loop.Tensors.of(part, device),
        validation=None if splits.validation is None else loop.Tensors.of(splits.validation, device),
        bfloat16=uses_bfloat16(recipe, device),
        teacher=teacher,
        own_augment=own_augment,
        on_tick=on_tick,
        share=share,
    )
    with deterministic(device):
        yield from rows


def accuracy(state: loop.State, recipe: Recipe, part: Part, device: torch.device) -> float:
    """The accuracy of the network on a part, in the precision that it was trained in."""
    return loop.evaluate(state.net, loop.Tensors.of(part, device), bfloat16=uses_bfloat16(recipe, device))[1]
