"""The code on the pages: Python runs, command lines are those of the program.

Blocks of Python on a page run in their order in one namespace, as in a notebook, in a folder that has only `examples/`.
`<!-- not run: why -->` before a block: it is only compiled. Command lines are parsed, not run: in blocks of `sh`, after
`$ ` in blocks of `console`, and in blocks that are indented.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from inkdigit.cli.app import app

from .conftest import PAGES, ROOT

PYTHON = re.compile(r"^(?:<!-- not run: (?P<why>.+?) -->\n+)?```python\n(?P<code>.*?)^```", re.DOTALL | re.MULTILINE)
FENCED = re.compile(r"^```(\w+)?\n(.*?)^```", re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"^    (?:\$ )?(.*\binkdigit .*)$", re.MULTILINE)
INLINE = re.compile(r"(?<!`)`(inkdigit [^`]+)`(?!`)")
BETWEEN = set("|&;<>")
ALONE = {"--version", "--help", "--quiet", "-q", "--verbose", "-v"}  # options of the program itself


PROGRAM = typer.main.get_command(app)


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


WITH_PYTHON = [page for page in PAGES if PYTHON.search(text_of(page))]


@pytest.mark.posix
@pytest.mark.parametrize("page", WITH_PYTHON, ids=name_of)
def test_the_python_of_a_page_runs(page, tmp_path, monkeypatch):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in PYTHON.finditer(text_of(page)):
        code = compile(block["code"], name_of(page), "exec")
        if block["why"] is None:
            exec(code, namespace)


def test_some_python_runs():
    run = [block for page in WITH_PYTHON for block in PYTHON.finditer(text_of(page)) if block["why"] is None]
    assert len(run) >= 5


def commands(text: str) -> Iterator[list[str]]:
    """The words of every command line of ours on a page."""
    lines = INDENTED.findall(FENCED.sub("", text))
    for language, block in FENCED.findall(text):
        rows = re.sub(r"\\\n\s*", " ", block).splitlines()
        if language in ("sh", "bash"):
            lines += rows
        elif language == "console":
            lines += [row.removeprefix("$ ") for row in rows if row.startswith("$ ")]
    for line in lines:
        yield from called(line)


def called(line: str) -> Iterator[list[str]]:
    """The calls of the program in a line of a shell: pipes and redirections end a call."""
    words = shlex.shlex(line, posix=True, punctuation_chars="".join(BETWEEN))
    words.whitespace_split = True
    call: list[str] = []
    for word in [*words, "|"]:
        if set(word) <= BETWEEN:
            if call[:1] == ["inkdigit"] or call[:3] == ["python", "-m", "inkdigit"]:
                yield call[call.index("inkdigit") + 1 :]
            call = []
        else:
            call.append(word)


def parse(words: list[str]) -> None:
    """Parse a command line as the program would, without running anything."""
    command, words = PROGRAM, list(words)
    while words and words[0] in ALONE:
        words.pop(0)
    while words and (members := getattr(command, "commands", None)):
        name, *words = words
        command = members[name]
    if "--help" not in words and "-h" not in words and not hasattr(command, "commands"):
        command.make_context(command.name, words)


def test_the_program_takes_every_command_line_of_the_pages():
    wrong, count = {}, 0
    for page in PAGES:
        for words in commands(text_of(page)):
            count += 1
            try:
                parse(words)
            except Exception as exc:  # noqa: BLE001 - whatever it is, the line is wrong
                wrong[f"{name_of(page)}: inkdigit {shlex.join(words)}"] = repr(exc)
    assert wrong == {}
    assert count > 100


def test_commands_and_options_within_the_text_exist():
    wrong = []
    for page in PAGES:
        for code in INLINE.findall(text_of(page)):
            command = PROGRAM
            words = code.split()[1:]
            while words and words[0] in getattr(command, "commands", {}):
                command = command.commands[words.pop(0)]
            known = {word for param in command.params for word in [*param.opts, *param.secondary_opts]} | ALONE
            options = {word.partition("=")[0] for word in words if word.startswith("--")}
            if (command is PROGRAM and words and words[0] not in ALONE and words[0].islower()) or options - known:
                wrong.append(f"{name_of(page)}: {code}")
    assert wrong == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("inkdigit predict a.png   # a picture", [["predict", "a.png"]]),
        ("cat a.png | inkdigit predict - > answer.txt", [["predict", "-"]]),
        ("pip install inkdigit && inkdigit models", [["models"]]),
        (r"inkdigit read a.png --expect '\d\d/\d\d'", [["read", "a.png", "--expect", r"\d\d/\d\d"]]),
        ("python -m inkdigit first-run", [["first-run"]]),
    ],
)
def test_calls_are_found_in_lines_of_a_shell(line, words):
    assert list(called(line)) == words
