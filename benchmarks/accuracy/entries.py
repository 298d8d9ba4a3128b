"""What `docs/accuracy.md` measures: recipes, members of the ensemble, what is made of them, and the curve.

In: the bundled recipes. Out: an `Entry` for each, and its hash, by which a line of `accuracy.jsonl` is known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.speed.pieces import RESIDUAL, WHITENED
from inkdigit.errors import UsageError
from inkdigit.training.recipe import Recipe

# Recipe → seeds. `blink`, `fast` and `minute` are measured by speed/bench.py.
RECIPES = {"tiny": 5, "micro": 5, "best": 9}
# The training images of MNIST. A recipe that was calibrated on them holds nothing out under `final`.
MNIST = Recipe.load("best").calibrated_on
# Members of the ensemble that are not recipes themselves: base, and what is changed of it. Each temperature is the best
# one for the same network with half of the writers held out (table `ensemble-half` of speed/choices.py).
MEMBERS: dict[str, tuple[str, dict[str, Any]]] = {
    "member-5x5": ("best", {**WHITENED, "temperature": 0.53, "calibrated_on": MNIST}),
    "member-residual": ("best", {**RESIDUAL, "epochs": 16, "temperature": 0.56, "calibrated_on": MNIST}),
    "member-moments": ("best", {**WHITENED, "moments": True, "temperature": 0.55, "calibrated_on": MNIST}),
}
ENSEMBLE = ("best", *MEMBERS)
VIEWS = (1, 5)  # a file for each: a single view, and shifts by a pixel
DISTILLED = "160k"  # this network of the curve, taught by the ensemble of its seed
# It holds nothing out, as its teacher does. The temperature is that of the same network taught by `best`, where both
# held the same writers out (`protocol = "select"`, `validation = 10000`, seed 0).
TAUGHT: dict[str, Any] = {"temperature": 0.58, "calibrated_on": MNIST}
ENSEMBLE_SEEDS = 3
# One family: about so many parameters → filters of the first block; the next ones have 2, 4 and 6 times as many.
CURVE_BASE: tuple[str, dict[str, Any]] = (
    "best",
    {"epochs": 8, "shift_px": 2.0, "shift_inside": False, "thickness": 0.0},
)
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
    changes: Mapping[str, Any] = field(default_factory=dict)
    members: tuple[str, ...] = ()
    views: int = 1  # of an ensemble
    teacher: str = ""

    @property
    def made_of(self) -> tuple[str, ...]:
        """The entries whose models of the same seed it needs."""
        return self.members or ((self.teacher,) if self.teacher else ())

    def loaded(self, changes: Mapping[str, Any]) -> Recipe:
        """Its recipe with `changes` on top, without its seed; a teacher's name stands for the file of each seed."""
        return Recipe.load(self.recipe, {"name": self.name, "teacher": self.teacher or None, **self.changes, **changes})


def entries() -> dict[str, Entry]:
    """Everything that is measured, by name; what another is made of comes before it."""
    base = CURVE_BASE[0]
    everything = [
        *(Entry(name, "recipes", seeds, recipe=name) for name, seeds in RECIPES.items()),
        *(
            Entry(name, "members", ENSEMBLE_SEEDS, recipe=recipe, changes=changed)
            for name, (recipe, changed) in MEMBERS.items()
        ),
        *(Entry(viewed(views), "ensemble", ENSEMBLE_SEEDS, members=ENSEMBLE, views=views) for views in VIEWS),
        Entry("distilled", "distilled", ENSEMBLE_SEEDS, base, {**of_curve(DISTILLED), **TAUGHT}, teacher=viewed(1)),
        *(Entry(f"curve-{size}", "curve", CURVE_SEEDS, base, of_curve(size)) for size in CURVE),
    ]
    return {entry.name: entry for entry in everything}


def of_curve(size: str) -> dict[str, Any]:
    """The changed fields of the curve's base for one of its sizes."""
    first = CURVE[size]
    return {**CURVE_BASE[1], "filters": [first, 2 * first, 4 * first, 6 * first]}


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
