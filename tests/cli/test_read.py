"""`read`: text, JSON, CSV, grids, fields and the drawing; and one error for what excludes each other."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from ..reading.conftest import page, write
from .conftest import assert_one_error


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    sheet = page((120, 400))
    write(sheet, "20417", 40, 60)
    path = tmp_path / "number.png"
    Image.fromarray(sheet).save(path)
    return path


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    path = tmp_path / "empty.png"
    Image.fromarray(page((60, 60))).save(path)
    return path


def test_a_line_of_text_for_each_picture(inkdigit, picture, empty):
    output = inkdigit("read", picture, empty)
    assert (output.code, output.err) == (0, "")
    first, second = output.out.splitlines()
    assert first.startswith(f"{picture}  20417  ")
    assert first.endswith(" %")
    assert second == f"{empty}  —  no ink"


def test_json_has_the_keys_of_a_reading(inkdigit, picture):
    answer = json.loads(inkdigit("read", picture, "--json").out)
    assert list(answer) == ["file", "text", "confidence", "reason", "numbers", "model"]
    assert (answer["text"], answer["model"]) == ("20417", "line")
    assert list(answer["numbers"][0]) == ["text", "confidence", "box", "reason", "digits"]


def test_csv_and_a_bad_picture_that_does_not_stop_the_others(inkdigit, picture, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"nothing")
    output = inkdigit("read", bad, picture, "--csv")
    assert output.code == 3
    rows = list(csv.DictReader(io.StringIO(output.out)))
    assert [row["text"] for row in rows] == ["", "20417"]
    assert rows[0]["error"]


def test_patterns_reach_the_decoder(inkdigit, picture):
    assert "  20417  " in inkdigit("read", picture, "--expect", r"\d{5}", "--alphabet", "0-9").out
    assert_one_error(inkdigit("read", picture, "--expect", "["), 2, "is not a regular expression")


def test_the_drawing_shows_the_pictures(inkdigit, picture, tmp_path):
    output = inkdigit("read", picture, "--show", tmp_path / "out.png")
    assert output.code == 0
    with Image.open(tmp_path / "out.png") as image:
        assert image.size[0] > 800


def test_fields_are_values_by_name(inkdigit, picture, tmp_path):
    fields = tmp_path / "fields.toml"
    fields.write_text("page = \"scan\"\n[code]\nbox = [0, 0, 1, 1]\nexpect = '\\d{5}'\n", encoding="utf-8")
    assert f"{picture}\n  code  20417  " in inkdigit("read", picture, "--fields", fields).out
    answer = json.loads(inkdigit("read", picture, "--fields", fields, "--json").out)
    assert answer["fields"]["code"]["text"] == "20417"
    (row,) = csv.DictReader(io.StringIO(inkdigit("read", picture, "--fields", fields, "--csv").out))
    assert (row["file"], row["code"], row["error"]) == (str(picture), "20417", "")


def test_a_grid_that_is_not_there_is_an_error_of_the_picture(inkdigit, picture):
    output = inkdigit("read", picture, "--grid", "9x9")
    assert output.code == 3
    assert "The grid was not found" in output.out


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--json", "--csv"], "exclude each other"),
        (["--grid", "9x9", "--csv"], "--grid excludes"),
        (["--grid", "nine"], "ROWSxCOLUMNS"),
        (["--grid", "1x9"], "ROWSxCOLUMNS"),
        (["--fields", "f.toml", "--show", "o.png"], "--fields excludes"),
        (["--fields", "missing.toml"], "cannot be read"),
        (["--model", "tiny"], "reads single digits"),
        (["--model", "lime"], "There is no model 'lime'"),
    ],
)
def test_what_cannot_be_is_one_error(inkdigit, picture, words, text):
    assert_one_error(inkdigit("read", picture, *words), 2, text)


@pytest.mark.parametrize(
    "words",
    [
        ["predict", "a.png", "--model", "line"],
        ["export", "line", "--format", "keras"],
        ["evaluate", "line", "--data", "x"],
    ],
)
def test_other_commands_say_that_the_model_reads_numbers(inkdigit, words):
    assert_one_error(inkdigit(*words), 2, "reads whole numbers")


def test_info_and_models_know_the_reader(inkdigit):
    assert "whole numbers" in inkdigit("info", "line").out
    assert json.loads(inkdigit("info", "line", "--json").out)["task"] == "line"
