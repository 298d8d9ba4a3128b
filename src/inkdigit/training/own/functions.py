"""What of a training is the user's own: the functions, and what a recipe says of them.

In: `net` and `augment` as `train` is given them. Out: an `Own`, the recipe with name and SHA-256 of each source, and
the check that a resumed run has the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from inkdigit.errors import InkdigitError, UsageError
from inkdigit.files import write_atomic
from inkdigit.parsing import read_text
from inkdigit.training.network.augment import Augment
from inkdigit.training.own.network import TRIED, Build, missing_net
from inkdigit.training.own.round_trip import check_export
from inkdigit.training.own.source import Source, file_of, option_of, source_of, told
from inkdigit.training.recipe import EXTERNAL, Recipe
from inkdigit.types import SIDE, Dataset

NET, AUGMENT = "net", "augment"
FILES = {NET: "net.py", AUGMENT: "augment.py"}  # their sources in the run directory, to read and to compare


@dataclass(frozen=True, slots=True)
class _Checked:
    """An augmentation that checks what the user's function gives."""

    augment: Augment

    def __call__(self, x: Tensor) -> Tensor:
        changed = self.augment(x)
        if not isinstance(changed, Tensor) or changed.shape != x.shape or not changed.is_floating_point():
            is_tensor = isinstance(changed, Tensor)
            raise UsageError(
                "augment does not return a batch like the one that it was given",
                expected=f"float {tuple(x.shape)}",
                received=f"{changed.dtype} {tuple(changed.shape)}" if is_tensor else type(changed).__name__,
            )
        return changed.to(x)


@dataclass(frozen=True, slots=True)
class Own:
    """The functions of the user's; None where the recipe says it all."""

    net: Build | None = None
    augment: Augment | None = None

    def sources(self) -> Iterator[tuple[str, Source]]:
        """The source of each function that there is.

        Raises:
            UsageError: one is not to be found.
        """
        for what, function in ((NET, self.net), (AUGMENT, self.augment)):
            if function is not None:
                yield what, source_of(function, what=what)

    def noted_in(self, recipe: Recipe) -> Recipe:
        """The recipe that says what is the user's own.

        Raises:
            UsageError: the recipe needs a function that is not given, or its source is not to be found.
        """
        _check_given(self, recipe)
        changes = {"net": EXTERNAL} if self.net is not None else {}
        for what, source in self.sources():
            changes |= {f"{what}_source": source.name, f"{what}_sha256": source.sha256}
        return recipe.change(changes) if changes else recipe

    @property
    def functions(self) -> dict[str, Any]:
        """Both, as `train` and `resume` take them."""
        return {NET: self.net, AUGMENT: self.augment}

    @property
    def option(self) -> list[str] | None:
        """What gives a command the same: ["--net", "model.py:build"]; None where only Python can."""
        if self.augment is not None:
            return None
        return [] if self.net is None else option_of(self.net, "--net")

    @property
    def changing(self) -> Augment | None:
        """The augmentation, which checks what it gives."""
        return None if self.augment is None else _Checked(self.augment)

    def check(self, net: nn.Sequential, recipe: Recipe, dataset: Dataset) -> None:
        """Try both on a few images, before anything is written.

        Raises:
            UsageError: `net`, as it was built, cannot become a model file and come back, or the augmentation gives no
                batch.
        """
        if self.net is not None:
            check_export(net, self.net, recipe, dataset)
        if self.augment is None or self.changing is None:
            return
        try:
            self.changing(torch.tensor(dataset.train.images[:TRIED]).unsqueeze(1).float())
        except InkdigitError:
            raise
        except Exception as exc:  # the user's code may raise anything
            raise UsageError(
                f"augment cannot be used: {told(exc, file_of(self.augment))}",
                expected=f"a function of a batch, here float32 {TRIED} × 1 × {SIDE} × {SIDE} of 0 to 255",
            ) from exc

    def write(self, folder: Path) -> None:
        """Write the sources into a run directory.

        Raises:
            OutputError: they cannot be written.
        """
        for what, source in self.sources():
            write_atomic(folder / FILES[what], source.text)

    def check_same(self, recipe: Recipe, folder: Path) -> None:
        """Check that a run in `folder` goes on with what it began with.

        Raises:
            UsageError: a function is missing, another one, or one that it began without.
        """
        _check_given(self, recipe)
        for what, source in self.sources():
            begun = getattr(recipe, f"{what}_sha256")
            if begun is None:
                raise UsageError(f"{folder} began without {what}=", expected=f"no {what}", received=source.name)
            if begun != source.sha256:
                raise UsageError(
                    f"{what}={source.name} is not what {folder} began with",
                    expected=f"{getattr(recipe, f'{what}_source')}, SHA-256 {begun[:12]}…",
                    received=f"{source.sha256[:12]}…",
                    hint=_difference(source, folder / FILES[what]),
                )


def _check_given(own: Own, recipe: Recipe) -> None:
    if recipe.net == EXTERNAL and own.net is None:
        raise missing_net(recipe)
    if recipe.augment_sha256 is not None and own.augment is None:
        raise UsageError(
            f"{recipe.name} is trained with an augmentation of your own, {recipe.augment_source}",
            hint="Give the function in Python: augment=…",
        )


def _difference(source: Source, stored: Path) -> str | None:
    try:
        return source.first_difference(read_text(stored))
    except (OSError, ValueError):
        return None  # the run directory was tidied up
