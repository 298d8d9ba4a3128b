"""The study of a search: Optuna's record of all trials in a database, opened, checked, and continued.

In: where it is stored, and what its trials have in common. Out: the study, and its trials by their state. A trial that
was running when its process was killed is failed here and queued again.
"""

from __future__ import annotations

import json
import socket
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inkdigit.errors import MissingExtra, OutputError, UsageError

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

DATABASE = "study.db"

# The attributes that a stored trial has beside its parameters. Studies of earlier releases have the same names.
IS_START = "start"  # it has the recipe that the search started from
OWNER = "owner"  # the machine and directory of the command that runs it
ATTEMPT = "attempt"  # how many times its worker has died
REASON = "reason"  # why it was pruned or given up
SECONDS = "seconds"  # how long its epochs took
FIXED = "fixed_params"  # Optuna's own: the parameters that a queued trial starts with

# What Optuna raises while it reads a damaged study, as it meets an unknown kind of trial or text in place of a number.
UNCHECKED = (LookupError, TypeError, ValueError, AttributeError, AssertionError, OverflowError)

MAX_ATTEMPTS = 3  # after so many dead workers a trial is given up: one may die by chance, three have the same cause

# A trial is stopped when its accuracy is below the median of the others at the same epoch. Five trials must have ended
# before, for a median; the first epoch is not compared, because a high rate may start low. (Hyperband needs many more
# trials than a search on one machine has to fill its brackets.)
STARTUP_TRIALS, WARMUP_EPOCHS = 5, 2

MAX_LINE = 200  # characters of a text that is quoted in an error: about two lines of a terminal
MIN_IMPORTANCE_TRIALS = 4  # with fewer, fANOVA cannot separate the fields


def sqlite_url(folder: Path) -> str:
    """The storage in the directory of the search."""
    from sqlalchemy import URL

    return URL.create("sqlite", database=str(folder.resolve() / DATABASE)).render_as_string(hide_password=False)


def require_optuna() -> None:
    """Check that Optuna is installed, before anything long starts.

    Raises:
        MissingExtra: Optuna is not installed.
    """
    try:
        import optuna
    except ModuleNotFoundError as exc:
        raise MissingExtra(f"Tuning needs {exc.name}", "tune") from exc
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def open_study(url: str, name: str, *, about: Mapping[str, Any], seed: int) -> Study:
    """Open the study `name` in the storage `url`, or create it; `about` is what its trials have in common.

    Raises:
        UsageError: the storage cannot be opened or read, or the study has another `about`.
    """
    import optuna

    with opening(url):
        plain = url.replace("{", "{{").replace("}", "}}")  # Optuna fills in a template
        study = optuna.create_study(storage=plain, study_name=name, direction="maximize", load_if_exists=True)
        known, trials = study.user_attrs.get("about"), study.get_trials(deepcopy=False)
    if known is None:
        if trials:
            raise UsageError(
                f"The study {name!r} was made by another program", hint="Choose another --out or --storage."
            )
        with storing():
            study.set_user_attr("about", dict(about))
    else:
        _check_same(name, json.loads(json.dumps(about)), known if isinstance(known, dict) else {})
    # A continued search must not draw the same parameters again, so the seed grows with the trials.
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(trials))
    study.pruner = optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS, n_warmup_steps=WARMUP_EPOCHS)
    return study


def _check_same(name: str, about: dict[str, Any], stored: dict[str, Any]) -> None:
    """Raise an error that names the first difference between this search and a stored study."""
    for topic in about:
        ours, theirs = about[topic], stored.get(topic)
        if ours == theirs:
            continue
        expected, received = str(theirs), str(ours)
        if isinstance(ours, dict) and isinstance(theirs, dict):
            absent = "absent"
            entry = next(key for key in [*theirs, *ours] if ours.get(key, absent) != theirs.get(key, absent))
            expected, received = (f"{entry}: {side.get(entry, absent)}" for side in (theirs, ours))
        raise UsageError(
            f"The study {name!r} was made for another {topic}",
            expected=one_line(expected),
            received=one_line(received),
            hint="Use the same recipe, space and data again, or choose another --out.",
        )


@contextmanager
def opening(url: str) -> Iterator[None]:
    """Translate the errors of opening a storage.

    Raises:
        UsageError: for the errors of SQLAlchemy, its drivers and Optuna, which do not check what they read.
        OutputError: the disk is full.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, StorageInternalError, ImportError, RuntimeError, *UNCHECKED) as exc:
        problem = f"The storage {_without_password(url)} cannot be opened: {_cause(exc)}"
        if _is_full(exc):
            raise OutputError(problem, hint="Free some space, or choose another place.") from exc
        raise UsageError(problem, expected="a database that exists, such as sqlite:///study.db") from exc


@contextmanager
def storing() -> Iterator[None]:
    """Translate the errors of reading and writing a study.

    Raises:
        OutputError: for the errors of SQLAlchemy and Optuna.
        KeyboardInterrupt: if Ctrl-C caused the error.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as exc:
        if _was_interrupted(exc):  # Ctrl-C while the database was at work
            raise KeyboardInterrupt from exc
        hint = "Nothing that was stored is lost: solve the problem, then run the same command again."
        raise OutputError(f"The study cannot be stored: {_cause(exc)}", hint=hint) from exc


