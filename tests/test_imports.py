"""Laws of the source code: what a module loads when it is imported, what a file looks like, how long it may be."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src"
PACKAGE = SRC / "inkdigit"
FILES = sorted(PACKAGE.rglob("*.py"))

TRAINING = {"torch", "sklearn", "pandas", "polars", "matplotlib", "scipy", "onnx", "jinja2", "pooch", "safetensors"}
TRAINING |= {"captum", "keras", "optuna"}
HTTP = {"fastapi", "starlette", "uvicorn", "httptools", "prometheus_client"}

MAX_FILE_LINES = 450
LONGER_FILES: dict[str, str] = {
    "inkdigit.synth.glyphs": "a table, a line for each glyph"
}  # module → why it is one topic all the same
MAX_FUNCTION_LINES = 60
LONGER_FUNCTIONS = {"inkdigit.training.network.loop.train": 100}  # the training loop is one function, seen whole

# Prints what each import adds to `sys.modules`: module → libraries.
IMPORT_IN_TURN = """
import importlib, json, sys

added, before = {}, set()
for name in sys.argv[1:]:
    importlib.import_module(name)
    loaded = {module.partition(".")[0] for module in sys.modules}
    added[name], before = sorted(loaded - before), loaded
print(json.dumps(added))
"""


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def module(path: Path) -> str:
    """`src/inkdigit/model/card.py` → `inkdigit.model.card`."""
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_in(name: str, *packages: str) -> bool:
    """Whether a module is one of `packages`, or in one."""
    return any(f"{name}.".startswith(f"inkdigit.{package}.") for package in packages)


def none(offenders: Iterable[str]) -> bool:
    """True where there are no offenders; else the test fails with all of them, one a line."""
    lines = list(offenders)
    if lines:
        pytest.fail("\n".join([f"{len(lines)} offenders:", *lines]), pytrace=False)
    return True


def line(path: Path, node: ast.AST) -> str:
    """A place in the source, as editors open it."""
    return f"{path.relative_to(SRC.parent)}:{node.lineno}"  # type: ignore[attr-defined]


# Imports --------------------------------------------------------------------------------------------------------------

MODULES = [module(path) for path in FILES if path.name != "__main__.py"]


def imports(path: Path, *, within: ast.AST | None = None) -> Iterator[tuple[ast.stmt, str]]:
    """Every import of a file, inside functions too, with what it names."""
    for node in ast.walk(within or tree(path)):
        if isinstance(node, ast.ImportFrom):
            yield node, "." * node.level + (node.module or "")
            yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)


@cache
def lowest_first() -> list[str]:
    """Every module after those that it imports at once. Raises CycleError where there is a circle."""
    above = {}
    for path in FILES:
        at_once = [node for node in tree(path).body if isinstance(node, ast.Import | ast.ImportFrom)]
        named = {name for node in at_once for _, name in imports(path, within=node)}
        above[module(path)] = named & set(MODULES)
    return [name for name in TopologicalSorter(above).static_order() if name in MODULES]


def test_no_modules_import_each_other_in_a_circle():
    assert set(lowest_first()) == set(MODULES)


def test_a_module_loads_only_the_libraries_of_its_part():
    """One fresh process imports them in turn, so that what comes along came with one of them.

    Those that may load the least come first, and of these the lowest.
    """
    service = [name for name in lowest_first() if is_in(name, "serve")]
    training = [name for name in lowest_first() if is_in(name, "training") and not is_in(name, "training.recipe")]
    others = [name for name in lowest_first() if name not in {*service, *training}]
    parts = [(others, TRAINING | HTTP), (service, TRAINING)]
    if has_torch := importlib.util.find_spec("torch") is not None:
        parts.append((training, set()))

    command = [sys.executable, "-W", "error", "-c", IMPORT_IN_TURN, *(name for names, _ in parts for name in names)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(SRC)}, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    added = {name: set(libraries) for name, libraries in json.loads(done.stdout).items()}
    assert none(
        f"{name}: loads {', '.join(libraries)}"
        for names, forbidden in parts
        for name in names
        if (libraries := sorted(added[name] & forbidden))
    )
    seen = set().union(*added.values())
    assert seen >= {"fastapi", "numpy"} | ({"torch"} if has_torch else set())  # else nothing was looked at


TRAIN_AND_EXPORT = """
import sys, torch

from inkdigit.training.convert.graph import model_of
from inkdigit.training.device import deterministic
from inkdigit.training.network import loop, nets
from inkdigit.training.recipe import Recipe

recipe = Recipe.load("fast")
net = nets.build(recipe, 10)
optimizer = loop.start(net, recipe).optimizer
with deterministic(torch.device("cpu")):
    optimizer.zero_grad(set_to_none=True)
    net(torch.zeros(2, 1, 28, 28)).sum().backward()
    optimizer.step()
