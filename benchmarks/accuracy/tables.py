"""The tables of `docs/accuracy.md`: bars, recipes and ensembles, the records, differences, shared mistakes.

In: a line a seed, by entry. Out: rows, tables, and the figures that the template quotes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import mean, median
from typing import Any

from benchmarks.accuracy.entries import DISTILLED, ENSEMBLE, Entry, entries
from benchmarks.common.results import Record
from benchmarks.common.tables import MET, NOT_MEASURED, fields, percent, row, table
from inkdigit.measure.stats import Spread, flip_p
from inkdigit.report.numbers import byte_count, duration, signed

FROM_BENCH = ("blink", "fast", "minute")
CELLS = ("test accuracy", "95 % interval", "min–max", "n", "parameters", "model file", "training")  # see cells
Groups = dict[str, list[Record]]  # entry → one line a seed


@dataclass(frozen=True, slots=True)
class Bar:
    """What an entry must reach in the mean of so many seeds, and its goals."""

    lower: float  # bound of the mean accuracy
    seeds: int
    goals: tuple[float, ...]
    parameters: int | None = None  # at most
    bytes: int | None = None  # of the model file, at most
    above: float | None = None  # Student's 95 % interval of the mean is above it


BARS = {
    "tiny": Bar(0.9958, 5, (0.9965,), parameters=10_000, bytes=60_000),
    "micro": Bar(0.989, 5, (0.992,), parameters=1000),
    "best": Bar(0.9975, 9, (0.998,), above=0.997),
    "ensemble": Bar(0.9979, 3, (0.9983,)),
}
# The first against the second.
PAIRS = (("best", "minute"), ("ensemble", "best"), ("distilled", f"curve-{DISTILLED}"))
POINTS = ("points", "95 % interval", "p (the minimum that n seeds can give)")  # see _points
LOSSES = {"nll": "cross-entropy × 100", "ece": "calibration error, %"}
STEPS = 10**9  # in such parts of one, a p-value is exact
CDEOTTE = "[cdeotte](https://github.com/cdeotte/MNIST-CNN-99.75)"
HONEST = {"best": ("one network", 0.9965), "ensemble": ("fifteen", 0.99745)}  # the records that ours are compared with
RECORDS = (
    (f"{CDEOTTE}, one network", "99.65 ± 0.045 %", "327 k", "30 epochs, fixed beforehand; last weights"),
    (f"{CDEOTTE}, fifteen", "99.745 ± 0.020 % (n = 100)", "15 × 327 k", "30 epochs, fixed beforehand; last weights"),
    (
        "[Byerly et al.](https://github.com/AdamByerly/BMCNNwHFCs), one network",
        "99.83 %",
        "1.5 M",
        "best epoch on the test set",
    ),
    (
        "[Byerly et al.](https://github.com/AdamByerly/BMCNNwHFCs), ensemble",
        "99.87 %",
        "1.5 M each",
        "best epochs, then the best of about 2³² ensembles, on the test set",
    ),
    (
        "[An et al.](https://github.com/ansh941/MnistSimpleCNN), nine networks",
        "99.91 %",
        "13.6 M",
        "best of 150 epochs and best combination, on the test set",
    ),
)


def spread(group: Sequence[Record]) -> Spread:
    """The accuracy of every seed."""
    return Spread(tuple(line["accuracy"] for line in group))


def command(name: str) -> str:
    """The command that repeats a row."""
    return f"`python -m benchmarks.{'speed.bench' if name in FROM_BENCH else 'accuracy.measure'} --only {name}`"


def bars(groups: Groups) -> list[str]:
    """A row for everything that has a bar; nothing is met or missed before all its seeds are measured."""
    rows = []
    for name, bar in BARS.items():
        group = groups.get(name)
        figure = f"`{name}`: mean test accuracy of {bar.seeds} seeds"
        goals = ", ".join(_percent(goal) for goal in bar.goals)
        if group is None:
            rows.append(row(figure, f"≥ {_percent(bar.lower)}", NOT_MEASURED, "–", goals, 0, command(name)))
            continue
        accuracies = spread(group)
        verdict = MET if len(group) >= bar.seeds else dict.fromkeys(MET, "–")
        met = verdict[_reaches(accuracies, bar.lower)]
        goals = ", ".join(f"{_percent(goal)}: {verdict[_reaches(accuracies, goal)].strip('*')}" for goal in bar.goals)
        reached = percent(accuracies.values, 3)
        rows.append(row(figure, f"≥ {_percent(bar.lower)}", reached, met, goals, len(group), command(name)))
        if bar.above is not None:
            low = None if accuracies.ci95 is None else accuracies.ci95[0]
            figure, limit = f"`{name}`: lower end of the mean's 95 % interval", f"> {100 * bar.above:.2f} %"
            shown = "–" if low is None else f"{100 * low:.3f} %"
            met = verdict[low is not None and low > bar.above]
            rows.append(row(figure, limit, shown, met, "–", len(group), command(name)))
        for what, upper, own, show in (
            ("parameters", bar.parameters, group[-1]["parameters"], "{:,}".format),
            ("model file", bar.bytes, max(line.get("bytes", 0) for line in group), byte_count),
        ):
            if upper is not None:
                met = verdict[own <= upper]
                rows.append(
                    row(f"`{name}`: {what}", f"≤ {show(upper)}", show(own), met, "–", len(group), command(name))
                )
    return rows


def _reaches(accuracies: Spread, required: float) -> bool:
    return accuracies.mean >= required - 1e-9


def _percent(value: float) -> str:
    return f"{100 * value:.6g} %"


def recipes(groups: Groups) -> dict[str, Any]:
    """The table of recipes and ensembles, which are missing in it, and what those that are not recipes are made of."""
    names = [*FROM_BENCH, *(name for name, entry in entries().items() if entry.group != "curve")]
    rows = [row(f"`{name}`", *cells(groups[name]), command(name)) for name in names if name in groups]
    return {
        "table": table(["recipe", *CELLS, "command"], rows) if rows else "",
        "missing": ", ".join(f"`{name}`" for name in names if name not in groups),
        "made_of": [_about(entry) for entry in entries().values() if entry.group not in ("recipes", "curve")],
    }


def _about(entry: Entry) -> str:
    """What an entry is made of."""
    if entry.members:
        members = ", ".join(f"`{member}`" for member in entry.members)
        views = f", over {entry.views} views of each image" if entry.views > 1 else ""
        text = f"`{entry.name}`: the mean of {members} with the same seed, in one file{views}"
        return f"{text}; its training time is theirs together."
    changes = {key: value for key, value in entry.changes.items() if key != "calibrated_on"}
    changed = f" with {fields(changes)}" if changes else ""
    whole = "; it holds nothing out" if "calibrated_on" in entry.changes else ""
    taught = f"; taught by the `{entry.teacher}` of its seed" if entry.teacher else ""
    return f"`{entry.name}`: `{entry.recipe}`{changed}{whole}{taught}."


def cells(group: Sequence[Record]) -> list[str]:
    """The cells of a group in every table: accuracy, its interval and range, n, size, training time."""
    accuracies = spread(group)
    low, high = (f"{100 * value:.2f}" for value in (min(accuracies.values), max(accuracies.values)))
    interval = "–" if accuracies.ci95 is None else "–".join(f"{100 * limit:.3f}" for limit in accuracies.ci95) + " %"
    times = [line["train_seconds"] for line in group if line["train_seconds"] is not None]  # None: it was stopped
    return [
        percent(accuracies.values, 3),
        interval,
        f"{low}–{high} %" if len(group) > 1 else "–",
        str(len(group)),
        f"{group[-1]['parameters']:,}",
        byte_count(group[-1]["bytes"]) if "bytes" in group[-1] else "–",
        f"{duration(median(times))} ({', '.join(_trained_on(group))})" if times else "–",
    ]


def _trained_on(group: Sequence[Record]) -> list[str]:
    text = (
        f"{line['threads']} thread{'s' * (line['threads'] > 1)}" if line["device"] == "cpu" else line["device"]
        for line in group
    )
    return list(dict.fromkeys(text))


def records(groups: Groups) -> dict[str, Any]:
    """Other people's figures, how each was chosen, and ours compared with the honest ones."""
    header = ["who", "test accuracy", "parameters", "how it was chosen"]
    return {
        "table": table(header, [row(*record) for record in RECORDS]),
        "ours": [_beside(name, groups.get(name), *HONEST[name]) for name in HONEST],
    }


