"""Write `docs/accuracy.md` and its figure from `benchmarks/results/`: no measured figure on that page is typed by hand.

In: accuracy.jsonl, bench.jsonl (`fast` and `minute`), choices.jsonl, test-openings.csv, whichever are there; a smoke
run counts as not measured. Out: the page and `docs/accuracy/*.svg`; with `--check` nothing is written, and the exit
code is 1 if they are not what the results say.
"""

from __future__ import annotations

import csv
import sys
from math import sqrt
from operator import itemgetter
from pathlib import Path

from benchmarks.accuracy import curve as accuracy_curve
from benchmarks.accuracy import measure as accuracy
from benchmarks.accuracy.entries import identities
from benchmarks.accuracy.parts import CELLS, FROM_BENCH, Groups, bars, cells, overlap, pairs, part, records
from benchmarks.common import machine, pages
from benchmarks.common.tables import Record, machine_line, row, span, table
from benchmarks.speed import bench_part as bench_page
from benchmarks.speed import choices, page
from benchmarks.speed import choose_part as choose_page
from inkdigit.report.seeds import spell

PAGE = machine.ROOT / "docs" / "accuracy.md"
LOG = "../benchmarks/results/test-openings.csv"  # as the page links to it
CHOSEN = ("tiny", "best", "pictures", "members")
PROTOCOL = """\
MNIST's test part has 10,000 pictures, and people have looked at it for decades. A figure on it means something only if
nothing was chosen by it. So:

1. **Choosing** is done on `protocol = "select"`: of the 60,000 training pictures, some 10,000, or half, are held
   out, by whole writers, so that nobody who is asked about was learnt from. The seed draws which. Candidates are
   compared seed by seed; a `select` run never looks at the test part.
2. **Training** (`protocol = "final"`) then does what the recipe says: so many epochs, fixed beforehand, and the last
   weights. No epoch is picked and no run is thrown away.
3. **The test part is opened once a seed**, by the exported model file, the one that would ship. Each opening is a line
   in a log (below) that is committed.
4. **What is reported** is the mean over seeds ± their standard deviation, and Student's 95 % interval of the mean. Two
   recipes are compared seed by seed on the same pictures; p is exact, by sign flips (Fisher 1935).
5. **What that leaves out** is the luck of the pictures: at 99.75 % on 10,000 pictures one standard error is
   {luck:.2f} points. It falls on all models alike, so differences between them are surer than any of the figures."""
BEFORE = """\
Recipes and ensembles that are made otherwise now, or no more; each was measured as those above, and its commit says how
it was made. So today's `best` and `distilled` are second attempts, and `ensemble` is a third: these here had not
reached what was hoped, on the test part. What took their place was chosen on held-out writers, but that anything did
is owed to those looks."""
OUTSIDE = """\
Other scripts and commands read the test part and are not in it; nothing was chosen by any of them:
`benchmarks/speed/bench.py`, which measures `fast` and `minute` ([benchmarks](benchmarks.md)) and looks between epochs
for its curves; `benchmarks/notebooks/measure.py` and `benchmarks/speed/int8.py`; `inkdigit evaluate`, `inkdigit
benchmark` and `inkdigit export --format onnx-int8`."""


def by_recipe(results: Path) -> dict[tuple[str, str], list[Record]]:
    """The latest line of each seed: name and hash of a recipe, as it is now or was before → one line a seed."""
    seeds: dict[tuple[str, str], dict[int, Record]] = {}
    for line in machine.read_lines(results / accuracy.LEDGER):
        if not line["smoke"]:
            seeds.setdefault((line["name"], line["recipe_sha256"]), {})[line["seed"]] = line
    return {recipe: [lines[seed] for seed in sorted(lines)] for recipe, lines in seeds.items()}


def read(results: Path) -> Groups:
    """What is known of the recipes as they are now; `fast` and `minute` as `speed/bench.py` has them."""
    now = identities()
    benched = bench_page.latest(page.read_bench(results), device="cpu")
    found = {name: lines for (name, sha256), lines in by_recipe(results).items() if sha256 == now.get(name)}
    return {name: benched[name] for name in FROM_BENCH if name in benched} | found


