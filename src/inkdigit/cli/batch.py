"""`inkdigit batch`: any number of pictures, on this machine or a cluster, into a folder of Parquet files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inkdigit.cli import talk

if TYPE_CHECKING:
    from inkdigit.scale.batch import Batch, Progress

INPUTS = "Folders, pictures, lists of files (.txt), .tar, .parquet or a CSV of pixels; also s3://."


def batch(
    inputs: Annotated[list[str], typer.Argument(metavar="IN…", help=INPUTS)],
    out: Annotated[Path, typer.Option(help="The folder of the Parquet files; a job that was begun there goes on.")],
    task: Annotated[str, typer.Option(help="predict: one digit a picture. read: whole numbers.")] = "predict",
    model: Annotated[str, typer.Option(help="A bundled model, a run or its name, or an .onnx file.")] = "default",
    engine: Annotated[str, typer.Option(help="local: processes of this machine. ray: a Ray cluster.")] = "local",
    address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="The cluster of --engine ray; by default one started here.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; by default one a core of this machine, or of the cluster.")
    ] = None,
    batch: Annotated[
        int, typer.Option(min=1, help="Pictures that a process decodes at a time: less memory with fewer.")
    ] = 256,
    part_rows: Annotated[
        int | None, typer.Option(min=1, help="Pictures in a part, which is done as a whole; by default 4096.")
    ] = None,
    column: Annotated[
        str | None, typer.Option(help="The column of Parquet files that holds the pictures, or their paths.")
    ] = None,
    accept_all: Annotated[bool, typer.Option("--accept-all", help="Refuse no picture that has ink.")] = False,
    expect: Annotated[
        str | None, typer.Option(metavar="PATTERN", help="With --task read: what each number fits.")
    ] = None,
    alphabet: Annotated[
        str | None, typer.Option(metavar="CHARACTERS", help="With --task read: the only characters that there are.")
    ] = None,
) -> None:
    """Predict or read any number of pictures, each exactly once, into a folder of Parquet files.

    Example: inkdigit batch scans/ --out answers --task read
    """
    from inkdigit.scale.batch import batch as run

    began = time.perf_counter()
    with talk.interruptible(), _bar() as show:
        done = run(
            inputs,
            out,
            task=task,
            model=model,
            engine=engine,
            address=address,
            workers=workers,
            batch=batch,
            part_rows=part_rows,
            column=column,
            accept_all=accept_all,
            expect=expect,
            alphabet=alphabet,
            log=talk.note,
            on_progress=show,
        )
    _print(done, time.perf_counter() - began)


def _print(done: Batch, seconds: float) -> None:
    """Print what was done."""
    answered = done.rows - done.errors - done.refused
    counts = f"{answered:,} answered, {done.refused:,} refused, {done.errors:,} that cannot be read"
    talk.say(f"Pictures    {done.rows:,}: {counts}")
    if done.skipped:
        talk.say(f"Left out    {talk.count(done.skipped, 'other file')}")
    talk.say(f"Parts       {done.parts:,}, {done.done:,} of them now, in {seconds:.1f} s")
    talk.say(f"Answers     {done.out}")


@contextmanager
def _bar() -> Iterator[Callable[[Progress], None]]:
    """A progress bar: pictures, rate, time left; none where stderr is no terminal."""
    if not talk.shows_progress():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("pictures"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task, began = bar.add_task("pictures", total=None, rate=""), time.perf_counter()

        def show(progress: Progress) -> None:
            rate = progress.now / max(time.perf_counter() - began, 1e-9)
            bar.update(task, completed=progress.done, total=progress.rows, rate=f"{rate:,.0f}/s")

        yield show
