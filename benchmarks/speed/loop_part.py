"""The part of `docs/benchmarks.md` about the training loop's own cost.

In: what `speed/loop.py` measured. Out: blocks of Markdown.
"""

from __future__ import annotations

from benchmarks.common.tables import MET, Record, row, table

COMMAND = "python -m benchmarks.speed.loop"
MEMORY_LIMIT_MB, SHARE = 1500, 0.70

ABOUT = """\
Bare is forward, backward and step of the same network on one batch that lies in memory. The loop is a whole epoch:
batches drawn and augmented, losses and hits kept, progress told, validation at its end, rows and checkpoint written.
Both took turns in one process."""


def part(record: Record) -> list[str]:
    """The section of the page."""
    header = ["recipe", "bare, images/s", "loop, images/s", "share", "bar", "met", "n"]
    rows = []
    for measured in record["recipes"]:
        low, middle, high = (f"{100 * measured['share'][at]:.0f}" for at in ("min", "median", "max"))
        rates = (f"{measured[key]:,.0f}" for key in ("bare_images_per_s", "loop_images_per_s"))
        met = MET[measured["share"]["median"] >= SHARE]
        share = f"{middle} % [{low}–{high}]"
        rows.append(row(measured["recipe"], *rates, share, f"≥ {100 * SHARE:.0f} %", met, measured["n"]))
    peaks = {name: peak for name, peak in record["peak_mb"].items() if peak is not None}
    told = "; ".join(f"`inkdigit train {name}` {peak:,.0f} MB" for name, peak in peaks.items())
    met = "met" if all(peak <= MEMORY_LIMIT_MB for peak in peaks.values()) else "**not met**"
    return [
        "## The training loop's own cost",
        f"{ABOUT} Repeat it with `{COMMAND}`.",
        table(header, rows),
        f"Peak memory on MNIST, data and report included (bar {MEMORY_LIMIT_MB:,} MB, {met}): {told}.",
    ]
