"""`predict` and `submit`: one answer a picture, in every form, and a bad picture that does not stop the others."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inkdigit.errors import pip_install
from inkdigit.model.recognizer import CHUNK, Recognizer
from inkdigit.picture.decode import decode
from inkdigit.picture.photo.network import VERSION
from inkdigit.report.submission import HEADER

from .conftest import assert_one_error, draw, run, write_kaggle

KEYS = ["file", "label", "confidence", "score", "reason", "probs", "model", "ink"]


@pytest.fixture
def one(picture: Path) -> Path:
    return picture / "b.png"


def test_json_is_one_object_a_line_with_its_keys_in_order(inkdigit, model, one):
    output = inkdigit("predict", one, "--model", model, "--json")
    assert (output.code, output.err) == (0, "")
    answer = json.loads(output.out)
    assert list(answer) == KEYS
    assert (answer["file"], answer["model"], answer["reason"]) == (str(one), "tiny", None)
    assert answer["confidence"] == max(answer["probs"])
    assert sum(answer["probs"]) == pytest.approx(1, abs=1e-5)


def test_a_folder_stands_for_its_pictures_and_a_bad_one_does_not_stop_the_others(inkdigit, model, picture):
    output = inkdigit("predict", picture, "--model", model, "--json")
    assert output.code == 3
    answers = [json.loads(line) for line in output.out.splitlines()]
    assert [Path(a["file"]).name for a in answers] == ["a.PNG", "b.png", "c.png", "d.png"]
    assert list(answers[3]) == ["file", "error", "kind"]
    assert answers[3]["kind"] == "NotAPicture"
    blank = {"file": str(picture / "c.png"), "reason": "no ink", "model": "tiny", "ink": VERSION}
    assert answers[2] == dict.fromkeys(KEYS) | blank
    assert "Traceback" not in output.err


def test_csv_has_its_header_and_one_row_a_picture(inkdigit, model, picture):
    output = inkdigit("predict", picture, "--model", model, "--csv")
    assert output.code == 3
    assert output.out.splitlines()[0] == "file,label,confidence,reason,error"
    rows = list(csv.DictReader(io.StringIO(output.out)))
    assert [Path(row["file"]).name for row in rows] == ["a.PNG", "b.png", "c.png", "d.png"]
    assert 0 < float(rows[0]["confidence"]) <= 1
    assert [row["reason"] for row in rows] == ["", "", "no ink", ""]
    assert rows[2]["label"] == rows[2]["confidence"] == ""
    assert "not an image that can be opened" in rows[3]["error"]


def test_text_says_the_label_and_how_sure(inkdigit, model, picture):
    output = inkdigit("predict", picture, "--model", model)
    lines = output.out.splitlines()
    assert lines[0].startswith(f"{picture / 'a.PNG'}  ")
    assert lines[0].endswith(" %")
    assert lines[2] == f"{picture / 'c.png'}  —  no ink"
    assert lines[3].startswith(f"{picture / 'd.png'}  error: ")


def test_no_ink_alone_is_an_answer(inkdigit, model, picture):
    assert inkdigit("predict", picture / "c.png", "--model", model).code == 0


def test_command_line_and_python_give_the_same_answer(inkdigit, model, one):
    answer = json.loads(inkdigit("predict", one, "--model", model, "--json").out)
    expected = Recognizer.load(model).predict(one)[0].to_json()
    assert {key: answer[key] for key in expected} == expected


def test_more_pictures_than_are_answered_together(inkdigit, model, one, tmp_path):
    many = tmp_path / "many"
    many.mkdir()
    for i in range(2 * CHUNK + 1):
        shutil.copy(one, many / f"{i:03}.png")
    (many / "077.png").write_bytes(b"")
    output = inkdigit("predict", many, "--model", model, "--csv")
    rows = list(csv.DictReader(io.StringIO(output.out)))
    assert [Path(row["file"]).stem for row in rows] == [f"{i:03}" for i in range(2 * CHUNK + 1)]
    assert [row["file"] for row in rows if row["error"]] == [str(many / "077.png")]
    assert len({row["confidence"] for row in rows if not row["error"]}) == 1


def test_a_folder_without_pictures_does_not_stop_the_others(inkdigit, model, one, tmp_path):
    (tmp_path / "empty").mkdir()
    output = inkdigit("predict", tmp_path / "empty", one, tmp_path / "none.png", "--model", model, "--json")
    assert output.code == 3
    first, second, third = map(json.loads, output.out.splitlines())
    assert "is a folder without images" in first["error"]
    assert second["label"] is not None
    assert "There is no file" in third["error"]


def test_a_name_that_no_file_can_have_is_one_error(inkdigit, model):
    output = inkdigit("predict", "a" * 300, "--model", model, "--json")
    assert output.code == 3
    assert "too long" in json.loads(output.out)["error"]


def test_a_name_that_is_no_text_is_answered(model, one, tmp_path):
    odd = tmp_path / "odd"
    odd.mkdir()
    try:
        shutil.copy(one, odd / "\udcff.png")
    except OSError:
        pytest.skip("this file system takes names in UTF-8 alone")
    output = run("predict", odd, "--model", model, "--json")
    assert output.code == 0, output.err
    assert json.loads(output.out)["file"].endswith("\udcff.png")


def test_show_draws_what_was_seen(inkdigit, model, picture, tmp_path):
    output = inkdigit("predict", picture, "--model", model, "--show", tmp_path / "seen.png")
    assert output.code == 3  # the broken one
    assert output.err.startswith(f"Drawing written to {tmp_path / 'seen.png'}\n")
    with Image.open(tmp_path / "seen.png") as sheet:
        assert sheet.format == "PNG"
        assert sheet.height > 3 * 168  # three rows


def test_what_is_drawn_is_what_was_answered(inkdigit, model, picture, tmp_path, monkeypatch):
    from inkdigit.report import sheet

    drawn = []
    monkeypatch.setattr(sheet, "draw", lambda entries, **_: drawn.extend(entries) or b"")
    for i in range(CHUNK):
        shutil.copy(picture / "b.png", picture / f"e{i:02}.png")
    (tmp_path / "empty").mkdir()
    words = (tmp_path / "empty", picture, tmp_path / "none.png", picture / "b.png")
    output = inkdigit("predict", *words, "--model", model, "--show", tmp_path / "seen.png", "--json")
    answered = [json.loads(line) for line in output.out.splitlines()]
    assert ["error" in answer for answer in answered] == [
        True,
        False,
        False,
        False,
        True,
        *[False] * CHUNK,
        True,
        False,
    ]
    assert [(str(file), answer.label) for file, _, answer in drawn] == [
        (answer["file"], answer["label"]) for answer in answered if "error" not in answer
    ]
    assert all(np.array_equal(gray, decode(file)) for file, gray, _ in drawn)


def test_an_interruption_ends_the_answers_with_one_line(inkdigit, model, picture, monkeypatch):
    def pressed(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("inkdigit.picture.batch.decode", pressed)
    output = inkdigit("predict", picture, "--model", model)
    assert (output.code, output.out, output.err) == (130, "", "\nInterrupted.\n")


def test_a_sheet_that_cannot_be_written_is_said_before_the_answers(inkdigit, model, one, tmp_path):
    output = inkdigit("predict", one, "--model", model, "--show", tmp_path / "none" / "seen.png")
    assert_one_error(output, 9, "its folder does not exist")
    assert output.out == ""
    assert not (tmp_path / "none").exists()


def test_json_and_csv_exclude_each_other(inkdigit, one):
    assert_one_error(inkdigit("predict", one, "--json", "--csv"), 2, "--json and --csv exclude each other")


def test_an_unknown_model_is_refused_with_the_nearest_name(inkdigit, one):
    assert_one_error(inkdigit("predict", one, "--model", "genral"), 2, "Did you mean general?")
    assert inkdigit("predict", one).code == 0  # the default


@pytest.mark.parametrize("content", [b"", b"not onnx", b"\x08\x07"])
def test_a_file_that_is_no_model_is_refused(inkdigit, one, tmp_path, content):
    (tmp_path / "m.onnx").write_bytes(content)
    assert_one_error(inkdigit("predict", one, "--model", tmp_path / "m.onnx"), 5, "m.onnx")


def test_a_model_cut_short_is_refused(inkdigit, model, one, tmp_path):
    data = (model / "model.onnx").read_bytes()
    (tmp_path / "m.onnx").write_bytes(data[: len(data) // 2])
    assert_one_error(inkdigit("predict", one, "--model", tmp_path / "m.onnx"), 5, "m.onnx")


def test_without_pictures_the_usage_is_shown(inkdigit):
    output = inkdigit("predict")
    assert output.code == 2
    assert "Missing argument" in output.err


@pytest.fixture
def test_csv(tmp_path: Path) -> Path:
    images, _ = draw(7, seed=3)
    images[4] = 0
    return write_kaggle(tmp_path / "test.csv", images, None)


def test_a_submission_has_a_row_for_every_picture(inkdigit, model, test_csv, tmp_path):
    out = tmp_path / "submission.csv"
    output = inkdigit("submit", test_csv, "--model", model, "--out", out)
    assert output.code == 0
    assert str(out) in output.out
    assert output.err == ""  # not trained on MNIST: no warning
    header, *rows = out.read_text(encoding="utf-8").splitlines()
    assert header == HEADER == "ImageId,Label"
    assert [row.split(",")[0] for row in rows] == [str(i) for i in range(1, 8)]
    images, _ = draw(7, seed=3)
    best = [p.best for p in Recognizer.load(model).predict(images)]
    assert [int(row.split(",")[1]) for i, row in enumerate(rows) if i != 4] == best[:4] + best[5:]
    assert rows[4] == "5,0"  # a blank picture: Kaggle takes no blanks


def test_beside_a_submission_lie_a_page_and_a_grid(inkdigit, model, test_csv, tmp_path):
    output = inkdigit("submit", test_csv, "--model", model, "--out", tmp_path / "mine.csv")
    page, grid = tmp_path / "mine-answers.html", tmp_path / "mine-answers.png"
    assert output.out.splitlines()[1:] == [f"Answers     {page}", f"Grid        {grid}"]
    assert "no ink" in page.read_text(encoding="utf-8")
    with Image.open(grid) as drawn:
        assert drawn.format == "PNG"


def test_without_the_drawing_libraries_the_submission_is_written_all_the_same(
    inkdigit, model, test_csv, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    output = inkdigit("submit", test_csv, "--model", model, "--out", tmp_path / "mine.csv")
    assert (output.code, output.out) == (0, f"Submission  {tmp_path / 'mine.csv'}\n")
    (line,) = output.err.splitlines()
    assert line.startswith("No page of the answers was written: ")
    assert pip_install("report") in line
    assert len((tmp_path / "mine.csv").read_text(encoding="utf-8").splitlines()) == 8


@pytest.mark.posix
def test_a_submission_to_stdout_has_nothing_beside_it(inkdigit, model, test_csv):
    output = inkdigit("submit", test_csv, "--model", model, "--out", "/dev/null")
    assert (output.code, output.out) == (0, "Submission  /dev/null\n")


def test_a_submission_that_is_there_is_replaced_only_with_force(inkdigit, model, test_csv, tmp_path):
    out = tmp_path / "submission.csv"
    words = ("submit", test_csv, "--model", model, "--out", out)
    out.write_text("my best one", encoding="utf-8")
    assert_one_error(inkdigit(*words), 9, f"{out} exists already. Expected: a new name. Use --force to replace it.")
    assert out.read_text(encoding="utf-8") == "my best one"
    assert inkdigit(*words, "--force").code == 0
    assert out.read_text(encoding="utf-8").startswith(HEADER)
    text = test_csv.read_text(encoding="utf-8")
    words = ("submit", test_csv, "--model", model, "--out", test_csv, "--force")
    assert_one_error(inkdigit(*words), 9, "is a file that is read")
    assert test_csv.read_text(encoding="utf-8") == text


def test_a_submission_needs_a_model(inkdigit, test_csv):
    output = inkdigit("submit", test_csv)
    assert output.code == 2
    assert "--model" in output.err


@pytest.mark.parametrize(
    ("text", "problem"),
    [("", "empty"), ("a,b\n1,2\n", "pixel"), ("\x00\xff\xfe", ""), ("pixel0\n", "pixel1")],
)
def test_a_broken_test_csv_is_refused_and_nothing_is_written(inkdigit, model, tmp_path, text, problem):
    (tmp_path / "bad.csv").write_text(text, encoding="latin-1")
    output = inkdigit("submit", tmp_path / "bad.csv", "--model", model, "--out", tmp_path / "out.csv")
    assert_one_error(output, 4, problem)
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_said(inkdigit, model, test_csv):
    output = inkdigit("submit", test_csv, "--model", model, "--out", "/dev/full")
    assert_one_error(output, 9, "/dev/full cannot be written: the disk is full")


def test_an_old_submission_survives_a_full_disk(inkdigit, model, test_csv, tmp_path, monkeypatch):

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    out = tmp_path / "sub" / "submission.csv"
    out.parent.mkdir()
    out.write_text("old", encoding="utf-8")
    monkeypatch.setattr(os, "fsync", full)
    assert_one_error(inkdigit("submit", test_csv, "--model", model, "--out", out, "--force"), 9, "the disk is full")
    assert [path.name for path in out.parent.iterdir()] == ["submission.csv"]
    assert out.read_text(encoding="utf-8") == "old"


def test_a_folder_without_permission_is_said(inkdigit, model, test_csv, tmp_path):
    import os

    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    (tmp_path / "closed").mkdir(mode=0o500)
    output = inkdigit("submit", test_csv, "--model", model, "--out", tmp_path / "closed" / "s.csv")
    assert_one_error(output, 9, "no permission to write there")


def test_probabilities_are_written_with_six_places(inkdigit, model, one):
    answer = json.loads(inkdigit("predict", one, "--model", model, "--json").out)
    assert all(round(p, 6) == p for p in [*answer["probs"], answer["confidence"], answer["score"]])
    assert np.argmax(answer["probs"]) == ["0", "1", "2"].index(answer["label"])


def test_the_drawing_never_replaces_a_picture(inkdigit, model, picture):
    file = picture / "a.PNG"
    before = file.read_bytes()
    output = inkdigit("predict", picture, "--model", model, "--show", file)
    assert output.code == 9
    assert file.read_bytes() == before


def test_sub_folders_are_read_if_asked_for_and_else_counted(inkdigit, model, picture):
    output = inkdigit("predict", picture, "--model", model, "--csv")
    assert f"Left out: 1 image in the sub-folders of {picture}. --recursive reads them too." in output.err
    deep = inkdigit("predict", picture, "--model", model, "--csv", "--recursive")
    assert "Left out" not in deep.err
    assert len(deep.out.splitlines()) == len(output.out.splitlines()) + 1
    assert str(picture / "sub.png" / "deep.png") in deep.out


def test_a_pattern_that_no_shell_expanded(inkdigit, model, picture):
    output = inkdigit("predict", picture / "[ab].*", "--model", model, "--csv")
    assert (output.code, len(output.out.splitlines())) == (0, 3)
    missed = inkdigit("predict", picture / "*.webp", picture / "b.png", "--model", model, "--json")
    first, second = map(json.loads, missed.out.splitlines())
    assert (missed.code, first["kind"], second["file"]) == (3, "PictureError", str(picture / "b.png"))
    assert "No file fits" in first["error"]


def test_one_image_comes_from_stdin(inkdigit, model, one, monkeypatch, tmp_path):
    for command in (["predict", "--model", str(model)], ["read"]):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(one.read_bytes())))
        shown = inkdigit(*command, "-", "--json", "--show", tmp_path / "shown.png")
        answer = json.loads(shown.out)
        named = json.loads(inkdigit(*command, one, "--json").out)
        assert (shown.code, answer) == (0, {**named, "file": "-"})
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
        assert inkdigit(*command, "-").code == 3
