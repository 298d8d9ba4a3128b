"""What the documentation says is true: its code runs, its commands exist, its links lead somewhere."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import inkdigit
from inkdigit.cli.app import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = re.findall(r"^    (?:\$ )?(inkdigit .*?)(?:  +#.*)?$", README, re.MULTILINE)


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_the_python_of_the_readme_runs(code, tmp_path, monkeypatch):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})


@pytest.mark.parametrize("line", COMMANDS)
def test_the_commands_of_the_readme_are_what_the_command_line_takes(line):
    command = typer.main.get_command(app)
    words = shlex.split(line)[1:]
    context = None
    while True:  # parse as the command line would, without running anything
        context = command.make_context(words[0] if words else "inkdigit", list(words), parent=context)
        if not getattr(command, "commands", None):
            return
        rest = [*context._protected_args, *context.args]
        command, words = command.commands[rest[0]], rest[1:]


def leaves(group, words=()):
    for name, command in group.commands.items():
        if getattr(command, "commands", None):
            yield from leaves(command, (*words, name))
        else:
            yield (*words, name), command


@pytest.mark.parametrize(("words", "command"), list(leaves(typer.main.get_command(app))))
def test_every_command_says_what_it_does_and_shows_how(words, command):
    first, *rest = command.help.strip().split("\n\n")
    assert first.endswith(".")
    assert f"Example: inkdigit {' '.join(words)}" in " ".join(rest)
    page = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    assert command.hidden or f"## `inkdigit {' '.join(words)}`" in page


def test_the_generated_pages_are_what_the_code_says():
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "generate.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "room", ["accuracy", "hardening", "mistakes", "models", "notebooks", "robustness", "serving", "speed"]
)
def test_the_pages_of_figures_are_what_was_measured(room, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [room, "--check"])
    assert importlib.import_module(f"benchmarks.{room}.page").main() == 0, capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    broken = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert broken == []


def test_the_public_names_are_in_the_readme_or_the_docs():
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [name for name in ("load", "train", "Recipe") if f"inkdigit.{name}" not in text] == []
    assert set(inkdigit.__all__) == set(dir(inkdigit)) - {"__version__"}
