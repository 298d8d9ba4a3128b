"""What `predict` and `read` share: the images that their arguments name, and how an answer is printed.

In: paths, patterns of paths, or `-`; numbers and cells. Out: what is read, or the error of a folder; texts.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from inkdigit.cli import talk
from inkdigit.errors import PictureError

STDIN = Path("-")  # one image from stdin
MAX_BYTES = 64 * 2**20  # of it, as of a file
MAX_COUNTED = 10_000  # images of sub-folders that are counted, only to say how many are left out
Entry = tuple[Path, Path | bytes | PictureError]  # the name that is printed; what is read, or the error of a folder
Recursive = Annotated[bool, typer.Option("--recursive", help="Also read the images in sub-folders.")]
Server = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Ask a running `inkdigit serve`, which answers with its own model."),
]
Token = Annotated[str | None, typer.Option(envvar="INKDIGIT_TOKEN", help="The access token of the server.")]
PICTURES_HELP = "Image files, folders of them, patterns as '*.png', or - for one image from stdin."


def entries_of(pictures: Iterable[Path], *, recursive: bool = False) -> list[Entry]:
    """The files, and the images of the folders; a folder without images is an error."""
    return [entry for picture in pictures for entry in _expand(picture, recursive=recursive)]


def named(entries: Iterable[Entry], answers: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The answers of a server, each with the name of its file that is printed."""
    return ({**answer, "file": str(file)} for (file, _), answer in zip(entries, answers, strict=True))


def _expand(picture: Path, *, recursive: bool) -> list[Entry]:
    from inkdigit.picture import folder

    if picture == STDIN:
        return [(STDIN, sys.stdin.buffer.read(MAX_BYTES + 1))]
    found: list[Entry] = []
    try:
        for path in folder.matches(picture):
            found += [(file, file) for file in folder.expand(path, recursive=recursive)]
    except PictureError as exc:
        found.append((picture, exc))
    return found


def say_left_out(pictures: Iterable[Path]) -> None:
    """Say how many images in the sub-folders of the folders were left out."""
    from inkdigit.picture import folder

    for path in pictures:
        left_out = sum(1 for _ in islice(folder.below(path), MAX_COUNTED))  # 0 of a file
        if left_out:
            more = " or more" if left_out == MAX_COUNTED else ""
            images = f"image{'' if left_out == 1 else 's'} in the sub-folders"
            talk.note(f"Left out: {left_out:,}{more} {images} of {path}. --recursive reads them too.")


def percent(confidence: float) -> str:
    """`Prediction.sureness` of a confidence of six places, where 1 does not mean certainty."""
    return f"{min(round(confidence * 1_000_000) // 100, 9_999) / 100:.2f} %"


def six_places(share: float | None) -> str | None:
    """A confidence as it stands in CSV."""
    return None if share is None else f"{share:.6f}"


def csv_line(cells: Iterable[Any]) -> str:
    """One line of CSV, without its end."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(["" if cell is None else str(cell) for cell in cells])
    return text.getvalue()
