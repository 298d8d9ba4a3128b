"""Who sees which pictures in a search.

In: a data set, the starting recipe, the budget of a trial. Out: `Pictures`. The test part is never looked at. A sixth
of the training pictures is put aside unseen; the rest is divided once into pictures to learn from and pictures to
choose by, the same for every trial.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from inkdigit.data.splits import DEFAULT_DIVISOR, Splits, hold_out, set_aside, split
from inkdigit.training.recipe import Recipe
from inkdigit.tune.space import Budget
from inkdigit.types import Dataset

SEED = 0  # draws the parts: the same ones whatever the seed of the trainings


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """A trial learns from `trial.train` and is valued on `trial.report`; the comparison at the end has the rest."""

    trial: Splits
    duel: Dataset  # all but the unseen pictures to learn from; the unseen ones as its test part
    learnable: int  # pictures that a trial could have learnt from, were it not for its budget

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.duel.classes)

    def for_duel(self, recipe: Recipe) -> Splits:
        """The parts of a whole training: it reports on the unseen pictures."""
        share = recipe.validation or (1 / DEFAULT_DIVISOR if recipe.needs_validation else 0)
        return split(self.duel, protocol="final", validation=share, seed=recipe.seed)


def divide(dataset: Dataset, start: Recipe, budget: Budget) -> Pictures:
    """Put the unseen pictures aside, and give the trials their parts of the rest.

    Whole writers go to one side where they are known, unless the recipe says `validation_split = "stratified"`.

    Raises:
        UsageError: so few pictures cannot be divided.
    """
    known = set_aside(dataset, start.test_fraction).train  # the test part stays closed
    if known.faults:
        known = known.take(known.readable)
    if start.validation_split == "stratified":
        known = replace(known, writers=None)
    rest, unseen = hold_out(known, max(1, len(known) // DEFAULT_DIVISOR), seed=SEED)
    searched = replace(dataset, train=rest, test=None)
    parts = split(searched, protocol="select", validation=0, seed=SEED, test_fraction=0)
    learnable = len(parts.train)
    if 0 < budget.pictures < learnable:
        # By class: some pictures of every writer rather than every picture of some.
        few = hold_out(replace(parts.train, writers=None), budget.pictures, seed=SEED)[1]
        parts = replace(parts, train=few)
    return Pictures(parts, replace(dataset, train=rest, test=unseen), learnable)
