"""The data of a recipe: which source is opened, how its images are prepared, and how they are split.

In: a recipe, and a data set or a SOURCE where the caller names one. Out: a `Dataset`, and its `Splits`: the images to
train on, to validate on and to report on. A run, an audit, an ensemble, an int8 file, an adaptation and a search all
choose their data here.
"""

from __future__ import annotations

from pathlib import Path

from inkdigit.data.readers.arrays import ARRAYS
from inkdigit.data.sources import NAMES, as_dataset
from inkdigit.data.splits import SplitRule, Splits
from inkdigit.errors import UsageError
from inkdigit.synth.generated import check_digits
from inkdigit.training.distill import where
from inkdigit.training.recipe import Recipe
from inkdigit.types import DataLike, Dataset, Log


def open_for(recipe: Recipe, source: DataLike, *, log: Log) -> Dataset:
    """Open the data, with every image prepared as the recipe says.

    Raises:
        UsageError: no such source, one that was prepared in another way, or one for which nothing can be drawn.
        DataError: the data cannot be used.
    """
    kind = None if recipe.prepare == "auto" else recipe.prepare
    dataset = as_dataset(source, prepare=kind, test=recipe.protocol == "final", log=log)  # select never looks there
    if recipe.stressed or recipe.drawn or recipe.outliers:
        check_digits(dataset)
    if kind not in (None, dataset.prepare):
        raise UsageError(
            f"The recipe and the data set {dataset.name!r} do not agree on how images are prepared",
            expected=f"prepare {kind!r}",
            received=f"prepare {dataset.prepare!r}",
        )
    return dataset


def source_of(data: DataLike | None, recipe: Recipe) -> str:
    """What opens the data again from any working directory: the name of a set, or an absolute path."""
    if isinstance(data, Dataset):
        return data.name
    if isinstance(data, tuple):
        return ARRAYS
    name = recipe.data if data is None else data
    return str(name) if name in NAMES else str(Path(name).expanduser().resolve())


def sources_of(data: DataLike | None, recipe: Recipe) -> dict[str, str | None]:
    """The fields of a recipe that name files, as any working directory can open them: the data and the teacher."""
    return {"data": source_of(data, recipe), "teacher": None if recipe.teacher is None else where(recipe.teacher)}


def splits_of(dataset: Dataset, recipe: Recipe) -> Splits:
    """Split a data set as the recipe says.

    Raises:
        UsageError: sizes that leave nothing to train on or nothing to report on.
    """
    return SplitRule.from_recipe(recipe.model_dump()).split(dataset)
