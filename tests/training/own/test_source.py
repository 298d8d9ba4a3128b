"""The source of a user's function: what counts as a part of it, and what a file without it says."""

from __future__ import annotations

import functools
import linecache
from importlib import import_module
from pathlib import Path

import pytest
from torch import nn

from inkdigit.errors import UsageError
from inkdigit.training.own.source import load_function, option_of, source_of

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
    path.write_text(text, encoding="utf-8")
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
    (tmp_path / "imported_model.py").write_text(MODEL, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    module = import_module("imported_model")
    by_path = load_function(f"{tmp_path / 'imported_model.py'}:build", option="--net")
    assert source_of(module.build, what="net") == source_of(by_path, what="net")
    narrow, wide = (source_of(functools.partial(module.build, outputs), what="net") for outputs in (3, 4))
    assert narrow.sha256 != wide.sha256 != source_of(module.build, what="net").sha256
    assert wide.first_difference(narrow.text) == "Gone is the line: # with (3,), {}"


PLAIN_CLASSES = """\
from dataclasses import dataclass

from torch import nn

WIDTH = 3
KINDS = ({"pen", "ink", "chalk"}, [frozenset({"a", "b"})])


class Settings:
    width = WIDTH


@dataclass
class Sizes:
    height: int = 8


class Base(nn.Linear):
    @property
    def sizes(self):
        return Settings, Sizes, KINDS


class Net(Base):
    pass


class Far(nn.Linear):
    width = WIDTH
"""


def text_of(folder: Path, text: str, name: str) -> str:
    folder.mkdir()
    (folder / "model.py").write_text(text, encoding="utf-8")
    return source_of(load_function(f"{folder / 'model.py'}:{name}", option="--net"), what="net").text


def test_classes_without_functions_are_part_of_it(tmp_path):
    text = text_of(tmp_path / "net", PLAIN_CLASSES, "Net")
    for line in ("class Net(Base):", "class Base(nn.Linear):", "width = WIDTH", "height: int = 8", "WIDTH = 3"):
        assert line in text
    assert text_of(tmp_path / "far", PLAIN_CLASSES, "Far") == "class Far(nn.Linear):\n    width = WIDTH\n\nwidth = 3\n"
    linecache.cache["<cell 1>"] = (1, None, ["class Cell(nn.Linear):\n", "    width = 4\n"], "<cell 1>")
    cell = type("Cell", (nn.Linear,), {"__module__": "__main__", "width": 4})
    assert source_of(cell, what="net").text.startswith("class Cell(nn.Linear):\n    width = 4\n")


def test_sets_are_written_in_order_whatever_the_process_stores_them_in(tmp_path):
    text = text_of(tmp_path / "sets", PLAIN_CLASSES, "Net")
    assert "KINDS = ({'chalk', 'ink', 'pen'}, [frozenset({'a', 'b'})])" in text
    bound = source_of(functools.partial(text_of, {"b", "a", "c"}, folder={"y": {"x", "w"}}), what="net").text
    assert "# with ({'a', 'b', 'c'},), {'folder': {'y': {'w', 'x'}}}" in bound


def test_a_name_without_a_value_yet_is_left_out():
    def build() -> object:
        return later

    assert source_of(build, what="net").text == "def build() -> object:\n    return later\n"
    later = 1


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
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        load_function(str(tmp_path / named), option="--net")
    assert problem in str(caught.value)


def test_the_option_loads_the_same_function_or_is_none(tmp_path, monkeypatch):
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "model.py").write_text(MODEL, encoding="utf-8")
    function = load_function(f"{tmp_path / 'a b' / 'model.py'}:build", option="--net")
    monkeypatch.chdir(tmp_path)
    assert option_of(function, "--net") == ["--net", str(Path("a b") / "model.py:build")]
    assert source_of(load_function("a b/model.py:build", option="--net"), what="net") == source_of(function, what="net")
    for other in (functools.partial(function, 3), lambda: function(3), load_function, function(3)):
        assert option_of(other, "--net") is None


def test_a_function_without_source_is_one_error():
    with pytest.raises(UsageError, match="The source of net=len cannot be read"):
        source_of(len, what="net")
