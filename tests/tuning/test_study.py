"""The study of a search: opened, rejected, continued."""

from __future__ import annotations

import optuna
import pytest
from sqlalchemy.exc import SQLAlchemyError

from inkdigit.errors import OutputError, UsageError
from inkdigit.tuning.study import (
    ATTEMPT,
    DATABASE,
    IS_START,
    MAX_ATTEMPTS,
    OWNER,
    REASON,
    SECONDS,
    best_trial,
    ended_trials,
    field_importances,
    open_study,
    queue_first,
    retry_or_fail,
    sqlite_url,
    storing,
)

ABOUT = {"recipe": {"kernel": 3}, "space": {"learning_rate": "0.1 to 1"}, "data set": "drawn"}


def opened(folder, about=ABOUT, name="search"):
    return open_study(sqlite_url(folder), name, about=about, seed=0)


def test_a_study_of_an_earlier_release_is_read_by_the_same_names():
    """They are stored: with others, no search that was begun before could continue."""
    assert (IS_START, OWNER, ATTEMPT, REASON, SECONDS) == ("start", "owner", "attempt", "reason", "seconds")
    assert DATABASE == "study.db"


def test_a_folder_may_have_any_name(tmp_path):
    folder = tmp_path / "a {b} ?c=%20 ü"
    folder.mkdir()
    opened(folder).ask()
    assert (folder / DATABASE).is_file()
    assert len(opened(folder).trials) == 1


def test_the_study_of_another_search_is_rejected(tmp_path):
    opened(tmp_path)
    for about, message in (
        ({**ABOUT, "recipe": {"kernel": 5}}, "made for another recipe. Expected: kernel: 3. Received: kernel: 5"),
        ({**ABOUT, "space": {"dropout": "0 to 1"}}, "another space. Expected: learning_rate: 0.1 to 1. Received: lear"),
        ({**ABOUT, "data set": "mnist"}, "made for another data set. Expected: drawn. Received: mnist"),
    ):
        with pytest.raises(UsageError) as caught:
            opened(tmp_path, about)
        assert message in str(caught.value)


def test_the_study_of_another_program_is_rejected(tmp_path):
    other = optuna.create_study(storage=sqlite_url(tmp_path), study_name="search")
    other.add_trial(optuna.trial.create_trial(value=1.0))
    with pytest.raises(UsageError, match="another program"):
        opened(tmp_path)


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "nonsense://host/db",
        "redis://localhost",
        "postgresql+psycopg2://me:secret@localhost:1/db",
        "sqlite:////no/such/folder/study.db",
    ],
)
def test_a_storage_that_cannot_be_opened_is_one_error_without_its_password(url):
    with pytest.raises(UsageError, match="cannot be opened") as caught:
        open_study(url, "search", about=ABOUT, seed=0)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_a_database_is_one_error(tmp_path):
    (tmp_path / DATABASE).write_text("no database" * 100, encoding="utf-8")
    with pytest.raises(UsageError, match="file is not a database"):
        opened(tmp_path)


def test_a_storage_that_is_lost_during_a_search_is_an_output_error(tmp_path):
    study = opened(tmp_path)
    (tmp_path / DATABASE).write_bytes(b"lost")
    with pytest.raises(OutputError, match="The study cannot be stored"), storing():
        study.ask()


def test_ctrl_c_while_the_database_is_at_work_is_ctrl_c():
    def roll_back() -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise SQLAlchemyError("this transaction is closed")  # noqa: B904  as a rollback does

    with pytest.raises(KeyboardInterrupt), storing():
        roll_back()


def test_trials_of_a_killed_process_run_again(tmp_path):
    study = opened(tmp_path)
    assert queue_first(study, {"x": 0.5}, by="me") == 0
    mine, theirs = study.ask(), None
    assert mine.suggest_float("x", 0, 1) == 0.5
    mine.set_user_attr(OWNER, "me")
    theirs = study.ask()
    theirs.suggest_float("x", 0, 1)
    theirs.set_user_attr(OWNER, "another machine")

    study = opened(tmp_path)
    assert queue_first(study, {"x": 0.5}, by="me") == 1
    assert [trial.state.name for trial in study.trials] == ["FAIL", "RUNNING", "WAITING"]
    assert ended_trials(study) == []
    again = study.ask()
    assert (again.number, again.suggest_float("x", 0, 1)) == (2, 0.5)
    assert again.user_attrs[IS_START]


def test_a_trial_whose_workers_die_three_times_is_given_up(tmp_path):
    study = opened(tmp_path)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        trial = study.ask()
        trial.suggest_float("x", 0, 1)
        assert retry_or_fail(study, trial, "killed") == (attempt < MAX_ATTEMPTS)
    assert len({trial.params["x"] for trial in study.trials}) == 1
    assert [trial.number for trial in ended_trials(study)] == [2]
    assert best_trial(study) is None


def test_a_study_that_continues_does_not_draw_the_same_parameters(tmp_path):
    drawn = []
    for _ in range(3):
        trial = opened(tmp_path).ask()
        drawn.append(trial.suggest_float("x", 0, 1))
    assert len(set(drawn)) == 3


def test_what_explains_the_values_is_important(tmp_path):
    study = opened(tmp_path)
    assert field_importances(study) == {}
    for i in range(16):
        trial = study.ask()
        value = trial.suggest_float("x", 0, 1)
        if i:
            trial.suggest_float("noise", 0, 1)
        study.tell(trial, value)
    shares = field_importances(study)
    assert list(shares) == ["x", "noise"]
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["x"] > 0.8
