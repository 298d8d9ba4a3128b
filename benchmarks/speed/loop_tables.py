"""The part of `docs/benchmarks.md` about the training loop's own cost.

In: what `speed/loop.py` measured. Out: a table, and the figures that the template quotes.
"""

from __future__ import annotations

from typing import Any

from benchmarks.common.results import Record
from benchmarks.common.tables import MET, row, table

MEMORY_LIMIT_MB, SHARE = 1500, 0.70


def section(record: Record) -> dict[str, Any]:
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
    return {
        "table": table(header, rows),
        "limit_mb": f"{MEMORY_LIMIT_MB:,}",
        "met": all(peak <= MEMORY_LIMIT_MB for peak in peaks.values()),
        "peaks": "; ".join(f"`inkdigit train {name}` {peak:,.0f} MB" for name, peak in peaks.items()),
    }
