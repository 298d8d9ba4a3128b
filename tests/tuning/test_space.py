"""What a search may change: what is proposed, and every error in a space file."""

from __future__ import annotations

import os
from datetime import datetime

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkdigit.errors import UsageError
from inkdigit.training.recipe import Recipe, bundled
from inkdigit.tuning.space import FOLDER, Budget, Choices, Range, Space

START = Recipe(name="start")


def read(text: str, tmp_path, start: Recipe = START) -> Space:
    path = tmp_path / "space.toml"
    path.write_text(text, encoding="utf-8")
    return Space.load(path, start)


def test_what_is_proposed_is_in_the_space_and_makes_a_recipe(tmp_path):
    space = read(
        """
        learning_rate = { low = 1e-4, high = 1e-1, log = true }
        rotate_deg = { low = 0, high = 15 }
        kernel = { low = 3, high = 8, step = 2 }
        filters = { choices = [[16, 32], [8, 16, 32]] }
        batch_norm = { choices = [true, false] }
        activation = { choices = ["relu", "elu"] }
        """,
        tmp_path,
    )
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = []
    for _ in range(40):
        trial = study.ask()
        space.suggest(trial)
        seen.append(START.change(space.changes(trial.params)))
        study.tell(trial, 0.0)
    assert {recipe.filters for recipe in seen} == {(16, 32), (8, 16, 32)}
    assert {recipe.kernel for recipe in seen} == {3, 5, 7}
    assert {recipe.batch_norm for recipe in seen} == {True, False}
    assert {recipe.activation for recipe in seen} == {"relu", "elu"}
    assert all(1e-4 <= recipe.learning_rate <= 1e-1 for recipe in seen)
    assert sum(recipe.learning_rate < 10**-2.5 for recipe in seen) > 10  # half of a log range
    assert all(0 <= recipe.rotate_deg <= 15 for recipe in seen)
    assert any(recipe.rotate_deg % 1 for recipe in seen)


WRONG = [  # the file, and a part of the message
    ("learning_rat = { low = 1, high = 2 }", "unknown recipe field 'learning_rat'. Did you mean learning_rate?"),
    ("seed = { low = 0, high = 9 }", "may not change seed: every trial has the same images"),
    ("protocol = { choices = ['final'] }", "may not change protocol"),
    ("temperature = { low = 1.0, high = 2.0 }", "may not change temperature: they are fitted after"),
    ("epochs = { low = 1, high = 9 }", "may not change epochs: the length of a trial is set under [budget]"),
    ("learning_rate = 0.1", "learning_rate is neither a range nor a choice"),
    ("learning_rate = { low = 0.1 }", "learning_rate is neither a range nor a choice"),
    ("learning_rate = { low = 0.1, hihg = 1 }", "learning_rate is neither a range nor a choice"),
    ("learning_rate = { low = 0.1, high = 1, choices = [1] }", "learning_rate is neither a range nor a choice"),
    ("learning_rate = { low = '1', high = 2 }", "the ends of learning_rate must be numbers"),
    ("learning_rate = { low = 0.1, high = inf }", "the ends of learning_rate must be numbers"),
    ("kernel = { low = 1.0, high = 5.0 }", "the ends of kernel must be whole numbers"),
    ("batch = { low = true, high = 5 }", "the ends of batch must be whole numbers"),
    ("activation = { low = 1, high = 2 }", "activation is not a number"),
    ("batch_norm = { low = 0, high = 1 }", "batch_norm is not a number"),
    ("learning_rate = { low = 0.2, high = 0.1 }", "range of learning_rate is empty. Expected: low ≤ high"),
    ("learning_rate = { low = 0, high = 0.1, log = true }", "is empty. Expected: low > 0 on a log scale"),
    ("learning_rate = { low = 0.1, high = 0.2, log = 1 }", "log must be true or false"),
    (
        "learning_rate = { low = 0.1, high = 0.2, step = 1 }",
        "only whole numbers without a log scale can have a step",
    ),
    ("batch = { low = 16, high = 64, step = 0 }", "only whole numbers without a log scale can have a step"),
    ("filters = { choices = [] }", "filters has no choices"),
    ("filters = { choices = 'all' }", "filters has no choices"),
    ("filters = { choices = [[16, 32], 'wide'] }", "filters = wide does not go with the recipe start: filters"),
    ("filters = { choices = [[16, 0]] }", "filters = [16, 0] does not go with the recipe start"),
    ("activation = { choices = ['relu', 'rely'] }", "activation = rely does not go with the recipe start"),
    ("label_smoothing = { low = 0.0, high = 1.5 }", "label_smoothing = 1.5 does not go with the recipe start"),
    ("kernel = { choices = [3, 4] }", "kernel = 4 does not go with the recipe start: padding"),
    ("", "has nothing to search"),
    ("[budget]\nepochs = 3", "has nothing to search"),
    ("budget = 3", "[budget] is not a table"),
    ("[budget]\npicture = 3", "unknown key 'picture' in [budget]. Did you mean pictures?"),
    ("[budget]\npictures = 0.5", "budget.pictures. Expected: a whole number, 0 for no limit. Received: 0.5"),
    ("[budget]\nepochs = -1", "budget.epochs. Expected: a whole number"),
    ("filters = ", "is not a TOML file"),
]


