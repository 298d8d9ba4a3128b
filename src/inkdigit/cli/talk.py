"""What the command line prints: answers on stdout, messages and progress on stderr, next steps at the end.

In: lines, ticks of a training, records of the library's log. Out: text for people; a progress bar only where stderr is
a terminal. With --quiet there are only answers and errors, with --verbose also what the library does meanwhile.
"""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby, takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from inkdigit.errors import OutputError, reason_of
from inkdigit.errors import requiring as requiring  # beside `interruptible`, for the commands
from inkdigit.report import numbers

if TYPE_CHECKING:
    from inkdigit.training.network.loop import Tick


WINDOWS = os.name == "nt"
LOG = logging.getLogger("inkdigit")


class Told(logging.Handler):
    """What the library logs, as messages on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record."""
        typer.echo(self.format(record), err=True)


def set_up(*, quiet: bool, verbose: bool) -> None:
    """Choose how much is said besides answers and errors."""
    LOG.handlers = [handler for handler in LOG.handlers if not isinstance(handler, Told)]
    LOG.addHandler(Told())
    LOG.setLevel(logging.ERROR if quiet else logging.DEBUG if verbose else logging.INFO)


def is_quiet() -> bool:
    """Whether only answers and errors are printed."""
    return LOG.level >= logging.ERROR


def shows_progress() -> bool:
    """Whether a progress bar is of use: somebody looks, and wants it."""
    return sys.stderr.isatty() and not is_quiet()


def say(line: object = "") -> None:
    """Print an answer.

    Raises:
        OutputError: stdout cannot be written, for example because its disk is full.
    """
    try:
        typer.echo(line)
    except BrokenPipeError:
        raise  # the reader has stopped, as `head` does
    except OSError as exc:
        raise stdout_fails(exc) from exc


def stdout_fails(exc: OSError) -> OutputError:
    """The error of an answer that cannot be written. Nothing more is written to stdout then.

    Otherwise Python would write the rest when the process ends, and fail once more with a traceback.
    """
    with suppress(OSError, ValueError):  # stdout is closed, or not a file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return OutputError(f"The answer cannot be written to stdout: {reason_of(exc)}")


def note(line: str) -> None:
    """Print a message that is not an answer, unless --quiet is set."""
    if not is_quiet():
        typer.echo(line, err=True)


def table(rows: Sequence[Sequence[str]], *, left: int) -> None:
    """Print columns as wide as their widest cell: the first `left` and the last are text, the others numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.ljust(width) if i < left or i == len(row) - 1 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        say("  ".join(cells).rstrip())


def next_steps(*commands: list[str]) -> None:
    """End a long command with the likely next ones."""
    note("\nNext:")
    program = _program()
    for command, *words in commands:
        note(f"  {_line([*(program if command == 'inkdigit' else [command]), *words])}")


def _program() -> list[str]:
    """The command as it can be called from here: in a fresh checkout it is in .venv, and not on the PATH."""
    own, here = Path(sys.argv[0]).absolute(), Path.cwd()
    if shutil.which("inkdigit"):
        return ["inkdigit"]
    if own.name == "__main__.py":
        python = Path(sys.executable)
        known = python.name if shutil.which(python.name) else str(python)
        return [str(python.relative_to(here)) if python.is_relative_to(here) else known, "-m", "inkdigit"]
    return [str(own.relative_to(here)) if own.is_relative_to(here / ".venv") else "inkdigit"]


def _line(words: list[str]) -> str:
    """A command as the shell of this system takes it; `env NAME=VALUE` and `head -N FILE` are those of Unix."""
    if not WINDOWS:
        return " > ".join(shlex.join(list(part)) for is_mark, part in groupby(words, ">".__eq__) if not is_mark)
    from subprocess import list2cmdline

    if words[0] == "head":
        return f"powershell Get-Content {list2cmdline(words[2:])} -TotalCount {words[1].removeprefix('-')}"
    command = words[words[0] == "env" :]
    variables = list(takewhile(lambda word: "=" in word, command))
    return "".join(f'set "{variable}" && ' for variable in variables) + list2cmdline(command[len(variables) :])


@contextmanager
def training_bar() -> Iterator[Callable[[Tick], None]]:
    """A progress bar for work of several trainings: speed, loss, validation accuracy, time left."""
    from inkdigit.training.progress import watching

    with watching(visible=shows_progress()) as progress:
        yield progress.tick


@contextmanager
def interruptible() -> Iterator[None]:
    """End a command that Ctrl-C stops with one line and exit code 130."""
    try:
        yield
    except KeyboardInterrupt as exc:
        note(f"\n{exc}" if str(exc) else "\nInterrupted.")
        raise typer.Exit(130) from exc


def count(n: int, noun: str) -> str:
    """1, "part" → "1 part"; 2,000 → "2,000 parts"."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def percent(fraction: float) -> str:
    """0.99034 → "99.03 %"."""
    return f"{numbers.percent(fraction)} %"


def interval(limits: Sequence[float]) -> str:
    """[0.9883, 0.9921] → "95 % interval 98.83–99.21"."""
    return f"95 % interval {numbers.percent_range(limits)}"


def reported(accuracy: float, limits: Sequence[float], n: int, *, split: str) -> str:
    """The accuracy of a model on the split that it reports on, with the number of images."""
    right = round(accuracy * n)
    return f"Accuracy    {percent(accuracy)} on the {split} split ({right:,} of {n:,}; {interval(limits)})"
