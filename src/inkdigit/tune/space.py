"""A search space: which fields of a recipe a search may change, between what, and how much one trial may cost.

In: TOML whose keys are `Recipe` fields, and the recipe that the search starts from. Out: a `Space` that proposes
changes through an Optuna trial. Everything that can be wrong with it is said before anything runs.

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
from inkdigit.parsing import parse_toml, read_text
from inkdigit.training.recipe import Recipe, shorten

if TYPE_CHECKING:
    from optuna import Trial

FOLDER = Path(__file__).parent / "spaces"
BUDGET = "budget"
MOST_CHOICES = 100  # of one field: each is tried out before the search, and no search gets round to more

# What a search holds still, and why.
_BY_REASON = {
    "every trial sees the same pictures and the same seed": (
        "seed",
        "data",
        "prepare",
        "protocol",
        "validation",
        "validation_split",
        "test_fraction",
    ),
    "how long a trial lasts is said under [budget]": ("epochs", "min_steps"),
    "they change nothing in a training": ("name", "about"),
    "they are fitted after a training": ("temperature", "accept_score", "calibrated_on"),
}
UNTOUCHED = {name: reason for reason, names in _BY_REASON.items() for name in names}


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from `low` to `high`, both included; `step` only for whole ones."""

    low: float
    high: float
    log: bool = False
    step: int = 1
    whole: bool = False

    def suggest(self, trial: Trial, name: str) -> float:
        """The value that the sampler proposes."""
        if self.whole:
            return trial.suggest_int(name, int(self.low), int(self.high), step=self.step, log=self.log)
        return trial.suggest_float(name, self.low, self.high, log=self.log)

    def holds(self, value: Any) -> bool:
        """Whether a search can come upon the value."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        return not self.whole or (value - self.low) % self.step == 0

    def proposes(self, param: Any) -> bool:
        """Whether `suggest` can give this."""
        return self.holds(param)

    def __str__(self) -> str:
        """As the page says it."""
        steps = f", step {self.step}" if self.step > 1 else ""
        return f"{self.low:g} to {self.high:g}{' (log)' if self.log else ''}{steps}"


@dataclass(frozen=True, slots=True)
class Choices:
    """One of several values; a study knows each by its text, because it stores no lists."""

    values: tuple[Any, ...]

    def suggest(self, trial: Trial, name: str) -> str:
        """The text of the value that the sampler proposes."""
        text: str = trial.suggest_categorical(name, [label(value) for value in self.values])
        return text

    def holds(self, value: Any) -> bool:
        """Whether a search can come upon the value."""
        return label(value) in map(label, self.values)

    def proposes(self, param: Any) -> bool:
        """Whether `suggest` can give this."""
        return param in map(label, self.values)

    def __str__(self) -> str:
        """As the page says it."""
        return " | ".join(map(label, self.values))


def label(value: Any) -> str:
    """A value as text: `relu`, `[16, 32]`, `true`."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


@dataclass(frozen=True, slots=True)
class Budget:
    """What one trial may cost: it learns from so many pictures, for at most so many epochs; 0 is no limit."""

    pictures: int = 12_000
    epochs: int = 5

    def __str__(self) -> str:
        """As the page says it."""
        pictures = f"{self.pictures:,} pictures at most" if self.pictures else "all pictures"
        return f"{pictures}, {f'{self.epochs} epochs at most' if self.epochs else 'all epochs'}"


