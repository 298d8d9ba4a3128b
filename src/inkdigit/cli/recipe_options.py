"""`--epochs 3` where there is only `--set epochs=3`: an error that says so.

In: the words after `train` or `kaggle`. Out: a UsageError for an option that is the name of a recipe field.
"""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

from inkdigit.errors import UsageError


class WithFields(TyperCommand):
    """A command with `--set`, whose user may take the fields of a recipe for options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words, after a look for fields among them.

        Raises:
            UsageError: an option is the name of a recipe field.
        """
        options = {spelling for param in self.params for spelling in param.opts}
        for i, word in enumerate(args):
            option, equals, value = word.partition("=")
            if option.startswith("--") and option not in options and len(option) > len("--"):
                _check(option, value if equals else next(iter(args[i + 1 : i + 2]), ""))
        return super().parse_args(ctx, args)


def _check(option: str, value: str) -> None:
    from inkdigit.training.recipe import Recipe

    field = option.removeprefix("--").replace("-", "_")
    if field in Recipe.model_fields:
        value = "…" if not value or value.startswith("--") else value
        raise UsageError(f"There is no option {option}: it is a field of the recipe", hint=f"Use --set {field}={value}")
