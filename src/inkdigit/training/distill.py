"""Distillation (Hinton, Vinyals, Dean 2015): a network learns the predictions of a better one for the same images.

In: a recipe that names a teacher, which may be any model file. Out: the teacher as the loop calls it. ONNX Runtime runs
it, so that an ensemble, test-time views or an int8 file teach as a single network does.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inkdigit.data.splits import SplitRule
from inkdigit.errors import UsageError
from inkdigit.measure.unseen import learned_from
from inkdigit.model.provenance import ADAPTED_TO, REHEARSED, TAUGHT, TRAINED, ModelFile, TeacherFile
from inkdigit.model.recognizer import Recognizer, bundled, find
from inkdigit.training.convert.restore import recipes_of
from inkdigit.training.recipe import HELD_OUT_BY, Recipe
from inkdigit.types import Dataset


@dataclass(frozen=True, slots=True)
class Teacher:
    """A model that predicts augmented images."""

    model: Recognizer

    def __call__(self, x: Tensor) -> Tensor:
        """The probabilities (B, K) for `x` float (B, 1, 28, 28), 0–255."""
        images = x.squeeze(1).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
        return torch.from_numpy(self.model.probs_as_prepared(images)).to(x.device)

    def describe(self) -> TeacherFile:
        """What is stored of it: its file by name and SHA-256, and what it learned from."""
        file = ModelFile.of(self.model.path)
        provenance = self.model.card.provenance
        return TeacherFile(file.file, file.sha256, provenance.data, provenance.saw_mnist)


def open_teacher(recipe: Recipe, dataset: Dataset) -> Teacher | None:
    """The teacher that the recipe names, if it names one.

    Raises:
        UsageError: no such model, or one with other classes or preprocessing, or one trained on images held out now.
        ModelFileError: its file cannot be used.
    """
    if recipe.teacher is None:
        return None
    model = Recognizer.load(recipe.teacher)
    for what, expected, received in (
        ("classes", dataset.classes, model.classes),
        ("preprocessing", dataset.prepare, model.prepare),
    ):
        if expected != received:
            raise UsageError(f"The teacher {model.path} has different {what}", expected=expected, received=received)
    _check_honest(recipe, model, dataset)
    return Teacher(model)


def where(teacher: str) -> str:
    """What opens the teacher again from any working directory: a bundled name, or an absolute path."""
    return teacher if teacher in bundled() else str(find(teacher).resolve())


def _check_honest(recipe: Recipe, model: Recognizer, dataset: Dataset) -> None:
    """Check that the teacher did not learn from images of `dataset` that are held out now: figures would be too good.

    Raises:
        UsageError: it may have.
    """
    holds_out = SplitRule.from_recipe(recipe.model_dump()).holds_out(dataset)
    sources = list(model.card.provenance.sources())
    by_recipe = [source.data.sha256 for source in sources if source.how in (TRAINED, REHEARSED)]
    same_data = dataset.sha256 in by_recipe
    if same_data:
        _check_same_held_out(recipe, model, holds_out=holds_out, sets_test_aside=dataset.test is None)
    whole = [source for source in sources if source.how == ADAPTED_TO or (source.how == TAUGHT and not same_data)]
    measures = recipe.protocol != "all" and (holds_out or dataset.test is None)
    if measures and (source := learned_from(model, dataset, whole)):
        expected, received = "a teacher that learned from other images", f"these images {source.how}"
        raise UsageError(_problem(model), expected=expected, received=received)


def _check_same_held_out(recipe: Recipe, model: Recognizer, *, holds_out: bool, sets_test_aside: bool) -> None:
    """Check that the teacher, which learned from the same data, held out what is held out now.

    Raises:
        UsageError: it may not have.
    """
    fields = HELD_OUT_BY if holds_out else ("test_fraction",)
    for theirs in recipes_of(model):
        saw_test = sets_test_aside and theirs.protocol == "all"
        if field := recipe.differs_in(("protocol", *fields) if saw_test else fields, theirs):
            hint = "Train the teacher on the same images: with the same seed, protocol and validation."
            only_validation = field != "test_fraction" and not saw_test
            if only_validation and recipe.protocol == "final" and not recipe.needs_validation:
                hint += " Or hold no images out: --set validation=0."
            expected = f"{field} = {getattr(recipe, field)!r}, as this recipe has"
            raise UsageError(_problem(model), expected=expected, received=repr(getattr(theirs, field)), hint=hint)


def _problem(model: Recognizer) -> str:
    return f"The teacher {model.path} may have learned from images that are held out"