@dataclass(frozen=True, slots=True)
class Space:
    """The fields that a search changes, and what one of its trials may cost."""

    dimensions: dict[str, Range | Choices]
    budget: Budget = field(default_factory=Budget)

    @classmethod
    def load(cls, path: str | Path | None, start: Recipe) -> Space:
        """Read a space for a search that begins at `start`: a TOML file, else the bundled one of that recipe.

        Raises:
            UsageError: no such file, an unknown field, a value that the field does not take, an empty range.
        """
        if path is None:
            own = {file.stem: file for file in FOLDER.glob("*.toml")}
            path = own.get(start.name, FOLDER / "default.toml")
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
        """Check the entries of a space file against the recipe that the search begins at."""
        budget = _budget(entries.get(BUDGET, {}), where)
        dimensions = {name: _dimension(name, entry, where) for name, entry in entries.items() if name != BUDGET}
        if not dimensions:
            raise UsageError(f"{where} leaves nothing to search", expected="at least one field of a recipe")
        firsts = {name: _ends(dimension)[0] for name, dimension in dimensions.items()}
        for name, dimension in dimensions.items():
            for value in _ends(dimension):
                _fit({name: value}, firsts, start, where)
        return cls(dimensions, budget)

    def suggest(self, trial: Trial, *, only: Collection[str] | None = None) -> None:
        """Let the sampler propose a value for every field of the space, or for some."""
        for name, dimension in self.dimensions.items():
            if only is None or name in only:
                dimension.suggest(trial, name)

    def changes(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """What a trial's parameters change in a recipe."""
        return {name: self._value(name, param) for name, param in params.items()}

    def _value(self, name: str, param: Any) -> Any:
        dimension = self.dimensions[name]
        if isinstance(dimension, Choices):
            return next(value for value in dimension.values if label(value) == param)
        return param

    def fits(self, params: Mapping[str, Any]) -> bool:
        """Whether parameters are those of a trial in this space."""
        return all(name in self.dimensions and self.dimensions[name].proposes(param) for name, param in params.items())

    def params(self, recipe: Recipe) -> dict[str, Any]:
        """A recipe as the parameters of a trial; fields whose value the space does not hold are left out."""
        values = {name: getattr(recipe, name) for name in self.dimensions}
        return {
            name: label(value) if isinstance(self.dimensions[name], Choices) else value
            for name, value in values.items()
            if self.dimensions[name].holds(value)
        }

    def describe(self) -> dict[str, str]:
        """The space in words, field by field: what a study remembers, and what the page shows."""
        return {name: str(dimension) for name, dimension in self.dimensions.items()} | {BUDGET: str(self.budget)}


def _budget(entry: Any, where: str) -> Budget:
    known = {f.name for f in fields(Budget)}
    if not isinstance(entry, dict):
        raise UsageError(f"{where}: [budget] is a table", expected=" and ".join(sorted(known)), received=shorten(entry))
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
    if len(values) > MOST_CHOICES:
        raise UsageError(f"{where}: {name} has {len(values):,} choices", expected=f"{MOST_CHOICES} at most")
    return Choices(tuple(values))


def _range(name: str, entry: Mapping[str, Any], where: str) -> Range:
    kinds = _kinds(Recipe.model_fields[name].annotation)
    if not kinds & {int, float}:
        raise UsageError(f"{where}: {name} is no number", expected="{ choices = […] }", received=shorten(dict(entry)))
    whole = float not in kinds
    number = (int,) if whole else (int, float)
    low, high, log, step = entry["low"], entry["high"], entry.get("log", False), entry.get("step", 1)
    for value in (low, high):
        if type(value) not in number or not math.isfinite(value):
            wanted = "whole numbers" if whole else "numbers"
            raise UsageError(f"{where}: the ends of {name} are {wanted}", received=shorten(value))
    if type(log) is not bool:
        raise UsageError(f"{where}: {name}: log is true or false", received=shorten(log))
    if "step" in entry and (type(step) is not int or step < 1 or not whole or log):
        problem = f"{where}: {name}: a step goes with whole numbers that are not on a log scale"
        raise UsageError(problem, expected="a whole number from 1 up", received=shorten(step))
    if low > high:
        raise UsageError(f"{where}: the range of {name} is empty", expected="low ≤ high", received=f"{low} > {high}")
    if log and low <= 0:
        raise UsageError(f"{where}: the range of {name} is empty", expected="low > 0 on a log scale", received=low)
    return Range(low, high - (high - low) % step if whole else high, log, step, whole)


def _kinds(annotation: Any) -> set[Any]:
    """The types that a field takes, without the bounds that they have there."""
    if get_origin(annotation) is Annotated:
        return {get_args(annotation)[0]}
    return {annotation, *(kind for one in get_args(annotation) for kind in _kinds(one))}


def _ends(dimension: Range | Choices) -> tuple[Any, ...]:
    """The values that are tried out before the search: every choice, or both ends of a range."""
    return dimension.values if isinstance(dimension, Choices) else (dimension.low, dimension.high)


def _fit(change: dict[str, Any], firsts: Mapping[str, Any], start: Recipe, where: str) -> None:
    """A value must make a recipe of the start, either alone or with the first value of every other searched field."""
    try:
        start.change(change)
    except UsageError as alone:
        try:
            start.change({**firsts, **change})
        except UsageError:
            ((name, value),) = change.items()
            problem = alone.problem.removeprefix(f"{start.name}: ")
            raise UsageError(
                f"{where}: {name} = {_cut(label(value))} does not go with the recipe {start.name}: {problem}",
                hint="Change the space, or name another with --space.",
            ) from alone


def _cut(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:119]}…"
