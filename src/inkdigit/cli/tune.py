"""`inkdigit tune`: many short trainings in search of a better recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inkdigit.cli import talk
from inkdigit.cli.device import Device

if TYPE_CHECKING:
    from inkdigit.tuning.tune import Tuned


def tune(
    recipe: Annotated[str, typer.Argument(help="The recipe to start from: a bundled one, or the path of a TOML file.")],
    trials: Annotated[int, typer.Option(min=1, help="How many trials in total, with those of earlier commands.")] = 20,
    space: Annotated[
        Path | None,
        typer.Option(metavar="FILE.toml", help="The fields to change and their limits; default: a bundled file."),
    ] = None,
    storage: Annotated[
        str | None, typer.Option(metavar="URL", help="The database of the study; default: study.db in the directory.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes at once; default: one for each core; on a GPU, one.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="SOURCE to train on; default: the recipe's data.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="The directory of the search; if it has a search, that one continues.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed, in place of the recipe's.")] = None,
    device: Device = "auto",
    engine: Annotated[str, typer.Option(help="local: processes of this machine. ray: of a cluster.")] = "local",
    address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="The cluster; by default Ray is started here.")
    ] = None,
) -> None:
    """Search for a better recipe on held-out training images, and compare it with the one you start from.

    Example: inkdigit tune classic --trials 20 --jobs 2
    """
    from inkdigit.tuning import tune as search

    with talk.interruptible():
        tuned = search.tune(
            recipe,
            trials=trials,
            space=space,
            storage=storage,
            jobs=jobs,
            data=data,
            out=out,
            seed=seed,
            device=device,
            engine=engine,
            address=address,
            log=talk.note,
        )
    _print(tuned)


def _print(tuned: Tuned) -> None:
    from inkdigit.tuning.tune import PAGE, WINNER
    from inkdigit.tuning.winner import spread

    start = "" if tuned.start is None else f"; the start {talk.percent(tuned.start)}"
    talk.say(
        f"Best        trial {tuned.best_number} of {tuned.trials}: "
        f"{talk.percent(tuned.best)} validation accuracy{start}"
    )
    if tuned.comparison is not None:
        winner, base = spread(tuned.comparison.winner), spread(tuned.comparison.start)
        talk.say(f"Compared    {winner}; the start {base} (images that no trial saw)")
    talk.say(f"Verdict     {tuned.verdict}")
    talk.say(f"Winner      {tuned.folder / WINNER}")
    talk.say(f"Page        {tuned.folder / PAGE}")
    talk.next_steps(*_next(tuned))


def _next(tuned: Tuned) -> list[list[str]]:
    """What the verdict recommends: train the winner, or the start; train both with more seeds if it is open."""
    from inkdigit.tuning.tune import START, WINNER

    start, winner = (["inkdigit", "train", str(tuned.folder / name)] for name in (START, WINNER))
    if tuned.comparison is None or tuned.comparison.gain <= 0:
        return [start]
    if tuned.comparison.interval[0] > 0:
        return [winner]
    return [[*start, "--seeds", "0-5"], [*winner, "--seeds", "0-5"]]
