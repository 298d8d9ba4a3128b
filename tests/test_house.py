"""What is stated in more than one place is the same everywhere: version, licence, dependencies, make targets."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, metadata, version
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import inkdigit

ROOT = Path(__file__).parents[1]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def project() -> dict:
    return tomllib.loads(text("pyproject.toml"))["project"]


def requirements() -> dict[str, Requirement]:
    """Canonical name → the version that the project requires, of every extra too."""
    lists = [project()["dependencies"], *project()["optional-dependencies"].values()]
    return {canonicalize_name(r.name): r for r in map(Requirement, chain.from_iterable(lists))}


def pins() -> dict[str, str]:
    """Canonical name → the version that `constraints.txt` names."""
    lines = [line for line in text("constraints.txt").splitlines() if line and not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", line)] == []
    pairs = [line.split("==") for line in lines]
    names = [canonicalize_name(name) for name, _ in pairs]
    assert sorted(names) == sorted(set(names))
    return dict(zip(names, (version for _, version in pairs), strict=True))


def test_every_dependency_is_pinned_at_a_version_that_the_project_takes():
    required = {name: r for name, r in requirements().items() if name not in ("inkdigit", "torch")}
    assert set(required) - set(pins()) == set()
    assert {name: pins()[name] for name, r in required.items() if not r.specifier.contains(pins()[name])} == {}


def test_the_pins_can_be_installed_on_the_oldest_python():
    oldest, needs = project()["requires-python"].removeprefix(">=") + ".0", {}
    for name, pinned in pins().items():
        with suppress(PackageNotFoundError):  # of an extra that is not installed here
            if version(name) == pinned:
                needs[name] = metadata(name).get("Requires-Python", "")
    assert len(needs) > 100
    assert {name: said for name, said in needs.items() if not SpecifierSet(said).contains(oldest)} == {}


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


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_help_names_every_target_that_a_user_calls():
    (phony,) = re.findall(r"^\.PHONY: (.*)$", text("Makefile"), re.MULTILINE)
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    described = re.findall(r"^  make ([\w-]+) +\w+", done.stdout, re.MULTILINE)
    assert set(phony.split()) - {"venv", "scale"} == set(described) >= {"help", "run", "test", "lint", "bench", "clean"}
    mentioned = set(re.findall(r"`make ([\w-]+)", text("README.md") + text("CONTRIBUTING.md")))
    assert mentioned - set(described) == set()
