"""A search from a recipe to a winner: what it does not change, what it writes, and that it continues."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from filelock import FileLock

from inkdigit import runs
from inkdigit.errors import OutputError, TrainingError, UsageError
from inkdigit.files import LOCK
from inkdigit.runs import ROOT
from inkdigit.training.recipe import Recipe
from inkdigit.tuning import pool
from inkdigit.tuning.pool import End
from inkdigit.tuning.study import DATABASE, REASON, sqlite_url
from inkdigit.tuning.tune import PAGE, START, WINNER, Tuned, tune

from ..scale.conftest import local_ray

__all__ = ["local_ray"]


@pytest.fixture
def run(start, digits, space_file, tmp_path, request, monkeypatch):
    """Search with default arguments or others; the page is drawn only in tests that use `drawn_page`."""
    if "drawn_page" not in request.fixturenames:
        monkeypatch.setattr("inkdigit.tuning.tune.write_page", lambda *_: None)

    def go(**changes: object) -> Tuned:
        options = {"trials": 6, "space": space_file, "data": digits, "out": tmp_path / "out", **changes}
        return tune(options.pop("recipe", start), **options)

    return go


@pytest.fixture
def drawn_page() -> None:
    """Draw the page too, which limited longer than the trials."""


def study(folder):
    import optuna

    return optuna.load_study(storage=sqlite_url(folder), study_name="search")


@pytest.mark.usefixtures("drawn_page")
def test_a_search_writes_a_winner_that_train_reads_and_a_page(run, start, in_turn, lines, log):
    tuned = run(log=log)
    trials, full = in_turn[:6], in_turn[6:]
    assert {len(t.splits.train) for t in trials} == {60}
    assert {t.recipe.epochs for t in trials} == {2}
    assert {t.recipe.seed for t in trials} == {start.seed}
    assert len({id(t.splits) for t in trials}) == 1
    assert trials[0].recipe == start.change({"epochs": 2, "data": "drawn"})  # trial 0 is the start
    assert len({t.recipe.learning_rate for t in trials}) == 6

    winner = Recipe.load(tuned.folder / WINNER)
    assert (winner.protocol, winner.validation, winner.epochs) == (start.protocol, start.validation, start.epochs)
    best = max(study(tuned.folder).trials, key=lambda trial: trial.value or 0)
    assert (tuned.best, tuned.best_number) == (best.value, best.number)
    assert tuned.best > (tuned.start or 0)
    assert winner.learning_rate == best.params["learning_rate"]
    assert winner.name == "tiny-tuned"
    header = (tuned.folder / WINNER).read_text(encoding="utf-8")
    assert f"# Trial {best.number} of a search of 6 trials from tiny." in header
    assert f"# {tuned.verdict}" in header

    assert tuned.comparison is not None
    assert [(t.recipe.seed, t.recipe.learning_rate) for t in full] == [
        (seed, rate) for seed in (1, 2, 3) for rate in (start.learning_rate, winner.learning_rate)
    ]
    assert {t.recipe.epochs for t in full} == {start.epochs}
    assert tuned.comparison.images == 24
    page = (tuned.folder / PAGE).read_text(encoding="utf-8")
    assert tuned.verdict in page
    assert "60 of 100 images, 2 epochs" in page
    assert any(line.startswith("Trial 0") and "(the start)" in line for line in lines)
    assert Recipe.load(tuned.folder / START) == start.change({"data": "drawn"})


def test_the_same_command_again_trains_nothing_and_more_trials_continue(run, in_turn, lines, log):
    first = run(trials=4)
    done = len(in_turn)
    again = run(trials=4, log=log)
    assert len(in_turn) == done
    assert (again.best_number, again.comparison, again.trials) == (first.best_number, first.comparison, 4)
    assert lines[0] == "Continuing after 4 trials."
    more = run(trials=6)
    assert more.trials == 6
    assert len({trial.params["learning_rate"] for trial in study(more.folder).trials}) == 6


def test_a_search_that_is_stopped_in_its_trials_or_its_comparison_continues(run, in_turn, workers):
    train = pool.train_all

    def stop_after(count: int) -> None:
        def train_all(next_training, **listeners):
            left = iter(range(count))

            def limited():
                if next(left, None) is None:
                    raise KeyboardInterrupt
                return next_training()

            train(limited, **listeners)

        workers(train_all)

    stop_after(3)
    with pytest.raises(KeyboardInterrupt, match=r"Stopped after 3 of 6 trials. Go on with: .* --out .*out"):
        run()
    stop_after(5)
    with pytest.raises(KeyboardInterrupt, match="Stopped after 6 of 6"):  # four for the rest, then the comparison
        run()
    workers(train)
    tuned = run()
    assert tuned.trials == 6
    keys = [training.key for training in in_turn]
    assert len(keys) == len(set(keys)) == 12


@pytest.mark.usefixtures("local_ray")
def test_a_search_that_was_begun_here_goes_on_on_a_cluster_and_the_reverse(run, in_turn, space_file):
    space_file.write_text(space_file.read_text(encoding="utf-8").replace("epochs = 2", "epochs = 1"), encoding="utf-8")
    run(trials=2)
    here = len(in_turn)
    there = run(trials=4, engine="ray", jobs=1)
    assert (there.trials, len(in_turn)) == (4, here)
    again = run(trials=5)
    assert again.trials == 5
    assert [trial.state.name for trial in study(again.folder).trials] == ["COMPLETE"] * 5
    assert in_turn[here].key == 4
    alone = study(again.folder).trials
    assert len({trial.params["learning_rate"] for trial in alone}) == 5


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"engine": "rey"}, r"There is no engine 'rey'\. Expected: local or ray\. Did you mean ray\?"),
        ({"address": "host:6379"}, "The engine local has no address"),
        ({"device": "gpu"}, r"Unknown device 'gpu'\. Expected: auto, cpu, cuda or mps"),
        ({"device": "gpu", "engine": "ray", "address": "host:6379"}, "Unknown device 'gpu'"),  # no cluster is asked
    ],
)
def test_an_engine_or_device_that_is_none_is_an_error_first(run, tmp_path, in_turn, options, text):
    with pytest.raises(UsageError, match=text):
        run(trials=1, **options)
    assert not (tmp_path / "out").exists()
    assert not in_turn


@pytest.mark.usefixtures("in_turn", "drawn_page")
def test_a_start_outside_the_space_is_a_trial_too(run, start, tmp_path):
    outside = start.change({"learning_rate": 0.5})
    tuned = run(recipe=outside, trials=3)
    first = study(tuned.folder).trials[0]
    assert first.params == {"filters": "[4, 8]"}
    assert tuned.start == first.value
    assert "0.5" in (tmp_path / "out" / PAGE).read_text(encoding="utf-8")


def test_impossible_trials_are_pruned_with_the_reason(run, tmp_path, in_turn, lines, log):
    space = tmp_path / "deep.toml"
    space.write_text(
        "filters = { choices = [[4, 8], [4, 4, 4, 4, 4, 4]] }\npadding = { choices = ['same', 'valid'] }\n"
        "kernel = { choices = [3, 4] }\n[budget]\nepochs = 1",
        encoding="utf-8",
    )
    with pytest.raises(UsageError, match="kernel = 4 does not go"):
        run(space=space)
    space.write_text(space.read_text(encoding="utf-8").replace("[3, 4]", "[3, 5]"), encoding="utf-8")
    tuned = run(space=space, trials=8, log=log)
    reasons = [trial.user_attrs.get(REASON, "") for trial in study(tuned.folder).trials]
    assert sum("leaves nothing of the image" in reason for reason in reasons) >= 1
    assert any("pruned: Block" in line for line in lines)
    assert in_turn


def test_fields_that_do_not_go_together_are_pruned_before_they_are_trained(run, tmp_path, in_turn):
    space = tmp_path / "mixed.toml"
    space.write_text(
        "kernel = { choices = [3, 5] }\nkeep = { choices = ['last', 'best'] }\n[budget]\nepochs = 1", encoding="utf-8"
    )
    start = Recipe(name="bare", filters=(4, 8), head="global_max", batch=32, precision="float32")
    with pytest.raises(UsageError, match="keep = best does not go with the recipe bare"):
        run(recipe=start, space=space)
    space.write_text(
        "filters = { choices = [[4, 8], [4, 4, 4]] }\nkernel = { choices = [[3, 3], 5] }\n[budget]\nepochs = 1",
        encoding="utf-8",
    )
    tuned = run(recipe=start.change({"kernel": 5}), space=space, trials=8)
    trials = study(tuned.folder).trials
    clash = [t for t in trials if t.params == {"filters": "[4, 4, 4]", "kernel": "[3, 3]"}]
    assert clash
    assert {t.state.name for t in clash} == {"PRUNED"}
    assert "kernel has 2 entries for 3 blocks" in clash[0].user_attrs[REASON]
    assert not {t.number for t in clash} & {training.key for training in in_turn}


def test_hopeless_trials_are_stopped_but_never_the_start(run, in_turn, monkeypatch):
    monkeypatch.setattr("inkdigit.tuning.study.STARTUP_TRIALS", 2)
    monkeypatch.setattr("inkdigit.tuning.study.WARMUP_EPOCHS", 0)
    tuned = run(trials=12)
    states = [trial.state.name for trial in study(tuned.folder).trials]
    assert states[:2] == ["COMPLETE"] * 2
    assert "PRUNED" in states[2:]
    assert len(in_turn) >= 12
    assert run(trials=13).trials == 13  # a search with pruned trials continues


def test_if_no_trial_beats_the_start_nothing_is_compared(run, start, in_turn):
    tuned = run(trials=1)
    assert tuned.comparison is None
    assert tuned.verdict == "No trial was better than the start: the winner is the start itself."
    assert Recipe.load(tuned.folder / WINNER) == start.change({"data": "drawn"})
    assert len(in_turn) == 1


def failing(*keys: object) -> Callable[..., None]:
    """Trainings with these keys fail, or all without any; the others succeed."""

    def train_all(next_training, *, on_end, **_):
        while (training := next_training()) is not None:
            failed = not keys or training.key in keys
            on_end(training, End(problem="The loss is nan.") if failed else End(0.5, 1.0))

    return train_all


def test_if_no_trial_can_be_trained_that_is_the_error(run, workers):
    workers(failing())
    with pytest.raises(TrainingError, match=r"No trial could be trained. Received: The loss is nan"):
        run(trials=2)


def test_a_start_that_cannot_be_trained_has_no_comparison(run, workers):
    workers(failing(0))
    tuned = run(trials=2)
    assert (tuned.start, tuned.comparison) == (None, None)
    assert "The starting recipe could not be trained" in tuned.verdict


def test_a_winner_that_fails_in_full_is_an_error_and_a_dead_worker_is_not(run, workers, in_turn, tmp_path):
    train, died = pool.train_all, []

    def train_all(next_training, *, on_end, **more):
        def first_dies(training, end):
            if isinstance(training.key, tuple) and not died:
                died.append(training.key)
                end = End(died=True, problem="killed")
            on_end(training, end)

        train(next_training, on_end=first_dies, **more)

    workers(train_all)
    assert run().comparison is not None
    assert died == [("start", 1)]
    assert [t.key for t in in_turn].count(("start", 1)) == 2

    study(tmp_path / "out").set_user_attr("full training of start, seed 1", None)  # under this name it is stored
    workers(failing())
    with pytest.raises(TrainingError, match=r"The full training of start with seed 1 failed: The loss is nan."):
        run()


@pytest.mark.usefixtures("in_turn")
def test_another_search_in_the_same_directory_is_an_error(run, start, space_file):
    run(trials=1)
    with pytest.raises(
        UsageError, match=r"another recipe. Expected: learning_rate: 0.01. Received: learning_rate: 0.02"
    ):
        run(trials=1, recipe=start.change({"learning_rate": 0.02}))
    with pytest.raises(UsageError, match=r"another recipe. Expected: seed: 0. Received: seed: 5"):
        run(trials=1, seed=5)
    with pytest.raises(UsageError, match="another data set"):
        run(trials=1, data="sklearn-digits")
    space_file.write_text("learning_rate = { low = 1e-3, high = 1e-2 }", encoding="utf-8")
    with pytest.raises(UsageError, match=r"another space. Expected: learning_rate: 0.001 to 0.1"):
        run(trials=1)


@pytest.mark.usefixtures("in_turn")
def test_a_given_storage_has_studies_by_the_names_of_their_directories(run, tmp_path):
    url = f"sqlite:///{tmp_path / 'mine.db'}"
    assert run(trials=1, storage=url).trials == 1
    assert not (tmp_path / "out" / DATABASE).exists()
    assert run(trials=2, storage=url).trials == 2
    assert run(trials=1, storage=url, out=tmp_path / "other").trials == 1


@pytest.mark.usefixtures("in_turn")
def test_without_a_name_a_new_directory_is_made_under_runs(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = [run(trials=1, out=None).folder for _ in range(2)]
    assert folders[0] != folders[1]
    assert all(folder.parent == ROOT and "-tune-tiny-s0" in folder.name for folder in folders)
    url = f"sqlite:///{tmp_path / 'mine.db'}"
    assert [run(trials=n, out=None, storage=url).trials for n in (1, 2)] == [1, 2]


def test_obstacles_are_errors_before_anything_is_trained(run, tmp_path, in_turn):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.tex").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match="taken is taken"):
        run(out=tmp_path / "taken")
    with pytest.raises(UsageError, match="cannot be opened"):
        run(out=tmp_path / "new", storage="sqlite:////no/such/folder/x.db")
    assert not (tmp_path / "new").exists()
    for wrong in ({"trials": 0}, {"jobs": 0}):
        with pytest.raises(UsageError, match="There is nothing to do"):
            run(**wrong)
    with pytest.raises(UsageError, match="There are too many jobs"):
        run(jobs=10**6)
    run(trials=1)
    with FileLock(tmp_path / "out" / LOCK), pytest.raises(UsageError, match="Another search is running"):
        run(trials=2)
    assert len(in_turn) == 1


@pytest.mark.parametrize("left", ["start.toml", "thesis.tex"])
def test_a_directory_that_changes_before_it_is_locked(run, start, tmp_path, in_turn, monkeypatch, left):
    """It is new; before it is locked, another search starts there and is killed, or another program writes a file."""
    out, create = tmp_path / "out", runs.create

    def create_and_wait(*arguments, **options):
        folder = create(*arguments, **options)
        (out / left).write_text(start.change({"name": "other"}).to_toml(), encoding="utf-8")
        return folder

    monkeypatch.setattr(runs, "create", create_and_wait)
    if left == START:
        run(trials=1)
        assert 'name = "tiny"' in (out / START).read_text(encoding="utf-8")
    else:
        with pytest.raises(OutputError, match="is taken"):
            run(trials=1)
        assert 'name = "other"' in (out / left).read_text(encoding="utf-8")
    assert len(in_turn) == (left == START)
