"""Every leaf of the error tree is raised by some test."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from inkdigit import errors

HERE = Path(__file__)
ABOUT_THE_TREE = {HERE.name, "test_errors.py"}
LEAVES = [
    c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, Exception) and not c.__subclasses__()
]


@pytest.fixture(scope="module")
def tests() -> str:
    """The text of every test that is about something else than the tree."""
    files = [path for path in sorted(HERE.parent.rglob("test_*.py")) if path.name not in ABOUT_THE_TREE]
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


@pytest.mark.parametrize("leaf", [leaf.__name__ for leaf in LEAVES])
def test_every_leaf_is_raised_by_some_test(tests, leaf):
    by_name = re.search(rf"pytest\.raises\(\(?[^)]*\b{leaf}\b", tests)
    by_table = re.search(rf"[(,] *{leaf}\)?,? *[\n\])]", tests)  # the last cell of a parameter
    assert by_name or by_table, f"no test raises {leaf}"
