"""Write `docs/benchmarks.md` from `benchmarks/results/`: nothing on that page is typed by hand.

In: fast.jsonl, fast-vs-keras.json, answering.json, int8.json, whichever are there; a smoke run counts as not measured.
Out: the page; with `--check` nothing is written, and the exit code is 1 if the page is not what the results say.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import machine
from inkdigit.runs import write_aside

PAGE = machine.ROOT / "docs" / "benchmarks.md"
NOT_MEASURED = "not measured"
MET = {True: "yes", False: "**no**"}
Record = dict[str, Any]  # one measurement, as JSON has it
SEEDS_COMMAND, RATIO_COMMAND = "inkdigit train fast --seed S", "python benchmarks/fast.py --peer-python PYTHON"
# The whole processes that have a bar: key, figure, field, unit, bar, command.
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

HOW = """\
**Accuracy** is on the 10,000 test pictures of MNIST, read through the door by the exported model file, as mean ±
standard deviation over seeds. Each seed is a process of its own.

**Training time** of `fast` is that of its epochs, from the first batch on and with validation, without import,
loading, export and report. The peer is the `mnist_convnet` network of
[keras.io](https://keras.io/examples/vision/mnist_convnet/), written afresh: 34,826 parameters, 15 epochs, batch 128,
Adam, a tenth of the training pictures for validation, on TensorFlow. Its time runs from the first batch to the end of
the last validation. Both sides use the processor alone. The ratio is that of the medians, from trainings of `fast` just
before and just after the peer in one run of the script.

**Answering** is measured as whole processes, started afresh each time from a warm disk cache: wall time from start to
exit, peak resident memory as the operating system accounts it (1 MB = 10⁶ bytes). After two warm-ups the commands take
turns, so that a slow minute falls on all alike; given are median [least–most]. The door alone is
timed inside one process."""

INT8 = """\
Both files, `inkdigit export MODEL --format onnx-int8` and the one it was made from, answer the part that the model
reports on. The float files have their batch norm folded into the convolutions. Integers pay where convolutions see many
channels; the first one, which sees a single channel, is slower in integers, and in a small network it is most of the
work."""


def load(path: Path) -> Record | None:
    """The measurement in a JSON file; None without one, or if it was a smoke run."""
    if not path.exists():
        return None
    record: Record = json.loads(path.read_text(encoding="utf-8"))
    return None if record["smoke"] else record


def load_seeds(path: Path) -> list[Record]:
    """The latest line of each seed, for the recipe that was measured last; smoke runs are left out."""
    lines = [line for line in machine.read_lines(path) if not line["smoke"]]
    latest = {line["seed"]: line for line in lines if line["recipe_sha256"] == lines[-1]["recipe_sha256"]}
    return [latest[seed] for seed in sorted(latest)]


def row(*cells: object) -> str:
    """One line of a table."""
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def spread(figures: dict[str, float], unit: str, digits: int) -> str:
    """Median [least–most] with the unit."""
    middle, least, most = (f"{figures[part]:,.{digits}f}" for part in ("median", "min", "max"))
    return f"{middle} {unit} [{least}–{most}]"


def percent(values: Sequence[float], digits: int = 2) -> str:
    """Mean ± standard deviation in per cent."""
    spread = f" ± {stdev(values) * 100:.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values) * 100:.{digits}f}{spread} %"


def training_rows(seeds: list[Record], ratio: Record | None) -> list[str]:
    """The two figures of training that have a bar."""
    figure, bar = "`fast` on MNIST: mean test accuracy", "≥ 98.9 %"
    rows = [row(figure, bar, NOT_MEASURED, "–", "–", f"`{SEEDS_COMMAND}`")]
    if seeds:
        values = [line["accuracy"] for line in seeds]
        rows = [row(figure, bar, percent(values), MET[mean(values) >= 0.989], len(values), f"`{SEEDS_COMMAND}`")]
    figure, bar = "training time of `fast` over the peer's", "≤ 1/20"
    if ratio is None:
        return [*rows, row(figure, bar, NOT_MEASURED, "–", "–", f"`{RATIO_COMMAND}`")]
    times, n = ratio["peer_over_fast"], f"{len(ratio['fast'])} and {len(ratio['peer'])}"
    return [*rows, row(figure, bar, f"1/{times:.1f}", MET[times >= 20], n, f"`{RATIO_COMMAND}`")]


def answering_rows(answering: Record | None) -> list[str]:
    """The figures of answering that have a bar."""
    rows = []
    for key, figure, field, unit, bar in BARRED:
        limit = f"≤ {bar:.2f} {unit}" if bar < 1 else f"≤ {bar} {unit}"
        if answering is None:
            rows.append(row(figure, limit, NOT_MEASURED, "–", "–", "`python benchmarks/answering.py`"))
            continue
        taken = answering["processes"][key]
        measured = spread(taken[field], unit, 0 if unit == "MB" else 3)
        holds = MET[taken[field]["median"] <= bar]
        rows.append(row(figure, limit, measured, holds, taken["n"], f"`{taken['command']}`"))
    return rows


def scale_rows(seeds: list[Record], ratio: Record | None, answering: Record | None) -> list[str]:
    """Figures without a bar, for scale; what is not measured has no row."""
    rows = []
    if seeds:
        rows.append(row("`fast`: training time, all seeds", _times(seeds), len(seeds), f"`{SEEDS_COMMAND}`"))
    if ratio:
        ours, theirs = ratio["fast"], ratio["peer"]
        accuracies = [run["accuracy"] for run in theirs]
        rows += [
            row("`fast`: training time, around the peer", _times(ours), len(ours), f"`{RATIO_COMMAND}`"),
            row("the peer: training time", _times(theirs), len(theirs), f"`{RATIO_COMMAND}`"),
            row("the peer: test accuracy", percent(accuracies), len(theirs), f"`{RATIO_COMMAND}`"),
        ]
    if answering:
        for key, figure, field, unit in UNBARRED:
            taken = answering["processes"][key]
            measured = spread(taken[field], unit, 0 if unit == "MB" else 3)
            rows.append(row(figure, measured, taken["n"], f"`{taken['command']}`"))
        for key, figure, unit in DOOR:
            taken = answering["door"][key]
            rows.append(row(figure, spread(taken, unit, 1), taken["n"], "`python benchmarks/inside.py door`"))
    return rows


def int8_table(record: Record) -> str:
    """Float against int8, model by model."""
    rows = [
        row("model", "parameters", "float32", "int8", "points", "size", "times as fast", "≤ 0.05 lost", "≥ 2 times"),
        row(*["---"] * 9),
    ]
    for model in record["models"]:
        float32, int8 = (model["accuracy"][kind] for kind in ("float32", "int8"))
        points, faster = 100 * (int8 - float32), model["times_faster"]["median"]
        size = " → ".join(f"{model['bytes'][kind] / 1000:,.0f} kB" for kind in ("float32", "int8"))
        figures = (f"{100 * float32:.2f} %", f"{100 * int8:.2f} %", f"{points:+.2f}".replace("-", "−"), size)
        bars = (MET[points >= -0.05 - 1e-9], MET[faster >= 2])
        rows.append(row(f"`{model['model']}`", f"{model['parameters']:,}", *figures, f"{faster:.2f}", *bars))
    return "\n".join(rows)


def int8_part(record: Record) -> list[str]:
    """The section about int8 files."""
    return [
        "## int8",
        f"{INT8} Timed were {record['rounds']} rounds in turns of {record['pictures']} pictures, {record['threads']} "
        f"threads, the network alone, medians; the processor has {'' if record['vnni'] else 'no '}VNNI.",
        int8_table(record),
    ]


def _times(runs: list[Record]) -> str:
    values = [run["train_seconds"] for run in runs]
    if len(values) == 1:
        return f"{values[0]:.2f} s"
    return spread({"median": median(values), "min": min(values), "max": max(values)}, "s", 2)


def group_seeds(seeds: list[Record]) -> list[tuple[str, Record]]:
    """The seeds that one run of the script trained, by name, each with a line of it."""
    groups: dict[tuple[str, str | None], list[Record]] = {}
    for line in seeds:
        groups.setdefault((line["date"], line["commit"]), []).append(line)
    return [
        (f"Accuracy, seeds {', '.join(str(line['seed']) for line in group)}", group[0]) for group in groups.values()
    ]


def machine_lines(records: Sequence[tuple[str, Record | None]]) -> list[str]:
    """One sentence a measurement: when, on what, with which versions."""
    lines = []
    for what, record in records:
        if record is None:
            continue
        box, versions = record["machine"], dict(record["versions"])
        for run in record.get("peer", []):
            versions |= {name: found for name, found in run["versions"].items() if name in ("tensorflow", "keras")}
        libraries = ", ".join(f"{name} {found}" for name, found in versions.items() if found)
        lines.append(
            f"- {what}: {record['date'][:10]}, commit {record['commit'] or 'unknown'}; {box['processor']}, "
            f"{box['cores']} cores, {box['memory_gb']:.0f} GB, {box['platform']}, load {box['load_before']} before; "
            f"{libraries}."
        )
    return lines


def render(results: Path) -> str:
    """The whole page."""
    seeds = load_seeds(results / "fast.jsonl")
    ratio, answering = load(results / "fast-vs-keras.json"), load(results / "answering.json")
    int8 = load(results / "int8.json")
    machines = machine_lines([*group_seeds(seeds), ("Ratio", ratio), ("Answering", answering), ("int8", int8)])
    scale = scale_rows(seeds, ratio, answering)
    parts = [
        "# Benchmarks",
        "Every figure here is written by `python benchmarks/page.py` from what the scripts in `benchmarks/` measured; "
        "how to run them is said in [benchmarks/README.md](../benchmarks/README.md).",
        "## Bars",
        "\n".join(
            [
                row("figure", "bar", "measured", "met", "n", "command"),
                "|---|---|---|---|---|---|",
                *training_rows(seeds, ratio),
                *answering_rows(answering),
            ]
        ),
    ]
    if scale:
        parts += ["## For scale", "\n".join([row("figure", "measured", "n", "command"), "|---|---|---|---|", *scale])]
    if int8:
        parts += int8_part(int8)
    parts += ["## How it was measured", HOW]
    if machines:
        parts += ["## Where and when", "\n".join(machines)]
    return "\n\n".join(parts) + "\n"


def main() -> int:
    """Write the page, or check it."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--check", action="store_true", help="write nothing; exit 1 if the page is stale")
    options.add_argument("--results", type=Path, default=machine.RESULTS)
    options.add_argument("--page", type=Path, default=PAGE)
    asked = options.parse_args()

    text = render(asked.results)
    if asked.page.exists() and asked.page.read_text(encoding="utf-8") == text:
        print(f"{asked.page.name}: up to date")
        return 0
    if asked.check:
        print(f"{asked.page.name}: stale; write it with: python benchmarks/page.py")
        return 1
    write_aside(asked.page, text)
    print(f"{asked.page.name}: written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
