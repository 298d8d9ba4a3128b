"""Distillation (Hinton, Vinyals, Dean 2015): a network learns what a better one says of the very pictures that it sees.

In: a recipe that names a teacher, which may be any model file. Out: the teacher as the loop asks it. It answers through
ONNX Runtime, so that an ensemble, test-time views or an int8 file teach as a single network does.
"""

from __future__ import annotations

import torch
from torch import Tensor

from inkdigit.errors import UsageError
from inkdigit.model.recognizer import Recognizer
from inkdigit.training.loop import Teacher
from inkdigit.training.recipe import Recipe
from inkdigit.training.restore import recipes_of

HELD_OUT_BY = ("protocol", "validation", "validation_split", "test_fraction", "seed")


def open_teacher(recipe: Recipe, classes: int) -> Teacher | None:
    """What the loop asks, where the recipe names a teacher.

    Raises:
        UsageError: no such model, or one that has other classes or learnt from what is held out now.
        ModelFileError: its file cannot be used.
    """
    if recipe.teacher is None:
        return None
    model = Recognizer.load(recipe.teacher)
    if len(model.classes) != classes:
        raise UsageError(
            f"The teacher {model.path} answers with other classes", expected=classes, received=len(model.classes)
        )
    if recipe.protocol == "select":
        _check_honest(recipe, model)

    def ask(x: Tensor) -> Tensor:
        images = x.squeeze(1).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
        return torch.from_numpy(model.probs_as_prepared(images)).to(x.device)

    return ask


def _check_honest(recipe: Recipe, model: Recognizer) -> None:
    """A teacher that learnt from the held-out pictures would tell of them: the figure would be too good."""
    for taught in recipes_of(model):
        for field in HELD_OUT_BY:
            wanted, found = getattr(recipe, field), getattr(taught, field)
            if wanted != found:
                raise UsageError(
                    f"The teacher {model.path} may have learnt from the pictures that are held out",
                    expected=f"{field} = {wanted!r}, as this recipe has",
                    received=repr(found),
                    hint="Train the teacher with protocol = 'select' and the same seed.",
                )
