"""Which run becomes a bundled model, what its card says then, and what is refused."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.models import bundle
from inkdigit import runs
from inkdigit.data.sources import open_data
from inkdigit.errors import DataError, UsageError
from inkdigit.model.card import Calibration
from inkdigit.model.recognizer import Recognizer
from inkdigit.report import run as run_page
from inkdigit.training import recipe as recipes
from inkdigit.training import results
from inkdigit.training.convert import calibrate
from inkdigit.training.data import splits_of
from inkdigit.training.openings import OPENINGS
from inkdigit.training.recipe import Recipe
from inkdigit.training.run import train
from inkdigit.training.seeds import train_seeds

from ...training.conftest import draw, single_thread, tiny


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder: recipes/tiny.toml, its data, seeds 0 and 1 of it in seeds/, and its select twin in twin/."""
    folder = tmp_path_factory.mktemp("bundle").resolve()
    digits = draw(150)
    np.savez(folder / "digits.npz", X=digits.images, y=digits.labels)
    recipe = tiny(data=str(folder / "digits.npz"), validation=0.25, epochs=3)
    (folder / "recipes").mkdir()
    (folder / "recipes" / "tiny.toml").write_text(recipe.to_toml(), encoding="utf-8")
    with single_thread(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibrate, "MIN_IMAGES", 30)
        patch.setattr(results.internals, "insight", lambda *_, **__: None)
        patch.setattr(results.run_page, "write", write_report)  # the page alone would take longer than all else
        train_seeds(recipe, [0, 1], out=folder / "seeds", device="cpu")
        train(recipe.change({"protocol": "select"}), out=folder / "twin", device="cpu")
    return folder


def write_report(folder: Path, story: run_page.Story) -> None:
    (folder / runs.REPORT).write_text(json.dumps(run_page.summary(story)), encoding="utf-8")


@pytest.fixture(autouse=True)
def recipe(made, monkeypatch) -> Recipe:
    """The bundled recipe."""
    monkeypatch.setattr(recipes, "FOLDER", made / "recipes")
    return Recipe.load("tiny")


@pytest.fixture
def dataset(recipe):
    return open_data(recipe.data)


@pytest.fixture
def zoo(tmp_path) -> Path:
    (tmp_path / "zoo").mkdir()
    return tmp_path / "zoo"


def test_a_run_becomes_the_model_of_its_recipe(made, zoo):
    path = bundle.bundle("tiny", str(made / "seeds" / "s1"), zoo=zoo)
    run = Recognizer.load(made / "seeds" / "s1" / "model.onnx").card
    card = Recognizer.load(path).card
    assert path == zoo / "tiny.onnx"
    assert [one.name for one in zoo.iterdir()] == ["tiny.onnx"]
    assert (card.name, card.figures, card.provenance) == ("tiny", run.figures, run.provenance)
    assert card.calibration == run.calibration


def test_of_several_seeds_the_first_is_taken_whatever_the_others_show_and_all_are_told(made, zoo, capsys):
    summary = json.loads((made / "seeds" / runs.SEEDS).read_text(encoding="utf-8"))
    card = Recognizer.load(bundle.bundle("tiny", str(made / "seeds"), zoo=zoo)).card
    assert card.provenance.seed == 0
    spread = {key: summary["accuracy"][key] for key in ("mean", "sd")}
    assert card.figures["seeds"] == {"n": 2, **spread, "seeds": [0, 1]}
    assert capsys.readouterr().out.startswith(f"Written: {zoo / 'tiny.onnx'}, ")


def test_an_int8_file_is_taken_where_it_loses_nothing(made, zoo, monkeypatch, capsys):
    monkeypatch.setattr(bundle, "loses_nothing", lambda *_: True)
    before = openings(made / "seeds")
    card = Recognizer.load(bundle.bundle("tiny", str(made / "seeds"), zoo=zoo, int8=True)).card
    assert (card.name, card.numbers) == ("tiny", "int8")
    assert (card.figures["part"], card.figures["n"]) == ("test", 30)
    assert card.figures["float32"]["n"] == 30
    assert card.figures["seeds"]["n"] == 2
    assert len(openings(made / "seeds")) == len(before) + 1
    assert openings(made / "seeds")[-1]["run"] == f"s{card.provenance.seed}"
    assert capsys.readouterr().out.count("of 30 held-out images wrong") == 2


