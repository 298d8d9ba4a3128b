"""`export`: the files of other programs; errors come before the work."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest
from PIL import Image

from inkdigit.model.recognizer import Recognizer
from inkdigit.training.convert.runtimes import coreml

from .conftest import assert_one_error, draw


@pytest.fixture
def drawn(tmp_path):
    """A folder of drawn digits, one sub-folder for each of the classes that the model knows."""
    images, labels = draw(90)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        folder = tmp_path / "drawn" / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{i}.png")
    return tmp_path / "drawn"


@pytest.mark.parametrize(("name", "told"), [("safetensors", "load_file"), ("pt2", "torch.export.load")])
def test_a_format_is_written_under_the_run_s_name(inkdigit, model, tmp_path, monkeypatch, name, told):
    monkeypatch.chdir(tmp_path)
    output = inkdigit("export", model, "--format", name)
    assert output.code == 0, output.err
    size = (tmp_path / f"run.{name}").stat().st_size
    assert output.out == f"Written     run.{name} ({size / 1000:,.0f} kB)\n"
    assert told in output.err


def test_a_default_name_that_is_taken_is_not_replaced(inkdigit, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ("export", model / "model.onnx", "--format", "safetensors")  # a run's file goes by the run's name
    Path("run.safetensors").write_text("mine", encoding="utf-8")
    assert_one_error(inkdigit(*words), 9, "run.safetensors exists already")
    assert Path("run.safetensors").read_text(encoding="utf-8") == "mine"
    assert_one_error(inkdigit(*words, "--out", "run.safetensors"), 9, "Use --force to replace it")
    assert inkdigit(*words, "--force").code == 0
    assert Path("run.safetensors").read_bytes() != b"mine"


def test_any_other_file_gives_its_own_name(inkdigit, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("v1.2.onnx", "model.onnx"):
        shutil.copy(model / "model.onnx", name)
        assert inkdigit("export", name, "--format", "safetensors").code == 0
    assert sorted(path.name for path in tmp_path.glob("*.safetensors")) == ["model.safetensors", "v1.2.safetensors"]


@pytest.mark.skipif(importlib.util.find_spec("keras") is None, reason="Keras is not installed")
def test_a_keras_file(inkdigit, model, tmp_path):
    out = tmp_path / "m.keras"
    output = inkdigit("export", model, "--format", "keras", "--out", out)
    assert output.code == 0, output.err
    assert f"Written     {out}" in output.out
    assert out.read_bytes().startswith(b"PK")
    assert "keras.models.load_model" in output.err
    assert "Left out: the score. A Keras file has the probabilities alone" in output.err


def test_a_plain_onnx_file_is_a_model(inkdigit, model, tmp_path):
    out = tmp_path / "plain.onnx"
    output = inkdigit("export", model, "--format", "onnx", "--out", out)
    assert output.code == 0, output.err
    assert "predict picture.png --model" in output.err
    assert Recognizer.load(out).card.provenance.made_from[0].file == "run/model.onnx"
    assert_one_error(inkdigit("export", out, "--format", "pt2"), 2, "no trainable weights")


@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed")
def test_openvino_s_two_files_replace_nothing(inkdigit, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ("export", model, "--format", "openvino")
    Path("run.bin").write_text("mine", encoding="utf-8")
    assert_one_error(inkdigit(*words), 9, "run.bin exists already")
    output = inkdigit(*words, "--force")
    assert output.code == 0, output.err
    size = sum(Path(name).stat().st_size for name in ("run.xml", "run.bin"))
    assert output.out == f"Written     run.xml ({size / 1000:,.0f} kB)\n"
    assert "openvino.Core().read_model" in output.err
    assert_one_error(inkdigit(*words, "--out", "run.onnx"), 2, "OpenVINO cannot open a file of that name")


@pytest.mark.skipif(importlib.util.find_spec("ai_edge_litert") is None, reason="LiteRT is not installed")
def test_a_litert_file(inkdigit, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    output = inkdigit("export", model, "--format", "tflite")
    assert output.code == 0, output.err
    assert output.out.startswith("Written     run.tflite (")
    assert "get_signature_list" in output.err


@pytest.mark.skipif(not coreml.is_whole(), reason="coremltools is not installed, or has no native libraries")
@pytest.mark.filterwarnings("ignore")  # of coremltools
def test_a_core_ml_package_is_a_folder(inkdigit, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ("export", model, "--format", "coreml")
    output = inkdigit(*words)
    assert output.code == 0, output.err
    assert output.out.startswith("Written     run.mlpackage (")
    assert "Core ML itself was not run" in output.err
    assert (tmp_path / "run.mlpackage" / "Manifest.json").is_file()
    assert_one_error(inkdigit(*words), 9, "run.mlpackage exists already. Expected: a new name. Use --force")
    (tmp_path / "run.mlpackage" / "left over").touch()
    assert inkdigit(*words, "--force").code == 0
    assert not (tmp_path / "run.mlpackage" / "left over").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["run.mlpackage"]
    for name, text in (("Manifest.json", '{"name": "a web page"}'), ("notes.txt", "mine")):
        (tmp_path / "mine.mlpackage").mkdir(exist_ok=True)
        (tmp_path / "mine.mlpackage" / name).write_text(text, encoding="utf-8")
        assert_one_error(inkdigit(*words, "--out", "mine.mlpackage", "--force"), 9, "mine.mlpackage is taken")
    Path("file.mlpackage").write_text("mine", encoding="utf-8")
    assert_one_error(inkdigit(*words, "--out", "file.mlpackage"), 9, "Expected: a new name, or an empty directory")
    assert_one_error(inkdigit(*words, "--out", "folder"), 2, "ends in .mlpackage")


@pytest.mark.parametrize("name", ["onnx", "tflite", "openvino", "coreml"])
def test_a_line_reader_has_no_other_format(inkdigit, name):
    assert_one_error(inkdigit("export", "line", "--format", name), 2, "reads whole numbers")


def test_an_int8_file_is_a_model_and_both_accuracies_are_told(inkdigit, model, drawn, tmp_path):
    out = tmp_path / "small.onnx"
    output = inkdigit("export", model, "--format", "onnx-int8", "--data", drawn, "--out", out)
    assert output.code == 0, output.err
    assert "drawn is not what the model learned from: ranges and figures are those of drawn." in output.err
    assert ("not smaller" in output.err) == (out.stat().st_size >= (model / "model.onnx").stat().st_size)
    first, float32, int8, written = output.out.splitlines()
    assert first == "drawn (test), 18 images"
    assert float32.startswith("float32     ")
    assert int8.startswith("int8        ")
    assert " % (95 % interval " in int8
    assert " answered, " in int8
    assert str(out) in written
    assert Recognizer.load(out).card.numbers == "int8"
    again = inkdigit("export", out, "--format", "keras")
    assert_one_error(again, 2, "no trainable weights")
    assert "run/model.onnx" in again.err


def test_the_data_that_a_model_learnt_from_may_be_out_of_reach(inkdigit, model):
    output = inkdigit("export", model, "--format", "onnx-int8")
    assert output.code == 2
    assert "The data that the model learned from cannot be opened" in output.err
    assert output.err.endswith("Use --data.\n")


def test_what_is_wrong_is_said_before_the_work(inkdigit, model, tmp_path):
    def export(*words):
        return inkdigit("export", *words)

    assert_one_error(export(model, "--format", "kears"), 2, "Did you mean keras?")
    assert_one_error(export("nope", "--format", "keras"), 2, "There is no model 'nope'")
    assert_one_error(export(model, "--format", "pt2", "--data", "mnist"), 2, "pt2 needs no data")
    missing = tmp_path / "none" / "m.pt2"
    assert_one_error(export(model, "--format", "pt2", "--out", missing), 9, "its folder does not exist")
    assert_one_error(export(model, "--format", "pt2", "--out", tmp_path), 9, "cannot be written")
    assert_one_error(export(model, "--format", "keras", "--out", tmp_path / "m.h5"), 2, "ends in .keras")
    assert_one_error(export(model, "--format", "keras", "--out", tmp_path / ("m" * 300 + ".keras")), 9, "too long")
    itself = model / "model.onnx"
    assert_one_error(export(model, "--format", "onnx-int8", "--out", itself), 9, "is a file that is read")
    assert_one_error(export(model, "--format", "onnx-int8", "--out", model / "report.html"), 9, "belongs to a run")


@pytest.fixture
def moved(model, drawn, monkeypatch):
    """The model of a run, its card and recipe.toml naming the data `drawn`: a folder here, and not what it learnt."""
    folder = drawn.parent / "moved"
    folder.mkdir()
    shutil.copy(model / "model.onnx", folder)
    monkeypatch.chdir(drawn.parent)
    return folder


def test_other_data_of_the_same_name_are_no_ranges(inkdigit, moved):
    output = inkdigit("export", moved, "--format", "onnx-int8")
    assert output.code == 2
    assert "drawn is not the data that the model learned from" in output.err
    assert output.err.endswith("Use --data.\n")


def test_data_with_other_classes_are_refused(inkdigit, model, drawn):
    (drawn / "0").rename(drawn / "nine")
    output = inkdigit("export", model, "--format", "onnx-int8", "--data", drawn, "--out", drawn.parent / "m.onnx")
    assert output.code == 2
    assert "has classes that" in output.err
    assert "Name with --data" in output.err
