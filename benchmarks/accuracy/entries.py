"""What `docs/accuracy.md` measures: recipes, members of the ensemble, what is made of them, and the curve.

In: the bundled recipes. Out: an `Entry` for each, and its hash, by which a line of `accuracy.jsonl` is known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.speed.choices import BEST_BEFORE, FIVE_BY_FIVE, RESIDUAL
from inkdigit.errors import UsageError
from inkdigit.training.recipe import Recipe

# Recipe → seeds. `blink`, `fast` and `minute` are measured by speed/bench.py.
RECIPES = {"tiny": 5, "micro": 5, "best": 5}
THREE_BY_THREE = "member-3x3"  # what `best` was before it had depthwise convolutions: `BEST_BEFORE`
# Variants of it → what is changed.
MEMBERS: dict[str, dict[str, Any]] = {
    "member-5x5": {**FIVE_BY_FIVE, "epochs": 16},
    "member-residual": {**RESIDUAL, "epochs": 16},
    "member-moments": {"moments": True, "filters": [24, 48, 96, 144], "epochs": 16},
}
ENSEMBLE = (THREE_BY_THREE, *MEMBERS)
VIEWS = (1, 5)  # a file for each: a single view, and shifts by a pixel
DISTILLED = "160k"  # this network of the curve, taught by the ensemble of its seed
ENSEMBLE_SEEDS = 3
# One family: about so many parameters → filters of the first block; the next ones have 2, 4 and 6 times as many.
CURVE_BASE: dict[str, Any] = {"epochs": 8, "shift_px": 2.0, "shift_inside": False, "thickness": 0.0}  # of it, too
CURVE = {
    "1k": 1,
    "3k": 2,
    "6k": 3,
    "10k": 4,
    "23k": 6,
    "41k": 8,
    "92k": 12,
    "160k": 16,
    "360k": 24,
    "600k": 31,
}
CURVE_SEEDS = 5


@dataclass(frozen=True, slots=True)
class Entry:
    """What is measured: a recipe with changes, or an ensemble of other entries."""

    name: str
    group: str
    seeds: int
    recipe: str = ""
    before: Mapping[str, Any] = field(default_factory=dict)  # changes of the recipe that come first, of a variant
    changes: Mapping[str, Any] = field(default_factory=dict)
    called: str = ""  # the name in its runs, and so in their hash, where it is another one
    members: tuple[str, ...] = ()
    views: int = 1  # of an ensemble
    teacher: str = ""

    @property
    def made_of(self) -> tuple[str, ...]:
        """The entries whose models of the same seed it needs."""
        return self.members or ((self.teacher,) if self.teacher else ())

    @property
    def settings(self) -> dict[str, Any]:
        """Its name and all its changes of the recipe."""
        return {"name": self.called or self.name, **self.before, **self.changes}

    def loaded(self, changes: Mapping[str, Any]) -> Recipe:
        """Its recipe with `changes` on top, without its seed; a teacher's name stands for the file of each seed."""
        return Recipe.load(self.recipe, {**self.settings, "teacher": self.teacher or None, **changes})


def entries() -> dict[str, Entry]:
    """Everything that is measured, by name; what another is made of comes before it."""
    everything = [
        *(Entry(name, "recipes", seeds, recipe=name) for name, seeds in RECIPES.items()),
        Entry(THREE_BY_THREE, "members", ENSEMBLE_SEEDS, "best", BEST_BEFORE, called="best"),
        *(Entry(name, "members", ENSEMBLE_SEEDS, "best", BEST_BEFORE, changed) for name, changed in MEMBERS.items()),
        *(Entry(viewed(views), "ensemble", ENSEMBLE_SEEDS, members=ENSEMBLE, views=views) for views in VIEWS),
        Entry("distilled", "distilled", ENSEMBLE_SEEDS, "best", BEST_BEFORE, of_curve(DISTILLED), teacher=viewed(1)),
        *(Entry(f"curve-{size}", "curve", CURVE_SEEDS, "best", BEST_BEFORE, of_curve(size)) for size in CURVE),
    ]
    return {entry.name: entry for entry in everything}


def of_curve(size: str) -> dict[str, Any]:
    """The changed fields of `member-3x3` for one size of the curve."""
    first = CURVE[size]
    return {**CURVE_BASE, "filters": [first, 2 * first, 4 * first, 6 * first]}


def viewed(views: int) -> str:
    """What the ensemble with so many views is called."""
    return "ensemble" if views == 1 else f"ensemble-views{views}"  # as `inkdigit ensemble` names them


def identity(entry: Entry, changes: Mapping[str, Any] | None = None) -> str:
    """The hash of its recipe as it is now; where it is made of others, of theirs too.

    Raises:
        UsageError: a recipe is not there, or cannot be used.
    """
    known, changes = entries(), changes or {}
    others = [identity(known[other], changes) for other in entry.made_of]
    own = entry.loaded(changes).sha256 if entry.recipe else f"{entry.views} views"
    return hashlib.sha256(" ".join([own, *others]).encode()).hexdigest() if others else own


def identities() -> dict[str, str]:
    """Entry → its hash as it is now; an entry whose recipe is not written yet is left out."""
    hashes = {}
    for name, entry in entries().items():
        try:
            hashes[name] = identity(entry)
        except UsageError:
            continue
    return hashes
