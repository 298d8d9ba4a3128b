"""The page of a model on corrupted pictures, and the same figures as JSON.

In: a `Robustness`. Out: `corruptions.html`, a picture of each kind at each level on it, and `corruptions.json`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inkdigit.files import locked, remove_lock, write_atomic, writing
from inkdigit.measure.robustness import UNSEEN, Robustness
from inkdigit.report import template
from inkdigit.runs import check_place

TEMPLATE = "robustness.html.j2"
PAGE, FIGURES = "corruptions.html", "corruptions.json"


def claim(folder: Path) -> None:
    """Make the folder where it is not there, and fail before the work where writing the page would fail after it.

    Raises:
        OutputError: the folder cannot be made, or the files in it not written.
        MissingExtra: Jinja is not installed.
    """
    template.require_jinja()
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for name in (PAGE, FIGURES):
        check_place(folder / name)


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Claim the folder, and let nobody else evaluate into it meanwhile: figures and page would be of two models.

    Raises:
        UsageError: somebody does.
        OutputError: the folder cannot be made, or the files in it not written.
        MissingExtra: Jinja is not installed.
    """
    claim(folder)
    with locked(folder, "evaluation"):
        try:
            yield
        finally:
            remove_lock(folder)


def write(folder: Path, found: Robustness) -> Path:
    """Write the figures and the page into a folder that is there, and return the path of the page.

    Raises:
        OutputError: a file cannot be written.
        MissingExtra: Jinja is not installed; the figures are written then.
    """
    write_atomic(folder / FIGURES, json.dumps(found.to_json(), indent=1) + "\n")
    pictures = {
        row.kind.name: [
            (template.picture_uri(before), template.picture_uri(after))
            for before, after in zip(row.before, row.after, strict=True)
        ]
        for row in found.rows
    }
    write_atomic(folder / PAGE, template.render(TEMPLATE, {"found": found, "pictures": pictures, "unseen": UNSEEN}))
    return folder / PAGE
