"""What the documentation says is true: its code runs, its commands exist, its links lead somewhere."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from inkdigit.cli.app import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = re.findall(r"^    (?:\$ )?(inkdigit .*?)(?:  +#.*)?$", README, re.MULTILINE)


def python(text: str) -> list[str]:
    """The blocks of Python in a page."""
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


ON_PYTHON = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")  # its second block trains: see test_estimator.py


@pytest.mark.posix
@pytest.mark.parametrize("code", [*python(README), python(ON_PYTHON)[0]])
def test_the_python_of_the_readme_runs(code, tmp_path, monkeypatch):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})


def parse(line: str) -> None:
    """Parse a command line as the program would, without running anything."""
    command, words = typer.main.get_command(app), shlex.split(line)[1:]
    while commands := getattr(command, "commands", None):
        name, *words = words
        command = commands[name]
    command.make_context(command.name, words)


def test_the_command_line_takes_the_commands_of_the_readme():
    wrong = {}
    for line in COMMANDS:
        try:
            parse(line)
        except Exception as exc:  # noqa: BLE001 - whatever it is, the line is wrong
            wrong[line] = repr(exc)
    assert wrong == {}
    assert len(COMMANDS) > 30


def leaves(group: Any, words: tuple[str, ...] = ()) -> Iterator[str]:
    """The words of every command that a user can see."""
    for name, command in group.commands.items():
        if getattr(command, "commands", None):
            yield from leaves(command, (*words, name))
        elif not command.hidden:
            yield " ".join((*words, name))


def test_every_command_has_its_section_in_the_docs():
    page = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    documented = re.findall(r"^## `inkdigit (.+)`$", page, re.MULTILINE)
    assert set(leaves(typer.main.get_command(app))) - set(documented) == set()


def test_the_generated_pages_are_what_the_code_says():
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "generate.py", "--check"], capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "room",
    ["accuracy", "hardening", "mistakes", "models", "notebooks", "reading", "robustness", "scale", "serving", "speed"],
)
def test_the_pages_of_figures_are_what_was_measured(room, capsys):
    assert importlib.import_module(f"benchmarks.{room}.page").main(["--check"]) == 0, capsys.readouterr().out


def test_links_lead_to_files_and_headings():
    broken = []
    for page in PAGES:
        for link, heading in re.findall(r"\]\(([^)#\s]*)(?:#([^)]*))?\)", page.read_text(encoding="utf-8")):
            target = page.parent / link if link else page
            if "://" not in link and not target.exists():
                broken.append(f"{page.name}: {link}")
            elif heading and target.suffix == ".md" and heading not in anchors(target):
                broken.append(f"{page.name}: {link}#{heading}")
    assert broken == []


def anchors(page: Path) -> set[str]:
    """What links to the headings of a page are called: small letters, hyphens for blanks, no other signs."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_first_public_names_are_in_the_readme_or_the_examples():
    text = README + (ROOT / "examples" / "minimal.py").read_text(encoding="utf-8")
    first = ("load", "open_arrays", "open_data", "train", "Recipe")
    assert [name for name in first if f"inkdigit.{name}(" not in text and f"inkdigit.{name}." not in text] == []
