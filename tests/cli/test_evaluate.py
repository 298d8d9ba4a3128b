"""`evaluate`: the figures as one JSON object or as a table, of the given split."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inkdigit.data.sources import open_data
from inkdigit.data.splits import set_aside
from inkdigit.measure import corruptions, robustness
from inkdigit.measure.metrics import evaluate
from inkdigit.model.provenance import Provenance
from inkdigit.model.recognizer import Recognizer
from inkdigit.types import Part

from ..conftest import Tiny
from ..training.conftest import drawn_digits
from .conftest import assert_one_error, draw

KEYS = [
    "accuracy",
    "answered",
    "accuracy_answered",
    "accuracy_ci95",
    "n",
    "nll",
    "brier",
    "ece",
    "aurc",
    "coverage_at_999",
    "confidence_at_999",
    "classes",
    "per_class",
    "confusion",
    "reliability",
    "risk_coverage",
    "model",
    "data",
    "split",
    "warning",
]
FIGURES = ["precision", "recall", "f1", "support", "tp", "fp", "fn", "tn"]


def write_folder(folder: Path, n: int, *, seed: int = 0) -> Path:
    """One sub-folder a class, `n` images in total."""
    for i, (image, label) in enumerate(zip(*draw(n, seed=seed), strict=True)):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / str(label) / f"{i}.png")
    return folder


@pytest.fixture
def two_splits(tmp_path: Path) -> Path:
    folder = tmp_path / "two"
    write_folder(folder / "train", 9)
    write_folder(folder / "test", 6, seed=1)
    return folder


def test_json_is_one_object_with_its_keys(inkdigit, model, two_splits):
    result = inkdigit("evaluate", model, "--data", two_splits, "--json")
    assert (result.code, result.err) == (0, "")
    content = json.loads(result.out, parse_constant=lambda name: pytest.fail(f"not strict JSON: {name}"))
    assert list(content) == KEYS
    assert (content["model"], content["data"], content["split"], content["n"]) == ("tiny", "two", "test", 6)
    assert content["classes"] == ["0", "1", "2"]
    assert [list(row) for row in content["per_class"].values()] == [FIGURES] * 3
    low, high = content["accuracy_ci95"]
    assert 0 <= low <= content["accuracy"] <= high <= 1
    assert sum(map(sum, content["confusion"])) == 6


@pytest.mark.parametrize(("split", "n"), [("test", 6), ("train", 9)])
def test_the_given_split_is_measured(inkdigit, model, two_splits, split, n):
    content = json.loads(inkdigit("evaluate", model, "--data", two_splits, "--split", split, "--json").out)
    assert (content["split"], content["n"]) == (split, n)


def test_a_source_without_a_test_split_is_measured_completely(inkdigit, model, tmp_path):
    folder = write_folder(tmp_path / "one", 9)
    for split in ("test", "train"):
        content = json.loads(inkdigit("evaluate", model, "--data", folder, "--split", split, "--json").out)
        assert content["n"] == 9


def write_idx(folder: Path, part: Part, before: str) -> None:
    """A split as two IDX files, in its order."""
    for stem, array in (("images-idx3", part.images), ("labels-idx1", part.labels.astype(np.uint8))):
        header = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes()
        (folder / f"{before}-{stem}-ubyte").write_bytes(header + array.tobytes())


def test_images_that_trained_a_run_have_a_warning(inkdigit, model, tmp_path):
    data = drawn_digits()
    (tmp_path / "classes.txt").write_text("\n".join(data.classes), encoding="utf-8")
    write_idx(tmp_path, data.train, "train")
    for split in ("test", "train"):  # the run reported on a test split that is missing here
        result = inkdigit("evaluate", model, "--data", tmp_path, "--split", split, "--json")
        content = json.loads(result.out)
        assert (content["n"], content["split"]) == (120, "all")
        assert content["warning"].startswith(f"These images trained the model ({tmp_path.name}, SHA-256 ")
        assert result.err == f"Warning: {content['warning']}\n"
    write_idx(tmp_path, data.test, "t10k")
    result = inkdigit("evaluate", model, "--data", tmp_path, "--json")
    content, figures = json.loads(result.out), Recognizer.load(model).card.figures
    assert (content["warning"], result.err) == (None, "")
    assert (content["split"], content["n"], content["accuracy"]) == tuple(
        figures[key] for key in ("part", "n", "accuracy")
    )


@pytest.fixture
def learnt(source: Path, tmp_path: Path) -> Path:
    """A model whose run held out a fifth of `source`, by its card."""
    data = open_data(source)
    fields = {"name": data.name, "sha256": data.sha256, "train": 60, "test": None}
    recipe = 'protocol = "final"\ntest_fraction = 0.2\n'
    figures = {"data": data.name, "part": "test", "n": 12, "accuracy": 1.0, "accuracy_ci95": [0.8, 1.0]}
    card = replace(Tiny().card(), provenance=Provenance.from_json({"data": fields, "recipe": recipe}), figures=figures)
    return Tiny().write(tmp_path / "learnt.onnx", text=card.to_json())


def test_held_out_images_are_measured_if_the_others_trained_the_model(inkdigit, learnt, source):
    result = inkdigit("evaluate", learnt, "--data", source, "--json")
    content, held = json.loads(result.out), evaluate(learnt, set_aside(open_data(source), 0.2))
    assert (content["n"], content["split"], content["warning"]) == (12, "test", None)
    assert (content["accuracy"], content["nll"]) == (held.accuracy, held.nll)
    assert result.err == "digits trained the model. Measured: the 12 of its 60 images that were held out.\n"
    full = json.loads(inkdigit("evaluate", learnt, "--data", source, "--split", "train", "--json").out)
    assert (full["n"], full["split"]) == (60, "all")
    assert full["warning"].endswith("12 of them were held out: split test measures only these.")


@pytest.mark.usefixtures("few_kinds")
def test_the_same_is_true_for_corrupted_images(inkdigit, learnt, source, tmp_path):
    content = json.loads(inkdigit("evaluate", learnt, "--data", source, "--corruptions", "--json").out)
    assert (content["n"], content["split"], content["warning"]) == (12, "test", None)
    words = ("evaluate", learnt, "--data", source, "--split", "train", "--corruptions", "--limit", 9, "--out", tmp_path)
    result = inkdigit(*words)
    assert result.err.startswith("Warning: These images trained the model (digits, SHA-256 ")
    assert "These images trained the model (digits" in (tmp_path / "corruptions.html").read_text(encoding="utf-8")


def test_unreadable_and_blank_images_count_as_wrong(inkdigit, model, tmp_path):
    folder = write_folder(tmp_path / "one", 9)
    (folder / "0" / "broken.png").write_bytes(b"broken")
    Image.new("L", (28, 28)).save(folder / "1" / "blank.png")
    content = json.loads(inkdigit("evaluate", model, "--data", folder, "--json").out)
    assert (content["n"], content["answered"]) == (11, 9)
    assert content["accuracy"] * 11 <= 9
    assert content["per_class"]["0"]["support"] == 4


def test_the_table_has_the_same_figures(inkdigit, model, two_splits):
    result = inkdigit("evaluate", model, "--data", two_splits)
    content = json.loads(inkdigit("evaluate", model, "--data", two_splits, "--json").out)
    assert result.out.splitlines()[0] == "tiny on two (test), 6 images"
    assert f"Accuracy    {content['accuracy'] * 100:.2f} %" in result.out
    assert [line.split()[0] for line in result.out.splitlines()[-3:]] == ["0", "1", "2"]


def test_a_model_file_and_its_run_are_the_same_model(inkdigit, model, two_splits):
    by_run, by_file = (
        json.loads(inkdigit("evaluate", name, "--data", two_splits, "--json").out)
        for name in (model, model / "model.onnx")
    )
    assert by_run == by_file


def test_what_cannot_be_measured_is_one_error(inkdigit, model, two_splits, source, tmp_path):
    assert_one_error(inkdigit("evaluate", model, "--data", two_splits, "--split", "all"), 2, "Unknown split 'all'")
    assert_one_error(inkdigit("evaluate", model, "--data", "minst"), 2, "Did you mean mnist?")
    assert_one_error(inkdigit("evaluate", model, "--data", tmp_path / "no.npz"), 4, "There is no")
    assert_one_error(inkdigit("evaluate", "nope", "--data", two_splits), 2, "There is no model 'nope'")
    assert_one_error(inkdigit("evaluate", model, "--data", source), 2, "does not know")  # ten digits, the model three
    assert_one_error(inkdigit("evaluate", tmp_path, "--data", two_splits), 2, "There is no model in")


@pytest.fixture
def few_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three kinds of corruption that cost little."""
    cheap = [kind for kind in corruptions.KINDS if kind.name in ("stripe", "brightness", "rotate")]
    monkeypatch.setattr(robustness, "KINDS", cheap)


