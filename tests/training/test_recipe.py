"""Recipes: every field survives TOML, nonsense is refused with the key's name, and `--set` reads as TOML does."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkdigit.errors import UsageError
from inkdigit.training.recipe import Recipe, bundled, parse_changes

OTHER = {  # for every field a value that is not its default
    "name": "other",
    "about": "another ü",
    "data": "usps",
    "prepare": "plain",
    "protocol": "select",
    "validation": 0.25,
    "validation_split": "stratified",
    "test_fraction": 0.5,
    "normalize": "standard",
    "moments": True,
    "block": "residual",
    "filters": (8, 16, 16),
    "kernel": (5, 3, 3),
    "convs_per_block": (1, 2, 1),
    "pooling": ("stride", "average", "none"),
    "pool_first": True,
    "whiten": True,
    "padding": ("valid", "same", "valid"),
    "batch_norm": False,
    "activation": "gelu",
    "initializer": "orthogonal",
    "dropout": 0.1,
    "head": "global_average",
    "dense": (32, 16),
    "dense_dropout": 0.5,
    "loss": "categorical_crossentropy",
    "label_smoothing": 0.1,
    "teacher": "fast",
    "teacher_weight": 0.25,
    "optimizer": "adamw",
    "learning_rate": 0.5,
    "momentum": 0.5,
    "betas": (0.8, 0.99),
    "weight_decay": 1e-4,
    "schedule": "plateau",
    "warmup_fraction": 0.1,
    "decay_per_epoch": 0.5,
    "plateau_factor": 0.1,
    "plateau_patience_epochs": 1,
    "min_learning_rate": 1e-5,
    "monitor": "validation_accuracy",
    "early_stopping_patience_epochs": 5,
    "keep": "best",
    "ema_decay": 0.99,
    "batch": 7,
    "epochs": 3,
    "min_steps": 100,
    "seed": 5,
    "precision": "bfloat16",
    "rotate_deg": 10.0,
    "shift_px": 2.0,
    "shift_inside": True,
    "zoom": 0.1,
    "squish": 0.1,
    "shear": 0.2,
    "elastic_px": 1.5,
    "elastic_sigma_px": 3.0,
    "thickness": 0.5,
    "erase_px": 4,
    "stressed": 0.5,
    "drawn": 20,
    "outliers": 30,
    "temperature": 1.5,
    "accept_score": -2.5,
    "calibrated_on": "abc",
}


def test_every_field_has_another_value_here():
    assert set(OTHER) == set(Recipe.model_fields)
    assert not [key for key, value in OTHER.items() if getattr(Recipe(), key) == value]


# What a plain block may be, a residual one may not; and who learns from outliers has no teacher.
RESIDUAL = Recipe(block="residual", convs_per_block=2, dropout=(0.0, 0.25), outliers=30)
PLAIN = Recipe(**OTHER | {"block": "plain", "outliers": 0})


@pytest.mark.parametrize("recipe", [Recipe(), PLAIN, RESIDUAL], ids=["defaults", "plain", "residual"])
def test_every_field_survives_toml(recipe, tmp_path):
    (tmp_path / "r.toml").write_text(recipe.to_toml(), encoding="utf-8")
    again = Recipe.load(tmp_path / "r.toml")
    assert again == recipe
    assert again.sha256 == recipe.sha256
    assert again.to_toml() == recipe.to_toml()


@given(
    rate=st.floats(1e-9, 1e3),
    filters=st.lists(st.integers(1, 512), max_size=5),
    about=st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from('\n\t"\\'), max_size=20),
)
def test_numbers_lists_and_text_survive_toml(rate, filters, about):
    recipe = Recipe(learning_rate=rate, filters=tuple(filters), about=about)
    assert Recipe.from_fields(tomllib.loads(recipe.to_toml())) == recipe


@pytest.mark.parametrize("name", bundled())
def test_every_bundled_recipe_loads_and_says_what_it_is(name):
    recipe = Recipe.load(name)
    assert recipe.name == name
    assert recipe.about
    assert Recipe.load(bundled()[name]) == recipe


def test_the_default_recipe_is_bundled():
    assert "fast" in bundled()


def test_a_recipe_is_found_by_path_and_by_run_directory(tmp_path):
    (tmp_path / "recipe.toml").write_text("epochs = 7\n")
    assert Recipe.load(tmp_path).epochs == 7
    assert Recipe.load(tmp_path / "recipe.toml").name == "recipe"


@pytest.mark.parametrize(("wanted", "hint"), [("fats", r"Did you mean fast\?"), ("quite-another", "one of")])
def test_an_unknown_recipe_is_refused(wanted, hint):
    with pytest.raises(UsageError, match=f"There is no recipe '{wanted}'.*{hint}"):
        Recipe.load(wanted)


@pytest.mark.parametrize("content", [b"epochs = ", b"\xff\xfe\x00", b"<html>"])
def test_what_is_no_toml_is_refused(tmp_path, content):
    path = tmp_path / "r.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"r\.toml is no TOML file"):
        Recipe.load(path)


def test_an_unknown_key_is_named_with_the_nearest_one():
    with pytest.raises(UsageError, match=r"fast: unknown recipe key 'epochz'\. Did you mean epochs\?"):
        Recipe.load("fast", {"epochz": 3})
    with pytest.raises(UsageError, match=r"unknown recipe key 'xyzzy'\. See all fields"):
        Recipe.load("fast", {"xyzzy": 3})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("epochs", "three"),
        ("epochs", 2.5),
        ("epochs", 0),
        ("epochs", True),
        ("batch", -1),
        ("filters", 32),
        ("filters", [32, "x"]),
        ("filters", [0]),
        ("kernel", [3]),  # for two blocks
        ("kernel", 0),
        ("pooling", "mean"),
        ("pooling", ["max", "max", "max"]),
        ("optimizer", "sdg"),
        ("learning_rate", 0),
        ("learning_rate", "0.1"),
        ("learning_rate", float("inf")),
        ("accept_score", float("nan")),
        ("dropout", 1.0),
        ("dropout", [0.1, 1.0]),
        ("dropout", [0.1, 0.2, 0.3]),
        ("block", "residual"),  # one convolution a block
        ("momentum", 1),
        ("betas", [0.9]),
        ("betas", [0.9, 1.0]),
        ("label_smoothing", 1.0),
        ("rotate_deg", 181),
        ("erase_px", 29),
        ("seed", 2**31),
        ("seed", -1),
        ("batch_norm", "yes"),
        ("name", 3),
        ("data", {"path": "x"}),
        ("teacher_weight", 1.1),
        ("thickness", -0.1),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_its_key(key, value):
    with pytest.raises(UsageError, match=key) as caught:
        Recipe.load("fast", {"filters": [8, 8], "kernel": 3, "pooling": "max", key: value})
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("fields", [{"filters": []}, {"kernel": 1}])
def test_a_whitening_start_needs_a_convolution_that_sees_neighbours(fields):
    with pytest.raises(UsageError, match="whiten needs"):
        Recipe.from_fields({"whiten": True, **fields})


@pytest.mark.parametrize("fields", [{"schedule": "plateau"}, {"early_stopping_patience_epochs": 2}, {"keep": "best"}])
def test_what_looks_at_validation_needs_some(fields):
    with pytest.raises(UsageError, match="need validation > 0"):
        Recipe.from_fields(fields)
    assert Recipe.from_fields({**fields, "validation": 100}).needs_validation
    assert Recipe.from_fields({**fields, "protocol": "select"}).needs_validation  # it holds some out anyway
    assert not Recipe().needs_validation


def test_changes_are_read_as_toml_and_else_as_text():
    read = parse_changes(
        ["epochs=3", "zoom = 0.1", "filters=[8, 16]", "batch_norm=false", "optimizer=sgd", "about=a = b", 'name="3"']
    )
    assert read == {
        "epochs": 3,
        "zoom": 0.1,
        "filters": [8, 16],
        "batch_norm": False,
        "optimizer": "sgd",
        "about": "a = b",
        "name": "3",
    }
    assert Recipe.load("fast", {**read, "kernel": 3, "pooling": "max"}).filters == (8, 16)


@pytest.mark.parametrize("assignment", ["epochs", "=3", " =3", ""])
def test_a_change_without_key_or_value_is_refused(assignment):
    with pytest.raises(UsageError, match=r"changes nothing. Expected: key=value"):
        parse_changes([assignment])


def test_the_identity_leaves_out_seed_and_description():
    recipe = Recipe()
    assert recipe.change({"seed": 1, "about": "x"}).sha256 == recipe.sha256
    assert recipe.change({"epochs": 11}).sha256 != recipe.sha256


def test_a_change_is_checked_and_leaves_the_recipe_alone():
    recipe = Recipe()
    assert recipe.change({"seed": 9}).seed == 9
    assert recipe.seed == 0
    with pytest.raises(UsageError, match="seed"):
        recipe.change({"seed": "nine"})


def test_one_value_stands_for_every_block():
    assert Recipe(filters=(8, 8, 8), kernel=5).per_block("kernel") == (5, 5, 5)
    assert Recipe(filters=(8, 8), kernel=(5, 3)).per_block("kernel") == (5, 3)


def test_same_padding_asks_for_odd_kernels():
    with pytest.raises(UsageError, match="odd kernels"):
        Recipe.from_fields({"kernel": 4})
    with pytest.raises(UsageError, match="odd kernels"):
        Recipe.from_fields({"kernel": 4, "padding": ["valid", "same"]})
    assert Recipe.from_fields({"kernel": [4, 3], "padding": ["valid", "same"]}).per_block("padding")[1] == "same"


def test_residual_units_have_same_padding_and_pool_last():
    for fields in ({"padding": ["same", "valid"]}, {"pool_first": True}, {"convs_per_block": 1}):
        with pytest.raises(UsageError, match=r"residual|plain"):
            Recipe.from_fields({"block": "residual", "convs_per_block": 2, **fields})
