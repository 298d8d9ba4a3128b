"""What each hand-set number of the photo path is worth: how results change with 80 % and with 120 % of it.

In: a model and the data in INKDIGIT_DATA. Out: a table, and with `--as` a line of `results/ink.jsonl`. The numbers are
the constants of `inkdigit.picture.photo` that are whole or decimal numbers, but for the names of the network's classes
and what the network's file decides (`FIXED`). Measured on the development cases, on some drawn tight cuts, and on drawn
empty cells.
"""

from __future__ import annotations

import ast
import os
import pkgutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.robustness import cases, cells, tight
from benchmarks.robustness.outcomes import NOTHING, Asked, Counts, ask, count, parser, store
from inkdigit.model.recognizer import Recognizer
from inkdigit.picture import photo
from inkdigit.picture.decode import decode

FACTORS = (0.8, 1.2)
FOLDERS = ("photos/single", "cases/single", "cases/strings", "photos/strings")
SHEETS, QUICK_SHEETS = 20, 4
CELLS, QUICK_CELLS = 100, 10  # of each size
CUTS = (0.25, 0.0, -0.03)  # margins of the tight cuts, in shares of the height
FIXED = {"VERSION", "PAPER", "RULING", "NUMBER", "OTHER", "STEP_PX"}  # no choice: another file has others


def modules() -> list[ModuleType]:
    """The modules of the photo path."""
    return [import_module(f"{photo.__name__}.{found.name}") for found in pkgutil.iter_modules(photo.__path__)]


def constants(searched: Sequence[ModuleType]) -> dict[str, float]:
    """The hand-set numbers by module and name; a name that a module imports is listed where it is set."""
    known = {}
    for module in searched:
        targets = [target for node in _tree(module).body if isinstance(node, ast.Assign) for target in node.targets]
        names = [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
        for name in names:
            value = getattr(module, name)
            if name.isupper() and name not in FIXED and type(value) in (int, float):
                known[f"{module.__name__}.{name}"] = value
    return known


@contextmanager
def changed(searched: Sequence[ModuleType], name: str, value: float) -> Iterator[None]:
    """Set a number in its module and in those that import it; afterwards all is as before."""
    home, _, constant = name.rpartition(".")
    holders = [module for module in searched if module.__name__ == home or constant in _imports(module, home)]
    before = getattr(holders[0], constant)
    try:
        for module in holders:
            setattr(module, constant, value)
        yield
    finally:
        for module in holders:
            setattr(module, constant, before)


def _tree(module: ModuleType) -> ast.Module:
    return ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))


def _imports(module: ModuleType, home: str) -> set[str]:
    """The names that a module imports from another one."""
    froms = [node for node in _tree(module).body if isinstance(node, ast.ImportFrom) and node.module == home]
    return {alias.name for node in froms for alias in node.names}


def material(data: Path, *, quick: bool) -> dict[str, list[Asked]]:
    """The images of each set, decoded once."""
    known = {folder: cases.read(data, folder) for folder in FOLDERS}
    known["cases/single"] = [one for one in known["cases/single"] if not one.name.endswith(cases.LYING)]
    decoded = {
        name: [Asked(decode(one.picture), one.expected, one.name) for one in asked] for name, asked in known.items()
    }
    digits = [*tight.drawn_sheets(QUICK_SHEETS if quick else SHEETS)]
    cuts = {f"tight {margin:+.0%}": [Asked(tight.cut(one, margin), one.label) for one in digits] for margin in CUTS}
    empty = [one for one in cells.drawn(QUICK_CELLS if quick else CELLS) if one.expected == NOTHING]
    return {**decoded, **cuts, "empty cells": empty}


def measure(model: Recognizer, data: Path, *, quick: bool) -> dict[str, Any]:
    """Counts with all numbers as they are, and with one of them changed at a time."""
    known = material(data, quick=quick)

    def counts() -> dict[str, Counts]:
        return {name: count(ask(model, asked)) for name, asked in known.items()}

    searched = modules()
    as_is = counts()
    print(f"{'':44}{' '.join(f'{name:>14}' for name in known)}   right/wrong")
    print(_line("as it is", as_is, None))
    lines = []
    for name, value in constants(searched).items():
        for factor in FACTORS[:1] if quick else FACTORS:
            tried = value * factor if isinstance(value, float) else round(value * factor)
            if tried == value:
                continue
            with changed(searched, name, tried):
                figures = counts()
            lines.append({"name": name, "value": value, "tried": tried, "factor": factor, "sets": figures})
            print(_line(f"{name.removeprefix(photo.__name__ + '.')} {value:g} → {tried:g}", figures, as_is), flush=True)
    return {"as_is": as_is, "changed": lines}


def _line(title: str, figures: Mapping[str, Counts], against: Mapping[str, Counts] | None) -> str:
    """Right and wrong of each set; with `against`, by how many they differ."""
    cells = []
    for name, counts in figures.items():
        right, wrong = counts["right"], counts["wrong"]
        if against is None:
            cells.append(f"{right}/{wrong}")
        else:
            differences = right - against[name]["right"], wrong - against[name]["wrong"]
            cells.append("{:+d}/{:+d}".format(*differences) if any(differences) else ".")
    return f"{title:44}{' '.join(f'{cell:>14}' for cell in cells)}"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and store the results."""
    options = parser(__doc__, images=False).parse_args(argv)
    model, began = Recognizer.load(options.model), time.perf_counter()
    figures = measure(model, Path(os.environ["INKDIGIT_DATA"]), quick=options.quick)
    store(options, "sweep", figures, began=began)
    return 0


if __name__ == "__main__":
    sys.exit(main())
