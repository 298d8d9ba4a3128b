"""The scripts that measure how ink is found: what counts as right, where a cut lies, what is drawn and stored."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from benchmarks.common import results
from benchmarks.robustness import cases, cells, cells_drawn, outcomes, sweep, tight
from benchmarks.robustness.outcomes import NOTHING, SEVERAL, Asked, Outcome
from inkdigit.errors import NotAPicture
from inkdigit.types import DIGITS, Dataset, Part, Prediction

from ...conftest import drawn, on_paper, template

BLANK = np.zeros((4, 4), np.uint8)


def outcome(expected: str, prediction: Prediction | NotAPicture) -> Outcome:
    return Outcome(Asked(BLANK, expected, "one"), prediction)


@pytest.fixture
def ten(monkeypatch) -> None:
    """In place of MNIST: ten drawn digits."""
    digits = Dataset("ten", DIGITS, Part(np.stack([template(k) for k in range(10)]), np.arange(10)))
    for module in (tight, cells):
        monkeypatch.setattr(module, "open_data", lambda _: digits)


@pytest.mark.parametrize(
    ("expected", "label", "reason", "kind"),
    [
        ("7", "7", None, "right"),
        ("7", "1", None, "wrong"),
        ("7", None, "no ink", "refused"),
        (SEVERAL, None, SEVERAL, "right"),
        (SEVERAL, None, "not a digit", "refused"),
        (SEVERAL, "1", None, "wrong"),
        (NOTHING, None, "unsure", "right"),
        (NOTHING, "1", None, "wrong"),
    ],
)
def test_what_counts_as_right(expected, label, reason, kind):
    assert outcome(expected, Prediction(label, reason=reason)).kind == kind


def test_counts_name_reasons_and_what_digits_were_taken_for():
    known = [
        outcome("7", Prediction("1")),
        outcome("7", Prediction(None, reason="no ink")),
        outcome("7", NotAPicture("x")),
    ]
    counted = outcomes.count(known)
    assert (counted["n"], counted["right"], counted["wrong"], counted["refused"]) == (3, 0, 1, 2)
    assert counted["reasons"] == {"no ink": 1, "NotAPicture": 1}
    assert counted["taken_for"] == {"1": 1}
    assert "NotAPicture" in known[2].line()


def test_images_that_were_not_right_are_stored_to_be_looked_at(tmp_path):
    outcomes.keep([outcome("7", Prediction("7")), outcome("7", Prediction("1"))], tmp_path / "seen")
    assert [file.name for file in (tmp_path / "seen").iterdir()] == ["7-1-one-1.png"]


def test_a_cut_lies_around_or_inside_the_ink_box():
    boxed = tight.Boxed(np.zeros((200, 200), np.uint8), (50, 40, 30, 100), "1", "here")
    shapes = [tight.cut(boxed, margin).shape for margin in (0.25, 0.0, -0.05)]
    assert shapes == [(150, 80), (100, 30), (90, 20)]
    thin = tight.Boxed(boxed.sheet, (50, 40, 8, 100), "1", "here")
    assert tight.cut(thin, -0.05).shape == (90, 4)  # half of its width stays
    assert tight.cut(tight.Boxed(boxed.sheet, (0, 0, 30, 100), "1", "here"), 0.1).shape == (110, 40)  # no more sheet


@pytest.mark.usefixtures("ten")
def test_the_box_of_a_drawn_digit_holds_its_ink():
    boxed = [*tight.drawn_sheets(2)]
    assert len(boxed) == 12
    for one in boxed:
        ink, around = (np.ptp(tight.cut(one, margin).astype(int)) for margin in (0.0, 0.25))
        assert ink > 0.8 * around
        left, top, width, height = one.box
        assert min(left, top) > 0.25 * height
        assert left + width + 0.25 * height < one.sheet.shape[1]


def test_boxes_of_amounts_are_told_apart_by_their_neighbours(tmp_path):
    Image.fromarray(np.full((40, 200), 200, np.uint8)).save(tmp_path / "a.png")
    boxes = [[0, 5, 10, 20], [60, 5, 10, 20], [72, 5, 10, 20], [110, 5, 10, 20], [118, 5, 10, 20]]
    amounts = {"a.png": {"label": "12345", "boxes_xywh": boxes}, "b.png": {"label": "1", "boxes_xywh": None}}
    (tmp_path / "boxes.json").write_text(results.json.dumps(amounts), encoding="utf-8")
    kinds = [one.source.removeprefix("ORAND, ") for one in tight.orand(tmp_path)]
    assert kinds == ["apart", "beside", "beside", "overlapping", "overlapping"]


@pytest.mark.parametrize("side", cells.SIDES_PX)
def test_a_drawn_cell_shows_its_digit(side):
    pytest.importorskip("matplotlib")
    for seed in range(10):
        empty, again = (cells_drawn.cell(side, None, np.random.default_rng(seed)) for _ in range(2))
        assert empty.shape == (side, side)
        assert empty.dtype == np.uint8
        assert np.array_equal(empty, again)
        rng = np.random.default_rng(seed)
        for ink in (cells_drawn.printed(7, rng), cells_drawn.trimmed(template(7))):
            middle = cells_drawn.cell(side, ink, rng)[side // 4 : -side // 4, side // 4 : -side // 4]
            assert np.ptp(middle.astype(int)) > 25


@pytest.mark.usefixtures("ten")
def test_drawn_cells_of_every_kind_and_size():
    pytest.importorskip("matplotlib")
    asked = [*cells.drawn(1)]
    assert len(asked) == 9
    assert [one.expected == NOTHING for one in asked] == [True] * 3 + [False] * 6


def test_a_grid_is_taken_only_if_its_cells_are_empty_where_the_text_says_so():
    side = min(cells.SIDES_PX)
    truth = np.zeros((9, 9), np.int64)
    truth[2, 3] = truth[5, 5] = 8
    grid = [[np.full((side, side), 200, np.uint8) for _ in range(9)] for _ in range(9)]
    grid[2][3][side // 2, side // 2] = grid[5][5][side // 2, side // 2] = 0
    assert cells._agrees(truth, grid)
    assert not cells._agrees(np.triu(np.ones_like(truth)), grid)


def test_cells_of_a_sudoku_are_cut_at_the_lines_and_a_little_off(tmp_path):
    pixels = np.full((450, 450), 230, np.uint8)
    for at in range(0, 450, 50):
        pixels[at : at + 2] = pixels[:, at : at + 2] = 40
    truth = np.zeros((9, 9), np.int64)
    truth[4, 4] = 7
    np.savetxt(tmp_path / "a.txt", truth, "%d")
    lines = tuple(np.linspace(0, 1, 10))
    grid = cells.Grid(np.array([[0.0, 0.0], [1, 0], [1, 1], [0, 1]]), lines, lines)
    asked = [*cells.sudokus([(tmp_path / "a.jpg", pixels, grid), (tmp_path / "b.jpg", pixels, None)], "here", 4)]
    assert len(asked) == 3 * (4 + 1)
    assert {one.expected for one in asked} == {NOTHING, "7"}
    assert {one.picture.shape[0] for one in asked} == set(cells.SIDES_PX)
    assert {one.name.split(", ")[2] for one in asked} == {"at the lines", "a little off"}


def test_every_number_of_the_photo_path_is_changed_and_set_back():
    searched = sweep.modules()
    known = sweep.constants(searched)
    assert known
    homes = {module.__name__: module for module in searched}
    for name, value in known.items():
        home, _, constant = name.rpartition(".")
        with sweep.changed(searched, name, 2 * value):
            assert getattr(homes[home], constant) == 2 * value
        assert getattr(homes[home], constant) == value


def test_cases_are_measured_and_stored_only_as_something(tmp_path, monkeypatch, default_model):
    for folder, label in (("photos/single", "3"), ("cases/single", "3"), ("cases/hard", "none")):
        (tmp_path / folder).mkdir(parents=True)
        Image.fromarray(on_paper(drawn(3))).save(tmp_path / folder / "0.png")
        (tmp_path / folder / "labels.csv").write_text(f"file,label\n0.png,{label}\n", encoding="utf-8")
    monkeypatch.setattr(cases, "FOLDERS", ("photos/single", "cases/single", "cases/hard"))
    monkeypatch.setenv("INKDIGIT_DATA", str(tmp_path))
    monkeypatch.setattr(cases.Recognizer, "load", lambda _: default_model)
    assert cases.main(["--results", str(tmp_path)]) == 0
    assert not (tmp_path / outcomes.LEDGER).exists()
    assert cases.main(["--as", "new", "--results", str(tmp_path)]) == 0
    (line,) = results.read_lines(tmp_path / outcomes.LEDGER)
    assert (line["what"], line["path"]) == ("cases", "new")
    assert line["sets"]["photos/single"]["right"] == 1
    assert line["missed"] == [{"file": "cases/hard/0.png", "expected": "", "label": "3", "reason": None}]
