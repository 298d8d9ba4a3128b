"""The front door: every command is described, an error is one line and its exit code, a bug stays a traceback."""

from __future__ import annotations

import inspect
import re
import shlex
import subprocess
import sys
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st

from inkdigit import __main__ as entry
from inkdigit import errors
from inkdigit.cli import app, talk
from inkdigit.errors import pip_install

from .conftest import Output, assert_one_error, command, environment, run

EXAMPLE = Path(__file__).parents[2] / "examples" / "7-pen-on-paper.png"

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
        *("train", "tune", "evaluate", "benchmark", "compare", "predict", "read", "explain", "submit", "kaggle"),
        *("export", "ensemble", "adapt", "audit", "batch", "recipes", "models", "info"),
        *("data get", "data check", "serve", "corrections list", "corrections export", "corrections delete"),
    }


def test_a_command_has_one_sentence_and_an_example_that_it_takes():
    for words, one in COMMANDS.items():
        sentence, blank, example = inspect.cleandoc(one.help).splitlines()
        assert re.fullmatch(r"[A-Z].*\.", sentence), words
        assert blank == "", words
        assert example.startswith(f"Example: inkdigit {words}")
        arguments = shlex.split(example.removeprefix("Example: inkdigit "))
        one.make_context(words, arguments[len(words.split()) :])


def test_help_is_shown_and_says_what_every_option_is(inkdigit):
    for words, one in COMMANDS.items():
        output = inkdigit(*words.split(), "--help")
        assert (output.code, output.err) == (0, ""), words
        assert "Example:" in output.out, words
        nameless = [option.name for option in one.params if option.name != "help" and not option.help]
        assert nameless == [], words


def test_the_front_page_names_every_command(inkdigit):
    output = inkdigit("--help")
    assert output.code == 0
    assert all(words.split()[0] in output.out for words in COMMANDS)
    assert "first-run" not in output.out
    assert inkdigit("-h").out == output.out


def test_the_version_is_printed(inkdigit):
    assert inkdigit("--version").out == f"{version('inkdigit')}\n"


@pytest.mark.parametrize("words", [["no-such-command"], ["train", "--no-such-option"], ["data", "nope"]])
def test_what_is_not_there_is_exit_2(inkdigit, words):
    output = inkdigit(*words)
    assert (output.code, output.out) == (2, "")
    assert "Traceback" not in output.err


@pytest.fixture
def raising(monkeypatch):
    """Let `inkdigit recipes` raise an error: most of them take a broken machine."""

    def prepare(error: Exception) -> None:
        def fail() -> None:
            raise error

        monkeypatch.setattr("inkdigit.training.recipe.bundled", fail)

    return prepare


def test_every_error_is_one_line_and_its_exit_code(inkdigit, raising):
    for error in ERRORS:
        two = error in (errors.MissingExtra, errors.MalformedFile)
        raising(error("It is", "wrong") if two else error("It is wrong"))
        assert_one_error(inkdigit("recipes"), error.exit_code, "It is")


def test_a_bug_stays_a_traceback(inkdigit, raising):
    raising(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        inkdigit("recipes")


def test_the_module_is_the_command():
    output = run("--version")
    assert (output.code, output.out, output.err) == (0, f"{version('inkdigit')}\n", "")


def test_an_error_in_a_process_of_its_own():
    output = run("train", "fast", "--set", "epochz=3")
    assert_one_error(output, 2, "unknown recipe key 'epochz'. Did you mean epochs?")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize("words", ["recipes", "--version", "--help", "info"])
def test_answers_onto_a_full_disk_are_an_error(words):
    plain = {name: value for name, value in environment().items() if name != "PYTHONUNBUFFERED"}
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            command(words), env=plain, stdout=full, stderr=subprocess.PIPE, encoding="utf-8", check=False
        )
    assert done.returncode == 9
    assert done.stderr == "Error: The answer cannot be written to stdout: No space left on device.\n"


def test_a_reader_that_has_enough_is_no_traceback():
    with subprocess.Popen(
        command("recipes"), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        _, err = process.communicate(timeout=60)
    assert "Traceback" not in err


def test_the_command_is_the_module():
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert 'inkdigit = "inkdigit.__main__:main"' in text
    assert {found.attr for found in entry_points(group="console_scripts", name="inkdigit")} <= {"main"}


BLOCK = """\
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] == {library!r}:
            raise {error}
sys.meta_path.insert(0, Block())
sys.argv = ['inkdigit', *{words!r}]
from inkdigit.__main__ import main
main()
"""
GONE = "ModuleNotFoundError(f'No module named {name!r}', name=name)"
BROKEN = "ImportError('libGL.so.1: cannot open shared object file', name=name + '.core', path='/x/core.so')"


def run_without(library: str, error: str, *words: object) -> Output:
    """Call the command line in a process that cannot import a library."""
    code = BLOCK.format(library=library, error=error, words=[*map(str, words)])
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, encoding="utf-8", check=False
    )
    return Output(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("library", "words"),
    [
        ("onnxruntime", ["predict", EXAMPLE, "--model", "tiny"]),
        ("numpy", ["predict", EXAMPLE]),
        ("PIL", ["predict", EXAMPLE]),
        ("onnxruntime", ["info"]),
        ("pydantic", ["recipes"]),
        ("rich", ["--help"]),
        ("typer", ["--version"]),
    ],
)
def test_a_library_that_is_missing_is_one_line(library, words):
    output = run_without(library, GONE, *words)
    assert_one_error(
        output, 7, f"Inkdigit needs {library}, which is not installed. Install it again with: pip install "
    )


