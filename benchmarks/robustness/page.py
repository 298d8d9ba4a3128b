"""Write `docs/robustness.md` from what `measure.py`, `rejection.py` and `adapting.py` measured.

In: `results/robustness.json`, `rejection.json`, `adapting.jsonl`; a smoke run, or one that asked about held-out
training pictures, counts as not measured. Out: the page; with `--check` nothing is written, and the exit code is 1 if
it is not what they say.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.common import machine, pages
from benchmarks.common.tables import MET, NOT_MEASURED, Record, load, machine_line, middle, row, table
from benchmarks.common.tables import percent as shares
from benchmarks.robustness import adapting
from inkdigit.measure.robustness import UNSEEN
from inkdigit.report.template import percent

PAGE = machine.ROOT / "docs" / "robustness.md"
RESULTS, SCORES = "robustness.json", "rejection.json"
COMMAND = "`python -m benchmarks.robustness.measure`"
WIDTH = 120
WHO = {"USPS": "USPS", "askew": f"drawn digits, turned by {adapting.TURN_DEG}°"}
MOST_LOST = 0.001  # of the old pictures
CHANGES = (("before", "after"), ("answered_before", "answered_after"))

INTRO = """\
# Pictures that are not MNIST

<!-- Written by `python -m benchmarks.robustness.page`. Edit that, not this. -->

What the default model makes of photos, of other people's hands, of corrupted pictures, and of what is no digit. All
pictures go through the door, as any picture does. MNIST and pictures that our own code draws have trained the model;
nothing else on this page has."""

BARS: tuple[tuple[str, str, str, float, Callable[[Record], float], Callable[[float], str]], ...] = (
    (
        "photos of single digits",
        "answered right, none refused wrongly",
        "≥",
        67,
        lambda r: r["photos"]["right"],
        "{:.0f}".format,
    ),
    ("USPS, training part", "accuracy", "≥", 0.985, lambda r: r["usps"]["accuracy"], lambda x: f"{percent(x)} %"),
    ("MNIST, test part", "accuracy", "≥", 0.996, lambda r: r["mnist"]["accuracy"], lambda x: f"{percent(x)} %"),
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
        "notMNIST, where 99 % of digits are kept",
        "refused",
        "≥",
        0.93,
        lambda r: r["outliers"]["notmnist"]["refused_at_99"],
        lambda x: f"{percent(x)} %",
    ),
    ("MNIST, test part", "calibration error", "≤", 0.003, lambda r: r["mnist"]["ece"], "{:.4f}".format),
    ("door, 12-megapixel photo", "time", "≤", 150, lambda r: r["door"]["photo_12mp_ms"], "{:.0f} ms".format),
    ("door, clean 28×28", "time", "≤", 0.06, lambda r: r["door"]["clean_28_ms"], lambda x: f"{x * 1000:.0f} µs"),
)


def bars(record: Record) -> str:
    """What was asked, and what was measured."""
    rows = []
    for what, figure, sign, limit, value, show in BARS:
        found = value(record)
        holds = found >= limit if sign == "≥" else found <= limit
        rows.append(row(what, figure, f"{sign} {show(limit)}", show(found), MET[holds]))
    return table(["pictures", "figure", "bar", "measured", "met"], rows)


def photos(record: Record) -> str:
    """The photos by who took them."""
    told = record["photos"]
    rows = [
        row(name, *(counts[key] for key in ("n", "right", "wrong", "refused")))
        for name, counts in [*told["sources"].items(), ("all", told)]
    ]
    missed = ", ".join(
        f"`{one['file']}` (a {one['label']}: {one['reason'] or 'answered ' + str(one['best'])})"
        for one in told["missed"]
    )
    text = f"""\
