"""`inkdigit corrections list`, `export` and `delete`: what users sent to `inkdigit serve --collect`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from inkdigit.cli import talk
from inkdigit.errors import UsageError

app = typer.Typer(help="List, export or delete the corrections that users sent.", no_args_is_help=True)

MAX_SHOWN = 60  # characters of a cell, so that six columns fit a wide terminal; --json has them all

File = Annotated[Path, typer.Argument(metavar="FILE.db", help="The file of `inkdigit serve --collect`.")]


@app.command("list")
def list_all(
    file: File,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """List the corrections: number, time, model, its answer, the right label.

    Example: inkdigit corrections list corrections.db
    """
    from inkdigit.data.readers.corrections import read_list
    from inkdigit.types import NO_ANSWER

    with talk.interruptible():
        corrections = read_list(file)
        if as_json:
            for each in corrections:
                talk.say(json.dumps(each.to_json(), ensure_ascii=False))
            return
        if not corrections:
            talk.note(f"{file} has no corrections yet.")
            return
        rows = [
            (str(c.id), *map(_cell, (c.time, c.model, c.answered or NO_ANSWER, f"{c.bytes:,}", c.right)))
            for c in corrections
        ]
        talk.table([("id", "time", "model", "answered", "bytes", "right"), *rows], left=4)


def _cell(text: str) -> str:
    """A text of the file for the table: one line, not too long, without characters that move the cursor."""
    shown = "".join(letter if letter.isprintable() else "\ufffd" for letter in text[: MAX_SHOWN + 1])
    return shown if len(shown) <= MAX_SHOWN else f"{shown[:MAX_SHOWN]}…"


@app.command()
def export(
    file: File,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write; it must be new or empty.")],
) -> None:
    """Write the images as files, with a labels.csv: a SOURCE that can be checked and corrected.

    Example: inkdigit corrections export corrections.db --out corrections
    """
    from inkdigit.data.readers.corrections import NONE, export

    with talk.interruptible():
        labelled, others = export(file, out)
    talk.say(out)
    images = "1 image with its label" if labelled == 1 else f"{labelled:,} images with their labels"
    talk.note(images + (f", and {others:,} without a digit in {NONE}/" if others else ""))
    talk.next_steps(
        ["inkdigit", "data", "check", str(out)],
        ["inkdigit", "adapt", "default", "--data", str(out), "--out", "mine.onnx"],
    )


@app.command()
def delete(
    file: File,
    ids: Annotated[
        list[int] | None, typer.Argument(metavar="ID…", help="The numbers in the first column of `list`.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Delete all corrections.")] = False,
) -> None:
    """Delete corrections, so that nothing of their images stays in the file.

    Example: inkdigit corrections delete corrections.db 3 8
    """
    if bool(ids) == everything:
        raise UsageError("It is not clear which corrections to delete", expected="either their numbers or --all")
    from inkdigit.data.readers.corrections import delete

    with talk.interruptible():
        deleted = delete(file, None if everything else ids, log=talk.note)
    talk.say(f"Deleted {deleted:,} correction{'' if deleted == 1 else 's'} from {file}")
