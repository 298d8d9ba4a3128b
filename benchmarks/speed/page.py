"""Write `docs/benchmarks.md` and its figures from `benchmarks/results/`: nothing on that page is typed by hand.

In: bench.jsonl, stages.json, loop.json, answering.json, int8.json, whichever are there; a smoke run counts as not
measured. Out: the page and `docs/benchmarks/*.svg`; with `--check` nothing is written, and the exit code is 1 if they
are not what the results say.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.common import machine, pages
from benchmarks.common.tables import Record, load, machine_line, table, with_header
from benchmarks.speed import answering_part as answering_page
from benchmarks.speed import bench, bench_plots, choices, stages
from benchmarks.speed import bench_part as bench_page
from benchmarks.speed import choose_part as choose_page
from benchmarks.speed import loop_part as loop_page
from inkdigit.training.recipe import FOLDER, bundled

PAGE = machine.ROOT / "docs" / "benchmarks.md"


def read_bench(results: Path) -> list[Record]:
    """The lines of `speed/bench.py`; those of a recipe that was changed since do not count."""
    now = bench.identities()
    lines = machine.read_lines(results / bench.LEDGER)
    return [line for line in lines if line["kind"] == "peer" or line["recipe_sha256"] == now.get(line["entrant"])]


def render(results: Path, *, figures: str = "benchmarks") -> str:
    """The whole page; `figures` is the folder of its figures beside it."""
    lines = read_bench(results)
    tried = machine.read_lines(results / choices.LEDGER)
    answering, int8 = load(results / "answering.json"), load(results / "int8.json")
    header = ["figure", "bar", "measured", "met", "n", "command"]
    parts = [
        "# Benchmarks",
        "Every figure here is written by `python -m benchmarks.speed.page` from what the scripts in `benchmarks/` "
        "measured; how to run them is said in [benchmarks/README.md](../benchmarks/README.md). `make bench` repeats "
        "them; int8 for the bundled models alone.",
        "## Bars",
        table(header, [*bench_page.bars(lines), *answering_page.bars(answering)]),
        *bench_page.part(lines, bench_plots.pictures(lines, folder=figures), bench.entrants()),
        *bench_page.gpu_part(lines),
        *choose_page.part(tried, choices.hashes(), only=("fast", "minute")),
    ]
    machines = bench_page.machines(lines)
    for what, record, lay_out in (
        ("Answering, stage by stage", load(results / "stages.json"), stages.part),
        ("The training loop", load(results / "loop.json"), loop_page.part),
        ("Answering", answering, answering_page.part),
        ("int8", int8, answering_page.int8_part),
    ):
        if record is not None:
            parts += lay_out(record)
            machines.append(machine_line(what, record))
    parts += ["## How it was measured", bench_page.HOW, answering_page.HOW]
    if machines:
        parts += ["## Where and when", "\n".join(machines)]
    return "\n\n".join(parts) + "\n"


def files(results: Path, page: Path) -> pages.Files:
    """The page and its figures, each with what it should hold."""
    return pages.beside(page, render(results, figures=page.stem), bench_plots.draw(read_bench(results)))


def recipe_files(results: Path, folder: Path) -> pages.Files:
    """The recipes that have bars, each with what is said at its top."""
    lines = read_bench(results)
    paths = {name: folder / f"{name}.toml" for name in bundled() if name in bench_page.BARS}
    return {
        path: with_header(path.read_text(encoding="utf-8"), bench_page.header(lines, name)).encode()
        for name, path in paths.items()
    }


def main() -> int:
    """Write the page, or check it."""
    options = pages.options(__doc__, PAGE)
    options.add_argument("--recipes", type=Path, default=FOLDER, help="where fast.toml and minute.toml are")
    asked = options.parse_args()

    wanted = files(asked.results, asked.page) | recipe_files(asked.results, asked.recipes)
    return pages.keep(wanted, check=asked.check, page=asked.page.name, script="benchmarks.speed.page")


if __name__ == "__main__":
    sys.exit(main())
