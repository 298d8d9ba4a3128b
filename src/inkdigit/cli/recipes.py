"""`inkdigit recipes`: the bundled recipes, and the TOML of one to start from."""

from __future__ import annotations

from typing import Annotated

import typer

from inkdigit.cli import talk


def recipes(
    name: Annotated[str | None, typer.Argument(help="Print this recipe as TOML; without a name, list all.")] = None,
) -> None:
    """List the bundled recipes, or print one to start from.

    Example: inkdigit recipes fast
    """
    from inkdigit.training.recipe import Recipe, bundled, find

    if name is not None:
        talk.say(find(name).read_text(encoding="utf-8").rstrip())
        talk.next_steps(["inkdigit", "recipes", name, ">", "mine.toml"], ["inkdigit", "train", "mine.toml"])
        return
    for each in bundled():
        talk.say(f"{each:<12}{Recipe.load(each).about}")
    talk.next_steps(["inkdigit", "recipes", "fast"], ["inkdigit", "train", "fast"])
