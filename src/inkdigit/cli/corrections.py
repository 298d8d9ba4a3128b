"""`inkdigit corrections list`, `export` and `delete`: what people said to `inkdigit serve --collect`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from inkdigit.cli import talk
from inkdigit.errors import UsageError

app = typer.Typer(
    help="Look through the corrections that people sent, take them out, or delete them.", no_args_is_help=True
)

MAX_SHOWN = 60  # characters of a cell of the table; --json has them all

File = Annotated[Path, typer.Argument(metavar="FILE.db", help="The file that inkdigit serve --collect wrote.")]


@app.command("list")
def list_all(
    file: File,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List the corrections: number, time, model, what it answered, what is right.

    Example: inkdigit corrections list corrections.db
    """
    from inkdigit.data.readers.corrections import read_list
    from inkdigit.types import NO_ANSWER

    with talk.interruptible():
        found = read_list(file)
        if as_json:
            for one in found:
                talk.say(json.dumps(one.to_json(), ensure_ascii=False))
            return
        if not found:
            talk.note(f"{file} holds no corrections yet.")
            return
        rows = [
            (str(one.id), *map(_cell, (one.time, one.model, one.answered or NO_ANSWER, f"{one.bytes:,}", one.right)))
            for one in found
        ]
        talk.table([("id", "time", "model", "answered", "bytes", "right"), *rows], left=4)


def _cell(text: str) -> str:
    """A text of the file as it fits into a table: on one line, not too long, and with nothing that moves the cursor."""
    shown = "".join(letter if letter.isprintable() else "\ufffd" for letter in text[: MAX_SHOWN + 1])
    return shown if len(shown) <= MAX_SHOWN else f"{shown[:MAX_SHOWN]}…"


@app.command()
def export(
    file: File,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write: a new one, or an empty one.")],
) -> None:
    """Write the pictures as files, with a labels.csv: a SOURCE that can be looked through and mended.

    Example: inkdigit corrections export corrections.db --out corrections
    """
    from inkdigit.data.readers.corrections import NONE, export

    with talk.interruptible():
        labelled, others = export(file, out)
    talk.say(out)
    pictures = "1 picture with its label" if labelled == 1 else f"{labelled:,} pictures with their labels"
    talk.note(pictures + (f", and {others:,} of no digit in {NONE}/" if others else ""))
    talk.next_steps(
        ["inkdigit", "data", "check", str(out)],
        ["inkdigit", "adapt", "default", "--data", str(out), "--out", "mine.onnx"],
    )


@app.command()
def delete(
    file: File,
    ids: Annotated[list[int] | None, typer.Argument(metavar="ID…", help="The numbers that `list` shows.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Delete them all.")] = False,
) -> None:
    """Delete corrections so that nothing of their pictures stays in the file.

    Example: inkdigit corrections delete corrections.db 3 8
    """
    if bool(ids) == everything:
        raise UsageError("Which corrections are to be deleted?", expected="either their numbers or --all")
    from inkdigit.data.readers.corrections import delete

    with talk.interruptible():
        deleted = delete(file, None if everything else ids, log=talk.note)
    talk.say(f"Deleted {deleted:,} correction{'' if deleted == 1 else 's'} from {file}")
