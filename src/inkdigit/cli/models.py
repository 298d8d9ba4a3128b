"""`inkdigit models`: the bundled models, with the figures on their cards and their speed on this machine."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inkdigit.cli import talk
from inkdigit.report import numbers

if TYPE_CHECKING:
    from inkdigit.measure.speed import Throughput
    from inkdigit.model.recognizer import Recognizer
    from inkdigit.reading.reader import Reader

ROWS = (
    "",
    "",
    "File",
    "Parameters",
    "Accuracy",
    "  95 % interval",
    "  measured on",
    "  images",
    "Mean ± sd, %",
    "  seeds",
    "Images/s here",
    "Trained on",
    "  licence",
)
NOTHING = "–"


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List the bundled models: size, accuracy, images per second on this machine, training data and its licence.

    Example: inkdigit models
    """
    with talk.interruptible():
        from inkdigit.measure.speed import describe_machine, glance
        from inkdigit.model.recognizer import DEFAULT, Recognizer, bundled, readers
        from inkdigit.reading.reader import Reader

        machine, paths = describe_machine(), bundled()
        if machine.busy:
            talk.note(f"The machine is busy (load {machine.load_before:.1f}): it could answer more images per second.")
        recognizers = [Recognizer.load(path) for path in paths.values()]
        speeds = glance(recognizers)
        lines = [Reader.load(path) for path in readers().values()]
    if as_json:
        listed = [_to_json(*model) for model in zip(paths, recognizers, speeds, strict=True)]
        of_lines = [_about(name, reader) for name, reader in zip(readers(), lines, strict=True)]
        content = {"default": DEFAULT, "machine": asdict(machine), "models": listed, "readers": of_lines}
        talk.say(json.dumps(content, ensure_ascii=False))
        return
    marks = ["default" if name == DEFAULT else "" for name in paths]
    columns = [_cells(*model) for model in zip(paths, marks, recognizers, speeds, strict=True)]
    talk.table([(*row, "") for row in zip(ROWS, *columns, strict=True)], left=1)
    for name, reader in zip(readers(), lines, strict=True):
        size = f"{reader.path.stat().st_size / 1000:,.0f} kB, {reader.card.parameters:,} parameters"
        talk.say(f"{name}: reads whole numbers with inkdigit read ({size})")
    talk.next_steps(["inkdigit", "info", DEFAULT], ["inkdigit", "benchmark"])


def _to_json(name: str, recognizer: Recognizer, speed: Throughput) -> dict[str, Any]:
    """One model as JSON types, not rounded; `figures` and `data` are those of its card."""
    return {**_about(name, recognizer), "figures": recognizer.card.figures, "throughput": asdict(speed)}


def _about(name: str, model: Recognizer | Reader) -> dict[str, Any]:
    """What a model for single digits and a line reader both have."""
    card = model.card
    return {
        "name": name,
        "bytes": model.path.stat().st_size,
        "numbers": card.numbers,
        "parameters": card.parameters,
        "data": None if card.provenance.data is None else card.provenance.data.to_json(),
    }


def _cells(name: str, mark: str, recognizer: Recognizer, speed: Throughput) -> tuple[str, ...]:
    """One model, one cell for each of `ROWS`."""
    from inkdigit.model.provenance import Data

    card = recognizer.card
    data = card.provenance.data or Data()
    integers = "" if card.numbers == "float32" else f", {card.numbers}"
    return (
        name,
        mark,
        f"{recognizer.path.stat().st_size / 1000:,.0f} kB{integers}",
        f"{card.parameters:,}",
        *_measured(card.figures),
        *_seeds(card.figures.get("seeds")),
        f"{speed.pictures_per_s:,.0f}",
        data.name or NOTHING,
        data.licence or "unknown",
    )


def _measured(figures: dict[str, Any]) -> tuple[str, ...]:
    if not figures:
        return ("not measured", NOTHING, NOTHING, NOTHING)
    return (
        talk.percent(figures["accuracy"]),
        numbers.percent_range(figures["accuracy_ci95"]),
        f"{figures['data']} ({figures['part']})",
        f"{figures['n']:,}",
    )


def _seeds(seeds: dict[str, Any] | None) -> tuple[str, str]:
    if seeds is None:
        return NOTHING, NOTHING
    return numbers.mean_sd(seeds["mean"], seeds["sd"]), str(seeds["n"])
