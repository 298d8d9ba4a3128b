"""What is said in more than one place is the same everywhere: the version, and the pinned dependencies."""

from __future__ import annotations

import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import inkdigit

ROOT = Path(__file__).parents[1]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def project() -> dict:
    return tomllib.loads(text("pyproject.toml"))["project"]


def requirements() -> dict[str, Requirement]:
    """Canonical name → what the project asks of it, every extra included."""
    lists = [project()["dependencies"], *project()["optional-dependencies"].values()]
    return {canonicalize_name(r.name): r for r in map(Requirement, chain.from_iterable(lists))}


def pins() -> dict[str, str]:
    """Canonical name → the version that `constraints.txt` names."""
    lines = [line for line in text("constraints.txt").splitlines() if line and not line.startswith("#")]
    found = [re.fullmatch(r"([A-Za-z0-9._-]+)==([0-9][0-9a-z.]*)", line) for line in lines]
    assert all(found), [line for line, pin in zip(lines, found, strict=True) if not pin]
    names = [canonicalize_name(pin[1]) for pin in found if pin]
    assert len(set(names)) == len(names)
    return dict(zip(names, (pin[2] for pin in found if pin), strict=True))


def test_every_dependency_is_pinned_at_a_version_that_the_project_takes():
    asked = {name: r for name, r in requirements().items() if name not in ("inkdigit", "torch")}
    assert not set(asked) - set(pins())
    assert {name: pins()[name] for name, r in asked.items() if not r.specifier.contains(pins()[name])} == {}


def test_the_pins_leave_torch_to_the_makefile():
    assert "torch" not in pins()
    named = re.search(r"^TORCH \?= torch==(\S+)$", text("Makefile"), re.MULTILINE)
    assert named
    assert requirements()["torch"].specifier.contains(named[1])


def test_the_version_is_the_same_everywhere():
    cited = re.search(r"^version: (\S+)$", text("CITATION.cff"), re.MULTILINE)
    logged = re.search(r"^## \[?(\d+\.\d+\.\d+)", text("CHANGELOG.md"), re.MULTILINE)
    assert cited
    assert logged
    assert cited[1] == logged[1] == inkdigit.__version__


def test_the_licence_is_the_one_that_is_declared():
    assert project()["license"] == "Apache-2.0"
    assert "Apache License" in text("LICENSE")
    assert "license: Apache-2.0" in text("CITATION.cff")


@pytest.mark.parametrize("target", ["help", "run", "test", "lint", "coverage", "bench", "clean"])
def test_every_target_of_the_makefile_says_what_it_does(target):
    assert re.search(rf"^{target}:.*  ## \w", text("Makefile"), re.MULTILINE)