def test_a_space_that_is_wrong_is_one_error(tmp_path):
    for text, message in WRONG:
        assert message in error_of(text, tmp_path), text


def error_of(text: str, tmp_path) -> str:
    try:
        read(text, tmp_path)
    except UsageError as exc:
        return str(exc)
    return "no error"


def test_a_path_that_is_not_a_file_is_one_error(tmp_path):
    for name, message in (
        ("none.toml", "There is no space file"),
        ("", "not a regular file"),
        ("a\0b", "embedded null byte"),
        ("x" * 5000, "cannot be looked up"),
    ):
        with pytest.raises(UsageError, match=message):
            Space.load(tmp_path / name, START)


def test_a_choice_may_need_another_field_of_the_space(tmp_path):
    start = START.change({"dropout": (0.1, 0.2)})
    text = "filters = { choices = [[16, 32], [8, 16, 32]] }\n"
    with pytest.raises(UsageError, match="dropout has 2 entries for 3 blocks"):
        read(text, tmp_path, start)
    assert read(text + "dropout = { low = 0.0, high = 0.5 }", tmp_path, start)


def test_the_start_becomes_parameters_if_its_values_are_in_the_space(tmp_path):
    space = read(
        "kernel = { choices = [3, 5] }\nfilters = { choices = [[8, 8]] }\nlearning_rate = { low = 0.1, high = 1.0 }\n"
        "dropout = { low = 0.0, high = 0.5 }",
        tmp_path,
    )
    assert space.params(START.change({"dropout": 0.25})) == {"kernel": "3", "dropout": 0.25}
    assert space.params(START.change({"filters": (8, 8), "dropout": (0.1, 0.2)})) == {
        "kernel": "3",
        "filters": "[8, 8]",
    }


def test_a_space_as_text_is_as_in_the_studies_of_earlier_releases(tmp_path):
    """It is stored: a search continues only if the text is the same."""
    space = read(
        "learning_rate = { low = 1e-4, high = 0.1, log = true }\nbatch = { low = 16, high = 70, step = 16 }\n"
        "filters = { choices = [[16], [16, 32]] }\n[budget]\nepochs = 0",
        tmp_path,
    )
    assert space.describe() == {
        "learning_rate": "0.0001 to 0.1 (log)",
        "batch": "16 to 64, step 16",
        "filters": "[16] | [16, 32]",
        "budget": "12,000 pictures at most, all epochs",
    }
    assert str(Budget(0, 3)) == "all pictures, 3 epochs at most"


def test_a_step_ends_at_its_last_multiple():
    space = Space.from_entries({"batch": {"low": 16, "high": 70, "step": 16}}, START)
    assert space.dimensions["batch"] == Range(16, 64, step=16, integer=True)
    assert space.params(START.change({"batch": 24})) == {}


