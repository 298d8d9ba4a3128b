"""The examples run: `minimal.py` trains and predicts, three users go their ways, and `draw.py` and `draw_numbers.py`
draw what lies beside them.
"""

from __future__ import annotations

import re
import runpy
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inkdigit.data.sources import open_data
from inkdigit.training.own import functions

from .training.conftest import only_training, single_thread  # noqa: F401  a fixture

EXAMPLES = Path(__file__).parents[1] / "examples"
MAX_LEVELS_OFF = 1.0  # in the mean: another release of Pillow or NumPy may round differently


def run(name: str, *words: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run an example in this process, as a program with these arguments."""
    monkeypatch.setattr(sys, "argv", [name, *map(str, words)])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def test_the_minimal_example_trains_exports_and_predicts(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with single_thread():
        run("minimal.py", monkeypatch=monkeypatch)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "sklearn-digits: 1,797 images of 10 classes"
    (accuracy,) = [line for line in lines if line.startswith("Accuracy on ")]
    assert float(re.search(r"([\d.]+)%$", accuracy)[1]) > 95
    (file,) = tmp_path.glob("runs/*/model.onnx")
    assert f"{file.relative_to(tmp_path)}: {file.stat().st_size:,} bytes. The first image is a 0." in lines
    predicted = [line.split() for line in lines if ".png " in line]
    assert [name for name, *_ in predicted] == sorted(path.name for path in EXAMPLES.glob("*.png"))
    assert sum(name[0] == label for name, label, *_ in predicted) >= 10  # of 14; it learnt from 8x8 pixels


def test_the_minimal_example_is_short():
    assert len((EXAMPLES / "minimal.py").read_text(encoding="utf-8").splitlines()) <= 50


PICTURES = (".png", ".jpg")


@pytest.mark.parametrize(
    ("script", "files"), [("draw.py", "[0-9]-*"), ("draw_numbers.py", "numbers/*")], ids=["digits", "numbers"]
)
def test_the_pictures_of_the_examples_are_drawn_by_our_own_code(script, files, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    run(script, tmp_path, monkeypatch=monkeypatch)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in EXAMPLES.glob(files)}
    off = {}
    for path in (path for path in tmp_path.iterdir() if path.suffix in PICTURES):
        drawn, stored = (
            np.asarray(Image.open(folder / path.name), float) for folder in (tmp_path, (EXAMPLES / files).parent)
        )
        if drawn.shape != stored.shape or np.abs(drawn - stored).mean() > MAX_LEVELS_OFF:
            off[path.name] = (drawn.shape, stored.shape)
    assert off == {}


def test_every_picture_of_the_examples_has_a_script_and_is_small():
    pictures = [path for path in EXAMPLES.rglob("*") if path.suffix in PICTURES]
    assert set(pictures) == {*EXAMPLES.glob("[0-9]-*"), *EXAMPLES.glob("numbers/*.[pj]*")}
    assert max(path.stat().st_size for path in pictures) < 120_000


def test_the_fields_of_the_form_are_those_that_are_drawn(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    form = runpy.run_path(str(EXAMPLES / "draw_numbers.py"))
    stored = (EXAMPLES / "numbers" / "form.toml").read_text(encoding="utf-8")
    assert stored == form["fields"]()
    assert {name: entry["box"] for name, entry in tomllib.loads(stored).items()} == {
        field.name: [*field.box] for field in form["FIELDS"]
    }


def test_the_sudoku_of_the_examples_can_be_solved_as_it_is_filled_in(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    puzzle = runpy.run_path(str(EXAMPLES / "draw_numbers.py"))["PUZZLE"]
    cells = np.array([["0" if c == "." else c if c.isdigit() else chr(ord(c) - 48) for c in row] for row in puzzle])
    blocks = [cells[i : i + 3, j : j + 3].ravel() for i in (0, 3, 6) for j in (0, 3, 6)]
    for group in (*cells, *cells.T, *blocks):
        known = [one for one in group.tolist() if one != "0"]
        assert len(known) == len(set(known))


JOURNEYS = {
    "learner": r"The submission would score 9\d\.\d\d%",
    "engineer": r"cheque: 1\.250,-, [\s\S]*a 7, 14/03/2026\n.*refused: .*\n.*stored: [\s\S]*collected: 1 image",
    "researcher": r"\(at best 0\.5\), no difference shown\n.*weights[\s\S]*\n\| mine \| [\d,]+ \| 2 \| \d\d\.\d\d ± ",
}


def walk(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Run a journey in short form; it says what it should, and writes nothing outside of its folder."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    with single_thread():
        run(f"journey_{name}.py", tmp_path / name, "--short", monkeypatch=monkeypatch)
    assert re.search(JOURNEYS[name], capsys.readouterr().out)
    assert [*elsewhere.iterdir()] == []


@pytest.mark.parametrize("name", ["learner", "engineer"])
def test_a_journey_runs_in_short_form(name, tmp_path, monkeypatch, capsys):
    walk(name, tmp_path, monkeypatch, capsys)


@pytest.mark.usefixtures("only_training")
def test_the_journey_of_a_researcher_runs_in_short_form(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        functions, "check_export", lambda *_: None
    )  # seconds each, as the export and the report of each run
    walk("researcher", tmp_path, monkeypatch, capsys)
    assert (tmp_path / "researcher" / "table.tex").read_text(encoding="utf-8").count(r"$\pm$") == 2


@pytest.mark.slow
def test_the_journey_of_a_researcher_runs_with_files_and_reports(tmp_path, monkeypatch, capsys):
    walk("researcher", tmp_path, monkeypatch, capsys)


def test_the_journeys_are_short():
    lines = {path.name: path.read_text(encoding="utf-8").count("\n") for path in EXAMPLES.glob("journey_*.py")}
    assert set(lines) == {f"journey_{name}.py" for name in JOURNEYS}
    assert max(lines.values()) < 100


def test_drawn_hands_are_a_data_set_with_some_labels_wrong(tmp_path, monkeypatch):
    for name, wrong in (("right", 0), ("strays", 5)):
        run("draw_hands.py", tmp_path / name, "--writers", 2, "--each", 3, "--wrong", wrong, monkeypatch=monkeypatch)
    right, strays = open_data(tmp_path / "right").train, open_data(tmp_path / "strays").train
    assert np.bincount(right.labels).tolist() == [6] * 10
    assert len(strays) == len(right) == 60
    moved = sorted(path.name for path in (tmp_path / "strays").rglob("stray-*.png"))
    assert len(moved) == 5
    assert sorted(map(bytes, right.images)) == sorted(map(bytes, strays.images))  # the same digits, elsewhere


def test_drawn_hands_are_the_same_each_time(tmp_path, monkeypatch):
    for name in ("one", "two"):
        run("draw_hands.py", tmp_path / name, "--writers", 1, "--each", 2, "--seed", 92, monkeypatch=monkeypatch)
    first = {path.relative_to(tmp_path / "one"): path.read_bytes() for path in (tmp_path / "one").rglob("*.png")}
    assert first == {
        path.relative_to(tmp_path / "two"): path.read_bytes() for path in (tmp_path / "two").rglob("*.png")
    }
