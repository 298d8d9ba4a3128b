"""What `predict` and `read` share: the images that their arguments name, and how an answer is printed.

In: paths; numbers and cells. Out: the files with the errors of folders; texts.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from inkdigit.errors import PictureError

Entry = tuple[Path, PictureError | None]  # a file; or a folder that cannot be read, and its error


def entries_of(pictures: Iterable[Path]) -> list[Entry]:
    """The files, and the images of the folders; a folder without images is an error."""
    return [entry for picture in pictures for entry in _expand(picture)]


def _expand(path: Path) -> list[Entry]:
    from inkdigit.picture import folder

    try:
        return [(file, None) for file in folder.expand(path)]
    except PictureError as exc:
        return [(path, exc)]


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
