"""Checks of a stored study: its file before it is opened, its trials before a search continues with them.

In: the directory of a search, or its study. Out: nothing, or an error that names the damage.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from inkdigit.errors import MalformedFile, UsageError
from inkdigit.tuning.study import ATTEMPT, DATABASE, FIXED, REASON, SECONDS, one_line

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

MAX_BYTES = 2**30  # of a file: a trial has some kilobytes, so this is far above any search
# How long SQLite may check a file, counted in steps of its own machine: ten million, and four for each byte. A sound
# file takes fewer; a damaged one could keep it busy for ever.
STEPS_PER_ROUND, MIN_ROUNDS, BYTES_PER_ROUND = 100_000, 100, 25_000


def check_file(folder: Path) -> None:
    """Check the database in a directory before anything reads it: SQLite does not check a file by itself.

    Raises:
        MalformedFile: it is not a study, or it is damaged.
    """
    path = folder / DATABASE
    if not path.exists():
        return
    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        raise MalformedFile(path, "This is not a study", expected=f"a file of at most {MAX_BYTES:,} bytes")
    rounds = iter(range(MIN_ROUNDS + path.stat().st_size // BYTES_PER_ROUND))
    try:
        with closing(sqlite3.connect(path)) as connection:
            connection.set_progress_handler(lambda: next(rounds, None) is None, STEPS_PER_ROUND)
            connection.execute("PRAGMA trusted_schema = OFF")
            problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            others = connection.execute("SELECT name FROM sqlite_schema WHERE type IN ('view', 'trigger')").fetchone()
    except (sqlite3.Error, UnicodeDecodeError) as exc:
        problem, others = str(exc), None
    if problem != "ok" or others is not None:
        received = one_line(problem if problem != "ok" else "it has views or triggers")
        hint = "Choose another --out, or restore the file from a copy."
        raise MalformedFile(path, "This study is damaged", received=received, hint=hint)


def check_trials(study: Study, *, fits: Callable[[Mapping[str, Any]], bool]) -> None:
    """Reject a study whose trials cannot come from this search; `fits` tells whether parameters are in its space.

    Raises:
        UsageError: a trial is damaged.
    """
    for trial in study.get_trials(deepcopy=False):
        if not (_is_sound(trial) and fits(trial.params)):
            raise UsageError(f"Trial {trial.number} of the study is damaged", hint="Choose another --out or --storage.")


class _StoredTrial(BaseModel):
    """A trial with the types that a search writes."""

    model_config = ConfigDict(strict=True)

    number: int = Field(ge=0)
    values: list[FiniteFloat]  # one if the trial is finished; Optuna gives a pruned one its last accuracy
    epochs: dict[int, float]  # accuracies; nan where nothing was held out
    seconds: FiniteFloat = Field(ge=0)
    reason: str
    attempt: int = Field(ge=0)
    fixed: dict[str, Any]


def _is_sound(trial: FrozenTrial) -> bool:
    from optuna.trial import TrialState

    attrs, values = trial.user_attrs, trial.values or []
    stored = {
        "number": trial.number,
        "values": values,
        "epochs": trial.intermediate_values,
        "seconds": attrs.get(SECONDS, 0.0),
        "reason": attrs.get(REASON, ""),
        "attempt": attrs.get(ATTEMPT, 0),
        "fixed": trial.system_attrs.get(FIXED, {}),
    }
    try:
        _StoredTrial.model_validate(stored)
    except ValidationError:
        return False
    if any(map(math.isinf, trial.intermediate_values.values())):
        return False
    if trial.state == TrialState.PRUNED:
        return len(values) <= 1
    return len(values) == (trial.state == TrialState.COMPLETE)