def test_an_int8_file_that_loses_is_not_taken_and_looks_at_no_test_picture(made, zoo, monkeypatch, capsys):
    monkeypatch.setattr(bundle, "loses_nothing", lambda *_: False)
    before = openings(made / "seeds")
    assert Recognizer.load(bundle.bundle("tiny", str(made / "seeds"), zoo=zoo, int8=True)).card.numbers == "float32"
    assert openings(made / "seeds") == before
    assert ": not taken" in capsys.readouterr().out


def openings(folder: Path) -> list[dict[str, str]]:
    with (folder / OPENINGS).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("wrong", "size", "rate", "taken"),
    [
        (10, 300, 100.0, True),  # smaller by more than a third
        (10, 900, 160.0, True),  # faster by more than a third
        (9, 660, 95.0, True),
        (11, 300, 200.0, False),  # one more mistake
        (10, 900, 140.0, False),  # neither
        (10, 300, 80.0, False),  # slower
    ],
)
def test_what_loses_nothing_and_gains_a_third(wrong, size, rate, taken):
    before = bundle.Judged(10, 1000, 1000, 100.0)
    assert bundle.loses_nothing(before, bundle.Judged(wrong, 1000, size, rate)) is taken


def test_a_twin_decides_on_int8_where_a_recipe_holds_nothing_out(made, dataset, recipe, capsys):
    twin = bundle.open_twin(str(made / "twin"), recipe)
    taken = bundle.pays(twin, dataset)
    printed = capsys.readouterr().out
    assert printed.count("of 30 held-out images wrong") == 2
    assert printed.endswith(": taken\n" if taken else ": not taken\n")
    model = Recognizer.load(made / "seeds" / "s0" / "model.onnx")
    whole = recipe.change({"validation": 0}).to_toml()
    model.card = replace(model.card, provenance=replace(model.card.provenance, recipe=whole))
    with pytest.raises(UsageError, match=r"held nothing out.*--twin"):
        bundle.pays(model, dataset)


def test_a_threshold_is_fitted_again_as_a_training_would_fit_it_today(made, dataset, zoo, monkeypatch):
    run = str(made / "seeds" / "s0")
    before = Recognizer.load(bundle.bundle("tiny", run, zoo=zoo))
    with monkeypatch.context() as patch:
        patch.setattr(calibrate, "MIN_IMAGES", 30)
        patch.setattr(calibrate, "COVERAGE", 0.5)
        after = Recognizer.load(bundle.bundle("tiny", run, zoo=zoo, again=True))  # its self test passes
        warmer = Recognizer.load(before.path)
        warmer.card = replace(warmer.card, calibration=replace(warmer.card.calibration, temperature=9.0))
        with pytest.raises(UsageError, match="has another temperature today"):
            bundle.calibrated_again(warmer, dataset)
    old, new = before.card.calibration, after.card.calibration
    assert new.accept_score > old.accept_score
    assert (new.temperature, new.keeps, new.fitted_on) == (old.temperature, 0.5, old.fitted_on)
    held_out = splits_of(dataset, Recipe.load("tiny")).validation
    scores = [answer.score for answer in after.predict(held_out.images)]
    assert np.mean(np.array(scores) >= new.accept_score) == pytest.approx(0.5, abs=0.03)
    assert [p.probs.tolist() for p in after.predict(held_out.images)] == [
        p.probs.tolist() for p in before.predict(held_out.images)
    ]
    assert "calibrated_by" in after.card.provenance.extra
    with pytest.raises(UsageError, match="held too few images out"):
        bundle.calibrated_again(before, dataset)


@pytest.mark.parametrize(("change", "run"), [({}, "seeds/s0"), ({"learning_rate": 0.02}, "twin")])
def test_another_run_is_no_twin(made, recipe, change, run):
    with pytest.raises(UsageError, match=r"is not a twin of tiny.*protocol=select"):
        bundle.open_twin(str(made / run), recipe.change(change))