def _beside(name: str, group: Sequence[Record] | None, whose: str, record: float) -> dict[str, Any]:
    """One of ours compared with an honest record."""
    compared = {"name": name, "whose": whose, "record": _percent(record), "accuracy": None}
    if group is None:
        return compared
    accuracies = spread(group)
    return {
        **compared,
        "accuracy": percent(accuracies.values, 3),
        "n": len(group),
        "side": "above" if accuracies.mean > record else "below" if accuracies.mean < record else "at",
        "excluded": accuracies.ci95 is not None and not accuracies.ci95[0] <= record <= accuracies.ci95[1],
    }


def pairs(groups: Groups) -> dict[str, Any]:
    """Differences seed by seed."""
    rows, missing = [], []
    for name, base in PAIRS:
        both = same_seeds(groups.get(name, []), groups.get(base, []))
        if both:
            rows.append(row(f"`{name}` − `{base}`", *_points(both), len(both)))
        else:
            missing.append(f"`{name}` − `{base}`")
    header = ["difference", *POINTS, "n"]
    return {"table": table(header, rows) if rows else "", "missing": ", ".join(missing)}


def same_seeds(group: Sequence[Record], base: Sequence[Record]) -> list[tuple[Record, Record]]:
    """The lines of the seeds that both groups have."""
    seeds = {line["seed"]: line for line in base}
    return [(line, seeds[line["seed"]]) for line in group if line["seed"] in seeds]


