"""Write `docs/scale.md` from what the scripts beside this one measured.

In: `results/scale.json`, `scale-drills.json`, `scale-simulation.json`, `parallel.json` and `replicas.json`. Out: the
page; with `--check` nothing is written, and the exit code is 1 if it is stale.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import machine, pages, results
from benchmarks.common.results import Record
from benchmarks.common.tables import figure, machine_line, row, spread, table
from benchmarks.scale import drills, measure, simulate
from benchmarks.scale.parallel import RESULT as PARALLEL
from benchmarks.scale.replicas import RESULT as REPLICAS
from inkdigit.scale.batch import PART_ROWS
from inkdigit.scale.rows import BATCH

PAGE = machine.ROOT / "docs" / "scale.md"
BILLION = 1_000_000_000
STAGES = ("decode", "ink", "network", "rest")
WHAT = {"digit": "PNG of 28 × 28", "crop": "crop of a form, PNG", "photo": "photo of 12 megapixels, JPEG"}
PHASES = {
    "before": "both replicas",
    "one killed": "one killed (SIGKILL)",
    "started again": "it is back",
    "other stopped": "the other one stopped (SIGTERM)",
    "after": "both again",
    "one hung": "one hangs",
    "all": "all",
}

Figures = Mapping[str, Any]


def kinds(figures: Figures) -> str:
    """Rates by kind and task, where the time goes, and what a billion costs."""
    rows = []
    for name, seconds in figures.items():
        kind, task = name.split()
        whole = seconds["whole"]
        known = sum(seconds[stage] for stage in STAGES)
        shares = [f"{100 * seconds[stage] / known:.0f} %" for stage in STAGES]
        rows.append(row(WHAT[kind], f"`{task}`", f"{1 / whole:,.0f}", *shares, f"{whole * BILLION / 3600:,.0f}"))
    header = ["pictures", "task", "a second", "decode", "find ink", "networks", "read, store"]
    return table([*header, "core-hours for 10⁹"], rows)


def ratio(of: Mapping[str, float]) -> str:
    """Mean ± standard deviation [least–most]."""
    return f"{of['mean']:.2f} ± {of['sd']:.2f} [{of['min']:.2f}–{of['max']:.2f}]"


def mean_rate(rounds: Sequence[Mapping[str, float]], key: str) -> str:
    """The mean of a rate over the rounds."""
    return f"{sum(one[key] for one in rounds) / len(rounds):,.0f}"


def speeds(parts: Mapping[str, Record]) -> list[str]:
    """A sentence for each comparison that was measured."""
    found = []
    if "local" in parts:
        one = parts["local"]["figures"]
        found.append(
            f"Two processes against `Recognizer.predict` with two threads on the same {one['n']:,} PNG files, start "
            f"included: {ratio(one['over_predict'])} of its rate; without the start "
            f"{ratio(one['steady_over_predict'])} ({mean_rate(one['rounds'], 'two_steady')} against "
            f"{mean_rate(one['rounds'], 'predict')} pictures a second; n = {len(one['rounds'])})."
        )
        found.append(f"Two processes against one, without the start: {ratio(one['two_over_one'])}.")
    if "ray" in parts:
        one = parts["ray"]["figures"]
        found.append(
            f"Ray on one machine against local processes, {one['n']:,} pictures, without the start: "
            f"{ratio(one['ray_over_local'])} (n = {len(one['rounds'])}); with the start {ratio(one['with_start'])}."
        )
    return found


def memory(parts: Mapping[str, Record]) -> str | None:
    """Peak memory by the number of pictures."""
    rows = []
    if "listing" in parts:
        one = parts["listing"]["figures"]
        rows.append(row(f"listing {one['rows']:,} files ({one['seconds']:.0f} s)", f"{one['mb']:,.0f} MB", "–"))
    for name, one in (parts["memory"]["figures"] if "memory" in parts else {}).items():
        engine = name.split()[0]
        worker = f"{one['worker_mb']:,.0f} MB" if engine == "local" else "–"
        rows.append(row(f"`{engine}`, {one['rows']:,} pictures", f"{one['driver_mb']:,.0f} MB", worker))
    return table(["job", "driver", "largest worker"], rows) if rows else None


def kills(record: Record | None) -> dict[str, Any] | None:
    """The drills."""
    if record is None:
        return None
    rows = [
        row(
            kind["kind"],
            kind["n"],
            kind["killed"],
            kind["went_on"],
            kind["given_again"],
            f"{kind['right']} of {kind['n']}",
        )
        for kind in record["kinds"]
    ]
    header = ["who is killed", "jobs", "killed", "went on", "given again", "right in the end"]
    return {"pictures": f"{record['pictures']:,}", "table": table(header, rows)}


def simulation(record: Record | None) -> dict[str, Any] | None:
    """The simulated jobs."""
    if record is None:
        return None
    rows = [
        row(
            "yes" if one["stragglers"] else "no",
            "yes" if one["failures"] else "no",
            f"{one['ideal_s']:,.0f} s",
            f"{one['finished_s']:,.0f} s",
            figure(one["over_ideal"]),
            f"{one['begun_again']:,}",
            f"{100 * one['wasted_share']:.1f} %",
            one["lost_rows"] + one["double_rows"],
        )
        for one in record["cases"]
    ]
    first, (slow_share, slow) = record["cases"][0], record["slow"]
    header = ["slow workers", "failures", "ideal", "finished", "times ideal", "parts begun again", "work wasted"]
    return {
        "workers": f"{first['workers']:,}",
        "rows": f"{first['rows']:,}",
        "ms": f"{1000 * record['picture_s']:.1f}",
        "slow": f"{100 * slow_share:.0f} % of the workers take {slow:.0f} times as long",
        "deaths": f"{100 * record['deaths']:.0f} %",
        "drivers": record["driver_deaths"],
        "table": table([*header, "rows lost or double"], rows),
    }


def parallel(record: Record | None) -> dict[str, str] | None:
    """One training by one process, and shared by two."""
    if record is None:
        return None
    rows = [
        row(
            side,
            f"{100 * one['accuracy_mean']:.2f} ± {100 * (one['accuracy_sd'] or 0):.2f} %",
            spread(one["train_s"], "s", 1),
            spread(one["command_s"], "s", 1),
        )
        for side, one in record["sides"].items()
    ]
    header = [f"`{record['recipe']}`, {record['seeds']} seeds", "validation accuracy", "training", "whole command"]
    return {"table": table(header, rows)}


def replicas(record: Record | None) -> dict[str, Any] | None:
    """The drill of two replicas behind nginx."""
    if record is None:
        return None
    rows = [
        row(PHASES.get(name, name), f"{one['n']:,}", one["failed"], one["wrong"], one["sent_again"])
        + f" {one['p50_ms']:,.0f} ms | {one['p99_ms']:,.0f} ms |"
        for name, one in record["phases"].items()
    ]
    header = ["while", "requests", "failed", "wrong", "sent again", "median", "99 %"]
    return {"nginx": record["nginx"], "threads": record["threads"], "table": table(header, rows)}


def machines(parts: Mapping[str, Record], others: Mapping[str, Record | None]) -> list[str]:
    """When, on what and with which versions."""
    found = [machine_line(f"`python -m benchmarks.scale.measure {name}`", part) for name, part in parts.items()]
    return [*found, *(machine_line(f"`{one['command']}`", one) for one in others.values() if one is not None)]


def files(folder: Path, page: Path) -> pages.Files:
    """What the page should hold."""
    record = results.read(folder / measure.RESULT)
    parts: Mapping[str, Record] = {} if record is None else record["parts"]
    others = {name: results.read(folder / name) for name in (drills.RESULT, simulate.RESULT, PARALLEL, REPLICAS)}
    text = pages.render(
        "scale/page.md.j2",
        {
            "part_rows": f"{PART_ROWS:,}",
            "batch": BATCH,
            "kinds": kinds(parts["kinds"]["figures"]) if "kinds" in parts else None,
            "speeds": speeds(parts),
            "memory": memory(parts),
            "kills": kills(others[drills.RESULT]),
            "simulation": simulation(others[simulate.RESULT]),
            "parallel": parallel(others[PARALLEL]),
            "replicas": replicas(others[REPLICAS]),
            "machines": machines(parts, others),
        },
    )
    return pages.beside(page, text, {})


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page, or check it."""
    return pages.main(__doc__, PAGE, files, script="benchmarks.scale.page", argv=argv)


if __name__ == "__main__":
    sys.exit(main())