optimizer.load_state_dict(optimizer.state_dict())
assert model_of(net.eval(), 1.0, classes=10) is not None
print(sorted({"torch._dynamo", "torch._inductor", "torch.onnx", "onnxscript", "sympy"} & set(sys.modules)))
"""


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
def test_a_run_loads_neither_the_compiler_nor_the_exporter_of_pytorch():
    environment = {**os.environ, "PYTHONPATH": str(SRC)}
    command = [sys.executable, "-c", TRAIN_AND_EXPORT]
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8")
    assert (done.stdout, done.stderr) == ("[]\n", "")


AFTER = "sys.modules['torch'] = sys; "


@pytest.mark.parametrize(
    ("given", "before", "used"),
    [
        ({}, "", "300"),
        ({"GOMP_SPINCOUNT": "9"}, "", "9"),
        ({"OMP_WAIT_POLICY": "active"}, "", "None"),
        ({}, AFTER, "None"),
    ],
    ids=["by default", "as the user says", "a policy of the user", "after torch, which has read it already"],
)
def test_threads_spin_briefly_unless_the_user_says_otherwise(given, before, used):
    bare = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    environment = {**bare, "PYTHONPATH": str(SRC), **given}
    code = f"import sys; {before}import inkdigit, os; print(os.environ.get('GOMP_SPINCOUNT'))"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, encoding="utf-8")
    assert done.stdout.strip() == used


@pytest.mark.parametrize(("command", "picture"), [("predict", "0-mnist-like.png"), ("read", "numbers/amount.png")])
def test_a_command_imports_no_other_and_nothing_to_check_a_bundled_card_with(command, picture):
    code = "import sys; from inkdigit.cli.app import main\n"
    code += "try: main(sys.argv[1:])\nfinally: print(*sys.modules)"
    words, environment = [command, str(SRC.parent / "examples" / picture)], {**os.environ, "PYTHONPATH": str(SRC)}
    done = subprocess.run([sys.executable, "-c", code, *words], env=environment, capture_output=True, encoding="utf-8")
    loaded = set(done.stdout.split())
    assert f"inkdigit.cli.{command}" in loaded
    unneeded = {"inkdigit.cli.train", "inkdigit.cli.serve", "pydantic_core", "_hashlib", "rich", "numpy.ma"}
    assert not loaded & unneeded


def test_modules_import_each_other_by_their_full_names():
    """Neither `from . import card` nor `from inkdigit import load`: those names are for users."""
    offenders = [
        f"{line(path, node)}: {imported}"
        for path in FILES
        if path != PACKAGE / "__init__.py"
        for node, imported in imports(path)
        if imported.startswith(".") or imported == "inkdigit"
    ]
    assert none(offenders)


# Files and functions --------------------------------------------------------------------------------------------------


def test_a_file_opens_with_a_docstring():
    assert none(module(path) for path in FILES if not ast.get_docstring(tree(path)))


def test_a_sub_package_holds_one_docstring_and_nothing_else():
    packages = [path for path in FILES if path.name == "__init__.py" and path.parent != PACKAGE]
    assert none(module(path) for path in packages if len(tree(path).body) != 1)
    bare = {path.parent for path in FILES} - {path.parent for path in packages} - {PACKAGE}
    assert none(f"{folder}: it has no __init__.py" for folder in bare)


def test_a_file_is_one_topic_and_a_longer_one_has_a_reason():
    lengths = {module(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    long = {name: lines for name, lines in lengths.items() if lines > MAX_FILE_LINES}
    assert none(f"{name}: {lines} lines" for name, lines in long.items() if name not in LONGER_FILES)
    assert none(f"{name}: short enough now, take it out of LONGER_FILES" for name in LONGER_FILES if name not in long)


def test_functions_stay_small():
    offenders = {}
    for path in FILES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > LONGER_FUNCTIONS.get(f"{module(path)}.{node.name}", MAX_FUNCTION_LINES):
                    offenders[f"{line(path, node)} {node.name}"] = lines
    assert none(f"{name}: {what}" for name, what in offenders.items())


# Packing --------------------------------------------------------------------------------------------------------------


def packed(node: ast.AST) -> Iterator[ast.AST]:
    """Literals that are unpacked where they stand: `*(a, b)` and `**{"a": b}` for `a, b` and `"a": b`."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Starred) and isinstance(inner.value, ast.Tuple | ast.List | ast.Set):
            yield inner
        elif isinstance(inner, ast.Dict):
            nested = (value for key, value in zip(inner.keys, inner.values, strict=True) if key is None)
            yield from (value for value in nested if isinstance(value, ast.Dict) and None not in value.keys)


def test_the_law_on_packing_sees_what_it_is_for():
    bad = ["[*(a, b), *(c, d)]", "f(*[a, b])", "{*{a, b}}", "{**a, **{'b': c}}"]
    good = ["[*a, *b]", "f(*a, **b)", "f(*(x for x in a))", "{**a, **{k: v for k, v in b}}", "(a, b)", "{**a, 'b': c}"]
    assert [len(list(packed(ast.parse(text)))) for text in bad] == [2, 1, 1, 1]
    assert [text for text in good if any(packed(ast.parse(text)))] == []


def test_no_literal_is_packed_to_please_the_formatter():
    offenders = [f"{line(path, node)}: {ast.unparse(node)[:60]}" for path in FILES for node in packed(tree(path))]
    assert none(offenders)
