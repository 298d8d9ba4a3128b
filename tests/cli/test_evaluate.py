"""`evaluate`: the figures as one JSON object or as a table, of the part that was asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from inkdigit.report import corruptions, robustness

from .conftest import assert_one_error, draw

KEYS = [
    *("accuracy", "answered", "accuracy_answered", "accuracy_ci95", "n"),
    *("nll", "brier", "ece", "aurc", "coverage_at_999", "confidence_at_999"),
    *("classes", "per_class", "confusion", "reliability", "risk_coverage", "model", "data", "split"),
]
FIGURES = ["precision", "recall", "f1", "support", "tp", "fp", "fn", "tn"]


def write_folder(folder: Path, n: int, *, seed: int = 0) -> Path:
    """One sub-folder a class, `n` pictures in all."""
    for i, (image, label) in enumerate(zip(*draw(n, seed=seed), strict=True)):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / str(label) / f"{i}.png")
    return folder


@pytest.fixture
def two_parts(tmp_path: Path) -> Path:
    folder = tmp_path / "two"
    write_folder(folder / "train", 9)
    write_folder(folder / "test", 6, seed=1)
    return folder


def test_json_is_one_object_with_its_keys(inkdigit, model, two_parts):
    said = inkdigit("evaluate", model, "--data", two_parts, "--json")
    assert (said.code, said.err) == (0, "")
    found = json.loads(said.out, parse_constant=lambda name: pytest.fail(f"not strict JSON: {name}"))
    assert list(found) == KEYS
    assert (found["model"], found["data"], found["split"], found["n"]) == ("tiny", "two", "test", 6)
    assert found["classes"] == ["0", "1", "2"]
    assert [list(row) for row in found["per_class"].values()] == [FIGURES] * 3
    low, high = found["accuracy_ci95"]
    assert 0 <= low <= found["accuracy"] <= high <= 1
    assert sum(map(sum, found["confusion"])) == 6


@pytest.mark.parametrize(("split", "n"), [("test", 6), ("train", 9)])
def test_the_part_that_was_asked_for_is_measured(inkdigit, model, two_parts, split, n):
    found = json.loads(inkdigit("evaluate", model, "--data", two_parts, "--split", split, "--json").out)
    assert (found["split"], found["n"]) == (split, n)


def test_a_source_of_one_part_is_measured_whole(inkdigit, model, tmp_path):
    folder = write_folder(tmp_path / "one", 9)
    for split in ("test", "train"):
        found = json.loads(inkdigit("evaluate", model, "--data", folder, "--split", split, "--json").out)
        assert found["n"] == 9


def test_unreadable_and_blank_pictures_count_as_wrong(inkdigit, model, tmp_path):
    folder = write_folder(tmp_path / "one", 9)
    (folder / "0" / "broken.png").write_bytes(b"broken")
    Image.new("L", (28, 28)).save(folder / "1" / "blank.png")
    found = json.loads(inkdigit("evaluate", model, "--data", folder, "--json").out)
    assert (found["n"], found["answered"]) == (11, 9)
    assert found["accuracy"] * 11 <= 9
    assert found["per_class"]["0"]["support"] == 4


def test_the_table_says_the_same(inkdigit, model, two_parts):
    said = inkdigit("evaluate", model, "--data", two_parts)
    found = json.loads(inkdigit("evaluate", model, "--data", two_parts, "--json").out)
    assert said.out.splitlines()[0] == "tiny on two (test), 6 pictures"
    assert f"Accuracy    {found['accuracy'] * 100:.2f} %" in said.out
    assert [line.split()[0] for line in said.out.splitlines()[-3:]] == ["0", "1", "2"]


def test_a_model_file_and_its_run_are_the_same_model(inkdigit, model, two_parts):
    by_run, by_file = (
        json.loads(inkdigit("evaluate", name, "--data", two_parts, "--json").out)
        for name in (model, model / "model.onnx")
    )
    assert by_run == by_file


def test_what_cannot_be_measured_is_one_error(inkdigit, model, two_parts, source, tmp_path):
    assert_one_error(inkdigit("evaluate", model, "--data", two_parts, "--split", "all"), 2, "Unknown split 'all'")
    assert_one_error(inkdigit("evaluate", model, "--data", "minst"), 2, "Did you mean 'mnist'?")
    assert_one_error(inkdigit("evaluate", model, "--data", tmp_path / "no.npz"), 4, "There is no")
    assert_one_error(inkdigit("evaluate", "nope", "--data", two_parts), 2, "There is no model 'nope'")
    assert_one_error(inkdigit("evaluate", model, "--data", source), 2, "does not know")  # ten digits, the model three
    assert_one_error(inkdigit("evaluate", tmp_path, "--data", two_parts), 2, "There is no model in")


@pytest.fixture
def few_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three kinds of corruption that cost little."""
    cheap = [kind for kind in corruptions.KINDS if kind.name in ("stripe", "brightness", "rotate")]
    monkeypatch.setattr(robustness, "KINDS", cheap)


@pytest.mark.usefixtures("few_kinds")
def test_corrupted_pictures_as_a_table(inkdigit, model, two_parts):
    said = inkdigit("evaluate", model, "--data", two_parts, "--corruptions", "--limit", 4)
    assert said.code == 0
    assert said.out.splitlines()[0] == "tiny on two (test), the first 4 of 6 pictures"
    head, *rows = (line.split() for line in said.out.split("\n\n")[1].splitlines())
    assert head[:5] == ["kind", "level", "1", "level", "2"]
    assert [row[0] for row in rows] == ["rotate", "brightness", "stripe"]
    assert [[i for i, cell in enumerate(row) if cell.endswith("*")] for row in rows] == [[2], [5], [1]]
    assert "(3 kinds unseen in training, see below)" in said.out  # of a recipe that changes no picture
    assert "the door itself undoes stripes, impulses" in said.out
    assert "†" not in said.out
    assert "--corruptions" in said.err  # the next step


@pytest.mark.usefixtures("few_kinds")
def test_corrupted_pictures_as_json_and_as_a_page(inkdigit, model, two_parts, tmp_path):
    out = tmp_path / "corrupted"
    said = inkdigit("evaluate", model, "--data", two_parts, "--corruptions", "--json", "--out", out)
    found = json.loads(said.out)
    assert (found["model"], found["data"], found["n"]) == ("tiny", "two", 6)
    assert [len(row["levels"]) for row in found["kinds"]] == [5, 5, 1]
    assert json.loads((out / "corruptions.json").read_text()) == found
    assert f"Page written to {out / 'corruptions.html'}" in said.err


def test_options_of_corrupted_pictures_need_them(inkdigit, model, two_parts, tmp_path):
    assert_one_error(inkdigit("evaluate", model, "--limit", 5), 2, "--limit needs --corruptions")
    assert_one_error(inkdigit("evaluate", model, "--out", tmp_path), 2, "--out needs --corruptions")
    assert inkdigit("evaluate", model, "--corruptions", "--limit", 0).code == 2
    words = ("evaluate", model, "--data", two_parts, "--corruptions", "--out", model / "model.onnx")
    assert_one_error(inkdigit(*words), 9, "cannot be written")
