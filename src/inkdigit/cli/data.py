"""`inkdigit data get` and `data check`: fetch a data set, and list what is in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inkdigit.cli import talk

if TYPE_CHECKING:
    from inkdigit.data.checks import Check, SplitCheck

app = typer.Typer(help="Fetch a data set, or check one.", no_args_is_help=True)


@app.command()
def get(
    name: Annotated[
        str,
        typer.Argument(
            help="mnist, usps, fashion-mnist, kmnist, emnist-digits, -letters, -balanced, -byclass or -bymerge."
        ),
    ],
    to: Annotated[Path | None, typer.Option(help="The folder to write it to; by default the user's cache.")] = None,
) -> None:
    """Fetch a public data set and verify its published checksums.

    Example: inkdigit data get mnist
    """
    from inkdigit.data.mirrors import fetch
    from inkdigit.data.sources import NOT_BY_PATH

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
    strict: Annotated[bool, typer.Option("--strict", help="End with exit code 1 if there is a problem.")] = False,
) -> None:
    """Count the images of a data set and list its problems: missing cells, blanks, duplicates, leaks.

    Example: inkdigit data check mnist
    """
    from inkdigit.data.checks import check as check_data

    with talk.interruptible():
        checked = check_data(source, log=talk.note)
    if as_json:
        talk.say(json.dumps(checked.to_json()))
    else:
        _print(checked)
    if strict and checked.findings():
        raise typer.Exit(1)


def _print(checked: Check) -> None:
    splits = {"train": checked.train} | ({"test": checked.test} if checked.test is not None else {})
    talk.say(f"{checked.name}: {len(checked.classes)} classes")
    _rows(checked, splits)
    if checked.shared is not None:
        talk.say(f"{'in both splits':<22}{checked.shared:>14,}")
    talk.say()
    width = max(5, *(len(name) for name in checked.classes))
    largest = max(max(split.per_class.values()) for split in splits.values())
    for name in checked.classes:
        counts = [split.per_class.get(name, 0) for split in splits.values()]
        bar = "█" * round(30 * counts[0] / max(largest, 1))
        talk.say(f"{name:>{width}}  {'  '.join(f'{count:>7,}' for count in counts)}  {bar}")
    lines = checked.findings()
    talk.say("\n" + ("\n".join(f"Look at: {line}" for line in lines) if lines else "No problems."))


def _rows(checked: Check, splits: dict[str, SplitCheck]) -> None:
    """The figures of each split, side by side."""
    table = {
        "": list(splits),
        "images": [f"{p.n:,}" for p in splits.values()],
        "width × height": [checked.sizes] * len(splits),
        "shape, type": [f"{p.shape} {p.dtype}" for p in splits.values()],
        "values": [f"{p.lowest} to {p.highest}" for p in splits.values()],
        "missing cells": [f"{p.bad_cells.missing:,}" for p in splits.values()],
        "not a number": [f"{p.bad_cells.not_numbers:,}" for p in splits.values()],
        "outside 0–255": [f"{p.bad_cells.outside:,}" for p in splits.values()],
        "unreadable": [f"{p.unreadable:,}" for p in splits.values()],
        "blank": [f"{p.blank:,}" for p in splits.values()],
        "duplicates": [f"{p.duplicates:,}" for p in splits.values()],
        "writers": ["—" if p.writers is None else f"{p.writers:,}" for p in splits.values()],
    }
    for name, cells in table.items():
        talk.say(f"{name:<22}{''.join(f'{cell:>24}' for cell in cells)}")
