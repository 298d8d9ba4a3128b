"""`inkdigit adapt`: adapt a model to one writer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inkdigit.cli import talk
from inkdigit.cli.device import Device
from inkdigit.cli.outputs import Force, check_new
from inkdigit.cli.own import Net, build_of
from inkdigit.errors import UsageError

if TYPE_CHECKING:
    from inkdigit.training.adapt.outcome import Adapted, Change

MAX_MISTAKES = 10  # files that are listed: half a terminal


def adapt(
    model: Annotated[str, typer.Argument(help="A bundled model, a run or its name, or an .onnx file.")],
    data: Annotated[
        str, typer.Option(help="SOURCE of your labelled images, such as a folder with a sub-folder for each class.")
    ],
    out: Annotated[Path, typer.Option(metavar="FILE.onnx", help="The model file to write.")],
    replay: Annotated[
        str,
        typer.Option(
            metavar="SOURCE",
            help="What to rehearse. drawn: drawn digits; auto: the model's training data if available, else drawn.",
        ),
    ] = "auto",
    steps: Annotated[int | None, typer.Option(help="Steps of training; default: 120.")] = None,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    device: Device = "auto",
    net: Net = None,
    force: Force = False,
) -> None:
    """Adapt a model to a few dozen of your own images without forgetting the old ones; measure both.

    Example: inkdigit adapt fast --data my-digits --out mine.onnx
    """
    if out.suffix != ".onnx":
        raise UsageError("This writes a model file", expected="--out with a name that ends in .onnx", received=out)
    check_new(out, force=force)
    with talk.interruptible(), talk.training_bar() as bar:
        with talk.requiring("Adapting a model needs"):
            from inkdigit.training.adapt import adapt as adapting
        done = adapting.adapt(
            model,
            data,
            out=out,
            replay=replay,
            steps=adapting.STEPS if steps is None else steps,
            seed=seed,
            device=device,
            net=build_of(net),
            log=talk.note,
            on_tick=bar,
        )
    print_changes(done)
    talk.next_steps(
        ["inkdigit", "predict", "picture.png", "--model", str(out)],
        ["inkdigit", "evaluate", str(out), "--data", data],
        ["inkdigit", "info", str(out)],
    )


def print_changes(done: Adapted) -> None:
    """Print the table of before and after, and what the user should know about it."""
    how = "each by a network adapted without it" if done.folds else "the test split"
    caveat = "" if done.caveat is None else f"; too high: {done.caveat}"
    talk.table(
        [
            ("Correct", "before", "after", "answered before", "after", "images", ""),
            _row("your images, held out", done.own, how),
            _row("your images, trained on", done.trained_on, "too high: the model was trained on these"),
            _row("old images", done.old, f"{done.replay}{caveat}"),
        ],
        left=1,
    )
    talk.say()
    talk.say(f"Trained on  {', '.join(f'{n} × {name}' for name, n in done.image_counts.items())}")
    talk.say(f"Model       {done.path} ({done.path.stat().st_size / 1000:,.0f} kB)")
    if done.fraction < 1:
        talk.note(
            f"{done.fraction:.0%} of the weight change was applied: with more, the model might forget old images."
        )
    if done.own.after <= done.own.before:
        talk.note("On your held-out images the new model is not better than the old one: you can keep the old one.")
    if done.mistakes:
        talk.note("Still wrong; check whether the labels are right:")
        for mistake in done.mistakes[:MAX_MISTAKES]:
            talk.note(f"  {mistake.file}: labelled {mistake.label}, predicted {mistake.predicted}")
        if len(done.mistakes) > MAX_MISTAKES:
            talk.note(f"  and {len(done.mistakes) - MAX_MISTAKES} more")


def _row(name: str, change: Change, how: str) -> tuple[str, ...]:
    counts = (change.before, change.after, change.answered_before, change.answered_after)
    return name, *(talk.percent(count / change.n) for count in counts), f"{change.n:,}", how
