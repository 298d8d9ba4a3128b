"""Recipes: every field survives TOML, an error names the key, and `--set` is read as TOML."""

from __future__ import annotations

import math
import os
import tomllib
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkdigit.errors import UsageError
from inkdigit.measure.seeds import parse_seeds
from inkdigit.parsing import parse_toml
from inkdigit.training.network.size import MAX_PARAMETERS, MAX_VALUES
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
    "steps_per_epoch": 50,
    "prefer_hard": 0.5,
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
    "layers": ("conv 4 3", "flatten"),
    "net": "external",
    "net_source": "model.py:build",
    "net_sha256": "abc",
    "augment_source": "model.py:salt",
    "augment_sha256": "def",
}


def test_every_field_has_another_value_here():
    assert set(OTHER) == set(Recipe.model_fields)
    assert not [key for key, value in OTHER.items() if getattr(Recipe(), key) == value]


# What a plain block may be, a residual one may not; and who learns from outliers has no teacher.
RESIDUAL = Recipe(block="residual", convs_per_block=2, dropout=(0.0, 0.25), outliers=30)
PLAIN = Recipe(**OTHER | {"block": "plain", "outliers": 0, "layers": (), "net": "recipe"})
LISTED = Recipe(layers=("conv 4 3", "flatten"), activation="gelu")
EXTERNAL = PLAIN.change({"net": "external"})


@pytest.mark.parametrize("recipe", [Recipe(), PLAIN, RESIDUAL, LISTED, EXTERNAL])
def test_every_field_survives_toml(recipe, tmp_path):
    (tmp_path / "r.toml").write_text(recipe.to_toml(), encoding="utf-8")
    again = Recipe.load(tmp_path / "r.toml")
    assert again == recipe
    assert again.sha256 == recipe.sha256
    assert again.to_toml() == recipe.to_toml()


@given(
    rate=st.floats(1e-9, 1e3),
    filters=st.lists(st.integers(1, 512), max_size=5),
    about=st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('\n\t"\\\x00\x7f\x85'), max_size=20),
)
def test_numbers_lists_and_text_survive_toml(rate, filters, about):
    recipe = Recipe(learning_rate=rate, filters=tuple(filters), about=about)
    assert Recipe.from_fields(tomllib.loads(recipe.to_toml())) == recipe


@pytest.mark.parametrize("name", bundled())
def test_every_bundled_recipe_loads_and_has_a_description(name):
    recipe = Recipe.load(name)
    assert recipe.name == name
    assert recipe.about
    assert Recipe.load(bundled()[name]) == recipe


def test_the_default_recipe_is_bundled():
    assert "fast" in bundled()


def test_a_recipe_is_found_by_path_and_by_run_directory(tmp_path):
    (tmp_path / "recipe.toml").write_text("epochs = 7\n", encoding="utf-8")
    assert Recipe.load(tmp_path).epochs == 7
    assert Recipe.load(tmp_path / "recipe.toml").name == "recipe"


@pytest.mark.parametrize(("name", "hint"), [("fats", r"Did you mean fast\?"), ("quite-another", "one of")])
def test_an_unknown_recipe_is_an_error(name, hint):
    with pytest.raises(UsageError, match=f"There is no recipe '{name}'.*{hint}"):
        Recipe.load(name)


@pytest.mark.parametrize("content", [b"epochs = ", b"\xff\xfe\x00", b"<html>"])
def test_a_file_that_is_not_toml_is_an_error(tmp_path, content):
    path = tmp_path / "r.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"r\.toml is not a TOML file"):
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
        ("name", "a\x1b[31mb"),
        ("name", "x" * 101),
        ("about", "x" * 1001),
        ("data", "x" * 5000),
        ("teacher", "x" * 5000),
        ("filters", [2**40, 8]),
        ("filters", [8] * 17),
        ("kernel", 57),
        ("kernel", [3, 10**18]),
        ("convs_per_block", 10**18),
        ("dense", [10**12]),
        ("dense", [8] * 17),
        ("epochs", 10**18),
        ("min_steps", 10**18),
        ("batch", 10**18),
        ("drawn", 10**12),
        ("outliers", 10**12),
        ("stressed", 1e300),
        ("validation", 1e300),
        ("weight_decay", 1e300),
        ("learning_rate", 1e300),
        ("elastic_sigma_px", 1e-300),
        ("elastic_sigma_px", 1e9),
        ("temperature", 1e-300),
        ("accept_score", 1e300),
        ("plateau_patience_epochs", 10**18),
        ("early_stopping_patience_epochs", 10**18),
    ],
)
def test_a_value_that_does_not_fit_is_an_error_with_its_key(key, value):
    with pytest.raises(UsageError, match=key) as caught:
        Recipe.load("fast", {"filters": [8, 8], "kernel": 3, "pooling": "max", key: value})
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("fields", [{"filters": []}, {"kernel": 1}])
def test_a_whitening_start_needs_a_convolution_that_sees_neighbours(fields):
    with pytest.raises(UsageError, match="whiten needs"):
        Recipe.from_fields({"whiten": True, **fields})


