"""A stored study that is damaged, or that is not a search of ours: always one error, whatever Optuna would raise."""

from __future__ import annotations

import os
import random
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inkdigit.errors import InkdigitError, MalformedFile, UsageError
from inkdigit.tuning.study import (
    DATABASE,
    SECONDS,
    best_trial,
    open_study,
    prune_trial,
    queue_first,
    sqlite_url,
    storing,
)
from inkdigit.tuning.study_checks import check_file, check_trials

ABOUT = {"recipe": {"kernel": 3}, "space": {"x": "0 to 1"}, "data set": "drawn"}


def continue_search(folder: Path) -> None:
    """What a search does with a stored study."""
    check_file(folder)
    study = open_study(sqlite_url(folder), "search", about=ABOUT, seed=0)
    check_trials(study, fits=lambda params: all(isinstance(x, float) and 0 <= x <= 1 for x in params.values()))
    with storing():
        queue_first(study, {}, by="me")
        best_trial(study)


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> bytes:
    folder = tmp_path_factory.mktemp("study")
    study = open_study(sqlite_url(folder), "search", about=ABOUT, seed=0)
    for value in (0.5, 0.7):
        trial = study.ask()
        trial.suggest_float("x", 0, 1)
        trial.report(value, 1)
        trial.set_user_attr(SECONDS, 1.5)
        study.tell(trial, value)
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    trial.report(0.1, 1)
    prune_trial(study, trial, "below the median")
    study.ask().suggest_float("x", 0, 1)  # it is running
    check_trials(study, fits=lambda _: True)
    return (folder / DATABASE).read_bytes()


def test_a_sound_study_is_accepted(stored, tmp_path):
    check_file(tmp_path)  # there is no study yet
    (tmp_path / DATABASE).write_bytes(stored)
    continue_search(tmp_path)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), count=st.sampled_from([1, 30, 300]), cut=st.booleans())
def test_whatever_bytes_a_study_has_it_is_accepted_or_rejected(stored, tmp_path_factory, seed, count, cut):
    chance, data = random.Random(seed), bytearray(stored)
    for _ in range(count):
        data[chance.randrange(len(data))] = chance.randrange(256)
    folder = tmp_path_factory.mktemp("damaged")
    (folder / DATABASE).write_bytes(data[: chance.randrange(len(data))] if cut else data)
    with suppress(InkdigitError):
        continue_search(folder)


DAMAGES = {  # what is done to the database → a part of the message
    "UPDATE trials SET state = 'ASLEEP'": "cannot be opened: 'ASLEEP'",
    "UPDATE trials SET number = 1e300": "Trial 1e+300 of the study is damaged",
    "UPDATE trials SET datetime_start = 'noon'": "cannot be opened: Invalid isoformat string",
    "UPDATE trial_values SET value = 'half'": "Trial 0 of the study is damaged",
    "UPDATE trial_values SET value_type = 'INF_POS', value = NULL": "Trial 0 of the study is damaged",
    "DELETE FROM trial_values": "Trial 0 of the study is damaged",
    "UPDATE trial_params SET distribution_json = '{'": "cannot be opened: Expecting property name",
    "UPDATE trial_params SET param_value = 7": "Trial 0 of the study is damaged",
    "UPDATE trial_params SET param_name = 'y' || param_name || x'ff'": "cannot be opened: Could not decode to UTF-8",
    "UPDATE trial_intermediate_values SET intermediate_value_type = 'INF_NEG', intermediate_value = NULL": (
        "Trial 0 of the study is damaged"
    ),
    "UPDATE trial_user_attributes SET value_json = '[]'": "Trial 0 of the study is damaged",
    "UPDATE study_user_attributes SET value_json = '[]'": "made for another recipe",
    'UPDATE study_user_attributes SET value_json = \'{"recipe": {"kernel": null}}\'': "made for another recipe",
    "CREATE TRIGGER t AFTER UPDATE ON trials BEGIN DELETE FROM studies; END": "it has views or triggers",
    "CREATE VIEW v AS SELECT 1": "it has views or triggers",
}


def test_a_damaged_study_is_rejected_in_one_line(stored, tmp_path):
    for i, (damage, expected) in enumerate(DAMAGES.items()):
        folder = tmp_path / str(i)
        folder.mkdir()
        (folder / DATABASE).write_bytes(stored)
        with closing(sqlite3.connect(folder / DATABASE)) as connection:
            connection.execute(damage)
            connection.commit()
        message = "no error"
        try:
            continue_search(folder)
        except (UsageError, MalformedFile) as exc:
            message = str(exc)
        assert expected in message, damage
        assert len(message) < 600, damage
        assert "\n" not in message, damage


@pytest.mark.posix
def test_a_pipe_or_a_directory_is_not_a_study(tmp_path):
    os.mkfifo(tmp_path / DATABASE)
    with pytest.raises(MalformedFile, match="This is not a study"):
        check_file(tmp_path)
    (tmp_path / DATABASE).unlink()
    (tmp_path / DATABASE).mkdir()
    with pytest.raises(MalformedFile, match="This is not a study"):
        check_file(tmp_path)
