"""Write `docs/accuracy.md` and its figure from `benchmarks/results/`: no measured figure on that page is typed by hand.

In: accuracy.jsonl, bench.jsonl (`blink`, `fast`, `minute`), choices.jsonl, test-openings.csv, whichever are there; a
smoke run counts as not measured. Out: the page and `docs/accuracy/*.svg`; with `--check` nothing is written, and the
exit code is 1 if they are not what the results say.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from math import sqrt
from operator import itemgetter
from pathlib import Path
from typing import Any

from benchmarks.accuracy import curve, tables
from benchmarks.accuracy import measure as accuracy
from benchmarks.accuracy.entries import identities
from benchmarks.accuracy.tables import CELLS, FROM_BENCH, Groups, cells
from benchmarks.common import machine, pages, results
from benchmarks.common.results import Record
from benchmarks.common.runs import OPENINGS
from benchmarks.common.tables import machine_line, row, span, table
from benchmarks.speed import bench_tables, choices, choose_tables
from benchmarks.speed import page as speed
from inkdigit.measure.seeds import format_seeds

PAGE = machine.ROOT / "docs" / "accuracy.md"
DEPTHWISE = ("tiny-depthwise", "tiny-depthwise-half", "best-depthwise", "best-depthwise-half", "best-5x5-half")
IMAGES = ("pictures", "best-quarter", "best-images-half")
CHOSEN = ("micro", "tiny", "best", *DEPTHWISE, *IMAGES, "members", "ensemble-half")


def by_recipe(folder: Path) -> dict[tuple[str, str], list[Record]]:
    """The latest line of each seed: name and hash of a recipe, as it is now or was before → one line a seed."""
    lines = results.latest(
        results.read_lines(folder / accuracy.LEDGER), lambda line: (line["name"], line["recipe_sha256"], line["seed"])
    )
    recipes: dict[tuple[str, str], list[Record]] = {}
    for (name, sha256, _), line in lines.items():
        recipes.setdefault((name, sha256), []).append(line)
    return {recipe: sorted(group, key=itemgetter("seed")) for recipe, group in recipes.items()}


def read(folder: Path) -> Groups:
    """What is known of the recipes as they are now; `blink`, `fast` and `minute` as `speed/bench.py` has them."""
    now = identities()
    benched = bench_tables.latest(speed.read_bench(folder), device="cpu")
    measured = {name: lines for (name, sha256), lines in by_recipe(folder).items() if sha256 == now.get(name)}
    return {name: benched[name] for name in FROM_BENCH if name in benched} | measured


def before(folder: Path) -> dict[str, str] | None:
    """What was measured of recipes and ensembles that are made otherwise now, and how those of now differ."""
    now, measured = identities(), by_recipe(folder)
    rows, differences = [], []
    for (name, sha256), lines in measured.items():
        if sha256 != now.get(name):
            made_of = ", ".join(f"`{member}`" for member in lines[-1].get("members", ())) or "–"
            commits = ", ".join(dict.fromkeys(f"`{line['commit'][:8]}`" for line in lines))
            days = span(sorted({line["date"][:10] for line in lines}))
            rows.append(row(f"`{name}`", made_of, commits, days, *cells(lines)))
            differences.append(tables.replaced(measured.get((name, now.get(name, "")), []), lines))
    if not rows:
        return None
    losses = [cell for what in tables.LOSSES.values() for cell in (f"{what}, before → now", "p")]
    return {
        "table": table(["network", "made of", "commit", "when", *CELLS], rows),
        "differences": table(["difference", *tables.POINTS, *losses, "n"], [line for line in differences if line]),
    }


def openings(folder: Path) -> dict[str, Any] | None:
    """How often the test split was opened, by which recipes; None without a log."""
    path = folder / OPENINGS
    if not path.exists():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        opened = [line for line in csv.DictReader(file) if line["data"] == "mnist"]
    groups: dict[tuple[str, str], list[dict[str, str]]] = {}
    for line in opened:
        groups.setdefault((line["recipe"], line["recipe_sha256"]), []).append(line)
    rows = []
    for (name, sha256), group in sorted(groups.items()):
        days = sorted({line["date"][:10] for line in group})
        seeds = sorted({int(seed) for line in group for seed in line["seed"].split()})
        hashes = " ".join(digest[:8] for digest in sha256.split())
        rows.append(row(f"`{name}`", hashes, format_seeds(seeds), len(group), span(days)))
    return {"n": f"{len(opened):,}", "table": table(["recipe", "its hash", "seeds", "openings", "when"], rows)}


def machines(groups: Groups) -> list[str]:
    """Where and when what counts now was measured, one line a commit, machine and set of versions."""
    alike: dict[tuple[str, ...], list[Record]] = {}
    lines = [line for name, group in groups.items() if name not in FROM_BENCH for line in group]
    for line in sorted(lines, key=itemgetter("date")):
        box = {**line["machine"], "load_before": None}
        alike.setdefault((line["commit"], str(box), str(line["versions"]), line["precision"]), []).append(line)
    sentences = []
    for (*_, precision), group in alike.items():
        names = dict.fromkeys(f"`{line['name']}`" for line in group)
        sentences.append(machine_line(f"{', '.join(names)} ({precision})", *group))
    return sentences


def render(folder: Path, *, figures: str = "accuracy") -> str:
    """The page; `figures` is the folder of its figure beside it."""
    groups = read(folder)
    header = ["figure", "bar", "measured", "met", "going for", "n", "command"]
    tried = results.read_lines(folder / choices.LEDGER)
    return pages.render(
        "accuracy/page.md.j2",
        {
            "standard_error": f"{100 * sqrt(0.9975 * 0.0025 / 10_000):.2f}",
            "bars": table(header, tables.bars(groups)),
            "recipes": tables.recipes(groups),
            "records": tables.records(groups),
            "pairs": tables.pairs(groups),
            "overlap": tables.overlap(groups),
            "curve": curve.section(groups, folder=figures),
            "choices": choose_tables.section(tried, choices.hashes(), only=CHOSEN),
            "choices_heading": choose_tables.heading(CHOSEN),
            "openings": openings(folder),
            "before": before(folder),
            "machines": machines(groups),
        },
    )


def files(folder: Path, page: Path) -> pages.Files:
    """The page and its figures, each with what it should hold."""
    return pages.beside(page, render(folder, figures=page.stem), curve.draw(read(folder)))


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page, or check it."""
    return pages.main(__doc__, PAGE, files, script="benchmarks.accuracy.page", argv=argv)


if __name__ == "__main__":
    sys.exit(main())
