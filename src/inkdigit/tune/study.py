"""The memory of a search: an Optuna study in a database, opened, checked, taken up again.

In: where it is stored, and what it is about. Out: the study; trials asked of it and told to it. A trial that was under
way when its process was killed is failed here and put in the queue again.
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

# What a trial remembers beside its parameters
START = "start"  # it is the recipe that the search began at
OWNER = "owner"  # the machine and directory of the command that runs it
ATTEMPT = "attempt"  # how often its workers have died
REASON = "reason"  # why it was pruned or given up
SECONDS = "seconds"  # of its epochs
FIXED = "fixed_params"  # Optuna's own: what a queued trial begins with

# What a damaged study makes Optuna raise while it is read: an unknown kind of trial, text where a number should be.
UNCHECKED = (LookupError, TypeError, ValueError, AttributeError, AssertionError, OverflowError)

ATTEMPTS = 3  # a trial whose workers die so often is given up

# Accuracy at the same epoch is compared from the second epoch on, once five trials have ended: a trial below their
# median is stopped. (Hyperband would need many more trials than a search on one desk has to fill its brackets.)
STARTUP_TRIALS, WARMUP_EPOCHS = 5, 2


def sqlite(folder: Path) -> str:
    """The storage that lies in the directory of the search."""
    from sqlalchemy import URL

    return URL.create("sqlite", database=str(folder.resolve() / DATABASE)).render_as_string(hide_password=False)


def require_optuna() -> None:
    """Say what is missing before anything long begins.

    Raises:
        MissingExtra: Optuna is not installed.
    """
    try:
        import optuna
    except ModuleNotFoundError as exc:
        raise MissingExtra(f"Tuning needs {exc.name}", "tune") from exc
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def open_study(url: str, name: str, *, about: Mapping[str, Any], seed: int) -> Study:
    """Open the study `name` in the storage `url`, or make it; `about` is what its trials have in common.

    Raises:
        UsageError: the storage cannot be opened or read, or the study is about something else.
    """
    import optuna

    with opening(url):
        plain = url.replace("{", "{{").replace("}", "}}")  # Optuna fills in a template
        study = optuna.create_study(storage=plain, study_name=name, direction="maximize", load_if_exists=True)
        known, trials = study.user_attrs.get("about"), study.get_trials(deepcopy=False)
    if known is None:
        if trials:
            raise UsageError(f"The study {name!r} is another program's", hint="Choose another --out or --storage.")
        with storing():
            study.set_user_attr("about", dict(about))
    else:
        _check_same(name, json.loads(json.dumps(about)), known if isinstance(known, dict) else {})
    # A search that is taken up again must not draw what it drew before: the seed moves with the trials.
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(trials))
    study.pruner = optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS, n_warmup_steps=WARMUP_EPOCHS)
    return study


def _check_same(name: str, wanted: dict[str, Any], known: dict[str, Any]) -> None:
    """Name the first thing in which a study is about something else."""
    for topic in wanted:
        ours, theirs = wanted[topic], known.get(topic)
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
            hint="Give what it was made for, or choose another --out.",
        )


@contextmanager
def opening(url: str) -> Iterator[None]:
    """Translate what goes wrong while a storage is opened.

    Raises:
        UsageError: in place of what SQLAlchemy, its drivers and Optuna raise, who do not check what they read.
        OutputError: the disk is full.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, StorageInternalError, ImportError, RuntimeError, *UNCHECKED) as exc:
        problem = f"The storage {_without_password(url)} cannot be opened: {_cause(exc)}"
        if _is_full(exc):
            raise OutputError(problem, hint="Put that right, or choose another place.") from exc
        raise UsageError(
            problem,
            expected="a database that is there, as in sqlite:///study.db",
        ) from exc


@contextmanager
def storing() -> Iterator[None]:
    """Translate what goes wrong while a study is read and written.

    Raises:
        OutputError: in place of what SQLAlchemy and Optuna raise.
        KeyboardInterrupt: that is what it comes from.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as exc:
        if _was_interrupted(exc):  # Ctrl-C while the database was at work
            raise KeyboardInterrupt from exc
        hint = "Nothing that was stored is lost: put that right and give the same command again."
        raise OutputError(f"The study cannot be stored: {_cause(exc)}", hint=hint) from exc


def _is_full(exc: BaseException) -> bool:
    """Whether SQLite found no room."""
    return getattr(_root(exc), "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def _was_interrupted(exc: BaseException | None) -> bool:
    return exc is not None and (
        isinstance(exc, KeyboardInterrupt) or _was_interrupted(exc.__cause__ or exc.__context__)
    )


def _cause(exc: BaseException) -> str:
    """The first line of the error that began it, without SQLAlchemy's frame around it."""
    return one_line(_root(exc)).rstrip(".") or type(exc).__name__


