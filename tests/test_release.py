"""What surrounds the code is true: citation, promises, hooks, workflow, forms; and the check of a release works."""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from release import check, environment, packages, usage

ROOT = Path(__file__).parents[1]
yaml = pytest.importorskip("yaml")


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_citation_has_the_date_of_the_version():
    (version, date) = re.findall(r"^## (\S+) \((.+)\)$", text("CHANGELOG.md"), re.MULTILINE)[0]
    cited = read("CITATION.cff")
    assert (cited["version"], str(cited["date-released"])) == (version, date)
    assert {"cff-version", "message", "title", "abstract", "authors", "license", "keywords"} <= set(cited)


def test_the_tests_that_the_promises_name_exist():
    named = re.findall(r"`(tests/[^`]+)`", text("docs/stability.md"))
    assert [name for name in named if not (ROOT / name).exists()] == []
    assert len(named) > 8


def test_the_promised_versions_of_python_are_those_that_are_declared():
    project = tomllib.loads(text("pyproject.toml"))["project"]
    (oldest, newest), declared = (
        re.search(r"Python (3\.\d+) to (3\.\d+)", text("docs/stability.md")).groups(),
        [line.rpartition(" ")[2] for line in project["classifiers"] if re.search(r":: 3\.\d+$", line)],
    )
    assert (declared[0], declared[-1]) == (oldest, newest)
    assert project["requires-python"] == f">={oldest}" == f">={check.OLDEST_PYTHON}"


