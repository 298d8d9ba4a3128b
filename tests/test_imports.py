"""The house stays as it is drawn: what a room brings along when it is imported, and how large it may grow."""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src"
PACKAGE = SRC / "inkdigit"
FILES = sorted(PACKAGE.rglob("*.py"))

TORCH = {"torch"}
TRAINING_LIBRARIES = TORCH | {"sklearn", "pandas", "polars", "matplotlib", "scipy", "onnx", "jinja2", "pooch"}
PHOTO_ROOMS = {f"inkdigit.picture.photo.{name}" for name in ("clean", "paper", "lines", "strokes")}  # OpenCV's
ANSWERING = ("picture", "model", "types", "errors", "runs", "cli")

MAX_FILE_LINES = 450
MAX_FUNCTION_LINES = 60
MAX_LOOP_LINES = 100  # the training loop is one function, seen whole


def room(path: Path) -> str:
    """`src/inkdigit/model/card.py` → `inkdigit.model.card`."""
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def wing(name: str) -> str:
    """`inkdigit.model.card` → `model`; the package itself has none."""
    return name.split(".")[1] if "." in name else ""


def imported_with(*rooms: str) -> set[str]:
    """The top-level packages in `sys.modules` after a fresh process has imported `rooms`."""
    code = f"import importlib, sys\nfor room in {rooms!r}: importlib.import_module(room)\nprint(*sys.modules)"
    env = {**os.environ, "PYTHONPATH": str(SRC)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in done.stdout.split()}


def forbidden(name: str) -> set[str]:
    """What importing the room `name` must not load."""
    answering = name == "inkdigit" or wing(name) in ANSWERING
    photo = name in PHOTO_ROOMS
    return (TRAINING_LIBRARIES if answering else TORCH) | (set() if photo or not answering else {"cv2"})


ROOMS = [room(path) for path in FILES if path.name != "__main__.py"]
TRAINING = [name for name in ROOMS if wing(name) == "training"]


@pytest.mark.parametrize("name", [name for name in ROOMS if name not in TRAINING])
def test_a_room_brings_nothing_heavy_along(name):
    assert not imported_with(name) & forbidden(name)


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
def test_every_training_room_can_be_imported():
    imported_with(*TRAINING)


def test_recipes_are_read_without_torch():
    if "inkdigit.training.recipe" not in TRAINING:
        pytest.skip("there are no recipes yet")
    assert not imported_with("inkdigit.training.recipe") & TORCH


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", FILES, ids=room)
def test_a_file_opens_with_a_docstring(path):
    assert ast.get_docstring(tree(path))


@pytest.mark.parametrize("path", [p for p in FILES if p.name == "__init__.py" and p.parent != PACKAGE], ids=room)
def test_a_sub_package_holds_one_docstring_and_nothing_else(path):
    assert len(tree(path).body) == 1
    assert ast.get_docstring(tree(path))


@pytest.mark.parametrize("path", [p for p in FILES if p != PACKAGE / "__init__.py"], ids=room)
def test_no_room_imports_from_the_front_door(path):
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import; write the full name"
            assert node.module != "inkdigit", f"line {node.lineno}: imports from inkdigit itself"
        elif isinstance(node, ast.Import):
            assert "inkdigit" not in [alias.name for alias in node.names], (
                f"line {node.lineno}: imports inkdigit itself"
            )


@pytest.mark.parametrize("path", FILES, ids=room)
def test_rooms_and_functions_stay_small(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_FILE_LINES
    limit = MAX_LOOP_LINES if room(path) == "inkdigit.training.network.loop" else MAX_FUNCTION_LINES
    functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = {f.name: lines for f in functions if (lines := (f.end_lineno or f.lineno) - f.lineno + 1) > limit}
    assert not long
