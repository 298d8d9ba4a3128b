"""Winner against start: both trained in full on the same new seeds, and asked about pictures that no trial saw.

In: a search and its best trial. Out: the accuracies seed by seed, their means, the paired difference with its
interval, and a verdict in plain words; and the winner as a recipe that `train` takes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import mean, stdev
from typing import TYPE_CHECKING

from inkdigit.errors import TrainingError
from inkdigit.measure.stats import student_t
from inkdigit.report.numbers import signed
from inkdigit.tune import pool
from inkdigit.tune import study as memory
from inkdigit.tune.pool import End, Training
from inkdigit.tune.search import Search, start_trial

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

    from inkdigit.training.recipe import Recipe

SEEDS = 3
T_95 = student_t(SEEDS - 1)  # for a 95 % interval of the mean difference


@dataclass(frozen=True, slots=True)
class Duel:
    """The accuracies of both on the unseen part, in the order of the seeds."""

    seeds: tuple[int, ...]
    start: tuple[float, ...]
    winner: tuple[float, ...]
    pictures: int  # of the unseen part

    @property
    def differences(self) -> tuple[float, ...]:
        """Winner less start, seed by seed: both had the same pictures and the same luck."""
        return tuple(w - s for s, w in zip(self.start, self.winner, strict=True))

    @property
    def gain(self) -> float:
        """The mean difference."""
        return mean(self.differences)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the mean difference."""
        half = T_95 * stdev(self.differences) / math.sqrt(SEEDS)
        return self.gain - half, self.gain + half

    @property
    def verdict(self) -> str:
        """Whether the search was worth it, in one sentence."""
        by = f"{100 * abs(self.gain):.2f} points"
        low, high = (100 * end for end in self.interval)
        interval = f"95 % interval {signed(low)} to {signed(high)}"
        if self.gain <= 0:
            return f"The winner is not better than the start: {by} below it ({interval})."
        if low > 0:
            return f"The winner is better than the start by {by} ({interval})."
        return f"The winner is {by} above the start, but three seeds do not show that it is better ({interval})."


def spread(accuracies: tuple[float, ...]) -> str:
    """0.9912, 0.9908, 0.9915 → "99.12 ± 0.04 %"."""
    return f"{100 * mean(accuracies):.2f} ± {100 * stdev(accuracies):.2f} %"


def fight(search: Search, best: FrozenTrial) -> Duel | None:
    """Train winner and start in full, each on the same new seeds; what is stored already is not trained again.

    Raises:
        TrainingError: a full training fails where the short ones did not.
    """
    study, start = search.study, search.start
    if memory.START in best.user_attrs or start_trial(study) is None:
        return None
    sides = {"start": start, f"trial {best.number}": search.recipe(best.params)}
    seeds = [(start.seed + i) % 2**31 for i in range(1, SEEDS + 1)]
    keys = [(side, seed) for seed in seeds for side in sides]  # alternating: both sides see the machine alike
    waiting = [key for key in keys if _stored(study, *key) is None]
    search.log(f"Comparing trial {best.number} with the start: {len(waiting)} whole trainings.")

    def take() -> Training | None:
        if not waiting:
            return None
        side, seed = waiting.pop(0)
        recipe = sides[side].change({"seed": seed})
        return Training((side, seed), recipe, search.pictures.for_duel(recipe), search.pictures.classes)

    def on_end(training: Training, end: End) -> None:
        side, seed = training.key
        if end.died:
            waiting.append((side, seed))
            return
        if end.accuracy is None:
            raise TrainingError(f"Trained in full with seed {seed}, {side} fails: {end.problem}")
        study.set_user_attr(_attr(side, seed), {"accuracy": end.accuracy, "seconds": round(end.seconds, 2)})
        search.log(f"{side.capitalize():<9} seed {seed}  {100 * end.accuracy:.2f} %  ({end.seconds:.0f} s)")

    pool.train_all(take, jobs=search.jobs, on_epoch=lambda *_: True, on_end=on_end)
    unseen = search.pictures.duel.test
    assert unseen is not None
    begun, won = (tuple(_stored(study, side, seed) or 0.0 for seed in seeds) for side in sides)
    return Duel(tuple(seeds), begun, won, len(unseen))


def _stored(study: Study, side: str, seed: int) -> float | None:
    """The accuracy of one full training, where the study remembers one."""
    kept = study.user_attrs.get(_attr(side, seed))
    accuracy = kept.get("accuracy") if isinstance(kept, dict) else None
    return accuracy if isinstance(accuracy, float) and 0 <= accuracy <= 1 else None


def _attr(side: str, seed: int) -> str:
    """Under which name a study remembers one full training."""
    return f"full training of {side}, seed {seed}"


def winner_toml(search: Search, best: FrozenTrial, duel: Duel | None) -> str:
    """The winner as a recipe that `train` takes: what was measured as a header, then every field.

    It keeps the start's protocol and validation; a calibration fitted for the start does not fit it.
    """
    header = [
        f"Trial {best.number} of a search of {len(memory.over(search.study))} trials from {search.start.name}.",
        f"On the validation part of the search: {100 * best.values[0]:.2f} % (trials saw {cost(search)}).",
    ]
    if duel is None:
        header.append(nothing_to_compare(search, best))
    else:
        header += [
            f"Trained in full, on {duel.pictures:,} pictures that no trial saw, {len(duel.seeds)} seeds:",
            f"{spread(duel.winner)}; the start {spread(duel.start)}.",
            duel.verdict,
        ]
    return "".join(f"# {line}\n" for line in header) + "\n" + _winner(search, best).to_toml()


def _winner(search: Search, best: FrozenTrial) -> Recipe:
    start = search.start
    if memory.START in best.user_attrs:
        return start
    about = f"{start.name}, tuned: trial {best.number} of {len(memory.over(search.study))}"
    unfitted = {"temperature": None, "accept_score": None, "calibrated_on": None}
    name = f"{start.name[:90]}-tuned"  # a name has a hundred characters at most
    return search.recipe(best.params).change({"name": name, "about": about, **unfitted})


def cost(search: Search) -> str:
    """What a trial was."""
    learnt, learnable = len(search.pictures.trial.train), search.pictures.learnable
    # As they were: a recipe's min_steps may ask for more epochs than the budget grants.
    epochs = max(len(trial.intermediate_values) for trial in memory.over(search.study))
    return f"{learnt:,} of {learnable:,} pictures, {epochs} epoch{'s' if epochs > 1 else ''}"


def nothing_to_compare(search: Search, best: FrozenTrial) -> str:
    """Why winner and start were not compared."""
    if memory.START in best.user_attrs:
        return "No trial was better than the start: the winner is the start itself."
    if start_trial(search.study) is None:
        return "The starting recipe could not be trained: there is nothing to compare with."
    return "Winner and start have not been trained in full yet."
