"""The page of a model on corrupted images, and the same figures as JSON.

In: a `Robustness`. Out: `corruptions.html`, with an image of each kind at each level, and `corruptions.json`.
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
    """Make the folder if it does not exist, and fail before the work if writing the page would fail after it.

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
    """Claim the folder, and let no other process evaluate into it until then: the files would be of two models.

    Raises:
        UsageError: another process does.
        OutputError: the folder cannot be made, or the files in it not written.
        MissingExtra: Jinja is not installed.
    """
    claim(folder)
    with locked(folder, "evaluation"):
        try:
            yield
        finally:
            remove_lock(folder)


def write(folder: Path, robustness: Robustness) -> Path:
    """Write the figures and the page into an existing folder, and return the path of the page.

    Raises:
        OutputError: a file cannot be written.
        MissingExtra: Jinja is not installed; only the figures are written.
    """
    write_atomic(folder / FIGURES, json.dumps(robustness.to_json(), indent=1) + "\n")
    images = {
        row.kind.name: [
            (template.image_uri(before), template.image_uri(after))
            for before, after in zip(row.before, row.after, strict=True)
        ]
        for row in robustness.rows
    }
    write_atomic(
        folder / PAGE, template.render(TEMPLATE, {"robustness": robustness, "images": images, "unseen": UNSEEN})
    )
    return folder / PAGE