def test_the_hooks_before_a_commit_are_the_steps_of_make_lint():
    hooks = [hook for repo in read(".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    lint = text("Makefile").partition("\nlint:")[2].partition("\n\n")[0].replace("$(PY)", ".venv/bin/python")
    steps = {line.strip().removesuffix(" --check") for line in lint.splitlines()[1:]}
    entries = {re.sub(r" --force-exclude$", "", hook["entry"]) for hook in hooks}
    assert entries - steps == {".venv/bin/python docs/generate.py --check"}
    assert steps <= entries
    assert (ROOT / "docs" / "generate.py").exists()
    assert all(hook["language"] == "system" for hook in hooks)  # the versions of constraints.txt


def test_actions_are_named_by_their_commit_and_publishing_has_no_password():
    for path in sorted((ROOT / ".github" / "workflows").glob("publish.yml")):
        workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
        steps = [step for job in workflow["jobs"].values() for step in job.get("steps", [])]
        used = [step["uses"] for step in steps if "uses" in step]
        assert [name for name in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", name)] == []
        assert "secrets." not in path.read_text(encoding="utf-8")
        assert workflow["permissions"] == {}
        publish = workflow["jobs"]["publish"]
        assert publish["permissions"] == {"id-token": "write"}
        assert (publish["environment"], publish["needs"]) == ("pypi", ["tests", "build"])
        assert workflow["jobs"]["tests"]["uses"] == "./.github/workflows/tests.yml"
        assert "workflow_call" in read(".github/workflows/tests.yml")[True]  # YAML reads "on" as true
        release = workflow["jobs"]["release"]
        assert (release["needs"], release["permissions"]) == ("publish", {"contents": "write"})
        assert any("python -m release.check --newest" in step.get("run", "") for step in steps)


def test_the_forms_ask_for_what_is_needed():
    forms = {
        path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
        for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("[!c]*.yml")
    }
    assert set(forms) == {"bug", "feature", "wrong-prediction"}
    required = [
        field["id"] for field in forms["wrong-prediction"]["body"] if field.get("validations", {}).get("required")
    ]
    assert required == ["picture", "shown", "answer", "version"]


def test_every_dependency_of_the_base_is_named_with_its_licence():
    names = {Requirement(line).name for line in tomllib.loads(text("pyproject.toml"))["project"]["dependencies"]}
    listed = text("THIRD_PARTY.md").lower().replace(" ", "")
    assert {name for name in names if name.lower() not in listed} == set()


def test_the_tools_of_the_check_have_one_version():
    lines = [line.partition("#")[0].strip() for line in text("release/requirements.txt").splitlines()]
    assert [line for line in lines if line and not re.fullmatch(r"[\w-]+==[\d.]+", line)] == []


# The check itself ----------------------------------------------------------------------------------------------------


def test_it_knows_the_version():
    import inkdigit

    assert check.version() == inkdigit.__version__


def test_it_finds_links_that_lead_nowhere_on_a_package_index():
    page = 'See [this](docs/a.md), [that](https://example.org), [below](#below) and <img src="docs/b.png">.'
    assert packages.dead_links(page) == ["docs/a.md", "docs/b.png"]


def test_the_readme_has_no_such_link_left_for_a_package_index():
    hook = tomllib.loads(text("pyproject.toml"))["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    shown = text("README.md")
    for change in hook["substitutions"]:
        shown = re.sub(change["pattern"], change["replacement"], shown)
    assert packages.dead_links(shown) == []
    assert len(shown) > len(text("README.md")) / 2


def test_it_reads_the_commands_of_a_page():
    page = (
        "    $ inkdigit predict a.png\n\n```\ninkdigit read 'b c.png' --json   # numbers\n```\n\nSay inkdigit models."
    )
    assert usage.readme_commands(page) == [["predict", "a.png"], ["read", "b c.png", "--json"]]


@pytest.mark.parametrize(
    ("words", "more"),
    [
        (["predict", "a.png"], None),
        (["predict", "*.png", "--show", "seen.png"], None),
        (["read", "missing.png"], "missing.png, a file of the reader's own"),
        (["read", "a.png", "--expect", r"\d\d/\d\d"], None),
        (["train", "fast"], "an extra, or a service"),
        (["explain", "a.png", "--out", "b.html"], "an extra, or a service"),
    ],
)
def test_it_runs_what_a_bare_installation_can(tmp_path, words, more):
    (tmp_path / "a.png").touch()
    assert usage.needs_more(words, tmp_path) == more


def test_a_command_that_fails_says_which_and_why(tmp_path):
    with pytest.raises(environment.CheckFailed, match=r"(?s)Expected: exit code 0. Received: 3.*broken here"):
        environment.run(["sh", "-c", "echo broken here; exit 3"], cwd=tmp_path)


def in_command(folder: Path, code: str) -> None:
    """EVERY_HELP, where the command line is one command whose help does this."""
    package = folder / "inkdigit" / "cli"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "app.py").write_text(
        f"import sys\nCOMMANDS = ['a']\nbuild = lambda names: lambda *_, **__: {code}\n", encoding="utf-8"
    )
    script = f"import sys; sys.path.insert(0, {str(folder)!r})\n{usage.EVERY_HELP}"
    environment.run([sys.executable, "-I", "-c", script], cwd=folder)


def test_it_sees_a_help_that_fails(tmp_path):
    in_command(tmp_path / "good", "sys.exit(0)")
    with pytest.raises(environment.CheckFailed, match=r"AssertionError: \('a', 3\)"):
        in_command(tmp_path / "bad", "sys.exit(3)")


@pytest.mark.posix
def test_a_service_that_does_not_listen_is_an_error(tmp_path, monkeypatch):
    program = tmp_path / "bin" / "inkdigit"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho waiting\nexec sleep 60\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(usage, "START_S", 0.5)
    with (
        pytest.raises(environment.CheckFailed, match=r"did not listen within 0 s, or ended:\nwaiting"),
        usage.service(environment.Environment(tmp_path, tmp_path)),
    ):
        pass


def test_it_stops_at_the_first_fault(capsys, monkeypatch):
    def fails() -> str:
        raise environment.CheckFailed("the citation is wrong")

    monkeypatch.setattr(check.files, "check", fails)
    assert check.main([]) == 1
    assert capsys.readouterr().out.splitlines() == ["files   FAILED", "the citation is wrong"]


def test_it_sees_what_is_too_much_in_a_wheel(tmp_path, monkeypatch):
    import zipfile

    source = tmp_path / "src"
    shutil.copytree(ROOT / "src" / "inkdigit" / "page", source / "page", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(packages, "SOURCE", source)
    wheel = tmp_path / "a.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path in source.rglob("*.py"):
            archive.write(path, f"inkdigit/{path.relative_to(source)}")
        archive.writestr("tests/test_a.py", "")
    with pytest.raises(environment.CheckFailed, match=r"other files than the package: tests/test_a.py"):
        packages.check_contents(wheel)
