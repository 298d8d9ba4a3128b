"""The source of a user's function: what counts as a part of it, and what a file without it says."""

from __future__ import annotations

import functools
from importlib import import_module
from pathlib import Path

import pytest

from inkdigit.errors import UsageError
from inkdigit.training.own.source import load_function, source_of

MODEL = """\
from torch import nn

WIDTH = 3


class Net(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.layer = nn.Linear(784, outputs)

    def forward(self, x):
        return scaled(self.layer(x.flatten(1)))


def scaled(x):
    return x * WIDTH


def build(outputs):
    return Net(outputs)


def other():
    return 1
"""


def sha256(folder: Path, text: str, name: str = "build") -> str:
    path = folder / "model.py"
    path.write_text(text)
    source = source_of(load_function(f"{path}:{name}", option="--net"), what="net")
    assert source.name == f"model.py:{name}"
    return source.sha256


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ("return 1", "return 2", True),  # of a function that it does not use
        ("WIDTH = 3\n", "WIDTH = 3\nHEIGHT = 4\n\n\n", True),
        ("WIDTH = 3", "WIDTH = 4", False),
        ("x * WIDTH", "x + WIDTH", False),  # used by the class that it uses
        ("x.flatten(1)", "x.flatten(1) * 2", False),
        ("Net(outputs)", "Net(outputs).double()", False),
    ],
)
def test_the_hash_is_of_what_the_function_uses(tmp_path, before, after, same):
    folders = [tmp_path / "a", tmp_path / "b"]  # Python remembers the lines of a file
    for folder in folders:
        folder.mkdir()
    assert before in MODEL
    assert (sha256(folders[0], MODEL) == sha256(folders[1], MODEL.replace(before, after))) == same


def test_it_is_the_same_by_path_and_by_import(tmp_path, monkeypatch):
    (tmp_path / "imported_model.py").write_text(MODEL)
    monkeypatch.syspath_prepend(tmp_path)
    module = import_module("imported_model")
    by_path = load_function(f"{tmp_path / 'imported_model.py'}:build", option="--net")
    assert source_of(module.build, what="net") == source_of(by_path, what="net")
    narrow, wide = (source_of(functools.partial(module.build, outputs), what="net") for outputs in (3, 4))
    assert narrow.sha256 != wide.sha256 != source_of(module.build, what="net").sha256
    assert wide.first_difference(narrow.text) == "Gone is the line: # with (3,), {}"


@pytest.mark.parametrize(
    ("named", "problem"),
    [
        ("model.py", "names no function. Expected: FILE.py:NAME"),
        ("none.py:build", "there is no file"),
        ("model.py:biuld", "has no 'biuld'. Did you mean build?"),
        ("model.py:WIDTH", "has 'WIDTH', which cannot be called. It has Net, scaled, build, other."),
        ("broken.py:build", "cannot be run: SyntaxError in line 2 of broken.py"),
        ("needs.py:build", "cannot be run: ModuleNotFoundError in line 1 of needs.py: No module named"),
        ("leaves.py:build", "cannot be run: SystemExit in line 3 of leaves.py"),
        ("data.txt:build", "is not a Python file"),
    ],
)
def test_what_names_no_function_is_one_error(tmp_path, named, problem):
    files = {"model.py": MODEL, "broken.py": "\ndef x(:", "needs.py": "import nothing_of_this_name", "data.txt": "1"}
    for name, text in {**files, "leaves.py": "import sys\n\nsys.exit(3)"}.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UsageError) as caught:
        load_function(str(tmp_path / named), option="--net")
    assert problem in str(caught.value)


def test_a_function_without_source_is_one_error():
    with pytest.raises(UsageError, match="The source of net=len cannot be read"):
        source_of(len, what="net")