def _is_full(exc: BaseException) -> bool:
    """Whether the disk of an SQLite file is full."""
    return getattr(_root(exc), "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def _was_interrupted(exc: BaseException | None) -> bool:
    return exc is not None and (
        isinstance(exc, KeyboardInterrupt) or _was_interrupted(exc.__cause__ or exc.__context__)
    )


def _cause(exc: BaseException) -> str:
    """The first line of the original error, without SQLAlchemy's text around it."""
    return one_line(_root(exc)).rstrip(".") or type(exc).__name__


def _root(exc: BaseException) -> BaseException:
    while exc.__cause__ is not None:
        exc = exc.__cause__
    return getattr(exc, "orig", None) or exc


def one_line(text: object) -> str:
    """The first line of a text that may quote a file: printable characters, and not too many."""
    line = (str(text).splitlines() or [""])[0][:MAX_LINE]
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in line)


def _without_password(url: str) -> str:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        return "of that URL"


def owner(folder: Path) -> str:
    """The owner of the trials that a command runs: one command at a time works in a directory, and holds its lock."""
    return f"{socket.gethostname()}:{folder.resolve()}"


def queue_first(study: Study, start: Mapping[str, Any], *, by: str) -> int:
    """Queue what must run before new trials; return how many trials a killed process had left unfinished.

    A new study gets the starting recipe, with the parameters `start`, as trial 0. Unfinished trials are failed and
    queued again; trials of an owner other than `by` are left alone.
    """
    from optuna.trial import TrialState

    if not study.get_trials(deepcopy=False):
        study.enqueue_trial(dict(start), user_attrs={IS_START: True})
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    unfinished = [trial for trial in running if trial.user_attrs.get(OWNER, by) == by]
    for trial in unfinished:
        # A trial that was killed before it had all of its parameters draws the missing ones again.
        queued = trial.system_attrs.get(FIXED, {})
        _queue(study, trial.user_attrs, {**queued, **trial.params}, {})
        study.tell(trial.number, state=TrialState.FAIL)
    return len(unfinished)


def retry_or_fail(study: Study, trial: Trial, reason: str) -> bool:
    """End a trial whose worker died; return whether it was queued again. After `MAX_ATTEMPTS` it is given up."""
    from optuna.trial import TrialState

    attempt = trial.user_attrs.get(ATTEMPT, 0) + 1
    again: bool = attempt < MAX_ATTEMPTS
    if again:
        _queue(study, trial.user_attrs, trial.params, {ATTEMPT: attempt})
    else:
        trial.set_user_attr(REASON, reason)
    study.tell(trial, state=TrialState.FAIL)
    return again


def prune_trial(study: Study, trial: Trial, reason: str) -> None:
    """End a trial without a value."""
    from optuna.trial import TrialState

    trial.set_user_attr(REASON, reason)
    study.tell(trial, state=TrialState.PRUNED)


def _queue(study: Study, attrs: Mapping[str, Any], params: Mapping[str, Any], more: Mapping[str, Any]) -> None:
    """Queue the parameters of a trial that has stopped."""
    attributes = {key: attrs[key] for key in (IS_START, ATTEMPT) if key in attrs}
    study.enqueue_trial(dict(params), user_attrs={**attributes, **more})


def ended_trials(study: Study) -> list[FrozenTrial]:
    """The trials that have a value, were pruned or were given up; not those that failed and were queued again."""
    from optuna.trial import TrialState

    ended = (TrialState.COMPLETE, TrialState.PRUNED)
    return [
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state in ended or (trial.state == TrialState.FAIL and REASON in trial.user_attrs)
    ]


def finished_trials(study: Study) -> list[FrozenTrial]:
    """The trials that have a value, oldest first."""
    from optuna.trial import TrialState

    return list(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))


def start_trial(study: Study) -> FrozenTrial | None:
    """The trial of the starting recipe, if it has a value."""
    return next((trial for trial in finished_trials(study) if IS_START in trial.user_attrs), None)


def best_trial(study: Study) -> FrozenTrial | None:
    """The finished trial with the highest value; of equal ones the first."""
    return max(finished_trials(study), key=lambda trial: trial.values[0], default=None)


def field_importances(study: Study) -> dict[str, float]:
    """The share of the variance of the value that each field explains; the shares sum to 1.

    By fANOVA (Hutter 2014) over the finished trials that have all fields. Optuna's own default uses only the best
    tenth of them: two of twenty. Empty if there are fewer than four trials, or all have the same value.
    """
    import optuna

    trials = finished_trials(study)
    names = set().union(*(trial.params for trial in trials)) if trials else set()
    complete = [trial for trial in trials if names == set(trial.params)]
    if len(complete) < MIN_IMPORTANCE_TRIALS or len({trial.values[0] for trial in complete}) < 2:
        return {}
    plain = optuna.create_study(direction="maximize")
    plain.add_trials(complete)
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return dict(optuna.importance.get_param_importances(plain, evaluator=evaluator))