def test_the_budget_is_small_by_default():
    entry = {"batch": {"choices": [64]}}
    assert Space.from_entries(entry, START).budget == Budget()
    assert Space.from_entries({**entry, "budget": {"epochs": 0}}, START).budget == Budget(epochs=0)
    assert Space.from_entries(entry, START).dimensions == {"batch": Choices((64,))}


def test_every_recipe_has_a_space_that_fits():
    for name in bundled():
        recipe = Recipe.load(name)
        assert Space.load(None, recipe).dimensions, name
        if not recipe.layers:
            assert Space.load(FOLDER / "default.toml", recipe).dimensions, name


def test_every_bundled_space_belongs_to_a_recipe():
    assert {path.stem for path in FOLDER.glob("*.toml")} <= {*bundled(), "default", "layers"}
    own, general = Space.load(None, Recipe.load("classic")), Space.load(None, Recipe(name="mine"))
    assert "filters" in own.dimensions
    assert "filters" not in general.dimensions


def test_toml_that_is_too_deep_or_too_long_is_rejected_at_once(tmp_path):
    for text in (
        "learning_rate = " + "9" * 5000,
        "learning_rate = " + "[" * 100_000,
        "x" + ".x" * 50_000 + " = 1",
        "# " + "x" * 2_000_000,
    ):
        message = error_of(text, tmp_path)
        assert "space.toml is not a TOML file: " in message, text[:30]
        assert len(message) < 400, text[:30]


@pytest.mark.posix
def test_a_file_without_an_end_is_not_a_space(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(UsageError, match="not a regular file"):
        Space.load(tmp_path / "pipe.toml", START)


def test_a_name_is_not_the_path_of_a_space(tmp_path):
    (tmp_path / "mine.toml").write_text("learning_rate = { low = 0.1, high = 0.2 }", encoding="utf-8")
    assert Space.load(None, Recipe(name=str(tmp_path / "mine"))).describe() == Space.load(None, START).describe()


def test_more_choices_than_a_search_can_try_are_rejected(tmp_path):
    assert len(read(f"batch = {{ choices = {list(range(1, 101))} }}", tmp_path).dimensions["batch"].values) == 100
    with pytest.raises(UsageError, match=r"batch has 101 choices\. Expected: at most 100"):
        read(f"batch = {{ choices = {list(range(1, 102))} }}", tmp_path)


NUMBERS = (
    st.integers(-3, 100) | st.floats() | st.sampled_from([2**62, 2**70, 5e-324, 1e308, True, "x", None, datetime.now()])
)
RANGES = st.fixed_dictionaries({"low": NUMBERS, "high": NUMBERS}, optional={"log": st.booleans(), "step": NUMBERS})
ENTRIES = st.fixed_dictionaries({"choices": st.lists(NUMBERS | st.lists(NUMBERS, max_size=3), max_size=4)}) | RANGES
NAMES = st.sampled_from([*sorted(Recipe.model_fields), "budget", "more"])


@settings(max_examples=250, deadline=None)
@given(st.dictionaries(NAMES, ENTRIES | NUMBERS, min_size=1, max_size=3))
def test_any_space_is_accepted_or_rejected_in_one_line(entries):
    message = ""
    try:
        space = Space.from_entries(entries, START)
    except UsageError as exc:
        message = str(exc)
    else:
        assert space.fits(space.params(START))
        assert space.describe()
    assert len(message) < 1200


def test_parameters_that_a_trial_cannot_have_do_not_fit(tmp_path):
    space = read("kernel = { low = 3, high = 7, step = 2 }\nactivation = { choices = ['relu', 'elu'] }", tmp_path)
    assert space.fits({"kernel": 5, "activation": "elu"})
    for wrong in ({"kernel": 4}, {"kernel": "5"}, {"activation": "gelu"}, {"activation": 1}, {"dropout": 0.1}):
        assert not space.fits(wrong)