@pytest.mark.parametrize(("library", "words"), [("PIL", ["predict", EXAMPLE, "--model", "tiny"]), ("typer", ["info"])])
def test_a_library_that_cannot_be_loaded_says_why(library, words):
    output = run_without(library, BROKEN, *words)
    assert_one_error(output, 7, f"{library} cannot be loaded: libGL.so.1: cannot open shared object file. Install ")


@pytest.mark.parametrize("error", [GONE, BROKEN, "ImportError('no such name', name=name)"])
def test_a_room_of_ours_that_is_missing_is_a_bug(error):
    output = run_without("inkdigit", error.replace("raise", ""), "info")
    assert output.code == 1
    assert "Traceback" in output.err


def test_what_serving_needs_is_an_extra():
    output = run_without("click", GONE, "serve", "--port", "0")  # uvicorn's
    assert_one_error(output, 7, f"Serving needs click. Install it with: {pip_install('serve')}")


def test_what_belongs_to_python_is_not_installed_with_pip():
    error = entry.describe(ModuleNotFoundError("No module named '_sqlite3'", name="_sqlite3"))
    assert "pip" not in str(error)
    assert "Python" in str(error)


NAMES = st.none() | st.sampled_from(["PIL", "numpy._core.multiarray", "inkdigit.types", "_sqlite3"])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=900), NAMES), min_size=1, max_size=4), st.booleans())
def test_whatever_a_library_says_is_one_line(chain, is_gone):
    """NumPy explains itself over a page, and other libraries raise errors without a name."""
    error: ImportError | None = None
    for i, (text, name) in enumerate(chain):
        kind = ModuleNotFoundError if is_gone and i == 0 else ImportError
        one = kind(text, name=name)
        one.__cause__, error = error, one
    assert error is not None
    text = str(entry.describe(error))
    assert len(text) < 700
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["train", "fast", "--epochs", "3"], "Use --set epochs=3"),
        (["train", "fast", "--learning-rate=0.1"], "Use --set learning_rate=0.1"),
        (["train", "--batch", "--seed", "1", "fast"], "Use --set batch=…"),
        (["kaggle", "train.csv", "test.csv", "--epochs", "3"], "Use --set epochs=3"),
    ],
)
def test_a_field_of_the_recipe_taken_for_an_option_is_told(inkdigit, words, hint):
    assert_one_error(inkdigit(*words), 2, hint)


def test_other_unknown_options_are_what_they_were(inkdigit):
    output = inkdigit("train", "fast", "--sead", "3")
    assert output.code == 2
    assert "--seed" in output.err


def test_completion_can_be_installed(inkdigit):
    assert "--install-completion" in inkdigit("--help").out


def test_quiet_leaves_the_answers_and_errors(inkdigit):
    loud, quiet = inkdigit("recipes"), inkdigit("--quiet", "recipes")
    assert "Next:" in loud.err
    assert (quiet.code, quiet.out, quiet.err) == (0, loud.out, "")
    assert_one_error(inkdigit("-q", "train"), 2, "RECIPE")
    assert_one_error(inkdigit("-q", "-v", "info"), 2, "exclude each other")
    assert inkdigit("recipes").err == loud.err


def test_the_library_says_nothing_by_itself():
    code = "import inkdigit; inkdigit.load('tiny'); import logging; print(logging.getLogger('inkdigit').handlers)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
    assert done.stderr == ""
    assert "NullHandler" in done.stdout


def test_next_steps_name_the_program_as_it_can_be_called_here(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(talk, "WINDOWS", False)

    def shown(argv: Path | str, python: Path | str, *known: str) -> str:
        monkeypatch.setattr(sys, "argv", [str(argv)])
        monkeypatch.setattr(sys, "executable", str(python))
        monkeypatch.setattr(talk.shutil, "which", lambda name: name if name in known else None)
        talk.next_steps(["inkdigit", "info"])
        return capsys.readouterr().err.splitlines()[-1].strip()

    package, own = Path("/lib/inkdigit/__main__.py"), tmp_path / ".venv" / "bin"
    assert shown(package, own / "python") == f"{Path('.venv/bin/python')} -m inkdigit info"
    assert shown(own.parent / "lib" / "__main__.py", own / "python") == f"{Path('.venv/bin/python')} -m inkdigit info"
    assert shown(package, "/usr/bin/python3", "python3") == "python3 -m inkdigit info"
    assert shown(package, "/opt/python3") == f"{Path('/opt/python3')} -m inkdigit info"
    assert shown(package, "/opt/python3", "inkdigit") == "inkdigit info"
    assert shown(own / "inkdigit", own / "python") == f"{Path('.venv/bin/inkdigit')} info"


@pytest.mark.parametrize(
    ("command", "unix", "windows"),
    [
        (["head", "-3", "a b.csv"], "head -3 'a b.csv'", 'powershell Get-Content "a b.csv" -TotalCount 3'),
        (["env", "A=x y", "inkdigit", "info"], "env 'A=x y' inkdigit info", 'set "A=x y" && inkdigit info'),
        (["A=x", "python", "-c", "print(1)"], "A=x python -c 'print(1)'", 'set "A=x" && python -c print(1)'),
        (["inkdigit", "recipes", "fast", ">", "m.toml"], "inkdigit recipes fast > m.toml", None),
    ],
)
def test_next_steps_are_commands_of_the_system(capsys, monkeypatch, command, unix, windows):
    monkeypatch.setattr(talk.shutil, "which", lambda _: "inkdigit")
    for is_windows, expected in ((False, unix), (True, windows or unix)):
        monkeypatch.setattr(talk, "WINDOWS", is_windows)
        talk.next_steps(command)
        assert capsys.readouterr().err == f"\nNext:\n  {expected}\n"