def test_what_another_recipe_or_other_pictures_made_is_refused(made, dataset, recipe):
    model = Recognizer.load(made / "seeds" / "s0" / "model.onnx")
    bundle.check(model, recipe, dataset)
    with pytest.raises(UsageError, match=r"its recipe is another.*inkdigit train tiny"):
        bundle.check(model, recipe.change({"epochs": 4}), dataset)
    with pytest.raises(UsageError, match="its training data is another"):
        bundle.check(model, recipe, replace(dataset, train=draw(150, seed=5)))
    card = model.card
    model.card = replace(card, figures={**card.figures, "n": 29})
    with pytest.raises(UsageError, match=r"its reported split is another.*test, 30 images.*test, 29 images"):
        bundle.check(model, recipe, dataset)
    model.card = replace(card, calibration=Calibration())
    with pytest.raises(UsageError, match="is not calibrated"):
        bundle.check(model, recipe, dataset)


def test_seeds_that_are_not_all_finished_are_refused(made, tmp_path):
    folder = shutil.copytree(made / "seeds", tmp_path / "seeds")
    summary = json.loads((folder / runs.SEEDS).read_text(encoding="utf-8"))
    summary["runs"][1] |= {"state": "unfinished", "reason": "Diverged: the loss is nan"}
    (folder / runs.SEEDS).write_text(json.dumps(summary), encoding="utf-8")
    with pytest.raises(UsageError, match=r"is not complete.*none of seed 1"):
        bundle.open_models(str(folder))
    (folder / runs.SEEDS).write_text("{}", encoding="utf-8")
    with pytest.raises(DataError):
        bundle.open_models(str(folder))


def test_a_single_seed_says_nothing_of_a_spread(made, tmp_path):
    folder = shutil.copytree(made / "seeds", tmp_path / "seeds")
    summary = json.loads((folder / runs.SEEDS).read_text(encoding="utf-8"))
    del summary["runs"][1]
    (folder / runs.SEEDS).write_text(json.dumps(summary), encoding="utf-8")
    models, over_seeds = bundle.open_models(str(folder))
    assert (len(models), over_seeds) == (1, {})


def test_a_card_can_tell_all_seeds_that_were_measured(made, zoo, recipe, tmp_path):
    ledger = tmp_path / "ledger.jsonl"

    def line(seed: int, accuracy: float, sha256: str) -> str:
        found = {"seed": seed, "accuracy": accuracy, "recipe_sha256": sha256, "smoke": False}
        return json.dumps(found) + "\n"

    ledger.write_text(line(0, 0.5, recipe.sha256) + line(1, 0.1, "another"), encoding="utf-8")
    with pytest.raises(UsageError, match="no spread"):
        bundle.bundle("tiny", str(made / "seeds" / "s0"), zoo=zoo, ledger=ledger)
    with ledger.open("a", encoding="utf-8") as more:
        more.write(line(3, 0.7, recipe.sha256) + line(0, 0.6, recipe.sha256))  # the latest of a seed counts
    path = bundle.bundle("tiny", str(made / "seeds" / "s0"), zoo=zoo, ledger=ledger)
    seeds = Recognizer.load(path).card.figures["seeds"]
    assert (seeds["n"], seeds["seeds"]) == (2, [0, 3])
    assert seeds["mean"] == pytest.approx(0.65)
    assert seeds["sd"] == pytest.approx(0.0707, abs=1e-4)


def test_the_script_says_in_one_line_why_not(made, zoo, capsys):
    def call(*words: str) -> int:
        return bundle.main(["--zoo", str(zoo), *words])

    assert call("tiny", str(made / "seeds" / "s0")) == 0
    before = (zoo / "tiny.onnx").read_bytes()
    assert call("large", str(made / "seeds")) == 2
    assert capsys.readouterr().err.startswith("Error: There is no bundled recipe 'large'. Expected: one of tiny")
    assert call("tiny", str(made / "nothing")) == 2
    assert call("tiny", str(made / "twin")) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2
    assert (zoo / "tiny.onnx").read_bytes() == before
    with pytest.raises(SystemExit):
        call("tiny", str(made / "seeds"), "--twin", str(made / "twin"))
    assert "--twin decides on --int8" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        call("tiny", str(made / "seeds"), "--int8", "--calibrate")
    assert "--calibrate is for float files" in capsys.readouterr().err
