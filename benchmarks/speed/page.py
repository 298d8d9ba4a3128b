"""Write `docs/benchmarks.md` and its figures from `benchmarks/results/`: nothing on that page is typed by hand.

In: bench.jsonl, race*.json, whole.json, stages.json, loop.json, answering.json, int8.json, whichever are there; a smoke
run counts as not measured. Out: the page and `docs/benchmarks/*.svg`; with `--check` nothing is written, and the exit
code is 1 if they are not what the results say.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import machine, pages, results
from benchmarks.common.results import Record
from benchmarks.common.tables import machine_line, table
from benchmarks.speed import (
    answering_tables,
    bench,
    bench_plots,
    bench_tables,
    choices,
    choose_tables,
    loop_tables,
    race,
    race_tables,
    stages_tables,
    whole_tables,
)
from inkdigit.training.recipe import bundled

PAGE = machine.ROOT / "docs" / "benchmarks.md"
TITLES = {
    "whole": "Whole commands",
    "stages": "Prediction, stage by stage",
    "loop": "The training loop",
    "answering": "Prediction",
    "int8": "int8",
    "race": "The race to 99 % on a GPU",
    "race-cpu": "The race to 99 % on a processor",
}


def read_bench(folder: Path) -> list[Record]:
    """The lines of `speed/bench.py`; those of a recipe that was changed since do not count."""
    now = bench.identities()
    lines = results.read_lines(folder / bench.LEDGER)
    return [line for line in lines if line["kind"] == "peer" or line["recipe_sha256"] == now.get(line["entrant"])]


def render(folder: Path, *, figures: str = "benchmarks") -> str:
    """The page; `figures` is the folder of its figures beside it."""
    lines, tried = read_bench(folder), results.read_lines(folder / choices.LEDGER)
    records = {name: results.read(folder / f"{name}.json") for name in TITLES}
    sizes = {line["entrant"]: line["parameters"] for line in lines if line["kind"] == "recipe"}
    laid_out = {
        "whole": whole_tables.section,
        "stages": stages_tables.section,
        "loop": loop_tables.section,
        "answering": answering_tables.unbarred,
        "race": race_tables.section,
        "race-cpu": race_tables.section,
        "int8": lambda measured: answering_tables.int8_section(measured, sizes),
    }
    header = ["figure", "bar", "measured", "met", "n", "command"]
    return pages.render(
        "speed/page.md.j2",
        {
            "bars": table(
                header,
                [
                    *bench_tables.bars(lines),
                    *race_tables.bars(records["race"]),
                    *whole_tables.bars(records["whole"]),
                    *answering_tables.bars(records["answering"]),
                ],
            ),
            "training": bench_tables.training(lines, bench_plots.figures(lines, folder=figures), bench.entrants()),
            "gpu": bench_tables.gpu(lines),
            "gpu_command": bench_tables.GPU_COMMAND,
            "race_how": race_tables.how(),
            "race_command": race.COMMANDS["cuda"],
            "choices": choose_tables.section(tried, choices.hashes(), only=("blink", "fast", "minute")),
            **{name.replace("-", "_"): record and laid_out[name](record) for name, record in records.items()},
            "machines": [
                *bench_tables.machines(lines),
                *(machine_line(TITLES[name], measured) for name, measured in records.items() if measured),
            ],
        },
    )


def files(folder: Path, page: Path) -> pages.Files:
    """The page and its figures, each with what it should hold."""
    return pages.beside(page, render(folder, figures=page.stem), bench_plots.draw(read_bench(folder)))


def recipes(folder: Path, at: Path) -> pages.Files:
    """The recipes that have bars, each with its comment at the top."""
    lines = read_bench(folder)
    return pages.headed(at, {name: bench_tables.header(lines, name) for name in bundled() if name in bench_tables.BARS})


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page, or check it."""
    return pages.main(__doc__, PAGE, files, script="benchmarks.speed.page", recipes=recipes, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
