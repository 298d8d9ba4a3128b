"""The parts of `docs/benchmarks.md` about prediction: complete processes, preprocessing, int8 files.

In: what `speed/answering.py` and `speed/int8.py` wrote. Out: rows, tables, and the figures that the template quotes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.common.results import Record
from benchmarks.common.tables import MET, NOT_MEASURED, row, spread, table
from inkdigit.report.numbers import signed

# The processes that have a bar: key, figure, field, unit, bar.
BARRED = (
    ("predict_clean", "cold `predict`, clean 28×28 PNG", "wall_s", "s", 0.30),
    ("predict_clean", "… its peak memory", "peak_mb", "MB", 150),
    ("predict_photo", "cold `predict`, photo", "wall_s", "s", 0.55),
    ("evaluate", "`evaluate`, 10,000 images", "wall_s", "s", 3),
    ("submit", "`submit`, 28,000 rows", "wall_s", "s", 5),
)
# For scale, without a bar. The peak of the bare interpreter would be that of the process that starts and times it.
UNBARRED = (
    ("python", "an interpreter that does nothing", "wall_s", "s"),
    ("libraries", "… that imports NumPy, Pillow and ONNX Runtime", "wall_s", "s"),
    ("libraries", "… its peak memory", "peak_mb", "MB"),
    ("predict_photo", "cold `predict`, photo: peak memory", "peak_mb", "MB"),
    ("evaluate", "`evaluate`: peak memory", "peak_mb", "MB"),
    ("submit", "`submit`: peak memory", "peak_mb", "MB"),
)
PREPROCESSING = (
    ("clean_us", "preprocessing, one clean image", "µs"),
    ("photo_jpeg_ms", "decoding and preprocessing, a 12-megapixel JPEG", "ms"),
    ("photo_pixels_ms", "preprocessing, 12 megapixels of gray", "ms"),
)
COMMAND = "`python -m benchmarks.speed.answering`"


OVER_LIBRARIES = 1.35  # times: the bar of a cold `predict` of a clean image over what it must import


def bars(answering: Record | None) -> list[str]:
    """The rows of the figures that have a bar."""
    rows = []
    for key, figure, field, unit, bar in BARRED:
        limit = f"≤ {bar:.2f} {unit}" if bar < 1 else f"≤ {bar} {unit}"
        if answering is None:
            rows.append(row(figure, limit, NOT_MEASURED, "–", "–", COMMAND))
            continue
        taken = answering["processes"][key]
        measured = spread(taken[field], unit, 0 if unit == "MB" else 3)
        holds = MET[taken[field]["median"] <= bar]
        rows.append(row(figure, limit, measured, holds, taken["n"], f"`{taken['command']}`"))
    return [*rows, _over_libraries(answering)]


def _over_libraries(answering: Record | None) -> str:
    """The row of a cold `predict` over an interpreter that only imports the libraries, both in each round."""
    figure, limit = "cold `predict`, clean, over importing NumPy, Pillow and ONNX Runtime", f"≤ {OVER_LIBRARIES} times"
    taken = None if answering is None else answering["processes"]["predict_clean"]
    if taken is None or "wall_s_over_libraries" not in taken:
        return row(figure, limit, NOT_MEASURED, "–", "–", COMMAND)
    ratio = taken["wall_s_over_libraries"]
    return row(figure, limit, spread(ratio, "times", 2), MET[ratio["median"] <= OVER_LIBRARIES], taken["n"], COMMAND)


def unbarred(answering: Record) -> str:
    """The table of figures without a bar."""
    rows = []
    for key, figure, field, unit in UNBARRED:
        taken = answering["processes"][key]
        measured = spread(taken[field], unit, 0 if unit == "MB" else 3)
        rows.append(row(figure, measured, taken["n"], f"`{taken['command']}`"))
    for key, figure, unit in PREPROCESSING:
        taken = answering["door"][key]
        rows.append(row(figure, spread(taken, unit, 1), taken["n"], "`python -m benchmarks.speed.inside prepare`"))
    return table(["figure", "measured", "n", "command"], rows)


def int8_section(record: Record, sizes: Mapping[str, int]) -> dict[str, Any]:
    """The section about int8 files; `sizes` are the parameters of the recipes as they are now, as far as known."""
    header = ["model", "parameters", "float32", "int8", "points", "size", "times as fast", "≤ 0.05 lost", "≥ 2 times"]
    rows = []
    for model in record["models"]:
        float32, int8 = (model["accuracy"][kind] for kind in ("float32", "int8"))
        points, faster = 100 * (int8 - float32), model["times_faster"]["median"]
        size = " → ".join(f"{model['bytes'][kind] / 1000:,.0f} kB" for kind in ("float32", "int8"))
        figures = (f"{100 * float32:.2f} %", f"{100 * int8:.2f} %", signed(points), size)
        met = (MET[points >= -0.05 - 1e-9], MET[faster >= 2])
        rows.append(row(f"`{model['model']}`", f"{model['parameters']:,}", *figures, f"{faster:.2f}", *met))
    earlier = [
        f"`{model['model']}` was measured in an earlier form; today's has {sizes[model['model']]:,} parameters."
        for model in record["models"]
        if sizes.get(model["model"], model["parameters"]) != model["parameters"]
    ]
    return {
        "table": table(header, rows),
        "earlier": earlier,
        **{key: record[key] for key in ("rounds", "pictures", "threads", "vnni")},
    }
