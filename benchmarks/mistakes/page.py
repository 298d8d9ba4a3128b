"""Write `docs/mistakes.md` and its figures from `results/mistakes.json`: nothing on that page is typed by hand.

In: what `mistakes/measure.py` found; a smoke run counts as not measured. Out: the page and `docs/mistakes/*.svg`; with
`--check` nothing is written, and the exit code is 1 if they are not what the results say.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev

from benchmarks.common import machine, pages
from benchmarks.common.tables import Record, load, machine_line, percent, row, table
from benchmarks.mistakes import measure as mistakes
from benchmarks.mistakes import plots as mistakes_plots
from benchmarks.mistakes.plots import FAULTS, SHOWN, in_most
from benchmarks.speed.bench_plots import picture

PAGE = machine.ROOT / "docs" / "mistakes.md"


INTRO = """\
# What is left

The pictures of MNIST's test part that the networks of one recipe still read wrongly: how many, whose fault it is, how
sure they are, who wrote them. Written by `python -m benchmarks.mistakes.page` from what `python -m
benchmarks.mistakes.measure` found in finished runs; nothing on this page is typed by hand. Pictures are named by their
index, from 0, in the order of the test file; none is shown.
"""
NOT_MEASURED = "Not measured yet."

JUDGES = """\
*Votes*: the project [label-errors](https://github.com/cleanlab/label-errors) (Northcutt, Athalye and Mueller 2021,
[arXiv:2103.14749](https://arxiv.org/abs/2103.14749)) showed test pictures that a network of its own read otherwise to
five people each, with the label and that other answer to choose from, or neither. Most of the five did not confirm the
label of {votes} pictures; [wrong-labels.csv](../benchmarks/mistakes/wrong-labels.csv) has the counts. (The project is
under the GPL, version 3 or later; taken over are these counts alone, none of its code and no picture.) *The eye*:
{judged} pictures that networks find hard were looked at once, enlarged, by the project, without label or answer shown
([judged.csv](../benchmarks/mistakes/judged.csv); its note names the one that was seen after its votes). It is one
judgement, not a vote of people; another may differ.

Where a majority of the five reads one other digit and the eye does not read the label, a mistake is *the label's* if
the network answers as the majority does, else *the network's*. Any other picture whose label most of the five did not
confirm is *doubtful*, whatever the eye reads: the votes have no majority, or the eye reads the label. Where there are
no such votes, the eye decides: *the network's* if it reads the label, *doubtful* if it reads something else or cannot
tell, *not judged* if it has not seen the picture."""

RIGHT = """\
{right} labels are set right: those where a majority of the five reads one other digit, and the eye does not read the
label. The list was made once, from votes and eye alone; what our networks answer did not count. The eye agrees with
the majority on {agreed} of them. A network that learnt how MNIST was labelled can lose by it: where it answers as the
wrong label says, that counts as a mistake afterwards."""

HALVES = """\
Who wrote the test pictures is not in the data. The [page of MNIST](http://yann.lecun.com/exdb/mnist/) says that one
half was written by employees of the Census Bureau (SD-3) and the other by high-school students (SD-1), and that the
first half is the easier one. The [code of QMNIST](https://github.com/facebookresearch/qmnist), which traced every
picture to its form, has it the other way round: the first 5,001 are the students'. The mistakes are counted by it."""

WRITERS = """\
The writers of the training pictures are known (QMNIST), so this is about networks that were trained without some
writers (`protocol = "select"`) and asked about them alone. *By chance*: as many mistakes dealt out among the same
pictures, whoever wrote them, {shuffles:,} times: writers without any in the mean [95 % of the times], and how often
there were as many without as here (p). Where mistakes gather more than that, students being harder to read than
employees is a part of it."""


def plus_minus(values: Sequence[float], digits: int = 1) -> str:
    """Mean ± standard deviation of a few figures."""
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{fmean(values):.{digits}f}{spread}"


def how_many(record: Record) -> list[str]:
    """Counts of wrong pictures, and whose fault they are."""
    seeds, n = len(record["seeds"]), record["n"]
    counts = [
        row("a network, in the mean", plus_minus(record["wrong"]), seeds),
        row("all networks", record["wrong_in_all"], seeds),
        row("more than half of them", record["wrong_in_most"], seeds),
        row("at least one", record["wrong_in_some"], seeds),
    ]
    most, some = (Counter(one["fault"] for one in held) for held in (in_most(record), record["pictures"]))
    faults = [row(name, most[key], some[key]) for key, name in FAULTS.items() if some[key]]
    doubtful = [one for one in in_most(record) if one["fault"] == "doubtful"]
    sided = sum(one["judged"] == str(one["answer"]) for one in doubtful)
    return [
        "## How many",
        f"`{record['recipe']}`, {record['parameters']:,} parameters, {seeds} seed{'s' * (seeds > 1)}, {n:,} test "
        "pictures; mean ± standard deviation over seeds.",
        table(["read wrongly by", "pictures", "n (networks)"], counts),
        "## Whose fault",
        table(["whose fault", "of those that most networks read wrongly", "of those that any does"], faults),
        f"The eye reads {sided} of the {len(doubtful)} doubtful ones as most networks do.",
        JUDGES.format(votes=len(record["labels"]), judged=record["judged"]),
    ]


def labels(record: Record) -> list[str]:
    """Accuracy as labelled and with wrong labels set right; what became of each."""
    right = [one for one in record["labels"] if one["set_right"] is not None]
    agreed = sum(one["judged"] == one["voted"] for one in right)
    reached = record["accuracy"]
    n = len(record["seeds"])
    accuracies = [
        row("as labelled", percent(reached["as labelled"], 3), n),
        row(f"{len(right)} labels set right", percent(reached["set right"], 3), n),
        row(f"only the {agreed} that the eye reads as the votes do", percent(reached["agreed"], 3), n),
    ]
    rows = [
        row(
            one["index"],
            one["label"],
            f"{one['voted']} ({one['votes']} of 5, label {one['for_label']})",
            one["judged"] or "–",
            "yes" if one["set_right"] is not None else "no",
            _answers(one["answers"]),
        )
        for one in record["labels"]
    ]
    return [
        "## Wrong labels set right",
        table(["labels", "accuracy", "n"], accuracies),
        RIGHT.format(right=len(right), agreed=agreed)
        + f" Of these {len(right)}, a network answers {_answered_as(right, 'label')} as labelled and "
        f"{_answered_as(right, 'set_right')} as the votes say (n = {n}).",
        table(["index", "label", "votes", "the eye", "set right", "answers"], rows),
    ]


def _answered_as(rows: Sequence[Record], key: str) -> str:
    """How many of the pictures a network answers as `key` says, in the mean."""
    seeds = range(len(rows[0]["answers"])) if rows else ()
    return plus_minus([sum(one["answers"][seed] == one[key] for one in rows) for seed in seeds])


def _answers(given: Sequence[int]) -> str:
    """9, or 9 twice and 8 once, as "9 ×2, 8"."""
    return ", ".join(f"{digit} ×{k}" if k > 1 else str(digit) for digit, k in Counter(given).most_common())


def sureness(record: Record, figures: str) -> list[str]:
    """Calibration, and what leaving out the least sure brings."""
    sure, n = record["confidence"], len(record["seeds"])
    fitted = record["calibrated_on"]
    missed = [value for value in sure["wrong"] if value is not None]
    rows = [
        row("expected calibration error, 15 bins", percent(record["ece"], 3), n),
        row("mean −log p of the label", plus_minus(record["nll"], 4), n),
        row("mean confidence of right answers", percent(sure["right"]), n),
        row("mean confidence of wrong answers", percent(missed) if missed else "–", len(missed)),
    ]
    groups = [
        row(
            f"{one['from']:g} to {one['to']:g}",
            one["n"],
            f"{100 * one['confidence']:.2f} %",
            percent([one["accuracy"]]),
        )
        for one in sure["groups"]
    ]
    left = [row("nothing", percent(record["accuracy"]["as labelled"], 3), n)]
    left += [row(f"{100 * float(s):g} %", percent(values, 3), n) for s, values in record["left_out"].items()]
    return [
        "## How sure",
        f"The temperature of these networks was fitted on {fitted}." if fitted != "nothing" else "Not calibrated.",
        table(["on the test part", "value", "n"], rows),
        f"Answers of all {n} network{'s' * (n > 1)} together, by their confidence (the same pictures once a network):",
        table(["confidence", "answers", "mean confidence", "right"], groups),
        picture(f"{figures}/confidence", SHOWN["confidence"]),
        "Accuracy when the least sure pictures are not answered:",
        table(["left out", "accuracy on the rest", "n"], left),
        picture(f"{figures}/left-out", SHOWN["left-out"]),
    ]


def writers(record: Record) -> list[str]:
    """The halves of the test part, and the held-out writers."""
    n = len(record["seeds"])
    halves = [
        row(
            half["writers"],
            f"{half['n']:,}",
            plus_minus(half["wrong"]),
            percent([1 - k / half["n"] for k in half["wrong"]]),
            n,
        )
        for half in record["halves"]
    ]
    parts = ["## Which writers", HALVES, table(["written by", "pictures", "wrong", "accuracy", "n"], halves)]
    if not record["select"]:
        return [*parts, f"Writers of training pictures: {NOT_MEASURED.lower()}"]
    held = [
        row(
            f"`{one['recipe']}`, {one['seed']}",
            f"{one['n']:,}",
            one["wrong"],
            one["writers"],
            one["without"],
            "{:.0f} [{:.0f}–{:.0f}]".format(*one["by_chance"]),
            f"{one['p']:.2g}",
            *(_right(*one[who]) for who in ("students", "employees")),
        )
        for one in record["select"]
    ]
    worst = [
        row(one["seed"], writer, written, wrong) for one in record["select"] for writer, written, wrong in one["worst"]
    ]
    header = [
        "recipe, seed",
        "pictures",
        "wrong",
        "writers",
        "without mistake",
        "by chance",
        "p",
        "students",
        "employees",
    ]
    return [
        *parts,
        WRITERS.format(shuffles=mistakes.SHUFFLES),
        table(header, held),
        f"The writers with most mistakes (by NIST's numbers; students from {mistakes.FIRST_STUDENT:,} on):",
        table(["seed", "writer", "pictures", "wrong"], worst),
    ]


def _right(written: int, wrong: int) -> str:
    return f"{percent([1 - wrong / written])} of {written:,}" if written else "–"


def pairs(record: Record) -> list[str]:
    """The most frequent confusions."""
    n = len(record["seeds"])
    rows = [row(label, answer, k, f"{k / n:.1f}") for label, answer, k in record["pairs"]]
    total = sum(record["wrong"])
    return [
        "## Which pairs",
        f"Of {total} mistakes of {n} network{'s' * (n > 1)}:",
        table(["label", "answer", "mistakes", "a network"], rows),
    ]


def pictures(record: Record) -> list[str]:
    """Every picture that some network reads wrongly, those of most networks first."""
    n = len(record["seeds"])
    rows = [
        row(
            one["index"],
            one["label"],
            one["answer"],
            f"{one['confidence']:.3f}",
            ", ".join(f"{digit}: {p:.3f}" for digit, p in one["top"]),
            f"{one['wrong_in']} of {n}",
            one["judged"] or "–",
            FAULTS[one["fault"]],
        )
        for one in sorted(record["pictures"], key=lambda one: (-one["wrong_in"], one["index"]))
    ]
    return [
        "## The pictures",
        "*Answer*: the wrong digit that is given most often, and the mean confidence of the networks that give it. "
        "*Top two*: the most probable digits in the mean of all networks, which need not hold it.",
        table(["index", "label", "answer", "confidence", "top two", "wrong in", "the eye", "whose fault"], rows),
    ]


def render(record: Record | None, *, figures: str = "mistakes") -> str:
    """The whole page; `figures` is the folder of its figures beside it."""
    if record is None:
        return f"{INTRO}\n{NOT_MEASURED}\n"
    where = machine_line(f"`{mistakes.COMMAND}`", record)
    blocks = [*how_many(record), *labels(record), *sureness(record, figures), *writers(record), *pairs(record)]
    return INTRO + "\n" + "\n\n".join([*blocks, *pictures(record), "## Where and when", where]) + "\n"


def files(results: Path, at: Path) -> pages.Files:
    """The page and its figures, each with what it should hold."""
    record = load(results / mistakes.NAME)
    return pages.beside(at, render(record, figures=at.stem), mistakes_plots.draw(record))


def main() -> int:
    """Write the page, or check it."""
    return pages.main(__doc__, PAGE, files, script="benchmarks.mistakes.page")


if __name__ == "__main__":
    sys.exit(main())
