"""A search space: the fields of a recipe that a search may change, their limits, and the budget of one trial.

In: TOML whose keys are `Recipe` fields, and the recipe that the search starts from. Out: a `Space` that proposes
changes through an Optuna trial. Every error in the file is reported before anything runs.

    learning_rate = { low = 1e-4, high = 1e-1, log = true }
    filters = { choices = [[16, 32], [32, 64]] }
    [budget]
    pictures = 12000
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

from inkdigit.errors import UsageError, did_you_mean
from inkdigit.files import looking_up
from inkdigit.parsing import parse_toml, read_text, shorten
from inkdigit.training.recipe import Recipe

if TYPE_CHECKING:
    from optuna import Trial

FOLDER = Path(__file__).parent / "spaces"
BUDGET = "budget"
MAX_CHOICES = 100  # of one field: each makes a recipe before the search starts, and no search has time for more
MAX_SHOWN = 120  # characters of a value that an error quotes: one line of a terminal

# The fields that a search may not change, by the reason.
_BY_REASON = {
    "every trial has the same images and the same random seed": (
        "seed",
        "data",
        "prepare",
        "protocol",
        "validation",
        "validation_split",
        "test_fraction",
    ),
    "the length of a trial is set under [budget]": ("epochs", "min_steps"),
    "they do not change the training": ("name", "about"),
    "they are fitted after a training": ("temperature", "accept_score", "calibrated_on"),
}
UNTOUCHED = {name: reason for reason, names in _BY_REASON.items() for name in names}


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from `low` to `high`, both included; `step` only for whole numbers."""

    low: float
    high: float
    log: bool = False
    step: int = 1
    integer: bool = False

    def suggest(self, trial: Trial, name: str) -> float:
        """The value that the sampler proposes."""
        if self.integer:
            return trial.suggest_int(name, int(self.low), int(self.high), step=self.step, log=self.log)
        return trial.suggest_float(name, self.low, self.high, log=self.log)

    def holds(self, value: Any) -> bool:
        """Whether a recipe's value is in the range."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        return not self.integer or (value - self.low) % self.step == 0

    def proposes(self, param: Any) -> bool:
        """Whether `suggest` can return the parameter."""
        return self.holds(param)

    def __str__(self) -> str:
        """The text on the page and in a stored study, which continues only with the same text."""
        steps = f", step {self.step}" if self.step > 1 else ""
        return f"{self.low:g} to {self.high:g}{' (log)' if self.log else ''}{steps}"


@dataclass(frozen=True, slots=True)
class Choices:
    """One of several values; a study stores each as text, because it cannot store lists."""

    values: tuple[Any, ...]

    def suggest(self, trial: Trial, name: str) -> str:
        """The text of the value that the sampler proposes."""
        text: str = trial.suggest_categorical(name, [label(value) for value in self.values])
        return text

    def holds(self, value: Any) -> bool:
        """Whether a recipe's value is among the choices."""
        return label(value) in map(label, self.values)

    def proposes(self, param: Any) -> bool:
        """Whether `suggest` can return the parameter."""
        return param in map(label, self.values)

    def __str__(self) -> str:
        """The text on the page and in a stored study."""
        return " | ".join(map(label, self.values))


