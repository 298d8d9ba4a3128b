"""Pages that scripts write from results, and how they are kept what the results say.

In: paths, and what they should hold. Out: the files written, or with `--check` only named; an exit code.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.common import machine
from inkdigit.files import write_atomic

Files = dict[Path, bytes]  # what each should hold


def options(about: str | None, page: Path) -> argparse.ArgumentParser:
    """The options of a script that writes `page`."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the page is stale")
    parser.add_argument("--results", type=Path, default=machine.RESULTS)
    parser.add_argument("--page", type=Path, default=page)
    return parser


def main(about: str | None, page: Path, files: Callable[[Path, Path], Files], *, script: str) -> int:
    """Write a page, or check it; `files` makes it and its figures from the folder of results and its own path."""
    asked = options(about, page).parse_args()
    return keep(files(asked.results, asked.page), check=asked.check, page=asked.page.name, script=script)


def beside(page: Path, text: str, figures: Mapping[str, bytes]) -> Files:
    """A page, and its figures in the folder of its name."""
    return {page: text.encode(), **{page.with_suffix("") / name: data for name, data in figures.items()}}


def keep(wanted: Files, *, check: bool, page: str, script: str) -> int:
    """Write the files that are not as they should be, or only name them; the exit code of the script."""
    stale = [path for path, data in wanted.items() if not path.exists() or path.read_bytes() != data]
    if not stale:
        print(f"{page}: up to date")
        return 0
    names = ", ".join(path.name for path in stale)
    if check:
        print(f"{names}: stale; write it with: python -m {script}")
        return 1
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, wanted[path])
    print(f"{names}: written")
    return 0
