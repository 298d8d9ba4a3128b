"""The command line: the commands by name, and how an error is printed.

In: `sys.argv`. Out: answers on stdout, messages on stderr, an exit code. Each command has its own file; a large library
is imported inside the command that needs it, and of the commands only the one that is called: all of them take longer
than a prediction.
"""

from __future__ import annotations

import errno
import io
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Annotated, Any

import typer

from inkdigit.cli import talk
from inkdigit.cli.recipe_options import WithFields
from inkdigit.errors import InkdigitError, UsageError

# Each command and the file in this folder that has it, in the order of the help.
COMMANDS = {
    "train": "train",
    "tune": "tune",
    "evaluate": "evaluate",
    "benchmark": "benchmark",
    "compare": "compare",
    "predict": "predict",
    "submit": "predict",
    "read": "read",
    "batch": "batch",
    "serve": "serve",
    "corrections": "corrections",
    "explain": "explain",
    "kaggle": "train",
    "export": "export",
    "ensemble": "ensemble",
    "adapt": "adapt",
    "data": "data",
    "audit": "audit",
    "recipes": "recipes",
    "models": "models",
    "info": "info",
    "first-run": "train",
}
GROUPS = {"corrections", "data"}  # have commands of their own
WITH_FIELDS = {"train", "kaggle"}
HIDDEN = {"first-run"}


def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only answers and errors.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also say what is done meanwhile.")] = False,
) -> None:
    """Read handwritten digits: train a model from raw data, read images with it, and measure how well it reads."""
    if quiet and verbose:
        raise UsageError("--quiet and --verbose exclude each other", expected="at most one of them")
    talk.set_up(quiet=quiet, verbose=verbose)
    if version:
        from importlib.metadata import version as installed

        talk.say(installed("inkdigit"))
        raise typer.Exit


def build(names: Iterable[str] = COMMANDS) -> typer.Typer:
    """The command line with these commands."""
    app = typer.Typer(
        name="inkdigit",
        help=root.__doc__,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
    app.callback(invoke_without_command=True)(root)
    for name in names:
        module = import_module(f"inkdigit.cli.{COMMANDS[name]}")
        if name in GROUPS:
            app.add_typer(module.app, name=name)
            continue
        kind = WithFields if name in WITH_FIELDS else None
        app.command(name, cls=kind, hidden=name in HIDDEN)(getattr(module, name.replace("-", "_")))
    return app


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return build()


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line: an `InkdigitError` is one line and an exit code, Ctrl-C is 130, a bug stays a traceback.

    `argv` are the words after the name of the program; None stands for those of this process.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # the name of a file may not be valid text
    try:
        try:
            words = sys.argv[1:] if argv is None else argv
            called = next((word for word in words if not word.startswith("-")), None)
            build([called] if called in COMMANDS else COMMANDS)(argv)
        except OSError as exc:  # Typer printed help itself; for files, `files.writing` has raised an OutputError
            if exc.errno != errno.ENOSPC:
                raise
            raise talk.stdout_fails(exc) from exc
    except InkdigitError as exc:
        typer.echo(f"Error: {exc}", err=True)
        sys.exit(exc.exit_code)


if __name__ == "__main__":
    main()
