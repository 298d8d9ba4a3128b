"""The page of a search: `study.html`, one file in the look of every page here.

In: a `Story`, all plain values. Out: HTML with its figures inside it, in light and in dark.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inkdigit.files import write_atomic
from inkdigit.report.canvas import DARK, LIGHT, Theme
from inkdigit.report.template import pictures, render, signed
from inkdigit.tune import plots
from inkdigit.tune.comparison import Duel, spread
from inkdigit.tune.plots import TrialRow
from inkdigit.tune.space import Choices, Range

TEMPLATE = "study.html.j2"


@dataclass(frozen=True, slots=True)
class Story:
    """All that the page shows; `outcome` makes it."""

    name: str
    data: str
    seed: int
    dimensions: dict[str, Range | Choices]
    space: dict[str, str]  # in words
    rows: list[TrialRow]
    best: int  # the number of a trial
    best_value: float
    start_value: float | None
    importances: dict[str, float]
    changes: list[tuple[str, str, str]]  # field, start, winner
    cost: str  # what a trial was
    pictures: dict[str, int]
    duel: Duel | None
    no_duel: str  # why there is none


def write_page(path: Path, story: Story) -> None:
    """Draw the figures and write the page; everything is made before anything is written.

    Raises:
        MissingExtra: matplotlib or Jinja is not installed.
        OutputError: the page cannot be written.
    """
    figures = {theme.name: draw(story, theme=theme) for theme in (LIGHT, DARK)}
    counts = {state: sum(row.state == state for row in story.rows) for state in ("finished", "pruned", "failed")}
    values = {
        "story": story,
        "counts": {state: count for state, count in counts.items() if count},
        "names": list(story.dimensions),
        "ranked": sorted(story.rows, key=_rank),
        "cells": {row.number: [_cell(row, name) for name in story.dimensions] for row in story.rows},
        "duel": None if story.duel is None else _told(story.duel),
        **pictures(figures),
    }
    write_atomic(path, render(TEMPLATE, values))


def draw(story: Story, *, theme: Theme) -> dict[str, bytes]:
    """Every figure that this story has something for."""
    drawn = {
        "history": plots.history(story.rows, story.best, theme=theme),
        "parallel": plots.parallel(story.rows, story.dimensions, story.best, theme=theme),
    }
    if story.importances:
        drawn["importances"] = plots.importances(story.importances, theme=theme)
    if story.duel is not None:
        drawn["duel"] = plots.duel(story.duel, theme=theme)
    return drawn


def _rank(row: TrialRow) -> tuple[bool, float]:
    """Finished trials first, the best on top."""
    return row.state != "finished", -(row.value or 0.0)


def _cell(row: TrialRow, name: str) -> str:
    value: Any = row.params.get(name, row.outside.get(name))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _told(duel: Duel) -> dict[str, Any]:
    low, high = (100 * end for end in duel.interval)
    return {
        "rows": [
            (seed, f"{100 * s:.2f}", f"{100 * w:.2f}", signed(100 * (w - s)))
            for seed, s, w in zip(duel.seeds, duel.start, duel.winner, strict=True)
        ],
        "headline": sum(duel.winner) / len(duel.winner),
        "start": spread(duel.start),
        "winner": spread(duel.winner),
        "gain": signed(100 * duel.gain),
        "interval": f"{signed(low)} to {signed(high)}",
        "verdict": duel.verdict,
        "pictures": duel.pictures,
    }