def _root(exc: BaseException) -> BaseException:
    while exc.__cause__ is not None:
        exc = exc.__cause__
    return getattr(exc, "orig", None) or exc


def one_line(what: object) -> str:
    """The first line of a text that may quote a file: printable, and not too long."""
    line = (str(what).splitlines() or [""])[0][:200]
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in line)


def _without_password(url: str) -> str:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        return "that was named"


def owner(folder: Path) -> str:
    """Whose trials these are: one command at a time works in a directory, and holds its lock."""
    return f"{socket.gethostname()}:{folder.resolve()}"


def take_up(study: Study, start: Mapping[str, Any], *, by: str) -> int:
    """Queue what must be run before anything new; return how many trials a killed process had left under way.

    Those are failed and queued again. The starting recipe, with the parameters `start`, is trial 0. Trials of another
    owner are left alone.
    """
    from optuna.trial import TrialState

    if not study.get_trials(deepcopy=False):
        study.enqueue_trial(dict(start), user_attrs={START: True})
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    left = [trial for trial in running if trial.user_attrs.get(OWNER, by) == by]
    for trial in left:
        # One that was killed before it had drawn all of its parameters draws the others anew.
        queued = trial.system_attrs.get(FIXED, {})
        _queue(study, trial.user_attrs, {**queued, **trial.params}, {})
        study.tell(trial.number, state=TrialState.FAIL)
    return len(left)


def lose(study: Study, trial: Trial, reason: str) -> bool:
    """End a trial whose worker died; return whether it was queued again, or given up after so many deaths."""
    from optuna.trial import TrialState

    attempt = trial.user_attrs.get(ATTEMPT, 0) + 1
    again: bool = attempt < ATTEMPTS
    if again:
        _queue(study, trial.user_attrs, trial.params, {ATTEMPT: attempt})
    else:
        trial.set_user_attr(REASON, reason)
    study.tell(trial, state=TrialState.FAIL)
    return again


def prune(study: Study, trial: Trial, reason: str) -> None:
    """End a trial that leads nowhere."""
    from optuna.trial import TrialState

    trial.set_user_attr(REASON, reason)
    study.tell(trial, state=TrialState.PRUNED)


def _queue(study: Study, attrs: Mapping[str, Any], params: Mapping[str, Any], more: Mapping[str, Any]) -> None:
    """Put the parameters of a trial that nobody works at any more in the queue."""
    kept = {key: attrs[key] for key in (START, ATTEMPT) if key in attrs}
    study.enqueue_trial(dict(params), user_attrs={**kept, **more})


def is_over(trial: FrozenTrial) -> bool:
    """Whether a trial counts: it has a value, was pruned, or was given up. One that was queued again does not."""
    from optuna.trial import TrialState

    ended = trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
    return ended or (trial.state == TrialState.FAIL and REASON in trial.user_attrs)


def over(study: Study) -> list[FrozenTrial]:
    """The trials that count."""
    return [trial for trial in study.get_trials(deepcopy=False) if is_over(trial)]


def finished(study: Study) -> list[FrozenTrial]:
    """The trials with a value of their own, oldest first."""
    from optuna.trial import TrialState

    return list(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))


def best(study: Study) -> FrozenTrial | None:
    """The finished trial with the highest value; of equals the first."""
    return max(finished(study), key=lambda trial: trial.values[0], default=None)


def importances(study: Study) -> dict[str, float]:
    """How much of the variance of the value each field explains, summing to 1; nothing before four trials differ.

    By fANOVA (Hutter 2014) over the finished trials that have all fields. Optuna's own default looks at the best tenth
    only: two of twenty.
    """
    import optuna

    trials = finished(study)
    names = set().union(*(trial.params for trial in trials)) if trials else set()
    whole = [trial for trial in trials if names == set(trial.params)]
    if len(whole) < 4 or len({trial.values[0] for trial in whole}) < 2:
        return {}
    plain = optuna.create_study(direction="maximize")
    plain.add_trials(whole)
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return dict(optuna.importance.get_param_importances(plain, evaluator=evaluator))
