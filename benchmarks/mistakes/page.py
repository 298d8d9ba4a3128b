"""Write `docs/mistakes.md` and its figures from `results/mistakes.json`: nothing on that page is typed by hand.

In: what `mistakes/measure.py` found; a smoke run counts as not measured. Out: the page and `docs/mistakes/*.svg`; with
`--check` nothing is written, and the exit code is 1 if they are not what the results say.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import machine, pages, results
from benchmarks.common.plots import shown
from benchmarks.common.results import Record
from benchmarks.common.tables import machine_line, percent, plus_minus, row, table
from benchmarks.mistakes import measure as mistakes
from benchmarks.mistakes import plots
from benchmarks.mistakes.plots import FAULTS, SHOWN, in_most

PAGE = machine.ROOT / "docs" / "mistakes.md"


def content(record: Record, *, figures: str) -> dict[str, Any]:
    """What the template shows; `figures` is the folder of the figures beside the page."""
    return {
        "recipe": record["recipe"],
        "parameters": f"{record['parameters']:,}",
        "n": len(record["seeds"]),
        "pictures": f"{record['n']:,}",
        "counts": counts(record),
        "faults": faults(record),
        "labels": labels(record),
        "confidence": confidence(record, figures),
        "writers": writers(record),
        "pairs": pairs(record),
        "table": pictures(record),
        "machine": machine_line(f"`{mistakes.COMMAND}`", record),
    }


def counts(record: Record) -> str:
    """How many pictures are read wrongly."""
    seeds = len(record["seeds"])
    rows = [
        row("a network, in the mean", plus_minus(record["wrong"], 1), seeds),
        row("all networks", record["wrong_in_all"], seeds),
        row("more than half of them", record["wrong_in_most"], seeds),
        row("at least one", record["wrong_in_some"], seeds),
    ]
    return table(["read wrongly by", "pictures", "n (networks)"], rows)


def faults(record: Record) -> dict[str, Any]:
    """Whose fault the wrong pictures are."""
    most, some = (Counter(one["fault"] for one in held) for held in (in_most(record), record["pictures"]))
    rows = [row(name, most[key], some[key]) for key, name in FAULTS.items() if some[key]]
    doubtful = [one for one in in_most(record) if one["fault"] == "doubtful"]
    return {
        "table": table(["whose fault", "of those that most networks read wrongly", "of those that any does"], rows),
        "sided": sum(one["judged"] == str(one["answer"]) for one in doubtful),
        "doubtful": len(doubtful),
        "votes": len(record["labels"]),
        "judged": record["judged"],
    }


def labels(record: Record) -> dict[str, Any]:
    """Accuracy as labelled and with wrong labels set right; what became of each."""
    right = [one for one in record["labels"] if one["set_right"] is not None]
    agreed = sum(one["judged"] == one["voted"] for one in right)
    reached, n = record["accuracy"], len(record["seeds"])
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
    return {
        "accuracies": table(["labels", "accuracy", "n"], accuracies),
        "right": len(right),
        "agreed": agreed,
        "as_labelled": _answered_as(right, "label"),
        "as_voted": _answered_as(right, "set_right"),
        "table": table(["index", "label", "votes", "the eye", "set right", "answers"], rows),
    }


def _answered_as(rows: Sequence[Record], key: str) -> str:
    """How many of the pictures a network answers as `key` says, in the mean."""
    seeds = range(len(rows[0]["answers"])) if rows else ()
    return plus_minus([sum(one["answers"][seed] == one[key] for one in rows) for seed in seeds], 1)


def _answers(given: Sequence[int]) -> str:
    """9, or 9 twice and 8 once, as "9 ×2, 8"."""
    return ", ".join(f"{digit} ×{k}" if k > 1 else str(digit) for digit, k in Counter(given).most_common())


def confidence(record: Record, figures: str) -> dict[str, Any]:
    """Calibration, and what leaving out the least sure brings."""
    known, n = record["confidence"], len(record["seeds"])
    missed = [value for value in known["wrong"] if value is not None]
    rows = [
        row("expected calibration error, 15 bins", percent(record["ece"], 3), n),
        row("mean −log p of the label", plus_minus(record["nll"], 4), n),
        row("mean confidence of right answers", percent(known["right"]), n),
        row("mean confidence of wrong answers", percent(missed) if missed else "–", len(missed)),
    ]
    groups = [
        row(
            f"{one['from']:g} to {one['to']:g}",
            one["n"],
            f"{100 * one['confidence']:.2f} %",
            percent([one["accuracy"]]),
        )
        for one in known["groups"]
    ]
    left = [row("nothing", percent(record["accuracy"]["as labelled"], 3), n)]
    left += [row(f"{100 * float(s):g} %", percent(values, 3), n) for s, values in record["left_out"].items()]
    return {
        "fitted_on": record["calibrated_on"],
        "calibration": table(["on the test part", "value", "n"], rows),
        "groups": table(["confidence", "answers", "mean confidence", "right"], groups),
        "figure": shown(f"{figures}/confidence", SHOWN["confidence"]),
        "left_out": table(["left out", "accuracy on the rest", "n"], left),
        "left_out_figure": shown(f"{figures}/left-out", SHOWN["left-out"]),
    }


def writers(record: Record) -> dict[str, Any]:
    """The halves of the test part, and the held-out writers."""
    n = len(record["seeds"])
    halves = [
        row(
            half["writers"],
            f"{half['n']:,}",
            plus_minus(half["wrong"], 1),
            percent([1 - k / half["n"] for k in half["wrong"]]),
            n,
        )
        for half in record["halves"]
    ]
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
    header = ["recipe, seed", "pictures", "wrong", "writers", "without mistake", "by chance", "p"]
    return {
        "halves": table(["written by", "pictures", "wrong", "accuracy", "n"], halves),
        "held_out": table([*header, "students", "employees"], held) if held else "",
        "shuffles": f"{mistakes.SHUFFLES:,}",
        "first_student": f"{mistakes.FIRST_STUDENT:,}",
        "worst": table(["seed", "writer", "pictures", "wrong"], worst),
    }


def _right(written: int, wrong: int) -> str:
    return f"{percent([1 - wrong / written])} of {written:,}" if written else "–"


def pairs(record: Record) -> dict[str, Any]:
    """The most frequent confusions."""
    rows = [row(label, answer, k, f"{k / len(record['seeds']):.1f}") for label, answer, k in record["pairs"]]
    return {"total": sum(record["wrong"]), "table": table(["label", "answer", "mistakes", "a network"], rows)}


def pictures(record: Record) -> str:
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
    return table(["index", "label", "answer", "confidence", "top two", "wrong in", "the eye", "whose fault"], rows)


def render(record: Record | None, *, figures: str = "mistakes") -> str:
    """The whole page; `figures` is the folder of its figures beside it."""
    values = {} if record is None else content(record, figures=figures)
    return pages.render("mistakes/page.md.j2", {"measured": record is not None, **values})


def files(folder: Path, page: Path) -> pages.Files:
    """The page and its figures, each with what it should hold."""
    record = results.read(folder / mistakes.NAME)
    return pages.beside(page, render(record, figures=page.stem), plots.draw(record))


def main() -> int:
    """Write the page, or check it."""
    return pages.main(__doc__, PAGE, files, script="benchmarks.mistakes.page")


if __name__ == "__main__":
    sys.exit(main())
