"""What commands share that write one file: whether it may replace another.

In: the place of a result. Out: an OutputError if something is there. The rule: a result that may have taken work (a
submission, a model file) replaces nothing without `--force`. A drawing or a page (`--show`, and `--out` of `compare`
and `explain`) replaces an older one: the same command makes it again. No command replaces a file that it reads, or one
of a run. In Python the file is replaced, as `open(path, "w")` does.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from inkdigit.errors import OutputError
from inkdigit.runs import check_place

Force = Annotated[bool, typer.Option("--force", help="Replace a file that is there already.")]


def check_new(out: Path, *, force: bool, reads: Iterable[Path] = ()) -> None:
    """Check that a result can be written to `out`, and that nothing is lost by it.

    Raises:
        OutputError: a file is there already and `force` is not set, or what `runs.check_place` says.
    """
    check_place(out, reads=reads)
    if out.is_file() and not force:
        raise exists_already(out)


def exists_already(out: Path) -> OutputError:
    """The error of a result that would replace another one."""
    return OutputError(f"{out} exists already", expected="a new name", hint="Use --force to replace it.")
