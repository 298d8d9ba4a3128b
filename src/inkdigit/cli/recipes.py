"""`inkdigit recipes`: the bundled recipes."""

from __future__ import annotations

from inkdigit.cli import talk


def recipes() -> None:
    """List the bundled recipes.

    Example: inkdigit recipes
    """
    from inkdigit.training.recipe import Recipe, bundled

    for name in bundled():
        talk.say(f"{name:<12}{Recipe.load(name).about}")
    talk.next_steps(["inkdigit", "train", "fast"])
