"""The part of `docs/benchmarks.md` about the race to 99 %.

In: what `speed/race.py` wrote, on a GPU and on a processor. Out: a row with a bar, and tables of the racers.
"""

from __future__ import annotations

from benchmarks.common.results import Record
from benchmarks.common.tables import MET, NOT_MEASURED, fields, row, spread, table
from benchmarks.speed.race import CHANGES, COMMANDS, PUBLISHED, RECIPE, RECORDED, STEPS

BAR = 2.0  # times as fast as the published one
NAMES = {
    PUBLISHED: "train_mnist_fast",
    STEPS: "Inkdigit, step by step",
    RECORDED: "Inkdigit, its step recorded as a CUDA graph",
}


def bars(race: Record | None) -> list[str]:
    """The row of the figure that has a bar: the quickest of ours that reaches 99 %."""
    figure, limit, command = "on a GPU, to 99 %: as fast as train_mnist_fast", f"≥ {BAR:g} times", COMMANDS["cuda"]
    if race is None:
        return [row(figure, limit, NOT_MEASURED, "–", "–", f"`{command}`")]
    ours = [about for name, about in race["racers"].items() if name != PUBLISHED and about["reaches"]]
    if not ours:
        return [row(figure, limit, "does not reach 99 %", MET[False], "–", f"`{command}`")]
    best = max(ours, key=lambda about: about["times_as_fast"]["median"])
    taken = best["times_as_fast"]
    return [row(figure, limit, spread(taken, "times", 2), MET[taken["median"] >= BAR], best["n"], f"`{command}`")]


def section(race: Record) -> str:
    """The racers, side by side."""
    where = race["machine"]["processor"] if race["gpu"] == "cpu" else race["gpu"]
    header = [f"on {where}", "test accuracy", "n", "seconds", "the first one", "times as fast"]
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
