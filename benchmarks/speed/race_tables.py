"""The part of `docs/benchmarks.md` about the race to 99 % on a GPU.

In: what `speed/race.py` wrote. Out: rows with bars, and a table of the racers.
"""

from __future__ import annotations

from benchmarks.common.results import Record
from benchmarks.common.tables import MET, NOT_MEASURED, fields, row, spread, table
from benchmarks.speed.race import CHANGES, PUBLISHED, RECIPE, RECORDED, STEPS

COMMAND = "python -m benchmarks.speed.race"
BAR = 2.0  # times as fast as the published one
NAMES = {
    PUBLISHED: "train_mnist_fast",
    STEPS: "Inkdigit, step by step",
    RECORDED: "Inkdigit, its step recorded as a CUDA graph",
}


def bars(race: Record | None) -> list[str]:
    """The row of the figure that has a bar: the quickest of ours that reaches 99 %."""
    figure, limit = "on a GPU, to 99 %: times as fast as train_mnist_fast", f"≥ {BAR:g} times"
    if race is None:
        return [row(figure, limit, NOT_MEASURED, "–", "–", f"`{COMMAND}`")]
    ours = [about for name, about in race["racers"].items() if name != PUBLISHED and about["reaches"]]
    if not ours:
        return [row(figure, limit, "does not reach 99 %", MET[False], "–", f"`{COMMAND}`")]
    best = max(ours, key=lambda about: about["times_as_fast"]["median"])
    taken = best["times_as_fast"]
    return [row(figure, limit, spread(taken, "times", 2), MET[taken["median"] >= BAR], best["n"], f"`{COMMAND}`")]


def section(race: Record) -> str:
    """The racers, side by side."""
    header = ["on " + race["gpu"], "test accuracy", "n", "seconds", "the first one", "times as fast"]
    rows = []
    for name, about in race["racers"].items():
        deviation = "" if about["accuracy_sd"] is None else f" ± {100 * about['accuracy_sd']:.3f}"
        rows.append(
            row(
                NAMES[name],
                f"{100 * about['accuracy']:.3f}{deviation} %",
                about["n"],
                spread(about["seconds"], "s", 3),
                f"{about['first_seconds']:.2f} s",
                "–" if name == PUBLISHED else spread(about["times_as_fast"], "times", 2),
            )
        )
    return table(header, rows)


def how() -> str:
    """What ours is, in words."""
    return f"`{RECIPE}` with {fields(CHANGES)}, on all training images and in float32"
