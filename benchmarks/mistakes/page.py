"""Write `docs/mistakes.md` and its figures from `results/mistakes.json`: nothing on that page is typed by hand.

In: what `mistakes/measure.py` measured; a smoke run counts as not measured. Out: the page and `docs/mistakes/*.svg`;
with `--check` nothing is written, and the exit code is 1 if they are not what the results say.
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
        "table": images(record),
        "machine": machine_line(f"`{mistakes.COMMAND}`", record),
    }


def counts(record: Record) -> str:
    """How many images are predicted wrongly."""
    seeds = len(record["seeds"])
    rows = [
        row("a network, in the mean", plus_minus(record["wrong"], 1), seeds),
        row("all networks", record["wrong_in_all"], seeds),
        row("more than half of them", record["wrong_in_most"], seeds),
        row("at least one", record["wrong_in_some"], seeds),
    ]
    return table(["predicted wrongly by", "images", "n (networks)"], rows)


def faults(record: Record) -> dict[str, Any]:
    """Whose fault the wrong predictions are."""
    in_half, in_any = (Counter(image["fault"] for image in group) for group in (in_most(record), record["pictures"]))
    rows = [row(name, in_half[key], in_any[key]) for key, name in FAULTS.items() if in_any[key]]
    doubtful = [image for image in in_most(record) if image["fault"] == "doubtful"]
    return {
        "table": table(["whose fault", "of those that most networks get wrong", "of those that any gets wrong"], rows),
        "sided": sum(image["judged"] == str(image["answer"]) for image in doubtful),
        "doubtful": len(doubtful),
        "votes": len(record["labels"]),
        "judged": record["judged"],
    }


def labels(record: Record) -> dict[str, Any]:
    """Accuracy as labelled and with wrong labels corrected; what became of each."""
    right = [image for image in record["labels"] if image["set_right"] is not None]
    agreed = sum(image["judged"] == image["voted"] for image in right)
    reached, n = record["accuracy"], len(record["seeds"])
    accuracies = [
        row("as labelled", percent(reached["as labelled"], 3), n),
        row(f"{len(right)} labels corrected", percent(reached["set right"], 3), n),
        row(f"only the {agreed} that the eye reads as the votes do", percent(reached["agreed"], 3), n),
    ]
    rows = [
        row(
            image["index"],
            image["label"],
            f"{image['voted']} ({image['votes']} of 5, label {image['for_label']})",
            image["judged"] or "–",
            "yes" if image["set_right"] is not None else "no",
            _answers(image["answers"]),
        )
        for image in record["labels"]
    ]
    return {
        "accuracies": table(["labels", "accuracy", "n"], accuracies),
        "right": len(right),
        "agreed": agreed,
        "as_labelled": _answered_as(right, "label"),
        "as_voted": _answered_as(right, "set_right"),
        "table": table(["index", "label", "votes", "the eye", "corrected", "predictions"], rows),
    }


def _answered_as(rows: Sequence[Record], key: str) -> str:
    """How many of the images a network predicts as `key` says, in the mean."""
    seeds = range(len(rows[0]["answers"])) if rows else ()
    return plus_minus([sum(image["answers"][seed] == image[key] for image in rows) for seed in seeds], 1)


def _answers(given: Sequence[int]) -> str:
    """9, or 9 twice and 8 once, as "9 ×2, 8"."""
    return ", ".join(f"{digit} ×{k}" if k > 1 else str(digit) for digit, k in Counter(given).most_common())


def confidence(record: Record, figures: str) -> dict[str, Any]:
    """Calibration, and the gain of rejecting the least confident."""
    known, n = record["confidence"], len(record["seeds"])
    missed = [value for value in known["wrong"] if value is not None]
    rows = [
        row("expected calibration error, 15 bins", percent(record["ece"], 3), n),
        row("mean −log p of the label", plus_minus(record["nll"], 4), n),
        row("mean confidence of right predictions", percent(known["right"]), n),
        row("mean confidence of wrong predictions", percent(missed) if missed else "–", len(missed)),
    ]
    groups = [
        row(
            f"{group['from']:g} to {group['to']:g}",
            group["n"],
            f"{100 * group['confidence']:.2f} %",
            percent([group["accuracy"]]),
        )
        for group in known["groups"]
    ]
    left = [row("nothing", percent(record["accuracy"]["as labelled"], 3), n)]
    left += [row(f"{100 * float(s):g} %", percent(values, 3), n) for s, values in record["left_out"].items()]
    return {
        "fitted_on": record["calibrated_on"],
        "calibration": table(["on the test split", "value", "n"], rows),
        "groups": table(["confidence", "predictions", "mean confidence", "right"], groups),
        "figure": shown(f"{figures}/confidence", SHOWN["confidence"]),
        "left_out": table(["rejected", "accuracy on the rest", "n"], left),
        "left_out_figure": shown(f"{figures}/left-out", SHOWN["left-out"]),
    }


def writers(record: Record) -> dict[str, Any]:
    """The halves of the test split, and the held-out writers."""
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
    held_out = [
        row(
            f"`{run['recipe']}`, {run['seed']}",
            f"{run['n']:,}",
            run["wrong"],
            run["writers"],
            run["without"],
            "{:.0f} [{:.0f}–{:.0f}]".format(*run["by_chance"]),
            f"{run['p']:.2g}",
            *(_right(*run[who]) for who in ("students", "employees")),
        )
        for run in record["select"]
    ]
    worst = [
        row(run["seed"], writer, written, wrong) for run in record["select"] for writer, written, wrong in run["worst"]
    ]
    header = ["recipe, seed", "images", "wrong", "writers", "without mistake", "by chance", "p"]
    return {
        "halves": table(["written by", "images", "wrong", "accuracy", "n"], halves),
        "held_out": table([*header, "students", "employees"], held_out) if held_out else "",
        "shuffles": f"{mistakes.SHUFFLES:,}",
        "first_student": f"{mistakes.FIRST_STUDENT:,}",
        "worst": table(["seed", "writer", "images", "wrong"], worst),
    }


def _right(written: int, wrong: int) -> str:
    return f"{percent([1 - wrong / written])} of {written:,}" if written else "–"


def pairs(record: Record) -> dict[str, Any]:
    """The most frequent confusions."""
    rows = [row(label, answer, k, f"{k / len(record['seeds']):.1f}") for label, answer, k in record["pairs"]]
    return {"total": sum(record["wrong"]), "table": table(["label", "prediction", "mistakes", "per network"], rows)}


def images(record: Record) -> str:
    """Every image that some network gets wrong, those of most networks first."""
    n = len(record["seeds"])
    rows = [
        row(
            image["index"],
            image["label"],
            image["answer"],
            f"{image['confidence']:.3f}",
            ", ".join(f"{digit}: {p:.3f}" for digit, p in image["top"]),
            f"{image['wrong_in']} of {n}",
            image["judged"] or "–",
            FAULTS[image["fault"]],
        )
        for image in sorted(record["pictures"], key=lambda image: (-image["wrong_in"], image["index"]))
    ]
    return table(["index", "label", "prediction", "confidence", "top two", "wrong in", "the eye", "whose fault"], rows)


def render(record: Record | None, *, figures: str = "mistakes") -> str:
    """The page; `figures` is the folder of its figures beside it."""
    values = {} if record is None else content(record, figures=figures)
    return pages.render("mistakes/page.md.j2", {"measured": record is not None, **values})


def files(folder: Path, page: Path) -> pages.Files:
    """The page and its figures, each with what it should hold."""
    record = results.read(folder / mistakes.NAME)
    return pages.beside(page, render(record, figures=page.stem), plots.draw(record))


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page, or check it."""
    return pages.main(__doc__, PAGE, files, script="benchmarks.mistakes.page", argv=argv)


if __name__ == "__main__":
    sys.exit(main())
