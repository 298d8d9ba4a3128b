"""The test vectors of the package: what preprocessing gives, drawn by their script, and nothing that is not tested."""

from __future__ import annotations

import json
import re
import runpy
import sys
from base64 import b64decode
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inkdigit.model.recognizer import bundled, load
from inkdigit.picture.decode import decode
from inkdigit.picture.prepare import KINDS, VERSION, ink_box, is_clean, prepare, prepare_all
from inkdigit.types import Gray

SCRIPT = Path(__file__).parents[2] / "examples" / "draw_vectors.py"
PAGE = Path(__file__).parents[2] / "docs" / "preprocessing.md"
STORED = files("inkdigit.picture").joinpath("vectors.json")
VECTORS = json.loads(STORED.read_text(encoding="utf-8"))["vectors"]
MAX_BYTES = 60_000


def pixels(vector: dict[str, Any]) -> Gray:
    shape = (vector["height"], vector["width"], vector["channels"])
    array = np.frombuffer(b64decode(vector["pixels"]), np.uint8).reshape(shape)
    return array[..., 0] if vector["channels"] == 1 else array


def expected(vector: dict[str, Any]) -> Gray:
    return np.frombuffer(b64decode(vector["expected"]), np.uint8).reshape(28, 28)


of_vectors = pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])


@of_vectors
def test_preprocessing_gives_each_vector_bit_for_bit(vector):
    gray = decode(pixels(vector))
    if vector["expected"] is None:
        assert not is_clean(gray)
        assert not is_clean(255 - gray)
        return
    assert np.array_equal(prepare(gray, vector["kind"]), expected(vector))
    assert np.array_equal(prepare_all(gray[None], vector["kind"])[0], expected(vector))


def test_a_model_sees_what_the_vectors_say():
    clean = [vector for vector in VECTORS if vector["kind"] == "ink" and vector["expected"]]
    seen = [one.seen for one in load("tiny").predict([pixels(vector) for vector in clean])]
    assert np.array_equal(np.stack(seen), np.stack([expected(vector) for vector in clean]))


def test_the_vectors_are_those_that_their_script_draws(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["draw_vectors.py", str(tmp_path / "vectors.json")])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    assert (tmp_path / "vectors.json").read_bytes() == STORED.read_bytes()


def test_the_version_is_that_of_preprocessing_and_covers_every_card():
    stored = json.loads(STORED.read_text(encoding="utf-8"))["prepare_version"]
    assert stored == VERSION
    assert max(load(path).card.prepare_version for path in bundled().values()) == stored


def test_the_vectors_are_small_have_names_and_show_each_kind_of_picture():
    assert len(STORED.read_bytes()) <= MAX_BYTES
    names = [vector["name"] for vector in VECTORS]
    assert len(set(names)) == len(names) == 39
    assert {vector["kind"] for vector in VECTORS} == set(KINDS)
    assert {vector["channels"] for vector in VECTORS} == {1, 3, 4}
    assert [vector["name"] for vector in VECTORS if vector["expected"] is None] == [
        name for name in names if name.startswith("not-")
    ]


def test_the_page_that_specifies_preprocessing_is_about_these_vectors(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(code, "preprocessing.md", "exec"), {})
    assert capsys.readouterr().out == f"{VERSION} {len(VECTORS)}\n"
    assert f"This\npage is **version {VERSION}**" in PAGE.read_text(encoding="utf-8")


def test_the_worked_example_is_that_of_its_vector():
    steps = runpy.run_path(str(SCRIPT.with_name("draw_steps.py")))
    gray, ink, _, scaled, placed = steps["steps"]()
    (dim,) = [vector for vector in VECTORS if vector["name"] == steps["NAME"]]
    assert np.array_equal(placed, expected(dim))
    rows, columns = (scaled.sum(axis, dtype=int) for axis in (1, 0))
    moments = [int(mass @ np.arange(mass.size)) for mass in (rows, columns)]
    box = ink_box(placed)
    facts = [
        f"a picture of {gray.shape[1]} × {gray.shape[0]}",
        f"{ink.shape[1]} × {ink.shape[0]} pixels, from column 1 and row 1 on",
        f"255 / {ink.max()} = {255 / int(ink.max())}",
        f"T = {rows.sum()}, M = {moments[0]}, centre {moments[0] / rows.sum():.4f}",
        f"M = {moments[1]}, centre {moments[1] / rows.sum():.4f}",
        f"{scaled.shape[1]} × {scaled.shape[0]} pixels at column {box[1].start} and row {box[0].start} of 28 × 28",
    ]
    page = PAGE.read_text(encoding="utf-8")
    assert [fact for fact in facts if fact not in page] == []


def test_the_picture_of_the_steps_is_the_one_that_is_drawn():
    drawn = runpy.run_path(str(SCRIPT.with_name("draw_steps.py")))["drawn"]()
    with Image.open(PAGE.parent / "preprocessing" / "steps.png") as stored:
        assert np.array_equal(np.asarray(stored), np.asarray(drawn))


def test_the_order_of_rows_and_columns_shows_in_a_vector(monkeypatch):
    (tall,) = [vector for vector in VECTORS if vector["name"] == "tall"]

    def columns_first(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        columns = Image.fromarray(array).resize((array.shape[1], size[1]), Image.Resampling.BILINEAR)
        return np.asarray(columns.resize(size, Image.Resampling.BILINEAR))

    monkeypatch.setattr("inkdigit.picture.prepare._resize", columns_first)
    assert np.count_nonzero(prepare(pixels(tall)) != expected(tall)) == 1
