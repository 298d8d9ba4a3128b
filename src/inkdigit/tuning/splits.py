"""Which images each training of a search sees.

In: a data set, the starting recipe, the budget of a trial. Out: a `Division`. The test split is never opened. A sixth
of the training images is held out from all trials; the rest is split once into images to train on and images to
validate on, the same for every trial.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from inkdigit.data.splits import DEFAULT_DIVISOR, Splits, hold_out, set_aside, split
from inkdigit.training.recipe import Recipe
from inkdigit.tuning.space import Budget
from inkdigit.types import Dataset

SPLIT_SEED = 0  # draws the splits: fixed, so that searches with different random seeds are measured on the same images


@dataclass(frozen=True, slots=True, eq=False)
class Division:
    """Trials train on `trial.train` and are compared on `trial.report`; the final comparison uses `comparison`."""

    trial: Splits
    comparison: Dataset  # its training split: all images but the held-out ones; its test split: the held-out ones
    available: int  # images that a trial could train on without the limit of its budget

    @property
    def classes(self) -> int:
        """The number of classes."""
        return len(self.comparison.classes)

    def comparison_splits(self, recipe: Recipe) -> Splits:
        """The splits of a full training, which reports on the held-out images."""
        share = recipe.validation or (1 / DEFAULT_DIVISOR if recipe.needs_validation else 0)
        return split(self.comparison, protocol="final", validation=share, seed=recipe.seed)


def divide(dataset: Dataset, start: Recipe, budget: Budget) -> Division:
    """Hold out images from all trials, and split the rest for the trials.

    All images of a writer go to the same side, if the writers are known and the recipe does not say
    `validation_split = "stratified"`.

    Raises:
        UsageError: there are too few images to divide.
    """
    known = set_aside(dataset, start.test_fraction).train  # the test split stays closed
    if known.faults:
        known = known.take(known.readable)
    if start.validation_split == "stratified":
        known = replace(known, writers=None)
    rest, held_out = hold_out(known, max(1, len(known) // DEFAULT_DIVISOR), seed=SPLIT_SEED)
    searched = replace(dataset, train=rest, test=None)
    trial = split(searched, protocol="select", validation=0, seed=SPLIT_SEED, test_fraction=0)
    available = len(trial.train)
    if 0 < budget.pictures < available:
        # By class: some images of every writer rather than all images of some writers.
        drawn = hold_out(replace(trial.train, writers=None), budget.pictures, seed=SPLIT_SEED)[1]
        trial = replace(trial, train=drawn)
    return Division(trial, replace(dataset, train=rest, test=held_out), available)