def before(results: Path) -> list[str]:
    """What was measured of recipes and ensembles that are made otherwise now."""
    now = identities()
    rows = []
    for (name, sha256), lines in by_recipe(results).items():
        if sha256 != now.get(name):
            made_of = ", ".join(f"`{member}`" for member in lines[-1].get("members", ())) or "–"
            commits = ", ".join(dict.fromkeys(f"`{line['commit'][:8]}`" for line in lines))
            rows.append(
                row(f"`{name}`", made_of, commits, span(sorted({line["date"][:10] for line in lines})), *cells(lines))
            )
    header = ["", "made of", "commit", "when", *CELLS]
    return ["## What was measured before", BEFORE, table(header, rows)] if rows else []


def chosen(results: Path) -> list[str]:
    """What was tried on held-out writers."""
    lines = machine.read_lines(results / choices.LEDGER)
    told = choose_page.part(lines, choices.hashes(), only=CHOSEN)
    return told or [choose_page.heading(CHOSEN), "Not measured yet. `python -m benchmarks.speed.choose` does it."]


def openings(results: Path) -> list[str]:
    """How often the test part was opened, by which recipes."""
    path = results / accuracy.OPENINGS
    title = "## The log of test openings"
    if not path.exists():
        return [title, "Nothing has been opened yet.", OUTSIDE]
    with path.open(encoding="utf-8", newline="") as file:
        opened = [line for line in csv.DictReader(file) if line["data"] == "mnist"]
    groups: dict[tuple[str, str], list[dict[str, str]]] = {}
    for line in opened:
        groups.setdefault((line["recipe"], line["recipe_sha256"]), []).append(line)
    rows = []
    for (name, sha256), group in sorted(groups.items()):
        days = sorted({line["date"][:10] for line in group})
        seeds = sorted({int(seed) for line in group for seed in line["seed"].split()})
        hashes = " ".join(one[:8] for one in sha256.split())
        rows.append(row(f"`{name}`", hashes, spell(seeds), len(group), span(days)))
    about = (
        f"[{len(opened):,} openings]({LOG}): every training and joining by `benchmarks/accuracy/measure.py`, those of "
        "`general`, and each time that `benchmarks/robustness/adapting.py` adapted it. More than one a seed: trained, "
        "joined or adapted more than once."
    )
    return [title, about, table(["recipe", "its hash", "seeds", "openings", "when"], rows), OUTSIDE]


def machines(groups: Groups) -> list[str]:
    """Where and when what counts now was measured, one line a commit, machine and set of versions."""
    told: dict[tuple[str, ...], list[Record]] = {}
    lines = [line for name, group in groups.items() if name not in FROM_BENCH for line in group]
    for line in sorted(lines, key=itemgetter("date")):
        box = {**line["machine"], "load_before": None}
        told.setdefault((line["commit"], str(box), str(line["versions"]), line["precision"]), []).append(line)
    if not told:
        return []
    said = []
    for (*_, precision), alike in told.items():
        names = dict.fromkeys(f"`{line['name']}`" for line in alike)
        said.append(machine_line(f"{', '.join(names)} ({precision})", *alike))
    return ["## Where and when", "\n".join(said)]


def render(results: Path, *, figures: str = "accuracy") -> str:
    """The whole page; `figures` is the folder of its figure beside it."""
    groups = read(results)
    header = ["figure", "bar", "measured", "met", "going for", "n", "command"]
    parts = [
        "# Accuracy",
        "How good the recipes are on MNIST's test part, and how we know. Written by "
        "`python -m benchmarks.accuracy.page` from what `python -m benchmarks.accuracy.measure` measured. "
        "By hand, one recipe is `inkdigit train tiny --seeds 0-4`.",
        "## The protocol",
        PROTOCOL.format(luck=100 * sqrt(0.9975 * 0.0025 / 10_000)),
        "## Bars",
        table(header, bars(groups)),
        "A bar, or a goal, is neither met nor missed (–) before all its seeds are there. `best` and `ensemble` are no "
        "first attempts: see [what was measured before](#what-was-measured-before).",
        "## Recipes and ensembles",
        *part(groups),
        *records(groups),
        *pairs(groups),
        *overlap(groups),
        *accuracy_curve.part(groups, folder=figures),
        *chosen(results),
        *openings(results),
        *before(results),
        *machines(groups),
    ]
    return "\n\n".join(parts) + "\n"


def files(results: Path, at: Path) -> pages.Files:
    """The page and its figures, each with what it should hold."""
    return pages.beside(at, render(results, figures=at.stem), accuracy_curve.draw(read(results)))


def main() -> int:
    """Write the page, or check it."""
    return pages.main(__doc__, PAGE, files, script="benchmarks.accuracy.page")


if __name__ == "__main__":
    sys.exit(main())
