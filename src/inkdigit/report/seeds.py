"""Text about runs of one recipe that differ only in their random seed: a table, sentences, and `seeds.md`.

In: the `Seeds` of `measure.seeds`. Out: text.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

import inkdigit.runs as runs
from inkdigit.measure.ledger import Entry
from inkdigit.measure.seeds import Seeds, format_seeds, relative
from inkdigit.report.numbers import duration, percent, percent_range, plural

PAGE = "seeds.md"
HEADER = ("seed", "accuracy", "wrong", "of", "trained in", "run")


def table(seeds: Seeds) -> list[tuple[str, ...]]:
    """A header, and a row of text for each seed."""
    rows = {entry.seed or 0: _cells(entry) for entry in seeds.entries}
    rows |= {seed: ("–", "–", "–", "–", reason) for seed, reason in seeds.missing.items()}
    return [HEADER, *((str(seed), *cells) for seed, cells in sorted(rows.items()))]


def _cells(entry: Entry) -> tuple[str, ...]:
    """The cells of one finished run, in the order of `HEADER` without the seed."""
    return (
        f"{percent(entry.report['accuracy'])} %",
        f"{entry.wrong:,}",
        f"{entry.report['n']:,}",
        duration(entry.report.get("train_seconds") or 0.0),
        entry.folder.name,
    )


def sentences(seeds: Seeds) -> list[str]:
    """The results of the seeds, and what they do not show."""
    lines = [_about_part(seeds), *_about_mean(seeds)]
    if seeds.missing:
        without = f"Without figures: {plural(len(seeds.missing), 'seed')} ({format_seeds(sorted(seeds.missing))})"
        lines.append(f"{without}. The figures here are of the others only.")
    if seeds.wrong_with is not None and len(seeds.seeds) > 1:
        every, wrong = len(seeds.seeds), seeds.wrong_with
        lines.append(
            f"{plural(int((wrong > 0).sum()), 'image')} wrong with some seed: {(wrong == every).sum():,} with all "
            f"{every}, {(wrong == 1).sum():,} with only one."
        )
    return lines


def to_markdown(seeds: Seeds, folder: Path) -> str:
    """The page next to the runs."""
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
        blocks.append(_markdown_table([("wrong with this many seeds", "images"), *rows]))
    recipe = f"{relative(folder, first.folder)}/{runs.RECIPE}"
    blocks.append(f"Repeat with: `inkdigit train {recipe} --seeds {format_seeds(every)}`")
    return "\n\n".join(blocks) + "\n"


def _about_part(seeds: Seeds) -> str:
    """Which images the figures are about, and whether they are the same for every seed."""
    first = seeds.entries[0]
    same = "" if len(seeds.seeds) == 1 else ", the same for every seed"
    if first.part == "test":
        return f"Protocol final: the figures are on the test split of {first.data}{same}."
    if len(seeds.seeds) > 1 and seeds.wrong_with is None:
        same = ", different ones for each seed"
    return f"Protocol select: the figures are on held-out training images of {first.data}{same}."


def _about_mean(seeds: Seeds) -> list[str]:
    accuracy = seeds.accuracy
    if accuracy.sd is None or accuracy.standard_error is None:
        return ["One seed has no spread: the result of another seed is not known."]
    mean = (
        f"Mean {percent(accuracy.mean, 3)} % of {plural(len(seeds.seeds), 'seed')}, standard deviation "
        f"{percent(accuracy.sd, 3)} points (n − 1), standard error {percent(accuracy.standard_error, 3)} points."
    )
    if seeds.accuracy_ci95 is None:
        return [mean, "All have exactly the same accuracy, which gives no interval."]
    scope = (
        "It includes the chance of the seeds and of the held-out images; these overlap, so it is approximate."
        if seeds.wrong_with is None
        else "It includes only the chance of the seeds; that of the images is in the interval of each run."
    )
    return [mean, f"95 % interval of the mean {percent_range(seeds.accuracy_ci95, 3)} % (Student's t). {scope}"]


def _markdown_table(rows: Sequence[Sequence[str]]) -> str:
    header, *body = ("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
    return "\n".join([header, "|" + " --- |" * len(rows[0]), *body])
