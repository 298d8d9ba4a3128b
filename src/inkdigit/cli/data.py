"""`inkdigit data get` and `data check`: having a data set, and knowing what is in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inkdigit.cli import talk

if TYPE_CHECKING:
    from inkdigit.data.checks import Check, PartCheck

app = typer.Typer(help="Fetch a data set, or look one over.", no_args_is_help=True)


@app.command()
def get(
    name: Annotated[str, typer.Argument(help="mnist, usps, fashion-mnist, kmnist, emnist-digits or emnist-letters.")],
    to: Annotated[Path | None, typer.Option(help="The folder to put it in; else the user cache.")] = None,
) -> None:
    """Fetch a public data set and check it against the published checksums.

    Example: inkdigit data get mnist
    """
    from inkdigit.data.sources import NOT_BY_PATH, fetch

    with talk.interruptible():
        folder = fetch(name, to=to, log=talk.note)
    talk.say(folder)
    by_name = to is None or name in NOT_BY_PATH
    source = name if by_name else str(folder)
    program = ["env", f"INKDIGIT_DATA={folder}", "inkdigit"] if by_name and to is not None else ["inkdigit"]
    talk.next_steps([*program, "data", "check", source], [*program, "train", "fast", "--data", source])


@app.command()
def check(
    source: Annotated[str, typer.Argument(help="SOURCE: a name, a folder, a CSV or an .npz.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Count a data set and say what is wrong with it: missing cells, blanks, duplicates, leaks.

    Example: inkdigit data check mnist
    """
    from inkdigit.data.checks import check_source

    with talk.interruptible():
        found = check_source(source, log=talk.note)
    if as_json:
        talk.say(json.dumps(found.to_json()))
        return
    _print(found)


def _print(found: Check) -> None:
    parts = {"train": found.train} | ({"test": found.test} if found.test is not None else {})
    talk.say(f"{found.name}: {len(found.classes)} classes")
    _rows(found, parts)
    if found.shared is not None:
        talk.say(f"{'shared by both':<22}{found.shared:>14,}")
    talk.say()
    width = max(5, *(len(name) for name in found.classes))
    most = max(max(part.per_class.values()) for part in parts.values())
    for name in found.classes:
        counts = [part.per_class.get(name, 0) for part in parts.values()]
        bar = "█" * round(30 * counts[0] / max(most, 1))
        talk.say(f"{name:>{width}}  {'  '.join(f'{count:>7,}' for count in counts)}  {bar}")
    lines = found.findings()
    talk.say("\n" + ("\n".join(f"Look at: {line}" for line in lines) if lines else "Nothing to complain about."))


def _rows(found: Check, parts: dict[str, PartCheck]) -> None:
    """The figures of each part, side by side."""
    table = {
        "": list(parts),
        "pictures": [f"{p.n:,}" for p in parts.values()],
        "as the source has it": [", ".join(f"{h} × {w}" for h, w in found.raw_shapes[:3])] * len(parts),
        "shape, type": [f"{p.shape} {p.dtype}" for p in parts.values()],
        "values": [f"{p.lowest} to {p.highest}" for p in parts.values()],
        "missing cells": [f"{p.bad_cells.missing:,}" for p in parts.values()],
        "not a number": [f"{p.bad_cells.not_numbers:,}" for p in parts.values()],
        "outside 0–255": [f"{p.bad_cells.outside:,}" for p in parts.values()],
        "unreadable": [f"{p.unreadable:,}" for p in parts.values()],
        "blank": [f"{p.blank:,}" for p in parts.values()],
        "duplicates": [f"{p.duplicates:,}" for p in parts.values()],
        "writers": ["—" if p.writers is None else f"{p.writers:,}" for p in parts.values()],
    }
    for name, cells in table.items():
        talk.say(f"{name:<22}{''.join(f'{cell:>24}' for cell in cells)}")
