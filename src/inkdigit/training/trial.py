"""A training without its keepsakes: what a run and a search have in common.

In: a recipe and the parts of the data. Out: a `Row` an epoch, and a network that can be asked how well it does. No
directory, no model file, no report: `run` adds those, a search does without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from inkdigit.data.splits import Splits
from inkdigit.synth.generated import Amounts, extend
from inkdigit.training.device import deterministic, uses_bfloat16
from inkdigit.training.distill import Teacher
from inkdigit.training.network import loop, nets
from inkdigit.training.recipe import Recipe
from inkdigit.types import Log, Part, silent

WHITENING_PICTURES = 2000  # at most, that say which patches there are
OnTick = Callable[[loop.Tick], None]


def build(recipe: Recipe, parts: Splits, classes: int) -> torch.nn.Sequential:
    """The network before its first step; its weights are drawn from the recipe's seed.

    Raises:
        UsageError: the recipe describes no possible network.
    """
    torch.manual_seed(recipe.seed)
    mean, std = 0.0, 1.0
    if recipe.normalize == "standard":
        mean, std = float(parts.train.images.mean() / 255), max(float(parts.train.images.std() / 255), 1e-6)
    net = nets.build(recipe, classes, mean=mean, std=std)
    if recipe.whiten:
        images = parts.train.images
        nets.whiten(net, torch.tensor(images[:: -(-len(images) // WHITENING_PICTURES)]))  # they may be sorted by class
    return net


def epochs(
    state: loop.State,
    recipe: Recipe,
    parts: Splits,
    device: torch.device,
    *,
    teacher: Teacher | None = None,
    on_tick: OnTick | None = None,
    log: Log = silent,
) -> Iterator[loop.Row]:
    """Train to the end of the recipe, with nothing but kernels that repeat themselves; yield a row an epoch.

    Pictures that the recipe has drawn are drawn first.

    Raises:
        Diverged: the loss is no longer a number.
        DataError: a process that draws has failed.
    """
    amounts = Amounts(round(recipe.stressed * len(parts.train)), recipe.drawn, recipe.outliers)
    rows = loop.train(
        state,
        recipe,
        loop.Tensors.of(extend(parts.train, amounts, seed=recipe.seed, log=log), device),
        validation=None if parts.validation is None else loop.Tensors.of(parts.validation, device),
        bfloat16=uses_bfloat16(recipe, device),
        teacher=teacher,
        on_tick=on_tick,
    )
    with deterministic(device):
        yield from rows


def accuracy(state: loop.State, recipe: Recipe, part: Part, device: torch.device) -> float:
    """The share of a part that the network gets right, in the precision that it was trained in."""
    return loop.evaluate(state.net, loop.Tensors.of(part, device), bfloat16=uses_bfloat16(recipe, device))[1]
