"""A run: what it writes, what it repeats, and that a run that cannot begin writes nothing."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import inkdigit
from inkdigit import runs
from inkdigit.errors import DataError, Diverged, MissingData, OutputError, UsageError
from inkdigit.model.recognizer import Recognizer
from inkdigit.training import run
from inkdigit.training.network import checkpoint
from inkdigit.training.openings import OPENINGS
from inkdigit.training.recipe import Recipe
from inkdigit.types import Dataset, Part

from .conftest import CLASSES, FINISHED, draw, tiny

FILES = {
    "recipe.toml",
    "env.json",
    "metrics.csv",
    "steps.csv",
    "checkpoint",
    "model.onnx",
    "predictions.npz",
    "report.json",
    "report.html",
    "plots",
    "DONE",
}


def refuse(token: str) -> object:
    raise AssertionError(f"not strict JSON: {token}")


class Untouchable:
    """A test part that may be counted, and nothing else."""

    def __len__(self) -> int:
        return 40

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"the test part was touched: {name}")


@pytest.fixture(scope="module")
def selected(tmp_path_factory) -> run.Run:
    """A run under `select`, on data whose test part nobody may look at."""
    data = Dataset("sealed", CLASSES, draw(90, seed=5), draw(3))
    object.__setattr__(data, "test", Untouchable())
    out = tmp_path_factory.mktemp("selected") / "run"
    lines: list[str] = []
    recipe = tiny(protocol="select", epochs=1, keep="best", ema_decay=0.9)
    return run.train(recipe, data=data, out=out, device="cpu", log=lines.append)


def test_a_run_writes_its_files_and_done_comes_last(finished):
    assert {path.name for path in finished.folder.iterdir()} == FILES
    assert [path.name for path in (finished.folder / "checkpoint").iterdir()] == ["state.safetensors"]
    done = (finished.folder / "DONE").stat().st_mtime_ns
    assert all(path.stat().st_mtime_ns <= done for path in finished.folder.rglob("*"))
    assert {path.suffix for path in (finished.folder / "plots").iterdir()} == {".png"}


def test_every_json_is_strict(finished):
    for name in ("env.json", "report.json"):
        json.loads((finished.folder / name).read_text(encoding="utf-8"), parse_constant=refuse)


def test_a_run_can_be_read(finished):
    assert [row["epoch"] for row in finished.history] == [1, 2, 3, 4]
    assert finished.report["report_name"] == "test"
    assert finished.report["n"] == 40
    assert 0 < finished.report["train_seconds"] < 100
    assert finished.model.classes == CLASSES
    low, high = finished.report["accuracy_ci95"]
    assert low <= finished.report["accuracy"] <= high


def test_what_is_reported_is_what_the_file_answers(finished, drawn):
    answers = Recognizer.load(finished.folder / "model.onnx").predict(drawn.test.images)
    right = np.mean([answer.best for answer in answers] == drawn.test.labels)
    assert finished.report["accuracy"] == right == finished.model.card.figures["accuracy"]


def test_the_recipe_of_a_run_repeats_it_bit_for_bit(finished, drawn, tmp_path, only_training):  # noqa: ARG001
    recipe = finished.folder / "recipe.toml"
    assert Recipe.load(recipe) == FINISHED.change({"data": "drawn"})
    again = run.train(recipe, data=drawn, out=tmp_path / "again", device="cpu")
    assert (again.folder / checkpoint.FILE).read_bytes() == (finished.folder / checkpoint.FILE).read_bytes()
    assert (again.folder / "recipe.toml").read_bytes() == recipe.read_bytes()


def test_another_seed_is_another_run(finished, drawn, tmp_path, only_training):  # noqa: ARG001
    other = run.train(FINISHED, data=drawn, out=tmp_path / "other", seed=4, device="cpu")
    assert (other.folder / checkpoint.FILE).read_bytes() != (finished.folder / checkpoint.FILE).read_bytes()
    assert Recipe.load(other.folder).seed == 4


def test_every_use_of_a_test_split_is_noted(finished):
    with (finished.folder.parent / OPENINGS).open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row.pop("date")
    assert row == {
        "data": "drawn",
        "recipe": "tiny",
        "recipe_sha256": FINISHED.change({"data": "drawn"}).sha256,
        "seed": "3",
        "run": finished.folder.name,
    }


def test_select_never_uses_the_test_split(selected):
    assert selected.report["report_name"] == "validation"
    assert selected.report["protocol"] == "select"
    assert selected.report["n"] == 15  # a sixth
    assert selected.model.card.figures["part"] == "validation"
    assert not (selected.folder.parent / OPENINGS).exists()
    assert "validation" in (selected.folder / "report.html").read_text(encoding="utf-8").lower()


@pytest.mark.usefixtures("only_training")
def test_only_a_run_that_holds_images_out_has_validation_figures(selected, finished, drawn, tmp_path):
    for validated in (selected, finished):
        assert all(0 <= row["validation_accuracy"] <= 1 for row in validated.history)
    unvalidated = run.train(tiny(epochs=1), data=drawn, out=tmp_path / "run", device="cpu")
    assert np.isnan(unvalidated.history[0]["validation_accuracy"])


@pytest.mark.usefixtures("only_training")
def test_a_run_directory_has_a_name_of_its_own(drawn, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, second = (run.train(tiny(epochs=1), data=drawn, seed=7, device="cpu").folder for _ in range(2))
    assert first != second
    assert first.parent == Path("runs")
    assert "-tiny-s7" in first.name


def test_a_run_called_like_a_bundled_model_answers_with_its_own(finished, tmp_path, monkeypatch):
    shutil.copytree(finished.folder, tmp_path / "fast")
    monkeypatch.chdir(tmp_path)
    assert run.Run(Path("fast")).model.path == Path("fast/model.onnx")


def test_an_out_that_is_taken_is_left_alone(drawn, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match="is taken") as caught:
        run.train(tiny(), data=drawn, out=tmp_path)
    assert caught.value.exit_code == 9
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    assert (tmp_path / "thesis.tex").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("recipe", "data", "error"),
    [
        (tiny(), "nothing.npz", MissingData),
        (tiny(), "broken.npz", DataError),
        (tiny(validation=5000), None, UsageError),
        (tiny(prepare="plain"), None, UsageError),  # not how the data set was prepared
        (tiny(filters=(2,) * 6), None, UsageError),
        ("no-such-recipe", None, UsageError),
    ],
)
def test_a_run_that_cannot_begin_leaves_nothing(drawn, tmp_path, monkeypatch, recipe, data, error):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 broken")
    for out in (None, tmp_path / "out"):
        with pytest.raises(error):
            run.train(recipe, data=data or drawn, out=out)
    assert [path.name for path in tmp_path.iterdir()] == ["broken.npz"]


@pytest.mark.parametrize(("device", "text"), [("tpu", "Unknown device 'tpu'. Expected: auto"), ("CPU", "Unknown")])
def test_an_unknown_device_is_an_error(drawn, tmp_path, device, text):
    with pytest.raises(UsageError, match=text):
        run.train(tiny(), data=drawn, out=tmp_path / "run", device=device)


def test_a_run_that_diverges_is_unfinished(drawn, tmp_path):
    wild = tiny(learning_rate=1e6, optimizer="sgd", filters=(8, 8, 8), batch_norm=False)
    with pytest.raises(Diverged):
        run.train(wild, data=drawn, out=tmp_path / "run", device="cpu")
    assert not runs.is_finished(tmp_path / "run")


def test_a_run_can_be_resumed_from_any_folder(tmp_path, monkeypatch, only_training):  # noqa: ARG001
    part = draw(30)
    np.savez(tmp_path / "d.npz", X=part.images, y=part.labels)
    monkeypatch.chdir(tmp_path)
    run.train(tiny(epochs=1), data="d.npz", out="run", device="cpu")
    assert json.loads(Path("run/env.json").read_text(encoding="utf-8"))["data"]["source"] == str(tmp_path / "d.npz")
    Path("run/DONE").unlink()
    monkeypatch.chdir("/")
    run.resume(tmp_path / "run", device="cpu")
    assert runs.is_finished(tmp_path / "run")


@pytest.mark.usefixtures("only_training")
def test_one_class_is_an_error_and_few_or_blank_images_are_trained(tmp_path):
    few = Dataset("few", CLASSES, draw(6), draw(3))
    assert run.train(tiny(epochs=1), data=few, out=tmp_path / "few", device="cpu").history
    blank = Dataset("blank", CLASSES, Part(np.zeros((8, 28, 28), np.uint8), np.arange(8) % 3), draw(3))
    assert run.train(tiny(normalize="standard"), data=blank, out=tmp_path / "blank", device="cpu").history
    one = Dataset("one", CLASSES, draw(9).take(np.arange(0, 9, 3)), draw(3))
    with pytest.raises(UsageError, match="two classes or more"):
        run.train(tiny(), data=one, out=tmp_path / "one", device="cpu")
    assert not (tmp_path / "one").exists()


def test_the_recipe_of_a_run_names_its_data_and_the_card_names_no_path(drawn, tmp_path):
    source = tmp_path / "digits.npz"
    np.savez(source, X=drawn.train.images, y=drawn.train.labels)
    done = run.train(tiny(), data=source, out=tmp_path / "run", device="cpu")
    assert Recipe.load(done.folder / "recipe.toml").data == str(source)
    assert str(tmp_path) not in done.model.card.to_json()


def test_arrays_are_trained_on_and_measured(tmp_path):
    raw = 255 - draw(90, seed=8).images  # black on white
    labels = draw(90, seed=8).labels.astype(np.uint8)
    made = run.train(tiny(epochs=1), (raw, labels), out=tmp_path / "run", device="cpu")
    same = run.train(tiny(epochs=1), data=inkdigit.open_arrays(raw, labels), out=tmp_path / "same", device="cpu")
    assert made.report["accuracy"] == same.report["accuracy"]
    assert Recipe.load(tmp_path / "run").data == "arrays"
    assert inkdigit.evaluate(made.model, (raw, labels)).split == "test"  # those that the run set aside


def test_a_run_shows_its_curves_and_what_is_wrong_with_it(finished, tmp_path):
    shown = finished._repr_html_()
    assert shown.count("<polyline") == 4  # training and validation, of loss and accuracy
    assert f"{finished.report['n']} images" in shown
    figure = finished.plot()
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "accuracy, %"]
    assert figure._repr_png_().startswith(b"\x89PNG")
    gone = run.Run(tmp_path / "<gone>")
    assert "&lt;gone&gt;" in gone._repr_html_()
    with pytest.raises(DataError, match="trained an epoch"):
        gone.plot()
