"""The parts of `docs/benchmarks.md` about answering: whole processes, the door, int8 files.

In: what `speed/answering.py` and `speed/int8.py` wrote. Out: rows and blocks of Markdown.
"""

from __future__ import annotations

from benchmarks.common.tables import MET, NOT_MEASURED, Record, row, spread, table
from inkdigit.report.template import signed

# The whole processes that have a bar: key, figure, field, unit, bar.
BARRED = (
    ("predict_clean", "cold `predict`, clean 28×28 PNG", "wall_s", "s", 0.30),
    ("predict_clean", "… its peak memory", "peak_mb", "MB", 150),
    ("predict_photo", "cold `predict`, photo", "wall_s", "s", 0.55),
    ("evaluate", "`evaluate`, 10,000 pictures through the door", "wall_s", "s", 3),
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
DOOR = (
    ("clean_us", "the door, one clean picture", "µs"),
    ("photo_jpeg_ms", "decode and door, a 12-megapixel JPEG", "ms"),
    ("photo_pixels_ms", "the door, 12 megapixels of gray", "ms"),
)
COMMAND = "`python -m benchmarks.speed.answering`"
INT8_COMMAND = "python -m benchmarks.speed.int8 RUN…"

HOW = """\
**Answering** is measured as whole processes, started afresh each time from a warm disk cache: wall time from start to
exit, peak resident memory as the operating system accounts it (1 MB = 10⁶ bytes). After two warm-ups the commands take
turns, so that a slow minute falls on all alike; given are median [least–most]. The door alone is
timed inside one process."""

INT8 = """\
Both files, `inkdigit export MODEL --format onnx-int8` and the one it was made from, answer the part that the model
reports on. The float files have their batch norm folded into the convolutions. Integers pay where convolutions see many
channels; the first one, which sees a single channel, is slower in integers, and in a small network it is most of the
work."""


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
    return rows


def part(answering: Record) -> list[str]:
    """The section of figures without a bar."""
    rows = []
    for key, figure, field, unit in UNBARRED:
        taken = answering["processes"][key]
        measured = spread(taken[field], unit, 0 if unit == "MB" else 3)
        rows.append(row(figure, measured, taken["n"], f"`{taken['command']}`"))
    for key, figure, unit in DOOR:
        taken = answering["door"][key]
        rows.append(row(figure, spread(taken, unit, 1), taken["n"], "`python -m benchmarks.speed.inside door`"))
    return ["## Answering: for scale", table(["figure", "measured", "n", "command"], rows)]


def int8_part(record: Record) -> list[str]:
    """The section about int8 files."""
    header = ["model", "parameters", "float32", "int8", "points", "size", "times as fast", "≤ 0.05 lost", "≥ 2 times"]
    rows = []
    for model in record["models"]:
        float32, int8 = (model["accuracy"][kind] for kind in ("float32", "int8"))
        points, faster = 100 * (int8 - float32), model["times_faster"]["median"]
        size = " → ".join(f"{model['bytes'][kind] / 1000:,.0f} kB" for kind in ("float32", "int8"))
        figures = (f"{100 * float32:.2f} %", f"{100 * int8:.2f} %", signed(points), size)
        met = (MET[points >= -0.05 - 1e-9], MET[faster >= 2])
        rows.append(row(f"`{model['model']}`", f"{model['parameters']:,}", *figures, f"{faster:.2f}", *met))
    said = (
        f"{INT8} Timed were {record['rounds']} rounds in turns of {record['pictures']} pictures, {record['threads']} "
        f"threads, the network alone, medians, n = {record['rounds']}; the processor has "
        f"{'' if record['vnni'] else 'no '}VNNI. Repeat it with `{INT8_COMMAND}`."
    )
    return ["## int8", said, table(header, rows)]
