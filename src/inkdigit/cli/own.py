"""The option --net: a network of the user's own, for the commands that build one.

In: FILE.py:NAME. Out: the function. PyTorch has been imported before, by the command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from inkdigit.training.own.network import Build

Net = Annotated[
    str | None,
    typer.Option(metavar="FILE.py:NAME", help="A function that builds a network of your own."),
]


def build_of(net: str | None) -> Build | None:
    """The function that --net names; None without the option.

    Raises:
        UsageError: there is no such file or function.
    """
    if net is None:
        return None
    from inkdigit.training.own.source import load_function

    return load_function(net, option="--net")
