"""The Python of docs/runtimes.md runs, and answers as Inkdigit does."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

import inkdigit
from inkdigit.model.recognizer import Recognizer, load
from inkdigit.training.convert.model_file import drawn_pictures, set_card

PAGE = (Path(__file__).parents[4] / "docs" / "runtimes.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize(("library", "name"), [("openvino", "openvino"), ("ai_edge_litert", "tflite")])
@pytest.mark.parametrize("accepts_all", [False, True])
def test_the_code_of_a_runtime_answers_as_inkdigit_does(library, name, accepts_all, tmp_path, monkeypatch, capsys):
    pytest.importorskip(library)
    (code,) = [block for block in BLOCKS if re.search(rf"^(import|from) {library}\b", block, re.MULTILINE)]
    monkeypatch.chdir(tmp_path)
    model = load("general")
    if accepts_all:
        model = without_threshold(model, tmp_path / "general.onnx")
    inkdigit.export(model, name)
    blank_and_square = np.stack([np.eye(28, dtype=np.uint8) * 9, np.full((28, 28), 255, np.uint8)])
    images = np.concatenate([drawn_pictures("ink", 10), blank_and_square])
    np.save("prepared.npy", images)
    exec(compile(code, "runtimes.md", "exec"), {})
    accept = model.card.calibration.accept_score
    expected = [
        model.classes[probs.argmax()] if accept is None or score >= accept else "not recognised"
        for probs, score in zip(*model_outputs(model, images), strict=True)
    ]
    assert capsys.readouterr().out.split("\n")[:-1] == expected
    assert ("not recognised" in expected) is not accepts_all


def without_threshold(model: Recognizer, path: Path) -> Recognizer:
    """The same model, whose card has no threshold of the score."""
    copied = onnx.load(model.path)
    set_card(copied, replace(model.card, calibration=replace(model.card.calibration, accept_score=None)))
    onnx.save(copied, path)
    return Recognizer.load(path)


def model_outputs(model, images):
    from inkdigit.training.convert.model_file import run_bytes

    return run_bytes(model.path.read_bytes(), images)[:2]


def test_every_format_has_a_line_on_the_page():
    from inkdigit.training.convert.formats import SUFFIXES

    assert [name for name in SUFFIXES if f"\n| `{name}` |" not in PAGE] == []
    assert importlib.util.find_spec("inkdigit.training.convert.runtimes")
