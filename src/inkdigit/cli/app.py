"""The command line: the commands by name, and how an error is printed.

In: `sys.argv`. Out: answers on stdout, messages on stderr, an exit code. Each command has its own file; a large library
is imported inside the command that needs it.
"""

from __future__ import annotations

import errno
import io
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from inkdigit.cli import (
    adapt,
    audit,
    batch,
    benchmark,
    compare,
    corrections,
    data,
    ensemble,
    evaluate,
    explain,
    export,
    info,
    models,
    predict,
    read,
    recipes,
    serve,
    talk,
    train,
    tune,
)
from inkdigit.cli.recipe_options import WithFields
from inkdigit.errors import InkdigitError, UsageError

app = typer.Typer(
    name="inkdigit",
    help="Read handwritten digits: train a model from raw data, read images with it, and measure how well it reads.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
app.command(cls=WithFields)(train.train)
app.command()(tune.tune)
app.command()(evaluate.evaluate)
app.command()(benchmark.benchmark)
app.command()(compare.compare)
app.command()(predict.predict)
app.command()(predict.submit)
app.command()(read.read)
app.command()(batch.batch)
app.command()(serve.serve)
app.add_typer(corrections.app, name="corrections")
app.command()(explain.explain)
app.command(cls=WithFields)(train.kaggle)
app.command()(export.export)
app.command()(ensemble.ensemble)
app.command()(adapt.adapt)
app.add_typer(data.app, name="data")
app.command()(audit.audit)
app.command()(recipes.recipes)
app.command()(models.models)
app.command()(info.info)
app.command("first-run", hidden=True)(train.first_run)


@app.callback(invoke_without_command=True)
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


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line: an `InkdigitError` is one line and an exit code, Ctrl-C is 130, a bug stays a traceback.

    `argv` are the words after the name of the program; None stands for those of this process.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # the name of a file may not be valid text
    try:
        try:
            app(argv)
        except OSError as exc:  # Typer printed help itself; for files, `files.writing` has raised an OutputError
            if exc.errno != errno.ENOSPC:
                raise
            raise talk.stdout_fails(exc) from exc
    except InkdigitError as exc:
        typer.echo(f"Error: {exc}", err=True)
        sys.exit(exc.exit_code)


if __name__ == "__main__":
    main()
