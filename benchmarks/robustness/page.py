"""Write `docs/robustness.md` from what the scripts beside this one measured.

In: `results/robustness.json`, `rejection.json`, `adapting.jsonl`, `ink.jsonl`; a smoke run, or one on held-out
training images, counts as not measured. Out: the page; with `--check` nothing is written, and the exit code is 1 if
it is stale.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.common import machine, pages, results
from benchmarks.common.results import Record
from benchmarks.common.tables import MET, NOT_MEASURED, machine_line, middle, row, table
from benchmarks.common.tables import percent as shares
from benchmarks.robustness import adapting, ink_tables
from benchmarks.robustness.outcomes import LEDGER
from inkdigit.measure.robustness import UNSEEN
from inkdigit.report.numbers import percent

PAGE = machine.ROOT / "docs" / "robustness.md"
RESULTS, SCORES = "robustness.json", "rejection.json"
COMMAND = "`python -m benchmarks.robustness.measure`"
WHO = {"USPS": "USPS", "askew": f"drawn digits, turned by {adapting.TURN_DEG}°"}
MAX_LOST = 0.001  # of the old images
CHANGES = (("before", "after"), ("answered_before", "answered_after"))

BARS: tuple[tuple[str, str, str, float, Callable[[Record], float], Callable[[float], str]], ...] = (
    (
        "photos of single digits",
        "predicted right, none rejected wrongly",
        "≥",
        67,
        lambda r: r["photos"]["right"],
        "{:.0f}".format,
    ),
    ("USPS, training split", "accuracy", "≥", 0.985, lambda r: r["usps"]["accuracy"], lambda x: f"{percent(x)} %"),
    ("MNIST, test split", "accuracy", "≥", 0.996, lambda r: r["mnist"]["accuracy"], lambda x: f"{percent(x)} %"),
    ("15 corruptions", "mean accuracy", "≥", 0.97, lambda r: r["corruptions"]["mean"], lambda x: f"{percent(x)} %"),
    (
        "digits against notMNIST",
        "AUROC of the score",
        "≥",
        0.985,
        lambda r: r["outliers"]["notmnist"]["auroc"],
        "{:.4f}".format,
    ),
    (
        "digits against drawn letters and scribbles",
        "AUROC of the score",
        "≥",
        0.98,
        lambda r: r["outliers"]["letters and scribbles"]["auroc"],
        "{:.4f}".format,
    ),
    (
        "notMNIST, at 99 % coverage of digits",
        "rejected",
        "≥",
        0.93,
        lambda r: r["outliers"]["notmnist"]["refused_at_99"],
        lambda x: f"{percent(x)} %",
    ),
    ("MNIST, test split", "calibration error", "≤", 0.003, lambda r: r["mnist"]["ece"], "{:.4f}".format),
    ("preprocessing, 12-megapixel photo", "time", "≤", 150, lambda r: r["door"]["photo_12mp_ms"], "{:.0f} ms".format),
    (
        "preprocessing, clean 28×28",
        "time",
        "≤",
        0.06,
        lambda r: r["door"]["clean_28_ms"],
        lambda x: f"{x * 1000:.0f} µs",
    ),
)


def bars(record: Record) -> str:
    """The bars, and what was measured."""
    rows = []
    for what, figure, sign, limit, value, show in BARS:
        measured = value(record)
        holds = measured >= limit if sign == "≥" else measured <= limit
        rows.append(row(what, figure, f"{sign} {show(limit)}", show(measured), MET[holds]))
    return table(["images", "figure", "bar", "measured", "met"], rows)


def photos(record: Record) -> dict[str, Any]:
    """The photos by who took them."""
    counted = record["photos"]
    rows = [
        row(name, *(counts[key] for key in ("n", "right", "wrong", "refused")))
        for name, counts in [*counted["sources"].items(), ("all", counted)]
    ]
    missed = (
        f"`{photo['file']}` (a {photo['label']}: {photo['reason'] or 'predicted ' + str(photo['best'])})"
        for photo in counted["missed"]
    )
    return {
        "sources": len(counted["sources"]),
        "table": table(["source", "images", "right", "wrong", "rejected"], rows),
        "missed": ", ".join(missed),
    }


def corruptions(record: Record) -> dict[str, Any]:
    """Kind by kind."""
    measured = record["corruptions"]
    levels = max(len(kind["levels"]) for kind in measured["kinds"])
    rows = []
    for kind in measured["kinds"]:
        cells = [
            f"**{percent(level['accuracy'])}**" if i == kind["named_level"] else percent(level["accuracy"])
            for i, level in enumerate(kind["levels"], 1)
        ]
        seen = {True: "yes", False: "no", None: "unknown"}[kind["in_training"]]
        is_undone = "yes" if kind["undone"] else "no"
        rows.append(row(kind["kind"].replace("_", " "), seen, is_undone, *cells, *[""] * (levels - len(cells))))
    header = ["kind", "like something in training", "undone by the preprocessing", *map(str, range(1, levels + 1))]
    undone = [f"{kind['kind'].replace('_', ' ')} ({kind['undone']})" for kind in measured["kinds"] if kind["undone"]]
    unseen = "only kind" if measured["unseen"] == 1 else f"{measured['unseen']} kinds"
    known = measured["mean_unseen"] is not None  # where the card has the kinds
    return {
        "kinds": len(rows),
        "n": f"{measured['n']:,}",
        "mean": percent(measured["mean"]),
        "deviation": percent(measured["standard_deviation"]),
        "unseen": unseen if known else "",
        "mean_unseen": percent(measured["mean_unseen"]) if known else "",
        "answered": percent(measured["answered"]),
        "clean": percent(measured["clean"]),
        "seen": UNSEEN,
        "undone": ", ".join(undone),
        "table": table(header, rows),
    }


def outliers(record: Record) -> dict[str, Any]:
    """What should be rejected."""
    rows = [
        row(
            name,
            f"{kind['n']:,}",
            f"{kind['auroc']:.4f}",
            f"{percent(kind['refused_at_99'])} %",
            f"{percent(kind['refused'])} %",
        )
        for name, kind in record["outliers"].items()
    ]
    mnist, threshold = record["mnist"], record["threshold"]
    return {
        "keeps": "" if threshold["keeps"] is None else f"{100 * threshold['keeps']:g}",
        "fitted_on": threshold["fitted_on"],
        "coverage": percent(mnist["answered"] / mnist["n"]),
        "table": table(["outliers", "images", "AUROC", "rejected at 99 %", "rejected"], rows),
    }


def scores(record: Record) -> str:
    """Which score separates best."""
    columns = [*next(iter(record["scores"].values()))]  # kinds of outlier, and their mean
    header = ["score", *(column if column == "mean" else f"{column}: AUROC" for column in columns)]
    rows = [row(name, *(f"{areas[column]:.4f}" for column in columns)) for name, areas in record["scores"].items()]
    return table(header, rows)


def _compared(record: Record) -> str:
    """The comparison of scores: by which command, of which networks."""
    networks = [
        f"`{network['recipe']}` of commit {(network['commit'] or 'unknown')[:12]}, {network['epochs']} epochs"
        for network in record["networks"]
    ]
    return f"`python -m benchmarks.robustness.rejection` ({'; '.join(dict.fromkeys(networks))})"


def calibration(record: Record) -> dict[str, Any]:
    """How honest the confidences are."""
    mnist = record["mnist"]
    known = mnist["coverage_at_999"]
    return {
        **{key: f"{mnist[key]:.4f}" for key in ("ece", "nll", "brier")},
        "aurc": f"{mnist['aurc']:.1e}",
        "coverage": NOT_MEASURED if known is None else f"{percent(known)} %",
    }


def adapted(runs: Sequence[Record]) -> dict[str, Any]:
    """What a user's few dozen images change."""
    users = dict.fromkeys(run["user"] for run in runs)
    header = ["user", "seeds", "theirs, right", "theirs, coverage", "old, right", "old, coverage", "most lost"]
    rows = [_user(user, [run for run in runs if run["user"] == user]) for user in users]
    return {
        "learnt": runs[0]["learnt"],
        "of_each": adapting.OF_EACH,
        "unseen": f"{runs[0]['own']['n']:,}",
        "outliers": f"{adapting.OUTLIERS:,}",
        "table": table([*header, "rejected", "time"], rows),
    }


