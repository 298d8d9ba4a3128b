"""The front door: what `import inkdigit` hands on, and that it costs nothing until it is asked for."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import inkdigit

PUBLIC = {
    "Dataset",
    "InkdigitError",
    "Metrics",
    "Part",
    "Prediction",
    "Recipe",
    "Recognizer",
    "Run",
    "adapt",
    "audit",
    "evaluate",
    "evaluate_corruptions",
    "load",
    "open_arrays",
    "open_data",
    "resume",
    "submit",
    "train",
}
NEEDS_TORCH = {"Run", "adapt", "audit", "resume", "train"}
HEAVY = {"numpy", "PIL", "onnxruntime", "cv2", "torch", "polars", "sklearn", "matplotlib", "pydantic", "typer"}

has_torch = importlib.util.find_spec("torch") is not None


def loaded_after(code: str) -> set[str]:
    """The packages in `sys.modules` after a fresh process has run `code`."""
    env = {**os.environ, "PYTHONPATH": str(Path(inkdigit.__file__).parents[1])}
    code = f"import sys\n{code}\nprint('loaded:', *sys.modules)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return {name.partition(".")[0] for name in done.stdout.partition("loaded:")[2].split()}


def test_the_public_names_are_these():
    assert set(inkdigit.__all__) == PUBLIC
    assert inkdigit.__all__ == sorted(inkdigit.__all__)
    assert dir(inkdigit) == sorted([*PUBLIC, "__version__"])


def test_type_checkers_are_told_the_same_names():
    tree = ast.parse(Path(inkdigit.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module != "__future__"]
    told = {alias.name: node.module for node in imports for alias in node.names if node.module != "typing"}
    assert told.pop("MissingExtra") == "inkdigit.errors"  # raised there, not handed on
    assert told.pop("describe") == "inkdigit.__main__"
    assert told == {name: f"inkdigit.{room}" for name, room in inkdigit._ROOMS.items()}
    assert set(told) == PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_a_public_name_is_there_documented_and_from_its_room(name):
    if name in NEEDS_TORCH and not has_torch:
        pytest.skip("PyTorch is not installed")
    thing = getattr(inkdigit, name)
    assert thing.__name__ == name
    assert thing.__module__ == f"inkdigit.{inkdigit._ROOMS[name]}"
    assert inspect.getdoc(thing)


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="module 'inkdigit' has no attribute 'predict'"):
        _ = inkdigit.predict  # type: ignore[attr-defined]
    assert not hasattr(inkdigit, "Recognise")


@pytest.mark.parametrize(
    ("name", "library", "text"),
    [
        ("load", "numpy", "Inkdigit needs numpy, which is not installed. Install it again with: pip install"),
        ("Recognizer", "onnxruntime", "Inkdigit needs onnxruntime, which is not installed."),
        ("train", "torch", r"inkdigit.train needs torch. Install it with: pip install 'inkdigit\[train\]'"),
    ],
)
def test_a_name_whose_library_is_missing_is_an_error_of_ours(name, library, text):
    code = f"sys.modules[{library!r}] = None\nimport inkdigit\ntry:\n    inkdigit.{name}\n"
    code += (
        f"except inkdigit.InkdigitError as exc:\n    import re; assert re.match({text!r}, str(exc)), exc\nelse: 1 / 0"
    )
    loaded_after(code)


def test_importing_the_package_loads_nothing():
    assert not loaded_after("import inkdigit") & HEAVY


def test_onnx_runtime_reports_to_nobody(monkeypatch):
    code = "import os, inkdigit; assert os.environ['ORT_DISABLE_TELEMETRY'] == {!r}"
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    loaded_after(code.format("1"))
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")  # who asks for it has it
    loaded_after(code.format("0"))


def test_answering_loads_no_training_library_and_no_opencv(tiny_file):
    code = f"import inkdigit\ninkdigit.load({str(tiny_file)!r}).predict(bytes.fromhex({one_pixel().hex()!r}))"
    loaded = loaded_after(code)
    assert {"numpy", "PIL", "onnxruntime"} <= loaded
    assert not loaded & {
        "cv2",
        "torch",
        "sklearn",
        "pandas",
        "polars",
        "matplotlib",
        "scipy",
        "onnx",
        "jinja2",
        "pooch",
    }


def one_pixel() -> bytes:
    """A PNG with a dot in it."""
    import io

    from PIL import Image

    image = Image.new("L", (28, 28))
    image.putpixel((9, 9), 255)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def test_recipes_and_data_are_opened_without_torch():
    assert "torch" not in loaded_after("from inkdigit import Recipe, open_data, load, evaluate, submit")


def test_the_signatures_are_the_promised_ones():
    def names(thing: object) -> list[str]:
        return list(inspect.signature(thing).parameters)

    assert inspect.signature(inkdigit.load).parameters["model"].default == "default"
    assert names(inkdigit.Recognizer.predict) == ["self", "pictures"]
    assert names(inkdigit.open_data)[0] == "source"
    assert names(inkdigit.evaluate)[:2] == ["model", "data"]
    assert names(inkdigit.adapt)[:3] == ["model", "data", "out"]
    assert names(inkdigit.audit)[0] == "source"
    assert names(inkdigit.evaluate_corruptions)[:2] == ["model", "data"]
    assert names(inkdigit.submit)[:3] == ["model", "csv", "out"]
    assert names(inkdigit.Prediction) == ["label", "confidence", "probs", "score", "reason"]


@pytest.mark.skipif(not has_torch, reason="PyTorch is not installed")
def test_train_takes_what_it_promises():
    parameters = inspect.signature(inkdigit.train).parameters
    assert next(iter(parameters)) == "recipe"
    assert {"data", "out", "seed"} <= set(parameters)
    assert all(parameters[name].kind is inspect.Parameter.KEYWORD_ONLY for name in ("data", "out", "seed"))
    for name in ("history", "report", "model"):
        assert name in {*dir(inkdigit.Run), *getattr(inkdigit.Run, "__annotations__", {})}
