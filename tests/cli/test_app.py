"""The front door: every command is described, an error is one line and its exit code, a bug stays a traceback."""

from __future__ import annotations

import inspect
import re
import shlex
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
import typer

from inkdigit import errors
from inkdigit.cli import app, look

from .conftest import assert_one_error, command, environment, run

ERRORS = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.InkdigitError)]


def commands() -> dict[str, object]:
    """Every command a user can see, by its words."""
    group = typer.main.get_command(app.app)
    found = {}
    for name, one in group.commands.items():
        inner = getattr(one, "commands", None)
        found |= {f"{name} {sub}": c for sub, c in inner.items()} if inner else {name: one}
    return {words: one for words, one in found.items() if not one.hidden}


COMMANDS = commands()


def test_these_are_the_commands():
    assert set(COMMANDS) == {
        *("train", "tune", "evaluate", "benchmark", "compare", "predict", "explain", "submit", "kaggle", "export"),
        *("ensemble", "adapt", "audit", "recipes", "models", "info"),
        *("data get", "data check", "serve", "corrections list", "corrections export", "corrections delete"),
    }


@pytest.mark.parametrize("words", COMMANDS)
def test_a_command_has_one_sentence_and_an_example(words):
    sentence, blank, example = inspect.cleandoc(COMMANDS[words].help).splitlines()
    assert re.fullmatch(r"[A-Z].*\.", sentence)
    assert blank == ""
    assert example.startswith(f"Example: inkdigit {words}")


@pytest.mark.parametrize("words", COMMANDS)
def test_an_example_is_one_that_the_command_takes(words):
    example = shlex.split(COMMANDS[words].help.partition("Example: inkdigit ")[2])
    COMMANDS[words].make_context(words, example[len(words.split()) :])


@pytest.mark.parametrize("words", COMMANDS)
def test_help_is_shown(inkdigit, words):
    said = inkdigit(*words.split(), "--help")
    assert (said.code, said.err) == (0, "")
    assert "Example:" in said.out
    for option in COMMANDS[words].params:
        if option.name != "help":
            assert option.help, f"{words} does not say what {option.name} is"


def test_the_front_page_names_every_command(inkdigit):
    said = inkdigit("--help")
    assert said.code == 0
    assert all(words.split()[0] in said.out for words in COMMANDS)
    assert "first-run" not in said.out
    assert inkdigit("-h").out == said.out


def test_the_version_is_printed(inkdigit):
    assert inkdigit("--version").out == f"{version('inkdigit')}\n"


@pytest.mark.parametrize("words", [["no-such-command"], ["train", "--no-such-option"], ["data", "nope"]])
def test_what_is_not_there_is_exit_2(inkdigit, words):
    said = inkdigit(*words)
    assert (said.code, said.out) == (2, "")
    assert "Traceback" not in said.err


@pytest.mark.parametrize("error", ERRORS, ids=lambda c: c.__name__)
def test_every_error_is_one_line_and_its_exit_code(inkdigit, monkeypatch, error):
    two = error in (errors.MissingExtra, errors.MalformedFile)

    def fail() -> None:
        raise error("It is", "wrong") if two else error("It is wrong")

    monkeypatch.setattr(look, "bundled", fail, raising=False)
    monkeypatch.setattr("inkdigit.training.recipe.bundled", fail)
    assert_one_error(inkdigit("recipes"), error.exit_code, "It is")


def test_a_bug_stays_a_traceback(monkeypatch):
    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("inkdigit.training.recipe.bundled", fail)
    monkeypatch.setattr("sys.argv", ["inkdigit", "recipes"])
    with pytest.raises(ZeroDivisionError):
        app.main()


def test_the_module_is_the_command():
    said = run("--version")
    assert (said.code, said.out, said.err) == (0, f"{version('inkdigit')}\n", "")


def test_an_error_in_a_process_of_its_own():
    said = run("train", "fast", "--set", "epochz=3")
    assert_one_error(said, 2, "unknown recipe key 'epochz'. Did you mean epochs?")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_answers_onto_a_full_disk_are_an_error():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command("recipes"), env=environment(), stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 9
    assert done.stderr.startswith("Error: The answer cannot be written to stdout: No space left on device.")
    assert "Traceback" not in done.stderr


def test_a_reader_that_has_enough_is_no_traceback():
    with subprocess.Popen(
        command("recipes"), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        _, err = process.communicate(timeout=60)
    assert "Traceback" not in err