@pytest.mark.usefixtures("few_kinds")
def test_corrupted_images_as_a_table(inkdigit, model, two_splits):
    result = inkdigit("evaluate", model, "--data", two_splits, "--corruptions", "--limit", 4)
    assert result.code == 0
    assert result.out.splitlines()[0] == "tiny on two (test), the first 4 of 6 images"
    head, *rows = (line.split() for line in result.out.split("\n\n")[1].splitlines())
    assert head[:5] == ["kind", "level", "1", "level", "2"]
    assert [row[0] for row in rows] == ["rotate", "brightness", "stripe"]
    assert [[i for i, cell in enumerate(row) if cell.endswith("*")] for row in rows] == [[2], [5], [1]]
    assert "(1 kind without a mark, see below)" in result.out  # of a recipe that does not change images
    assert [row[-1] for row in rows] == ["0.00" if row[0] == "rotate" else "‡" for row in rows]
    assert "‡ the preprocessing undoes it\nUnseen means" in result.out
    assert "†" not in result.out
    assert "--corruptions" in result.err  # the next step


@pytest.mark.usefixtures("few_kinds")
def test_corrupted_images_as_json_and_as_a_page(inkdigit, model, two_splits, tmp_path):
    out = tmp_path / "corrupted"
    result = inkdigit("evaluate", model, "--data", two_splits, "--corruptions", "--json", "--out", out)
    content = json.loads(result.out)
    assert (content["model"], content["data"], content["n"]) == ("tiny", "two", 6)
    assert [len(row["levels"]) for row in content["kinds"]] == [5, 5, 1]
    assert json.loads((out / "corruptions.json").read_text(encoding="utf-8")) == content
    assert f"Page written to {out / 'corruptions.html'}" in result.err


