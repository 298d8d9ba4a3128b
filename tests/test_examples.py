"""The examples run: `minimal.py` trains, exports and predicts, `draw.py` draws the pictures that lie beside it."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .training.conftest import single_thread

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


def test_the_pictures_of_the_examples_are_drawn_by_our_own_code(tmp_path, monkeypatch):
    run("draw.py", tmp_path, monkeypatch=monkeypatch)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in EXAMPLES.glob("*.png")}
    off = {}
    for path in tmp_path.iterdir():
        drawn, stored = (np.asarray(Image.open(folder / path.name), float) for folder in (tmp_path, EXAMPLES))
        if drawn.shape != stored.shape or np.abs(drawn - stored).mean() > MAX_LEVELS_OFF:
            off[path.name] = (drawn.shape, stored.shape)
    assert off == {}
