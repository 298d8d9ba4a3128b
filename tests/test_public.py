"""The public names: what `import inkdigit` gives, and that each is loaded only when it is used."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image

import inkdigit
from inkdigit.cli.app import app
from inkdigit.errors import UsageError, pip_install

PUBLIC = {
    "Client",
    "Dataset",
    "InkdigitClassifier",
    "InkdigitError",
    "Metrics",
    "Part",
    "Prediction",
    "Reader",
    "Reading",
    "Recipe",
    "Recognizer",
    "Run",
    "adapt",
    "audit",
    "batch",
    "benchmark",
    "check",
    "compare",
    "ensemble",
    "evaluate",
    "evaluate_corruptions",
    "explain",
    "export",
    "fetch",
    "kaggle",
    "list_models",
    "list_recipes",
    "list_runs",
    "load",
    "open_arrays",
    "open_data",
    "predict",
    "predict_proba",
    "read",
    "read_form",
    "read_grid",
    "resume",
    "submit",
    "train",
    "train_seeds",
    "tune",
}
NEEDS_TRAINING = {"InkdigitClassifier", "Run", "adapt", "audit", "ensemble", "kaggle", "resume", "train", "train_seeds"}
HEAVY = {"numpy", "PIL", "onnxruntime", "torch", "polars", "sklearn", "matplotlib", "pydantic", "typer"}
TRAINING = {"torch", "sklearn", "pandas", "polars", "matplotlib", "scipy", "onnx", "jinja2", "pooch"}

has_torch = importlib.util.find_spec("torch") is not None


def loaded_after(code: str) -> set[str]:
    """The packages in `sys.modules` after a fresh process has run `code`."""
    env = {**os.environ, "PYTHONPATH": str(Path(inkdigit.__file__).parents[1])}
    code = f"import sys\n{code}\nprint('loaded:', *sys.modules)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], env=env, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return {name.partition(".")[0] for name in done.stdout.partition("loaded:")[2].split()}


CALLED = ("log", "net", "augment", "progress", "on_tick", "on_epoch", "on_progress")  # parameters that are functions


def test_the_public_names_are_these():
    assert set(inkdigit.__all__) == PUBLIC
    assert inkdigit.__all__ == sorted(inkdigit.__all__)
    assert dir(inkdigit) == sorted([*PUBLIC, "__version__"])


def test_the_help_of_the_package_names_them_all():
    words = set(re.findall(r"\w+", inkdigit.__doc__ or ""))
    assert words >= PUBLIC


def test_no_public_name_is_hidden_by_a_module():
    """Python sets `inkdigit.data` when `inkdigit.data.sources` is imported, and would set a public name likewise."""
    inside = Path(inkdigit.__file__).parent.iterdir()
    modules = {path.stem for path in inside if path.suffix == ".py" or [*path.glob("*.py")]}
    assert not PUBLIC & modules


def typed() -> dict[str, str]:
    """Public name → the module that type checkers take it from: the imports under `if TYPE_CHECKING`."""
    tree = ast.parse(Path(inkdigit.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    return {alias.name: node.module for node in block.body for alias in node.names}


def test_type_checkers_see_the_same_names():
    assert set(typed()) == PUBLIC


def test_a_public_name_is_documented_and_comes_from_the_module_that_type_checkers_see():
    names = PUBLIC if has_torch else PUBLIC - NEEDS_TRAINING
    things = {name: getattr(inkdigit, name) for name in names}
    assert {name: (thing.__name__, thing.__module__) for name, thing in things.items()} == {
        name: (name, module) for name, module in typed().items() if name in names
    }
    assert [name for name, thing in things.items() if not inspect.getdoc(thing)] == []


def commands(group: Any, words: tuple[str, ...] = ()) -> dict[str, dict[str, Any]]:
    """Every command that is shown: its words → the names and defaults of its parameters."""
    found: dict[str, dict[str, Any]] = {}
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            found |= commands(command, (*words, name))
        elif not command.hidden:
            found[" ".join((*words, name))] = {param.name: param.default for param in command.params}
    return found


def test_every_command_has_a_line_in_the_table_of_python_and_what_is_named_there_exists():
    text = (Path(__file__).parents[1] / "docs" / "python.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| `inkdigit ([^`]+)` \|", text, re.MULTILINE)
    known = commands(typer.main.get_command(app))
    assert [name for name in known if not any(f"{line} ".startswith(f"{name} ") for line in lines)] == []
    named = set(re.findall(r"`inkdigit\.(\w+)\(", text)) | set(re.findall(r"`inkdigit\.(\w+)`", text))
    assert named >= PUBLIC - {"InkdigitError", "Part"}
    assert named <= PUBLIC
    for module, name in re.findall(r"`inkdigit((?:\.\w+){2,})\.(\w+)", text):
        assert hasattr(importlib.import_module(f"inkdigit{module}"), name)


TWINS = (
    "tune",
    "batch",
    "ensemble",
    "export",
    "explain",
    "compare",
    "submit",
    "kaggle",
    "read",
    "adapt",
    "audit",
    "train",
)
# None on the command line stands for the function's default; `--log` is the function's `log_to`.
OTHERWISE = {"kaggle.changes", "adapt.steps", "train.log"}


@pytest.mark.skipif(not has_torch, reason="PyTorch is not installed")
def test_commands_and_functions_of_the_same_name_have_the_same_defaults():
    known = commands(typer.main.get_command(app))
    compared = 0
    for name in TWINS:
        for parameter in inspect.signature(getattr(inkdigit, name)).parameters.values():
            if parameter.default is parameter.empty or f"{name}.{parameter.name}" in OTHERWISE:
                continue
            if parameter.name in known[name]:
                compared += 1
                assert str(known[name][parameter.name]) == str(parameter.default), f"{name}: {parameter.name}"
    assert compared > 40


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="module 'inkdigit' has no attribute 'recognise'"):
        _ = inkdigit.recognise  # type: ignore[attr-defined]
    assert not hasattr(inkdigit, "Recognise")


def test_a_name_whose_library_is_missing_is_an_error_of_ours():
    for name, library, text in (
        ("load", "numpy", "Inkdigit needs numpy, which is not installed. Install it again with: pip install"),
        ("Recognizer", "onnxruntime", "Inkdigit needs onnxruntime, which is not installed."),
        ("train", "torch", f"inkdigit.train needs torch. Install it with: {pip_install('train')}"),
    ):
        loaded_after(
            f"sys.modules[{library!r}] = None\n"
            f"import inkdigit\n"
            f"try: inkdigit.{name}\n"
            f"except inkdigit.InkdigitError as exc: assert str(exc).startswith({text!r}), exc\n"
            f"else: raise AssertionError('{name} is there')"
        )


def test_importing_the_package_loads_nothing():
    assert not loaded_after("import inkdigit") & HEAVY


def test_onnx_runtime_sends_no_telemetry_unless_the_user_wants_it(monkeypatch):
    code = "import os, inkdigit; assert os.environ['ORT_DISABLE_TELEMETRY'] == {!r}"
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    loaded_after(code.format("1"))
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    loaded_after(code.format("0"))


def test_answering_loads_no_training_library(tiny_file):
    code = f"import inkdigit\ninkdigit.load({str(tiny_file)!r}).predict(bytes.fromhex({one_pixel().hex()!r}))"
    loaded = loaded_after(code)
    assert {"numpy", "PIL", "onnxruntime"} <= loaded
    assert not loaded & TRAINING


def one_pixel() -> bytes:
    """A PNG with a dot in it."""
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
    assert names(inkdigit.Prediction)[:5] == ["label", "confidence", "probs", "score", "reason"]


@pytest.mark.skipif(not has_torch, reason="PyTorch is not installed")
def test_what_is_to_be_called_must_be_a_function(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen = set()
    for name in filter(lambda one: inspect.isfunction(getattr(inkdigit, one)), sorted(PUBLIC)):
        parameters = inspect.signature(getattr(inkdigit, name)).parameters
        needed = {key: "nothing" for key, about in parameters.items() if about.default is inspect.Parameter.empty}
        for key, about in parameters.items():
            if key not in CALLED or about.annotation == "bool":
                continue
            seen.add((name, key))
            with pytest.raises(UsageError, match=rf"^{key} cannot be called\. Expected: a function\. Received: 3\.$"):
                getattr(inkdigit, name)(**{**needed, key: 3})
    assert {("train", "on_epoch"), ("train", "augment"), ("adapt", "net"), ("batch", "on_progress")} <= seen
    assert {("evaluate_corruptions", "progress"), ("fetch", "log"), ("audit", "on_tick")} <= seen
    assert list(tmp_path.iterdir()) == []


def test_a_log_cannot_be_none():
    with pytest.raises(UsageError, match="log cannot be called"):
        inkdigit.check("nothing", log=None)


@pytest.mark.skipif(not has_torch, reason="PyTorch is not installed")
def test_train_takes_what_it_promises():
    parameters = inspect.signature(inkdigit.train).parameters
    assert list(parameters)[:2] == ["recipe", "data"]
    assert all(parameters[name].kind is inspect.Parameter.KEYWORD_ONLY for name in ("out", "seed"))
    for name in ("history", "report", "model"):
        assert name in {*dir(inkdigit.Run), *getattr(inkdigit.Run, "__annotations__", {})}