def label(value: Any) -> str:
    """A value as text: `relu`, `[16, 32]`, `true`."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


@dataclass(frozen=True, slots=True)
class Budget:
    """What one trial may cost: at most so many training images and epochs; 0 is no limit."""

    # A fifth of MNIST's training images for a few epochs: 20 trials of a bundled space take minutes.
    pictures: int = 12_000
    epochs: int = 5

    def __str__(self) -> str:
        """The text on the page and in a stored study."""
        pictures = f"{self.pictures:,} pictures at most" if self.pictures else "all pictures"
        return f"{pictures}, {f'{self.epochs} epochs at most' if self.epochs else 'all epochs'}"


@dataclass(frozen=True, slots=True)
class Space:
    """The fields that a search changes, and the budget of its trials."""

    dimensions: dict[str, Range | Choices]
    budget: Budget = field(default_factory=Budget)

    @classmethod
    def load(cls, path: str | Path | None, start: Recipe) -> Space:
        """Read the space of a search that starts from `start`: a TOML file, by default the bundled one of that recipe.

        Raises:
            UsageError: no such file, an unknown field, a value that the field does not accept, an empty range.
        """
        if path is None:
            bundled = {file.stem: file for file in FOLDER.glob("*.toml")}
            path = bundled.get(start.name, FOLDER / ("layers.toml" if start.layers else "default.toml"))
        path = Path(path)
        with looking_up(path):
            try:
                text = read_text(path)
            except FileNotFoundError:
                raise UsageError(f"There is no space file {path}", expected="the path of a TOML file") from None
            except ValueError as exc:
                raise UsageError(f"{path} is not a TOML file: {exc}") from exc
        try:
            entries = parse_toml(text)
        except ValueError as exc:
            raise UsageError(f"{path} is not a TOML file: {exc}") from exc
        return cls.from_entries(entries, start, where=path.name)

    @classmethod
    def from_entries(cls, entries: Mapping[str, Any], start: Recipe, *, where: str = "space") -> Space:
        """Check the entries of a space file against the recipe that the search starts from."""
        budget = _budget(entries.get(BUDGET, {}), where)
        dimensions = {name: _dimension(name, entry, where) for name, entry in entries.items() if name != BUDGET}
        if not dimensions:
            raise UsageError(f"{where} has nothing to search", expected="at least one field of a recipe")
        firsts = {name: _tested_values(dimension)[0] for name, dimension in dimensions.items()}
        for name, dimension in dimensions.items():
            for value in _tested_values(dimension):
                _check_value({name: value}, firsts, start, where)
        return cls(dimensions, budget)

    def suggest(self, trial: Trial, *, only: Collection[str] | None = None) -> None:
        """Let the sampler propose a value for every field of the space, or for the fields in `only`."""
        for name, dimension in self.dimensions.items():
            if only is None or name in only:
                dimension.suggest(trial, name)

    def changes(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The changes to a recipe that a trial's parameters mean."""
        return {name: self._value(name, param) for name, param in params.items()}

    def _value(self, name: str, param: Any) -> Any:
        dimension = self.dimensions[name]
        if isinstance(dimension, Choices):
            return next(value for value in dimension.values if label(value) == param)
        return param

    def fits(self, params: Mapping[str, Any]) -> bool:
        """Whether a trial of this space can have these parameters."""
        return all(name in self.dimensions and self.dimensions[name].proposes(param) for name, param in params.items())

    def params(self, recipe: Recipe) -> dict[str, Any]:
        """A recipe as the parameters of a trial, without the fields whose value is outside the space."""
        values = {name: getattr(recipe, name) for name in self.dimensions}
        return {
            name: label(value) if isinstance(self.dimensions[name], Choices) else value
            for name, value in values.items()
            if self.dimensions[name].holds(value)
        }

    def describe(self) -> dict[str, str]:
        """The space as text, field by field, for the page and the study."""
        return {name: str(dimension) for name, dimension in self.dimensions.items()} | {BUDGET: str(self.budget)}


def _budget(entry: Any, where: str) -> Budget:
    known = {f.name for f in fields(Budget)}
    if not isinstance(entry, dict):
        raise UsageError(
            f"{where}: [budget] is not a table", expected=" and ".join(sorted(known)), received=shorten(entry)
        )
    for key, value in entry.items():
        if key not in known:
            hint = did_you_mean(key[:40], known)
            raise UsageError(f"{where}: unknown key {shorten(key)} in [budget]", hint=hint)
        if type(value) is not int or value < 0:
            raise UsageError(
                f"{where}: budget.{key}", expected="a whole number, 0 for no limit", received=shorten(value)
            )
    return replace(Budget(), **entry)