def replaced(group: Sequence[Record], before: Sequence[Record]) -> str | None:
    """What an entry is now compared with what it was before, seed by seed; None for less than two common seeds."""
    both = same_seeds(group, before)
    if len(both) < 2:
        return None
    losses = [cell for figure in LOSSES for cell in _loss(both, figure)]
    return row(f"`{group[0]['name']}` − that of `{before[0]['commit'][:8]}`", *_points(both), *losses, len(both))


def _points(both: Sequence[tuple[Record, Record]]) -> tuple[str, str, str]:
    """The cells of `POINTS`."""
    more = [_right(ours) - _right(theirs) for ours, theirs in both]
    accuracies = Spread(tuple(100 * count / ours["n"] for count, (ours, _) in zip(more, both, strict=True)))
    sd = "" if accuracies.sd is None else f" ± {accuracies.sd:.3f}"
    interval = "–" if accuracies.ci95 is None else " to ".join(signed(limit, 3) for limit in accuracies.ci95)
    return f"{signed(accuracies.mean, 3)}{sd}", interval, f"{flip_p(more):.3g} (min: {2.0 ** (1 - len(both)):.3g})"


def _loss(both: Sequence[tuple[Record, Record]], figure: str) -> tuple[str, str]:
    """The means of a figure that is better the less it is, before and now, and the p-value of the difference."""
    now, before = (mean(100 * pair[side][figure] for pair in both) for side in (0, 1))
    parts = [round(STEPS * (ours[figure] - theirs[figure])) for ours, theirs in both]
    return f"{before:.3f} → {now:.3f}", f"{flip_p(parts):.2g}"


def _right(line: Record) -> int:
    return round(line["accuracy"] * line["n"])


def overlap(groups: Groups) -> str | None:
    """How many mistakes the members of the ensemble share; None where none of them is measured."""
    members = [name for name in ENSEMBLE if name in groups]
    rows = []
    for first, second in combinations(members, 2):
        wrong = [{line["seed"]: set(line["wrong"]) for line in groups[name]} for name in (first, second)]
        both = [(wrong[0][seed], wrong[1][seed]) for seed in wrong[0] if seed in wrong[1]]
        rows += _overlap_row(f"`{first}` and `{second}`", both)
    for name in members:
        sets = [set(line["wrong"]) for line in groups[name]]
        rows += _overlap_row(f"`{name}`, one seed and another", list(combinations(sets, 2)))
    return table(["which two", "mistakes in common", "pairs"], rows) if rows else None


def _overlap_row(who: str, both: Sequence[tuple[set[int], set[int]]]) -> list[str]:
    shares = [len(a & b) / len(a | b) for a, b in both if a | b]
    return [row(who, percent(shares, 0), len(shares))] if shares else []
