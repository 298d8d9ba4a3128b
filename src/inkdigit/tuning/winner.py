"""Winner against start: both trained in full on the same new random seeds, and measured on images that no trial saw.

In: a search and its best trial. Out: a `Comparison` with the accuracy of each seed, the mean difference with its
interval and a verdict; and the winner as a recipe that `train` reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean, stdev
from typing import TYPE_CHECKING

from inkdigit.errors import TrainingError
from inkdigit.measure.stats import Spread
from inkdigit.report.numbers import mean_sd, signed
from inkdigit.tuning.pool import End, Training
from inkdigit.tuning.search import Search
from inkdigit.tuning.study import IS_START, ended_trials, start_trial

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

    from inkdigit.training.recipe import Recipe

SEEDS = 3  # full trainings of each side: two give an interval that is too wide, and each costs as much as many trials
MAX_NAME = 90  # characters of the starting recipe's name: a recipe's name has at most 100, and "-tuned" is added


@dataclass(frozen=True, slots=True)
class Comparison:
    """The accuracies of both sides on the held-out images, in the order of the random seeds."""

    seeds: tuple[int, ...]
    start: tuple[float, ...]
    winner: tuple[float, ...]
    images: int  # held out from all trials

    @property
    def differences(self) -> tuple[float, ...]:
        """Winner minus start for each seed: both had the same images and the same random numbers."""
        return tuple(w - s for s, w in zip(self.start, self.winner, strict=True))

    @property
    def gain(self) -> float:
        """The mean difference."""
        return mean(self.differences)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the mean difference, by Student's t for pairs."""
        return Spread(self.differences).ci95 or (self.gain, self.gain)  # equal differences have no interval

    @property
    def verdict(self) -> str:
        """One sentence that says whether the winner is better."""
        by = f"{100 * abs(self.gain):.2f} points"
        low, high = (100 * end for end in self.interval)
        interval = f"95 % interval {signed(low)} to {signed(high)}"
        if self.gain <= 0:
            return f"The winner is not better than the start: {by} below it ({interval})."
        if low > 0:
            return f"The winner is better than the start by {by} ({interval})."
        return f"The winner is {by} above the start, but three seeds do not show that it is better ({interval})."


def spread(accuracies: tuple[float, ...]) -> str:
    """Mean and standard deviation as text: 0.9912, 0.9908, 0.9915 → "99.12 ± 0.04 %"."""
    return f"{mean_sd(mean(accuracies), stdev(accuracies), 2)} %"


def compare(search: Search, best: FrozenTrial) -> Comparison | None:
    """Train winner and start in full with the same new seeds; trainings that the study has are not run again.

    None if the winner is the start, or the start could not be trained.

    Raises:
        TrainingError: a full training fails although the trial did not.
    """
    study, start = search.study, search.start
    if IS_START in best.user_attrs or start_trial(study) is None:
        return None
    sides = {"start": start, f"trial {best.number}": search.recipe(best.params)}
    seeds = [(start.seed + i) % 2**31 for i in range(1, SEEDS + 1)]
    keys = [(side, seed) for seed in seeds for side in sides]  # in turns, so that a busy machine slows both sides
    waiting = [key for key in keys if _stored_accuracy(study, *key) is None]
    search.log(f"Comparing trial {best.number} with the start: {len(waiting)} full trainings.")

    def next_training() -> Training | None:
        if not waiting:
            return None
        side, seed = waiting.pop(0)
        recipe = sides[side].change({"seed": seed})
        splits = search.division.comparison_splits(recipe)
        return Training((side, seed), recipe, splits, search.division.classes, search.device)

    def on_end(training: Training, end: End) -> None:
        side, seed = training.key
        if end.died:
            waiting.append((side, seed))
            return
        if end.accuracy is None:
            raise TrainingError(f"The full training of {side} with seed {seed} failed: {end.problem}")
        study.set_user_attr(_attribute(side, seed), {"accuracy": end.accuracy, "seconds": round(end.seconds, 2)})
        search.log(f"{side.capitalize():<9} seed {seed}  {100 * end.accuracy:.2f} %  ({end.seconds:.0f} s)")

    search.train_all(next_training, jobs=search.jobs, on_epoch=lambda *_: True, on_end=on_end)
    held_out = search.division.comparison.test
    assert held_out is not None
    starts, winners = (tuple(_stored_accuracy(study, side, seed) or 0.0 for seed in seeds) for side in sides)
    return Comparison(tuple(seeds), starts, winners, len(held_out))


def _stored_accuracy(study: Study, side: str, seed: int) -> float | None:
    """The accuracy of one full training, if the study has it."""
    stored = study.user_attrs.get(_attribute(side, seed))
    accuracy = stored.get("accuracy") if isinstance(stored, dict) else None
    return accuracy if isinstance(accuracy, float) and 0 <= accuracy <= 1 else None


def _attribute(side: str, seed: int) -> str:
    """The name of one full training among the attributes of a study; studies of earlier releases have it too."""
    return f"full training of {side}, seed {seed}"


def why_no_comparison(search: Search, best: FrozenTrial) -> str:
    """Why winner and start were not compared."""
    if IS_START in best.user_attrs:
        return "No trial was better than the start: the winner is the start itself."
    if start_trial(search.study) is None:
        return "The starting recipe could not be trained: there is nothing to compare with."
    return "Winner and start have not been trained in full yet."


def trial_size(search: Search) -> str:
    """How many images and epochs a trial had."""
    used, available = len(search.division.trial.train), search.division.available
    # The epochs that ran: a recipe's min_steps may need more of them than the budget says.
    epochs = max(len(trial.intermediate_values) for trial in ended_trials(search.study))
    return f"{used:,} of {available:,} images, {epochs} epoch{'s' if epochs > 1 else ''}"


def winner_recipe(search: Search, best: FrozenTrial) -> Recipe:
    """The winner, with the start's protocol and validation.

    It has no calibration, because one that was fitted for the start does not fit the winner.
    """
    start = search.start
    if IS_START in best.user_attrs:
        return start
    about = f"{start.name}, tuned: trial {best.number} of {len(ended_trials(search.study))}"
    uncalibrated = {"temperature": None, "accept_score": None, "calibrated_on": None}
    return search.recipe(best.params).change({"name": f"{start.name[:MAX_NAME]}-tuned", "about": about, **uncalibrated})


def winner_toml(search: Search, best: FrozenTrial, comparison: Comparison | None) -> str:
    """The text of `winner.toml`: the measurements as comments, then every field of the recipe."""
    header = [
        f"Trial {best.number} of a search of {len(ended_trials(search.study))} trials from {search.start.name}.",
        f"On the validation split of the search: {100 * best.values[0]:.2f} % (trials saw {trial_size(search)}).",
    ]
    if comparison is None:
        header.append(why_no_comparison(search, best))
    else:
        header += [
            f"Trained in full, on {comparison.images:,} images that no trial saw, {len(comparison.seeds)} seeds:",
            f"{spread(comparison.winner)}; the start {spread(comparison.start)}.",
            comparison.verdict,
        ]
    return "".join(f"# {line}\n" for line in header) + "\n" + winner_recipe(search, best).to_toml()
