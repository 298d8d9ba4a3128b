"""The data that a model learned from, opened again: what an int8 file or an ensemble is made and measured with.

In: a recogniser, and a SOURCE where the user names one. Out: a `Dataset` as the model prepares its images.
"""

from __future__ import annotations

from inkdigit.data.sources import as_dataset
from inkdigit.errors import DataError, UsageError
from inkdigit.model.recognizer import Recognizer
from inkdigit.runs import RECIPE
from inkdigit.training.convert.restore import recipe_of
from inkdigit.training.recipe import Recipe
from inkdigit.types import DataLike, Dataset, Log


def source_of_model(recognizer: Recognizer) -> str:
    """The SOURCE that the model learned from: its own run knows where the files are, its card what they are called.

    Raises:
        UsageError: the model has no trainable weights, and so no recipe of its own.
    """
    recipe = recipe_of(recognizer)
    try:
        own = Recipe.load(recognizer.path.parent / RECIPE)  # of the run directory
    except UsageError:  # there is none, or none that can be read
        return recipe.data
    return own.data if own.change({"data": recipe.data, "teacher": recipe.teacher}) == recipe else recipe.data


def open_source(source: DataLike, recognizer: Recognizer, *, named: bool, log: Log) -> Dataset:
    """Open data as the model prepares images; `named` where the user named them.

    Raises:
        UsageError: there is no such data set.
        DataError: data that the user named cannot be used.
    """
    try:
        return as_dataset(source, prepare=recognizer.prepare, log=log)
    except (UsageError, DataError) as exc:
        if named:
            raise
        raise UsageError(f"The data that the model learned from cannot be opened: {exc}", hint="Use --data.") from exc


def open_same(source: DataLike, recognizer: Recognizer, *, named: bool, log: Log) -> Dataset:
    """Open data as `open_source` does, and compare them with those that the model learned from.

    Other data are taken where the user named them, with a line in the log.

    Raises:
        UsageError: there is no such data set, or it has only the name of the model's data.
        DataError: data that the user named cannot be used.
    """
    dataset = open_source(source, recognizer, named=named, log=log)
    data = recognizer.card.provenance.data
    sha256 = None if data is None else data.sha256
    if sha256 in (None, dataset.sha256):
        return dataset
    if named:
        log(f"{dataset.name} is not what the model learned from: ranges and figures are those of {dataset.name}.")
        return dataset
    raise UsageError(
        f"{dataset.name} is not the data that the model learned from",
        expected=f"SHA-256 {str(sha256)[:12]}…",
        received=f"{dataset.sha256[:12]}…",
        hint="Use --data.",
    )
