"""`inkdigit benchmark`: the cost of answering on this machine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from inkdigit.cli import talk
from inkdigit.report.numbers import percent_range, plural

if TYPE_CHECKING:
    from inkdigit.measure.speed import Benchmark, ModelSpeed

ROWS = (
    "",
    "File",
    "Parameters",
    "Threads",
    "Accuracy, MNIST (test)",
    "  95 % interval",
    "Cold start",
    "  Python and libraries",
    "  peak memory",
    "One 28×28 array, p50",
    "  p99",
    "One 28×28 PNG, p50",
    "  p99",
    "Many at once, median",
    "  best round",
)
LEFT = max(map(len, ROWS))
NARROWEST, WIDEST = 11, 18  # characters of a model's column: four models fit into 80, and most names are complete
NOTHING = "–"


def benchmark(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL…]", help="Bundled models, run directories or .onnx files; without any, all bundled."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure the cost of answering on this machine: cold start, one image, many images, accuracy on MNIST.

    Example: inkdigit benchmark fast
    """
    with talk.interruptible():
        from inkdigit.measure.speed import benchmark as measure

        measured = measure(models or (), log=talk.note)
    if as_json:
        talk.say(json.dumps(measured.to_json(), ensure_ascii=False))
        return
    print_tables(measured)
    talk.next_steps(["inkdigit", "benchmark", *(models or ()), "--json"])


def print_tables(measured: Benchmark) -> None:
    """Print the machine, and the figures of the models in tables as wide as the terminal."""
    machine = measured.machine
    talk.say(f"{machine.processor} · {plural(machine.cores, 'core')} to use")
    talk.say(f"{machine.system} · Python {machine.python} · ONNX Runtime {machine.onnxruntime}")
    for table in _tables([_cells(speed) for speed in measured.models]):
        talk.say()
        for line in table:
            talk.say(line)


def _tables(columns: Sequence[Sequence[str]]) -> Iterator[list[str]]:
    """The lines of each table, with as many models side by side as the terminal is wide."""
    width = max(NARROWEST, *(len(cell) for column in columns for cell in column))
    side_by_side = max(1, (shutil.get_terminal_size().columns - LEFT) // (2 + width))
    for begin in range(0, len(columns), side_by_side):
        rows = zip(ROWS, *columns[begin : begin + side_by_side], strict=True)
        yield ["  ".join([label.ljust(LEFT), *(cell.rjust(width) for cell in cells)]) for label, *cells in rows]


def _cells(speed: ModelSpeed) -> tuple[str, ...]:
    """The figures of one model, one cell for each of `ROWS`."""
    start, measured = speed.cold_start, speed.accuracy
    return (
        speed.model if len(speed.model) <= WIDEST else f"…{speed.model[1 - WIDEST :]}",
        f"{speed.file_kb:,.0f} kB",
        f"{speed.parameters:,}",
        str(speed.threads),
        talk.percent(measured.accuracy) if measured else NOTHING,
        percent_range(measured.accuracy_ci95) if measured else NOTHING,
        f"{start.cold_start_s:.3f} s",
        f"{start.libraries_s:.3f} s",
        NOTHING if start.peak_mb is None else f"{start.peak_mb:.0f} MB",
        f"{speed.array.p50_ms:.3f} ms",
        f"{speed.array.p99_ms:.3f} ms",
        f"{speed.png.p50_ms:.3f} ms",
        f"{speed.png.p99_ms:.3f} ms",
        f"{speed.batch.pictures_per_s:,.0f}/s",
        f"{speed.batch.best_pictures_per_s:,.0f}/s",
    )