def test_options_of_corruptions_need_corruptions(inkdigit, model, two_splits, tmp_path):
    assert_one_error(inkdigit("evaluate", model, "--limit", 5), 2, "--limit needs --corruptions")
    assert_one_error(inkdigit("evaluate", model, "--out", tmp_path), 2, "--out needs --corruptions")
    assert inkdigit("evaluate", model, "--corruptions", "--limit", 0).code == 2
    words = ("evaluate", model, "--data", two_splits, "--corruptions", "--out", model / "model.onnx")
    assert_one_error(inkdigit(*words), 9, "cannot be written")


def test_the_name_of_a_run_is_a_model_wherever_one_is_taken(
    inkdigit, model, two_splits, picture, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for name in ("20261120-101502-mine-s0", "20261121-101502-mine-s0"):
        shutil.copytree(model, Path("runs", name))
    newest = Path("runs", "20261121-101502-mine-s0")
    os.utime(newest / "recipe.toml")
    os.utime(Path("runs", "20261120-101502-mine-s0", "recipe.toml"), (1, 1))
    image = picture / "b.png"
    for words in (
        ("evaluate", "mine-s0", "--data", two_splits),
        ("predict", image, "--model", "mine-s0"),
        ("explain", image, "--model", "mine-s0"),
        ("info", "mine-s0"),
        ("export", "mine-s0", "--format", "safetensors"),
    ):
        output = inkdigit(*words)
        assert output.code == 0, output.err
        assert f"2 runs are called mine-s0: the newest is taken, {newest}" in output.err
    assert Path(f"{newest.name}.safetensors").is_file()
    assert inkdigit("--quiet", "predict", image, "--model", "mine-s0").err == ""
    assert "self test passed" in inkdigit("--verbose", "predict", image, "--model", "mine-s0").err
    assert_one_error(inkdigit("predict", image, "--model", "mine-s7"), 2, "There is no model 'mine-s7'")
