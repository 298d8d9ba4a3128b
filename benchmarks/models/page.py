"""Write `docs/models.md`: the bundled models as their cards describe them, and what `models/measure.py` measured.

In: the model files that ship with the package, `results/models.json` (figures of another file than the one that ships
do not count). Out: the page; with `--check` nothing is written, and the exit code is 1 if it is not what they say.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.accuracy.tables import BARS as ACCURACY_BARS
from benchmarks.common import machine, pages, results
from benchmarks.common.results import Record
from benchmarks.common.tables import MET, NOT_MEASURED, machine_line, row, spread, table
from inkdigit.measure.seeds import format_seeds
from inkdigit.model.card import Card
from inkdigit.model.facts import trained_on
from inkdigit.model.provenance import Provenance
from inkdigit.model.recognizer import DEFAULT, Recognizer, bundled
from inkdigit.report.numbers import byte_count, percent

PAGE = machine.ROOT / "docs" / "models.md"
RESULTS = "models.json"
WHEN = {
    "tiny": "where every kilobyte counts: a page that downloads it, a small device",
    "fast": "many clean digits at once, scanned and cropped; it trains in seconds",
    "general": "when in doubt: photos, forms, drawings; it rejects what is not a digit",
    "best": "clean digits, where a wrong prediction costs more than a millisecond",
}

OVER_FAST = "images/s over `fast`"  # measured in one run


@dataclass(frozen=True, slots=True)
class Model:
    """A bundled model: its file, its card, and its speed, if that was measured with this file."""

    name: str
    size: int  # bytes
    card: Card
    speed: Record | None

    @property
    def seeds(self) -> dict[str, Any] | None:
        """Several trainings of the recipe, if the card has them."""
        return self.card.figures.get("seeds")

    @property
    def rate(self) -> float | None:
        """Images a second, if that was measured."""
        return self.speed["pictures_per_s"]["median"] if self.speed else None

    def barred(self, fast: float | None) -> dict[str, float | None]:
        """The figures that have a bar; None for what is not measured. `fast` is the rate of that model."""
        return {
            "parameters": self.card.parameters,
            "model file": self.size,
            "mean accuracy": self.seeds["mean"] if self.seeds else None,
            "images/s": self.rate,
            OVER_FAST: self.rate / fast if self.rate and fast else None,
        }


SHOWN: dict[str, Callable[[float], str]] = {
    "parameters": "{:,.0f}".format,
    "model file": byte_count,
    "mean accuracy": lambda share: f"{percent(share, 3)} %",
    "images/s": "{:,.0f}".format,
    OVER_FAST: "{:.2f}".format,
}
BARS = (
    ("tiny", "parameters", "≤", ACCURACY_BARS["tiny"].parameters),
    ("tiny", "model file", "≤", ACCURACY_BARS["tiny"].bytes),
    ("tiny", "mean accuracy", "≥", ACCURACY_BARS["tiny"].lower),
    ("best", "mean accuracy", "≥", ACCURACY_BARS["best"].lower),
    ("best", "images/s", "≥", 5000),
    ("tiny", OVER_FAST, "≥", 0.9),
    ("best", OVER_FAST, "≥", 0.5),
)
TOGETHER = 4e6  # bytes


def read_models(folder: Path) -> list[Model]:
    """The bundled models, the smallest first."""
    record = results.read(folder / RESULTS)
    measured = {model["sha256"]: model for model in record["models"]} if record else {}
    models = []
    for name, path in bundled().items():
        data = path.read_bytes()
        speed = measured.get(hashlib.sha256(data).hexdigest())
        models.append(Model(name, len(data), Recognizer.load(path).card, speed))
    return sorted(models, key=lambda model: (model.card.parameters, model.name))


def render(models: Sequence[Model], record: Record | None) -> str:
    """The page."""
    return pages.render(
        "models/page.md.j2",
        {
            "at_a_glance": at_a_glance(models),
            "which": [
                {"name": model.name, "default": model.name == DEFAULT, "when": WHEN[model.name]}
                for model in models
                if model.name in WHEN
            ],
            "int8": " and ".join(f"`{model.name}`" for model in models if model.card.numbers != "float32"),
            "bars": bars(models),
            "speed": speeds(models, record),
            "names": ", ".join(f'"{model.name}"' for model in models),
            "last": models[-1].name,
            "origins": origins(models),
            "commands": commands(models),
            "machine": record and machine_line("Speed", record),
        },
    )


def at_a_glance(models: Sequence[Model]) -> str:
    """Each model in one line."""
    header = ["model", "file", "parameters", "accuracy", "95 % interval", "n", "mean ± sd", "seeds"]
    header += ["images/s", "one image"]
    rows = []
    for model in models:
        figures, speed = model.card.figures, model.speed
        low, high = figures["accuracy_ci95"]
        rows.append(
            row(
                *(f"`{model.name}`", byte_count(model.size), f"{model.card.parameters:,}"),
                *(f"{percent(figures['accuracy'])} %", f"{percent(low)}–{percent(high)}", f"{figures['n']:,}"),
                *_seeds(model),
                f"{speed['pictures_per_s']['median']:,.0f}" if speed else NOT_MEASURED,
                f"{speed['array_p50_ms']['median']:.2f} ms" if speed else NOT_MEASURED,
            )
        )
    return table(header, rows)


def bars(models: Sequence[Model]) -> str:
    """The bars of the bundled models."""
    size = sum(model.size for model in models)
    rows = [row("all", "files together", f"≤ {byte_count(TOGETHER)}", byte_count(size), MET[size <= TOGETHER])]
    fast = next((model.rate for model in models if model.name == "fast"), None)
    known = {model.name: model.barred(fast) for model in models}
    for name, figure, sign, limit in BARS:
        if name in known:
            value, show = known[name][figure], SHOWN[figure]
            holds = value is not None and (value <= limit if sign == "≤" else value >= limit)
            cells = (NOT_MEASURED, "–") if value is None else (show(value), MET[holds])
            rows.append(row(f"`{name}`", figure, f"{sign} {show(limit)}", *cells))
    return table(["model", "figure", "bar", "measured", "met"], rows)


def speeds(models: Sequence[Model], record: Record | None) -> dict[str, Any] | None:
    """What answering costs, with its spread; None where nothing was measured of these files."""
    measured = [model.speed for model in models if model.speed]
    if record is None or not measured:
        return None
    header = ["model", "many at once", "one 28×28 array, p50", "p99", "one PNG, p50", "cold start"]
    rows = [
        row(
            f"`{model.name}`",
            *(NOT_MEASURED for _ in header[1:]) if model.speed is None else _speed(model.speed),
        )
        for model in models
    ]
    counts = {count: f"{measured[0][count]:,}" for count in ("rounds", "batch", "calls")}
    return {"runs": record["runs"], **counts, "table": table(header, rows)}


def _speed(speed: Record) -> tuple[str, ...]:
    return (
        spread(speed["pictures_per_s"], "/s", 0),
        *(spread(speed[figure], "ms", 3) for figure in ("array_p50_ms", "array_p99_ms", "png_p50_ms")),
        spread(speed["cold_start_s"], "s", 3),
    )


def origins(models: Sequence[Model]) -> str:
    """Where each file comes from, by its card."""
    header = ["model", "recipe", "seed", "trained on", "licence of the data", "calibrated on", "made", "commit", "with"]
    rows = []
    for model in models:
        provenance, data = model.card.provenance, model.card.provenance.data
        rows.append(
            row(
                f"`{model.name}`",
                f"[`{model.name}`](recipes.md), `{provenance.recipe_sha256[:12]}`",
                provenance.seed,
                f"{trained_on(provenance)}, SHA-256 `{data.sha256[:12]}…`{_teacher(provenance)}",
                data.licence,
                model.card.calibration.fitted_on,
                provenance.created[:10],
                f"`{(provenance.commit or 'unknown')[:12]}`{_calibrated_by(provenance)}",
                f"torch {provenance.libraries['torch']}, onnxruntime {provenance.libraries['onnxruntime']}",
            )
        )
    return table(header, rows)


def _calibrated_by(provenance: Provenance) -> str:
    if "calibrated_by" not in provenance.extra:
        return ""
    return f"; calibrated again by `{(provenance.extra['calibrated_by'] or 'unknown')[:12]}`"


def _teacher(provenance: Provenance) -> str:
    return "" if provenance.teacher is None else f"; taught by `{provenance.teacher.file}`"


def commands(models: Sequence[Model]) -> str:
    """The commands that make each file."""
    rows = []
    for model in models:
        name, folder, provenance = model.name, f"runs/{model.name}", model.card.provenance
        seeds = f"--seeds {format_seeds(model.seeds['seeds'])}" if model.seeds else f"--seed {provenance.seed}"
        train = [f"inkdigit train {name} {seeds} --out {folder}"]
        make = f"python -m benchmarks.models.bundle {name} {folder}"
        if model.card.numbers != "float32":
            make += " --int8"
            if provenance.data.trained == provenance.data.train:  # its twin held images out
                twin = "--set protocol=select --set validation=10000"
                train.append(f"inkdigit train {name} {twin} --out {folder}-select")
                make += f" --twin {folder}-select"
        make += " --calibrate" * ("calibrated_by" in provenance.extra)
        rows.append(row(f"`{name}`", ", ".join(f"`{command}`" for command in train), f"`{make}`"))
    return table(["model", "trained by", "bundled by"], rows)


def _seeds(model: Model) -> tuple[str, str]:
    if (seeds := model.seeds) is None:
        return NOT_MEASURED, "–"
    return f"{percent(seeds['mean'], 3)} ± {percent(seeds['sd'], 3)} %", str(seeds["n"])


def files(folder: Path, page: Path) -> pages.Files:
    """The page, with what it should hold."""
    return pages.beside(page, render(read_models(folder), results.read(folder / RESULTS)), {})


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page, or check it."""
    return pages.main(__doc__, PAGE, files, script="benchmarks.models.page", argv=argv)


if __name__ == "__main__":
    sys.exit(main())
