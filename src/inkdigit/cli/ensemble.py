"""`inkdigit ensemble`: one model file with several models that answer together, or one that reads shifted views."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inkdigit.cli import talk
from inkdigit.cli.outputs import Force, check_new
from inkdigit.cli.own import Net, build_of
from inkdigit.errors import UsageError

if TYPE_CHECKING:
    from inkdigit.model.recognizer import Recognizer
    from inkdigit.training.convert.ensemble import Joined


def ensemble(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...", help="Bundled models, runs, .onnx files, or the folder of a training with --seeds."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE.onnx", help="The model file to write.")],
    views: Annotated[
        int, typer.Option(help="5 or 9: also read the image shifted by a pixel, and answer with the mean.")
    ] = 1,
    name: Annotated[str | None, typer.Option(help="The name on its card; -views5 or -views9 is added.")] = None,
    data: Annotated[
        str | None, typer.Option(help="SOURCE that the models learned from; by default as on their cards.")
    ] = None,
    calibrated_as: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="An ensemble of their select twins, whose calibration is copied."),
    ] = None,
    net: Net = None,
    force: Force = False,
) -> None:
    """Join models in one file that answers with their mean; measure it on the split that they report on.

    Example: inkdigit ensemble runs/a runs/b runs/c --out three.onnx
    """
    if out.suffix != ".onnx":
        raise UsageError("The output is a model file", expected="--out with a name that ends in .onnx", received=out)
    check_new(out, force=force, reads=map(Path, [*models, *([calibrated_as] if calibrated_as else [])]))
    with talk.interruptible():
        with talk.requiring("Joining models needs"):
            from inkdigit.training.convert.ensemble import ensemble as join
        joined = join(
            models,
            out,
            views=views,
            name=name,
            data=data,
            calibrated_as=calibrated_as,
            net=build_of(net),
            log=talk.note,
        )
    _print(joined)
    talk.next_steps(["inkdigit", "predict", "picture.png", "--model", str(out)], ["inkdigit", "benchmark", str(out)])


def _print(joined: Joined) -> None:
    """Print the accuracy of each member and of the ensemble."""
    from inkdigit.model.recognizer import Recognizer

    out, metrics = joined.path, joined.metrics
    for member in joined.members:
        talk.say(f"Member      {_accuracy(member)}, {member.card.parameters:,} parameters: {member.path}")
    talk.say(talk.reported(metrics.accuracy, metrics.accuracy_ci95, metrics.n, split=metrics.split))
    card = Recognizer.load(out).card
    talk.say(f"Model       {out} ({out.stat().st_size / 1000:,.0f} kB, {card.parameters:,} parameters)")
    calibration = card.calibration
    if calibration.accept_score is None:
        talk.note("It is not calibrated: its members held out no images in common, or too few. See --calibrated-as.")
        return
    talk.say(f"Calibrated  temperature {calibration.temperature:g}, fitted on {calibration.fitted_on}")


def _accuracy(member: Recognizer) -> str:
    figures = member.card.figures
    return f"{talk.percent(figures['accuracy'])} ({figures['part']})" if figures else "not measured"