Phone photos, scans and drawings of single digits by {len(told["sources"])} other projects. The model learnt from none
of them: for its weights, leaving a source out would change nothing. The threshold was fitted on MNIST's pictures and on
what our code makes of them, but how was settled when one of these photos was known to be refused, and the door's
constants were chosen by people who had seen them: for these two there is no figure with a source left out."""
    return "\n\n".join(
        [
            _fill(text),
            table(["source", "pictures", "right", "wrong", "refused"], rows),
            *([_fill(f"Missed: {missed}.")] if missed else []),
        ]
    )


def corruptions(record: Record) -> str:
    """Kind by kind."""
    told = record["corruptions"]
    most = max(len(kind["levels"]) for kind in told["kinds"])
    rows = []
    for kind in told["kinds"]:
        cells = [
            f"**{percent(level['accuracy'])}**" if i == kind["named_level"] else percent(level["accuracy"])
            for i, level in enumerate(kind["levels"], 1)
        ]
        seen = {True: "yes", False: "no", None: "unknown"}[kind["in_training"]]
        undone = "yes" if kind["undone"] else "no"
        rows.append(row(kind["kind"].replace("_", " "), seen, undone, *cells, *[""] * (most - len(cells))))
    text = f"""\
The {len(rows)} kinds of MNIST-C (Mu and Gilmer 2019), made anew, on {told["n"]:,} pictures: accuracy in per cent at
each level, answered or not, that of MNIST-C in bold. Mean at those levels: **{percent(told["mean"])} %** (standard
deviation over the kinds {percent(told["standard_deviation"])} points){_unseen(told)}; {percent(told["answered"])} % are
answered, with the threshold that ships. Not corrupted: {percent(told["clean"])} %. The same for any model: `inkdigit
evaluate MODEL --corruptions`."""
    header = ["kind", "like something in training", "undone by the preprocessing", *map(str, range(1, most + 1))]
    how = [f"{kind['kind'].replace('_', ' ')} ({kind['undone']})" for kind in told["kinds"] if kind["undone"]]
    undone = f"What the preprocessing undoes says little of the network: {', '.join(how)}." if how else ""
    return "\n\n".join([_fill(text), _fill(f"{UNSEEN} {undone}"), table(header, rows)])


def _unseen(told: Record) -> str:
    """The mean over the kinds that are new to the model, where the card tells of any."""
    if told["mean_unseen"] is None:
        return ""
    kinds = "only kind" if told["unseen"] == 1 else f"{told['unseen']} kinds"
    return f"; over the {kinds} unseen: {percent(told['mean_unseen'])} %"


def outliers(record: Record) -> str:
    """What should be refused."""
    rows = [
        row(
            name,
            f"{one['n']:,}",
            f"{one['auroc']:.4f}",
            f"{percent(one['refused_at_99'])} %",
            f"{percent(one['refused'])} %",
        )
        for name, one in record["outliers"].items()
    ]
    mnist = record["mnist"]
    keeps, fitted_on = record["threshold"]["keeps"], record["threshold"]["fitted_on"]
    fitted = "" if keeps is None else f" fitted to keep {100 * keeps:g} % of {fitted_on},"
    text = f"""\
The score is high for what is one digit. *AUROC*: the chance that a digit's score is above an outlier's; digits are the
{record["digits"]}. *Refused at 99 %*: with the threshold that keeps 99 % of those digits. *Refused*: with the threshold
that ships,{fitted} which keeps {percent(mnist["answered"] / mnist["n"])} % of those digits. What is drawn is drawn
anew, with a seed that no training has; half of it is shown on paper."""
    return "\n\n".join([_fill(text), table(["outliers", "pictures", "AUROC", "refused at 99 %", "refused"], rows)])


def scores(record: Record) -> str:
    """Which score tells best."""
    columns = [*next(iter(record["scores"].values()))]  # kinds of outlier, and their mean
    header = ["score", *(column if column == "mean" else f"{column}: AUROC" for column in columns)]
    rows = [row(name, *(f"{told[column]:.4f}" for column in columns)) for name, told in record["scores"].items()]
    return "\n\n".join([record["about"], table(header, rows)])


def _compared(record: Record) -> str:
    """The comparison of scores: by which command, of which networks."""
    said = [
        f"`{one['recipe']}` of commit {(one['commit'] or 'unknown')[:12]}, {one['epochs']} epochs"
        for one in record["networks"]
    ]
    return f"`python -m benchmarks.robustness.rejection` ({'; '.join(dict.fromkeys(said))})"


def calibration(record: Record) -> str:
    """How honest the confidences are."""
    mnist = record["mnist"]
    known = mnist["coverage_at_999"]
    return _fill(f"""\
