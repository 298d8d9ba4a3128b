"""Runs of one recipe that differ in their random seed alone, in words: a table, sentences, and `seeds.md`.

In: `Seeds`, as `measure.seeds` puts them together. Out: text.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

import inkdigit.runs as runs
from inkdigit.measure.ledger import Entry
from inkdigit.measure.seeds import Seeds, seen_from, spell
from inkdigit.report.numbers import duration, percent, percent_range, plural

PAGE = "seeds.md"
HEADER = ("seed", "accuracy", "wrong", "of", "trained in", "run")


def table(seeds: Seeds) -> list[tuple[str, ...]]:
    """A header, and a row of text a seed."""
    rows = {entry.seed or 0: _cells(entry) for entry in seeds.entries}
    rows |= {seed: ("–", "–", "–", "–", reason) for seed, reason in seeds.missing.items()}
    return [HEADER, *((str(seed), *cells) for seed, cells in sorted(rows.items()))]


def _cells(entry: Entry) -> tuple[str, ...]:
    """One finished run, a cell for each of `HEADER` after the seed."""
    return (
        f"{percent(entry.report['accuracy'])} %",
        f"{entry.wrong:,}",
        f"{entry.report['n']:,}",
        duration(entry.report.get("train_seconds") or 0.0),
        entry.folder.name,
    )


def sentences(seeds: Seeds) -> list[str]:
    """What the seeds come to, and what that does not say."""
    lines = [_about_part(seeds), *_about_mean(seeds)]
    if seeds.missing:
        without = f"Without figures: {plural(len(seeds.missing), 'seed')} ({spell(sorted(seeds.missing))})"
        lines.append(f"{without}. What is said here is of the others alone.")
    if seeds.wrong_with is not None and len(seeds.seeds) > 1:
        every, wrong = len(seeds.seeds), seeds.wrong_with
        lines.append(
            f"{plural(int((wrong > 0).sum()), 'picture')} wrong with some seed: {(wrong == every).sum():,} with all "
            f"{every}, {(wrong == 1).sum():,} with one alone."
        )
    return lines


def to_markdown(seeds: Seeds, folder: Path) -> str:
    """The page beside the runs."""
    first, *_ = seeds.entries
    every = sorted({*seeds.seeds, *seeds.missing})
    blocks = [
        f"# {first.recipe_name} on {first.data}: {plural(len(seeds.seeds), 'seed')}",
        _markdown_table(table(seeds)),
        *sentences(seeds),
    ]
    if seeds.wrong_with is not None and len(seeds.seeds) > 1:
        counts = np.bincount(seeds.wrong_with, minlength=len(seeds.seeds) + 1)[1:].tolist()
        rows = [(str(number), f"{count:,}") for number, count in enumerate(counts, 1)]
        blocks.append(_markdown_table([("wrong with so many seeds", "pictures"), *rows]))
    recipe = f"{seen_from(folder, first.folder)}/{runs.RECIPE}"
    blocks.append(f"Repeated by: `inkdigit train {recipe} --seeds {spell(every)}`")
    return "\n\n".join(blocks) + "\n"


def _about_part(seeds: Seeds) -> str:
    """Which pictures the figures are about: the same for every seed, or not."""
    first = seeds.entries[0]
    same = "" if len(seeds.seeds) == 1 else ", the same for every seed"
    if first.part == "test":
        return f"Protocol final: the figures are on the test part of {first.data}{same}."
    held = "" if len(seeds.seeds) == 1 else ", others for each seed" if seeds.wrong_with is None else same
    return f"Protocol select: the figures are on training pictures of {first.data} that were held out{held}."


def _about_mean(seeds: Seeds) -> list[str]:
    accuracy = seeds.accuracy
    if accuracy.sd is None or accuracy.standard_error is None:
        return ["One seed has no spread: what another would come to is not known."]
    mean = (
        f"Mean {percent(accuracy.mean, 3)} % of {plural(len(seeds.seeds), 'seed')}, standard deviation "
        f"{percent(accuracy.sd, 3)} points (n − 1), standard error {percent(accuracy.standard_error, 3)} points."
    )
    if seeds.accuracy_ci95 is None:
        return [mean, "All came to the very same accuracy, which makes no interval."]
    luck = (
        "It holds the luck of the seeds and of the pictures held out; these overlap, so that it is a rough one."
        if seeds.wrong_with is None
        else "It holds the luck of the seeds alone: that of the pictures is in the interval of each run."
    )
    return [mean, f"95 % interval of the mean {percent_range(seeds.accuracy_ci95, 3)} % (Student's t). {luck}"]


def _markdown_table(rows: Sequence[Sequence[str]]) -> str:
    header, *body = ("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
    return "\n".join([header, "|" + " --- |" * len(rows[0]), *body])
