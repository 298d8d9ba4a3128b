"""Whether a stored study can be relied on: its file before it is opened, its trials before a search goes on with them.

In: the directory of a search, or its study. Out: nothing, or an error that says what is damaged.
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
from inkdigit.tune import study as memory

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

MOST_BYTES = 2**30  # of a file; a trial has some kilobytes
ROUNDS, STEPS_A_ROUND, BYTES_A_ROUND = 100, 100_000, 25_000  # of SQLite: ten million steps, and four for each byte


def check_file(folder: Path) -> None:
    """Look at the storage of a directory before anything is asked of it: SQLite believes what its file says.

    Raises:
        MalformedFile: it is not a study, or it is damaged.
    """
    path = folder / memory.DATABASE
    if not path.exists():
        return
    if not path.is_file() or path.stat().st_size > MOST_BYTES:
        raise MalformedFile(path, "This is not a study", expected=f"a file of at most {MOST_BYTES:,} bytes")
    rounds = iter(range(ROUNDS + path.stat().st_size // BYTES_A_ROUND))
    try:
        with closing(sqlite3.connect(path)) as connection:
            connection.set_progress_handler(lambda: next(rounds, None) is None, STEPS_A_ROUND)
            connection.execute("PRAGMA trusted_schema = OFF")
            problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            others = connection.execute("SELECT name FROM sqlite_schema WHERE type IN ('view', 'trigger')").fetchone()
    except (sqlite3.Error, UnicodeDecodeError) as exc:
        problem, others = str(exc), None
    if problem != "ok" or others is not None:
        received = memory.one_line(problem if problem != "ok" else "it computes what it holds")
        hint = "Choose another --out, or put the file back from a copy."
        raise MalformedFile(path, "This study is damaged", received=received, hint=hint)


def check_trials(study: Study, *, fits: Callable[[Mapping[str, Any]], bool]) -> None:
    """Refuse a study whose trials are not as a search leaves them; `fits` says whether parameters are of its space.

    Raises:
        UsageError: one of them is not.
    """
    for trial in study.get_trials(deepcopy=False):
        if not (_is_whole(trial) and fits(trial.params)):
            raise UsageError(f"Trial {trial.number} of the study is damaged", hint="Choose another --out or --storage.")


class _Whole(BaseModel):
    """What a trial remembers, in the types that a search gives it."""

    model_config = ConfigDict(strict=True)

    number: int = Field(ge=0)
    values: list[FiniteFloat]  # one of a finished trial, none of others
    epochs: dict[int, float]  # nan where nothing was held out
    seconds: FiniteFloat = Field(ge=0)
    reason: str
    attempt: int = Field(ge=0)
    fixed: dict[str, Any]


def _is_whole(trial: FrozenTrial) -> bool:
    from optuna.trial import TrialState

    attrs, values = trial.user_attrs, trial.values or []
    told = {
        "number": trial.number,
        "values": values,
        "epochs": trial.intermediate_values,
        "seconds": attrs.get(memory.SECONDS, 0.0),
        "reason": attrs.get(memory.REASON, ""),
        "attempt": attrs.get(memory.ATTEMPT, 0),
        "fixed": trial.system_attrs.get(memory.FIXED, {}),
    }
    try:
        _Whole.model_validate(told)
    except ValidationError:
        return False
    infinite = any(map(math.isinf, trial.intermediate_values.values()))
    return len(values) == (trial.state == TrialState.COMPLETE) and not infinite