On the {record["digits"]}: calibration error {mnist["ece"]:.4f} (15 bins), negative log-likelihood {mnist["nll"]:.4f},
Brier score {mnist["brier"]:.4f}, area under the risk–coverage curve {mnist["aurc"]:.1e}, coverage at 99.9 % accuracy
{NOT_MEASURED if known is None else f"{percent(known)} %"}. One temperature, fitted on held-out training pictures, is
inside the graph.""")


def adapted(runs: Sequence[Record]) -> str:
    """What a user's few dozen pictures change."""
    rows = []
    for user in dict.fromkeys(run["user"] for run in runs):
        some = [run for run in runs if run["user"] == user]

        def right(part: str, when: str, some: Sequence[Record] = some) -> str:
            return shares([run[part][when] / run[part]["n"] for run in some])

        def refused(when: str, some: Sequence[Record] = some) -> str:
            return shares([fmean(run[f"refused_{when}"].values()) for run in some])

        timed = [run["seconds"] for run in some if "seconds" in run]  # an early version left cross-validation out
        most = max(run["old"]["before"] - run["old"]["after"] for run in some) / some[0]["old"]["n"]
        rows.append(
            row(
                *(WHO[user], len(some)),
                *(f"{right('own', before)} → {right('own', after)}" for before, after in CHANGES),
                *(f"{right('old', before)} → {right('old', after)}" for before, after in CHANGES),
                f"{100 * most:.2f} points: {MET[most <= MOST_LOST]}",
                f"{refused('before')} → {refused('after')}",
                f"{middle(timed)} s (n = {len(timed)})" if timed else NOT_MEASURED,
            )
        )
    pictures, unseen = runs[0]["learnt"], runs[0]["own"]["n"]
    text = f"""\
`inkdigit adapt` learnt {pictures} pictures of a user, {adapting.OF_EACH} of each digit, drawn by lot anew for each
seed, and then read up to {unseen:,} others from the same source. *Old* is MNIST's test part; *most lost* the seed that
lost most of it, and whether that is within the bar of 0.1 points. *Refused* is the mean over five kinds of outlier,
{adapting.OUTLIERS:,} or more of each. The others are mean ± standard deviation over the seeds. Time is the whole
command, its cross-validation included, but for its start: median [least–most]; the bar is 120 s."""
    header = ["user", "seeds", "theirs, right", "theirs, answered", "old, right", "old, answered", "most lost"]
    header += ["refused", "time"]
    return "\n\n".join([_fill(text), table(header, rows)])


def _fill(paragraph: str) -> str:
    """Its lines as long as a page's are, whatever figures were put in."""
    return textwrap.fill(" ".join(paragraph.split()), WIDTH, break_long_words=False, break_on_hyphens=False)


def render(record: Record | None, compared: Record | None, runs: Sequence[Record] = ()) -> str:
    """The whole page."""
    if record is None:
        return "\n\n".join([INTRO, f"{NOT_MEASURED.capitalize()}: {COMMAND}."]) + "\n"
    parts: list[Any] = [
        INTRO,
        f"Model: `{record['model']}`. Written by {COMMAND}.",
        "## Bars",
        bars(record),
        "## Photos",
        photos(record),
        "## Corruptions",
        corruptions(record),
        "## What is no digit",
        outliers(record),
        *(["## Which score", scores(compared)] if compared else []),
        "## Calibration",
        calibration(record),
        *(["## Adapted to a hand", adapted(runs)] if runs else []),
        "## Where and when",
        "\n".join(
            [
                machine_line(COMMAND, record),
                *([machine_line(_compared(compared), compared)] if compared else []),
                *dict.fromkeys(machine_line("`python -m benchmarks.robustness.adapting`", one) for one in runs),
            ]
        ),
    ]
    return "\n\n".join(parts) + "\n"


def files(results: Path, page: Path) -> pages.Files:
    """What the page should hold."""
    record = load(results / RESULTS)
    if record is not None and record["held_out"]:
        record = None
    shown = None if record is None else record["model"]
    lines = machine.read_lines(results / adapting.LEDGER)
    runs = {(one["user"], one["seed"]): one for one in lines if not one["smoke"] and one["model"] == shown}
    return pages.beside(page, render(record, load(results / SCORES), [*runs.values()]), {})


def main() -> int:
    """Write the page, or check it."""
    return pages.main(__doc__, PAGE, files, script="benchmarks.robustness.page")


if __name__ == "__main__":
    sys.exit(main())