def _dimension(name: str, entry: Any, where: str) -> Range | Choices:
    if name not in Recipe.model_fields:
        hint = did_you_mean(name[:40], Recipe.model_fields) or "See all fields in docs/recipes.md."
        raise UsageError(f"{where}: unknown recipe field {shorten(name)}", hint=hint)
    if name in UNTOUCHED:
        raise UsageError(f"{where}: a search may not change {name}: {UNTOUCHED[name]}")
    if isinstance(entry, dict) and set(entry) == {"choices"}:
        return _choices(name, entry["choices"], where)
    if isinstance(entry, dict) and {"low", "high"} <= set(entry) <= {"low", "high", "log", "step"}:
        return _range(name, entry, where)
    raise UsageError(
        f"{where}: {name} is neither a range nor a choice",
        expected="{ low = …, high = …, log = true } or { choices = […] }",
        received=shorten(entry),
    )


def _choices(name: str, values: Any, where: str) -> Choices:
    if not isinstance(values, list) or not values:
        raise UsageError(f"{where}: {name} has no choices", expected="a list of values", received=shorten(values))
    if len(values) > MAX_CHOICES:
        raise UsageError(f"{where}: {name} has {len(values):,} choices", expected=f"at most {MAX_CHOICES}")
    return Choices(tuple(values))


def _range(name: str, entry: Mapping[str, Any], where: str) -> Range:
    kinds = _kinds(Recipe.model_fields[name].annotation)
    if not kinds & {int, float}:
        raise UsageError(
            f"{where}: {name} is not a number", expected="{ choices = […] }", received=shorten(dict(entry))
        )
    integer = float not in kinds
    number = (int,) if integer else (int, float)
    low, high, log, step = entry["low"], entry["high"], entry.get("log", False), entry.get("step", 1)
    for value in (low, high):
        if type(value) not in number or not math.isfinite(value):
            numbers = "whole numbers" if integer else "numbers"
            raise UsageError(f"{where}: the ends of {name} must be {numbers}", received=shorten(value))
    if type(log) is not bool:
        raise UsageError(f"{where}: {name}: log must be true or false", received=shorten(log))
    if "step" in entry and (type(step) is not int or step < 1 or not integer or log):
        problem = f"{where}: {name}: only whole numbers without a log scale can have a step"
        raise UsageError(problem, expected="a whole number from 1", received=shorten(step))
    if low > high:
        raise UsageError(f"{where}: the range of {name} is empty", expected="low ≤ high", received=f"{low} > {high}")
    if log and low <= 0:
        raise UsageError(f"{where}: the range of {name} is empty", expected="low > 0 on a log scale", received=low)
    return Range(low, high - (high - low) % step if integer else high, log, step, integer)


def _kinds(annotation: Any) -> set[Any]:
    """The types that a field accepts, without their limits."""
    if get_origin(annotation) is Annotated:
        return {get_args(annotation)[0]}
    return {annotation, *(kind for argument in get_args(annotation) for kind in _kinds(argument))}


def _tested_values(dimension: Range | Choices) -> tuple[Any, ...]:
    """The values that are checked before the search: every choice, or both ends of a range."""
    return dimension.values if isinstance(dimension, Choices) else (dimension.low, dimension.high)


def _check_value(change: dict[str, Any], firsts: Mapping[str, Any], start: Recipe, where: str) -> None:
    """Check that a value fits the start, either alone or with the first value of every other searched field."""
    try:
        start.change(change)
    except UsageError as error:
        try:
            start.change({**firsts, **change})
        except UsageError:
            ((name, value),) = change.items()
            problem = error.problem.removeprefix(f"{start.name}: ")
            raise UsageError(
                f"{where}: {name} = {_cut(label(value))} does not go with the recipe {start.name}: {problem}",
                hint="Change the space, or name another with --space.",
            ) from error


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"
