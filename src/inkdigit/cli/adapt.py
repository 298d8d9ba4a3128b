"""`inkdigit adapt`: a model that learns to read one more hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inkdigit.cli import talk
from inkdigit.errors import MissingExtra, UsageError

if TYPE_CHECKING:
    from inkdigit.training.adapt.outcome import Adapted, Change

MISREAD = 10  # files that are named


def adapt(
    model: Annotated[str, typer.Argument(help="A bundled model, a run directory or an .onnx file.")],
    data: Annotated[
        str, typer.Option(help="SOURCE of your labelled pictures, as a folder with one sub-folder a class.")
    ],
    out: Annotated[Path, typer.Option(metavar="FILE.onnx", help="The model file to write.")],
    replay: Annotated[
        str,
        typer.Option(metavar="SOURCE", help="What is rehearsed; drawn: digits that we draw; auto: the best at hand."),
    ] = "auto",
    steps: Annotated[int | None, typer.Option(help="How long to learn; else 120.")] = None,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn by lot.")] = 0,
) -> None:
    """Adapt a model to a few dozen of your own pictures without forgetting the others; measure both.

    Example: inkdigit adapt fast --data my-digits --out mine.onnx
    """
    if out.suffix != ".onnx":
        raise UsageError("This writes a model file", expected="--out with a name that ends in .onnx", received=out)
    with talk.interruptible(), talk.training_bar() as bar:
        try:
            from inkdigit.training.adapt import adapt as adapting
        except ModuleNotFoundError as exc:
            raise MissingExtra(f"Adapting a model needs {exc.name}", "train") from exc
        done = adapting.adapt(
            model,
            data,
            out=out,
            replay=replay,
            steps=adapting.STEPS if steps is None else steps,
            seed=seed,
            log=talk.note,
            on_tick=bar,
        )
    _tell(done)
    talk.next_steps(
        ["inkdigit", "predict", "picture.png", "--model", str(out)],
        ["inkdigit", "evaluate", str(out), "--data", data],
        ["inkdigit", "info", str(out)],
    )


def _tell(done: Adapted) -> None:
    """Print the table of before and after, and what is to be known of it."""
    how = "each by a network adapted without it" if done.folds else "its test part"
    flatters = "" if done.flatters is None else f"; flatters: {done.flatters}"
    talk.table(
        [
            ("Read right", "before", "after", "answered before", "after", "pictures", ""),
            _row("your pictures, unseen", done.own, how),
            _row("your pictures, learnt", done.learnt, "flatters: the file learnt from these"),
            _row("old pictures", done.old, f"{done.replay}{flatters}"),
        ],
        left=1,
    )
    talk.say()
    talk.say(f"Learnt from {', '.join(f'{n} × {name}' for name, n in done.pictures.items())}")
    talk.say(f"Model       {done.path} ({done.path.stat().st_size / 1000:,.0f} kB)")
    if done.way < 1:
        talk.note(f"It went {done.way:.0%} of the way: farther, it might have forgotten more of the old.")
    if done.own.after <= done.own.before:
        talk.note(
            "On your pictures that it has not seen it does no better than before: you may as well keep the old one."
        )
    if done.misread:
        talk.note("Still misread; look whether the labels are right:")
        for one in done.misread[:MISREAD]:
            talk.note(f"  {one.where}: labelled {one.label}, read as {one.read}")
        if len(done.misread) > MISREAD:
            talk.note(f"  and {len(done.misread) - MISREAD} more")


def _row(name: str, change: Change, how: str) -> tuple[str, ...]:
    counts = (change.before, change.after, change.answered_before, change.answered_after)
    return name, *(talk.percent(count / change.n) for count in counts), f"{change.n:,}", how
