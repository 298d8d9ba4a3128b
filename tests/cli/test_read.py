"""`read`: text, JSON, CSV, grids, fields and the drawing; and one error for what excludes each other."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from inkdigit.reading import cells
from inkdigit.reading.cells import read_grid
from inkdigit.report import readings

from ..reading.conftest import page, write
from .conftest import assert_one_error

EXAMPLES = Path(__file__).parents[2] / "examples" / "numbers"


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


def test_the_drawing_of_a_grid_has_the_digits_at_the_corners_of_their_cells(inkdigit, tmp_path):
    sudoku, out = EXAMPLES / "sudoku.jpg", tmp_path / "out.png"
    output = inkdigit("read", sudoku, "--grid", "9x9", "--show", out)
    assert (output.code, output.err) == (0, f"Drawing written to {out}\n")
    first = output.out.splitlines()[1].split()
    assert (len(first), first[0], first[5]) == (9, "3", ".")
    with Image.open(out) as image:
        drawn = np.asarray(image.convert("RGB")).astype(int)
    green = np.abs(drawn - ImageColor.getrgb(readings.SURE)).max(-1) < 8
    grid = read_grid(sudoku, 9, 9).grid
    top, scale = readings.GAP_PX + readings.HEAD_PX + readings.TEXT_PX + 8, readings.WIDTH_PX
    for column, text in enumerate(first):
        x, y = (grid.outline(0, column)[0] * scale + (readings.GAP_PX, top)).astype(int)  # the photo is a square
        assert green[y : y + 30, x : x + 24].any() == (text != "."), column


def test_the_drawing_of_a_form_has_the_boxes_of_its_fields(inkdigit, picture, tmp_path):
    fields, out = tmp_path / "fields.toml", tmp_path / "out.png"
    fields.write_text('page = "scan"\n[code]\nbox = [0.05, 0.1, 0.95, 0.9]\n[no]\nbox = [0.9, 0, 1, 0.1]\n', "utf-8")
    output = inkdigit("read", picture, "--fields", fields, "--show", out)
    assert (output.code, output.err) == (0, f"Drawing written to {out}\n")
    with Image.open(out) as image:
        drawn = np.asarray(image.convert("RGB")).astype(int)
    top, scale = readings.GAP_PX + readings.HEAD_PX + readings.TEXT_PX + 8, readings.WIDTH_PX / 400
    for colour, (x, y) in ((readings.SURE, (0.05 * 400, 60)), (readings.REFUSED, (0.9 * 400, 6))):
        at = drawn[round(y * scale) + top, round(x * scale) + readings.GAP_PX]
        assert np.abs(at - ImageColor.getrgb(colour)).max() < 8, colour


def test_fields_are_values_by_name(inkdigit, picture, tmp_path):
    fields = tmp_path / "fields.toml"
    fields.write_text("page = \"scan\"\n[code]\nbox = [0, 0, 1, 1]\nexpect = '\\d{5}'\n", encoding="utf-8")
    assert f"{picture}\n  code  20417  " in inkdigit("read", picture, "--fields", fields).out
    answer = json.loads(inkdigit("read", picture, "--fields", fields, "--json").out)
    assert answer["fields"]["code"]["text"] == "20417"
    (row,) = csv.DictReader(io.StringIO(inkdigit("read", picture, "--fields", fields, "--csv").out))
    assert (row["file"], row["code"], row["error"]) == (str(picture), "20417", "")


def test_what_the_rules_of_a_sudoku_changed_is_told(inkdigit, monkeypatch):
    """The second digit of the first row looks more like the first one."""
    sudoku, judge = EXAMPLES / "sudoku.jpg", cells.judge
    right = inkdigit("read", sudoku, "--grid", "9x9").out.splitlines()

    def unsure(*given):
        judged = judge(*given)
        one, other = [i for i, cell in enumerate(judged[:9]) if not isinstance(cell, cells.Cell)][:2]
        digit = int(judged[other].argmax())
        judged[other] = np.full(10, 1e-6, np.float32)
        judged[other][[int(judged[one].argmax()), digit]] = 0.9, 0.1
        return judged

    monkeypatch.setattr(cells, "judge", unsure)
    ruled = inkdigit("read", sudoku, "--grid", "9x9").out.splitlines()
    assert ruled == [f"{right[0]}  the rules of a sudoku changed 1 digit", *right[1:]]
    first = right[1].split()[0]
    assert inkdigit("read", sudoku, "--grid", "9x9", "--as-written").out.splitlines()[1].split().count(first) == 2
    answer = json.loads(inkdigit("read", sudoku, "--grid", "9x9", "--json").out)
    assert (answer["sudoku"], answer["changed"]) == (True, [{"row": 0, "column": 1, "without": first}])


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
        (["--grid", "9x9", "--expect", "[0-9]"], "--grid excludes"),
        (["--as-written"], "--as-written is for the cells of a grid"),
        (["--grid", "9x9", "--alphabet", "0-9.,"], "A cell of a grid holds a digit"),
        (["--fields", "f.toml", "--expect", "1"], "--fields excludes"),
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