@pytest.mark.parametrize("fields", [{"schedule": "plateau"}, {"early_stopping_patience_epochs": 2}, {"keep": "best"}])
def test_a_recipe_that_decides_by_validation_needs_some(fields):
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
def test_a_change_without_key_or_value_is_an_error(assignment):
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


CALIBRATED = {"temperature": 0.5, "accept_score": 9.0, "calibrated_on": "abc"}


@pytest.mark.parametrize("change", [{"seed": 3}, {"name": "x", "epochs": 10}, {"temperature": 0.6}])
def test_a_calibration_stays_while_the_training_is_the_same(change):
    recipe = Recipe(**CALIBRATED, epochs=10).change(change)
    assert recipe.model_dump(include={*CALIBRATED}) == CALIBRATED | {
        key: value for key, value in change.items() if key in CALIBRATED
    }


@pytest.mark.parametrize("change", [{"epochs": 9}, {"validation": 0.1}, {"protocol": "select"}, {"filters": [8, 9]}])
def test_another_training_has_no_calibration(change):
    recipe = Recipe(**CALIBRATED).change(change)
    assert not any(recipe.model_dump(include={*CALIBRATED}).values())
    assert recipe.change(CALIBRATED).temperature == 0.5


def test_what_is_decided_by_images_held_out_needs_some():
    with pytest.raises(UsageError, match="need validation > 0, and no calibrated_on"):
        Recipe.from_fields({**CALIBRATED, "validation": 0.1, "keep": "best"})


def test_data_that_a_recipe_is_calibrated_on_need_its_temperature():
    with pytest.raises(UsageError, match="it needs temperature"):
        Recipe.from_fields({"calibrated_on": "abc", "validation": 0.1})
    assert Recipe.from_fields({"calibrated_on": "abc", "temperature": 0.5}).accept_score is None


def test_one_value_stands_for_every_block():
    assert Recipe(filters=(8, 8, 8), kernel=5).per_block("kernel") == (5, 5, 5)
    assert Recipe(filters=(8, 8), kernel=(5, 3)).per_block("kernel") == (5, 3)


def test_same_padding_needs_odd_kernels():
    with pytest.raises(UsageError, match="odd kernels"):
        Recipe.from_fields({"kernel": 4})
    with pytest.raises(UsageError, match="odd kernels"):
        Recipe.from_fields({"kernel": 4, "padding": ["valid", "same"]})
    assert Recipe.from_fields({"kernel": [4, 3], "padding": ["valid", "same"]}).per_block("padding")[1] == "same"


def test_residual_units_have_same_padding_and_pool_last():
    for fields in ({"padding": ["same", "valid"]}, {"pool_first": True}, {"convs_per_block": 1}):
        with pytest.raises(UsageError, match=r"residual|plain"):
            Recipe.from_fields({"block": "residual", "convs_per_block": 2, **fields})


@pytest.mark.parametrize(
    "text",
    [
        "epochs = " + "9" * 5000,
        "filters = " + "[" * 100_000,
        "filters = " + "[" * 40 + "]" * 40,
        "x" + ".x" * 50_000 + " = 1",
        "# " + "x" * 2_000_000,
        'about = "\udcff"',
    ],
)
def test_toml_that_is_too_deep_or_too_long_is_an_error_at_once(tmp_path, text):
    (tmp_path / "r.toml").write_text(text, errors="surrogateescape", encoding="utf-8")
    with pytest.raises(UsageError, match=r"r\.toml is not a TOML file: ") as caught:
        Recipe.load(tmp_path / "r.toml")
    assert len(str(caught.value)) < 400


@pytest.mark.posix
def test_a_file_without_an_end_is_not_a_recipe(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(UsageError, match="There is no recipe"):
        Recipe.load(tmp_path / "pipe.toml")


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 100_000, "x" * 100_000, "{a" + ".a" * 600 + "=1}"])
def test_a_change_that_is_too_deep_or_too_long_is_an_error_with_its_key(value):
    with pytest.raises(UsageError, match=r"--set 'epochs': .* Received: ") as caught:
        parse_changes([f"epochs={value}"])
    assert len(str(caught.value)) < 400