def _user(user: str, runs: Sequence[Record]) -> str:
    """The row of one user, over the seeds."""

    def right(part: str, when: str) -> str:
        return shares([run[part][when] / run[part]["n"] for run in runs])

    def rejected(when: str) -> str:
        return shares([fmean(run[f"refused_{when}"].values()) for run in runs])

    timed = [run["seconds"] for run in runs if "seconds" in run]  # an early version left cross-validation out
    lost = max(run["old"]["before"] - run["old"]["after"] for run in runs) / runs[0]["old"]["n"]
    return row(
        WHO[user],
        len(runs),
        *(f"{right(part, before)} → {right(part, after)}" for part in ("own", "old") for before, after in CHANGES),
        f"{100 * lost:.2f} points: {MET[lost <= MAX_LOST]}",
        f"{rejected('before')} → {rejected('after')}",
        f"{middle(timed)} s (n = {len(timed)})" if timed else NOT_MEASURED,
    )


def content(
    record: Record, compared: Record | None, runs: Sequence[Record], measured: Sequence[Record]
) -> dict[str, Any]:
    """What the template shows."""
    ink = ink_tables.content(ink_tables.shown(measured, record["model"]))
    adaptations = dict.fromkeys(machine_line("`python -m benchmarks.robustness.adapting`", run) for run in runs)
    return {
        "model": record["model"],
        "digits": f"{record['mnist']['n']:,} test images of MNIST",
        "bars": bars(record),
        "photos": photos(record),
        "corruptions": corruptions(record),
        "outliers": outliers(record),
        "scores": compared and scores(compared),
        "calibration": calibration(record),
        "adapted": adapted(runs) if runs else None,
        "ink": ink,
        "hands": ink_tables.hands(measured),
        "machines": [
            machine_line(COMMAND, record),
            *([machine_line(_compared(compared), compared)] if compared else []),
            *adaptations,
            *(ink["machines"] if ink else []),
        ],
    }


def render(
    record: Record | None, compared: Record | None, runs: Sequence[Record] = (), measured: Sequence[Record] = ()
) -> str:
    """The page."""
    values = {} if record is None else content(record, compared, runs, measured)
    return pages.render("robustness/page.md.j2", {"measured": record is not None, **values})


def files(folder: Path, page: Path) -> pages.Files:
    """What the page should hold."""
    record = results.read(folder / RESULTS)
    if record is not None and record["held_out"]:
        record = None
    shown = None if record is None else record["model"]
    lines = [line for line in results.read_lines(folder / adapting.LEDGER) if line["model"] == shown]
    runs = results.latest(lines, lambda line: (line["user"], line["seed"]))
    measured = results.read_lines(folder / LEDGER)
    return pages.beside(page, render(record, results.read(folder / SCORES), [*runs.values()], measured), {})


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page, or check it."""
    return pages.main(__doc__, PAGE, files, script="benchmarks.robustness.page", argv=argv)


if __name__ == "__main__":
    sys.exit(main())
