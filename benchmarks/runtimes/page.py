"""Write the figures of `docs/runtimes.md`: its table of differences, and its picture of the formats.

In: `results/runtimes.json` (figures of another file than the one that ships do not count). Out: the part of the page
between two comments, and two SVG files; the rest of the page is written by hand. With `--check` nothing is written, and
the exit code is 1 if they are not what was measured.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import machine, pages, results
from benchmarks.common.results import Record
from benchmarks.common.tables import NOT_MEASURED, machine_line, row, table
from benchmarks.runtimes.measure import RESULTS
from benchmarks.runtimes.picture import draw
from inkdigit.errors import MalformedFile
from inkdigit.model.recognizer import bundled
from inkdigit.report.canvas import DARK, LIGHT
from inkdigit.report.numbers import byte_count

PAGE = machine.ROOT / "docs" / "runtimes.md"
BEGIN = "<!-- measured by benchmarks/runtimes: python -m benchmarks.runtimes.page -->\n"
END = "<!-- end -->"
ABOUT = """\
The largest difference from the model file over {images:,} drawn digits, for each output; of the score, which has no
bound, relative where it is above 1. *Other labels* is how many of the images another class is likeliest for. A file is
refused above 0.0001, or 0.05 if its model has 8-bit integers, as `best` has: they become the floats that they stand
for.
"""


def measured(record: Record | None) -> str:
    """The part of the page that was measured."""
    if record is None:
        return "Not measured: `python -m benchmarks.runtimes.measure`.\n"
    header = ["model", "format", "size", "probs", "score", "outliers", "other labels"]
    ships = {name for name, path in bundled().items() if _sha256(path) == record["files"].get(name)}
    rows = []
    for entry in record["formats"]:
        if entry["model"] not in ships:
            continue
        cells = [_small(entry["differences"].get(name)) for name in ("probs", "score", "outliers")]
        rows.append(
            row(
                f"`{entry['model']}`", f"`{entry['format']}`", byte_count(entry["bytes"]), *cells, entry["other_labels"]
            )
        )
    rows += [row(f"`{name}`", NOT_MEASURED, *["–"] * 5) for name in bundled() if name not in ships]
    about = ABOUT.format(images=record["images"])
    return f"{about}\n{table(header, rows)}\n\n{machine_line('Measured', record)}\n"


def _small(difference: float | None) -> str:
    if difference is None:
        return "–"
    return "0" if difference == 0 else f"{difference:.1e}"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def files(folder: Path, page: Path) -> pages.Files:
    """The page with its figures, and its picture in the colours of both themes.

    Raises:
        MalformedFile: the page has lost the two comments.
    """
    text = page.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise MalformedFile(page, "the place of the figures is not marked", expected=f"{BEGIN.strip()} and {END}")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    part = measured(results.read(folder / RESULTS))
    pictures = {f"formats-{theme.name}.svg": draw(theme) for theme in (LIGHT, DARK)}
    return pages.beside(page, f"{before}{BEGIN}\n{part}\n{END}{after}", pictures)


def main(argv: Sequence[str] | None = None) -> int:
    """Write the figures, or check them."""
    return pages.main(__doc__, PAGE, files, script="benchmarks.runtimes.page", argv=argv)


if __name__ == "__main__":
    sys.exit(main())