def test_a_change_is_one_value():
    assert parse_changes(["about=3\nbatch = 5"]) == {"about": "3\nbatch = 5"}


JUNK = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, 1, -1, 2**31, 2**63, 10**400, 1e-320, 1e300, math.inf, math.nan])
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["x" * 100_000, "\x00", "\udcff", datetime.now()])
)
NESTED = st.recursive(
    JUNK, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2)
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(Recipe.model_fields)), NESTED, min_size=1, max_size=4))
def test_any_value_of_a_field_is_taken_or_is_an_error_that_names_a_field(fields):
    try:
        recipe = Recipe.from_fields(fields)
    except UsageError as exc:
        message = str(exc)
    else:
        message = ""
        assert Recipe.from_fields(parse_toml(recipe.to_toml())) == recipe
    assert not message or any(name in message for name in Recipe.model_fields)
    assert len(message) < 1200


@pytest.mark.parametrize("name", ["seed", "zoom", "filters", "about"])
def test_a_number_that_cannot_even_be_printed_is_an_error(name):
    with pytest.raises(UsageError, match="too many digits"):
        Recipe.from_fields({name: 10**5000})
    with pytest.raises(UsageError):
        Recipe.from_fields({name: (10**5000,)})


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"filters": [4096] * 16, "kernel": 55, "convs_per_block": 64}, "parameters"),
        ({"filters": [8], "pooling": "none", "dense": [65_536]}, "parameters"),
        ({"filters": [4096], "pooling": "none", "head": "global_max"}, "values in one layer"),
        ({"filters": [64, 64], "pooling": "none", "head": "global_max", "batch": 65_536}, "values in a batch"),
    ],
)
def test_an_absurd_network_is_an_error_before_it_is_built(fields, what):
    with pytest.raises(UsageError, match=rf"filters, kernel, .*: they make a network of [\d,]+ {what}; [\d,]+ at most"):
        Recipe.from_fields(fields)


@pytest.mark.parametrize("recipe", [Recipe.load(name) for name in bundled()], ids=list(bundled()))
def test_no_bundled_recipe_comes_near_the_bounds(recipe):
    size = recipe.size()
    assert 50 * size.parameters < MAX_PARAMETERS
    assert 10 * size.stored * recipe.batch < MAX_VALUES


def test_their_identities_are_those_that_measurements_are_filed_under():
    assert Recipe.load("fast").sha256 == "64068303cd39aec042c22fbd790e00ca59e4b700ae9d8827d4b8737a52c502c9"
    assert Recipe.load("best").sha256 == "6416d0d2c907a77cf2c94622eaa98d2d06ddff566b3909a179fc4fb838fbcab7"


def test_seeds_are_read():
    seeds = {"7": [7], "0-4": [0, 1, 2, 3, 4], "0,2,5": [0, 2, 5], "8, 0-2": [8, 0, 1, 2], "3-3": [3]}
    assert {text: parse_seeds(text) for text in seeds} == seeds


def test_texts_that_name_no_random_seeds_are_errors():
    numbers = ("-1", "0-", "4-0", "0,,1", "0-2-4", "1.5", "²", "9" * 5000, "0-" + "9" * 5000)
    for text in ("", "a", *numbers, "0-1000", "0-999,1000"):
        with pytest.raises(UsageError, match=r"does not name random seeds|too many random seeds"):
            parse_seeds(text)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"filtrs": (3,)}, r"unknown recipe key 'filtrs'\. Did you mean filters\?"),
        ({"epochs": 0}, "epochs: .*Received: 0"),
        ({"epochs": "3"}, "epochs: .*Received: '3'"),
        ({"filters": [4, "x"]}, "filters: .*Received: 'x'"),
        ({"padding": "same", "kernel": 2}, "needs odd kernels"),
    ],
)
def test_a_recipe_made_in_python_has_the_errors_of_the_command_line(fields, words):
    for make in (lambda: Recipe(**fields), lambda: Recipe.model_validate(fields), lambda: Recipe.from_fields(fields)):
        with pytest.raises(UsageError, match=words):
            make()


def test_lists_and_tuples_make_the_same_recipe():
    assert Recipe(filters=[4, 8], betas=[0.5, 0.9]) == Recipe(filters=(4, 8), betas=(0.5, 0.9))
