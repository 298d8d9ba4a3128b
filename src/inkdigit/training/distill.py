"""Distillation (Hinton, Vinyals, Dean 2015): a network learns what a better one says of the very pictures that it sees.

In: a recipe that names a teacher, which may be any model file. Out: the teacher as the loop asks it. It answers through
ONNX Runtime, so that an ensemble, test-time views or an int8 file teach as a single network does.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inkdigit.errors import UsageError
from inkdigit.model.provenance import ModelFile, TeacherFile
from inkdigit.model.recognizer import Recognizer, bundled, find
from inkdigit.training.convert.restore import recipes_of
from inkdigit.training.recipe import HELD_OUT_BY, Recipe
from inkdigit.types import Dataset


@dataclass(frozen=True, slots=True)
class Teacher:
    """A model that is asked about changed pictures."""

    model: Recognizer

    def __call__(self, x: Tensor) -> Tensor:
        """What it says of `x` float (B, 1, 28, 28), 0–255: probabilities (B, K)."""
        images = x.squeeze(1).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
        return torch.from_numpy(self.model.probs_as_prepared(images)).to(x.device)

    def describe(self) -> TeacherFile:
        """What is stored of it: its file by name and SHA-256, and what it learned from."""
        file, provenance = ModelFile.of(self.model.path), self.model.card.provenance
        return TeacherFile(file.file, file.sha256, provenance.data, provenance.saw_mnist)


def open_teacher(recipe: Recipe, dataset: Dataset) -> Teacher | None:
    """The teacher that the recipe names, if it names one.

    Raises:
        UsageError: no such model, or one that has other classes or another door, or learnt from what is held out now.
        ModelFileError: its file cannot be used.
    """
    if recipe.teacher is None:
        return None
    model = Recognizer.load(recipe.teacher)
    for what, expected, received in (
        ("classes", dataset.classes, model.classes),
        ("kind of preparation", dataset.prepare, model.prepare),
    ):
        if expected != received:
            raise UsageError(f"The teacher {model.path} has another {what}", expected=expected, received=received)
    data = model.card.provenance.data
    if data is not None and data.sha256 == dataset.sha256:
        _check_honest(recipe, model)
    return Teacher(model)


def where(teacher: str) -> str:
    """What finds the teacher again from wherever a run is taken up: a bundled name, or the whole path."""
    return teacher if teacher in bundled() else str(find(teacher).resolve())


def _check_honest(recipe: Recipe, model: Recognizer) -> None:
    """A teacher that learnt from pictures that are held out now would tell of them: figures would be too good."""
    fields = HELD_OUT_BY if recipe.holds_out else ("test_fraction",)
    for taught in recipes_of(model):
        for field in fields:
            wanted, found = getattr(recipe, field), getattr(taught, field)
            if wanted != found:
                raise UsageError(
                    f"The teacher {model.path} may have learnt from pictures that are held out",
                    expected=f"{field} = {wanted!r}, as this recipe has",
                    received=repr(found),
                    hint="Train the teacher on the same pictures: with the same seed, protocol and validation.",
                )
