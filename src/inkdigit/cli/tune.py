"""`inkdigit tune`: many short trainings in search of a better recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inkdigit.cli import talk

if TYPE_CHECKING:
    from inkdigit.tune.tune import Tuned


def tune(
    recipe: Annotated[str, typer.Argument(help="A bundled recipe, or the path of a TOML file: where to start.")],
    trials: Annotated[int, typer.Option(min=1, help="How many trials, those of an earlier start included.")] = 20,
    space: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="What may change; else a bundled space.")
    ] = None,
    storage: Annotated[
        str | None, typer.Option(metavar="URL", help="Where the study lies; else study.db in the directory.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes at once; else one a processor.")] = None,
    data: Annotated[str | None, typer.Option(help="SOURCE to train on; else what the recipe names.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="The directory of the search; one that holds a search goes on.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed than the recipe's.")] = None,
) -> None:
    """Search for better fields of a recipe on held-out training pictures, and compare winner and start.

    Example: inkdigit tune classic --trials 20 --jobs 2
    """
    from inkdigit.tune import tune as search

    with talk.interruptible():
        tuned = search.tune(
            recipe, trials=trials, space=space, storage=storage, jobs=jobs, data=data, out=out, seed=seed, log=talk.note
        )
    _tell(tuned)


def _tell(tuned: Tuned) -> None:
    from inkdigit.tune.tune import PAGE, WINNER
    from inkdigit.tune.winner import spread

    start = "" if tuned.start is None else f"; the start {talk.percent(tuned.start)}"
    talk.say(
        f"Best        trial {tuned.best_number} of {tuned.trials}: "
        f"{talk.percent(tuned.best)} validation accuracy{start}"
    )
    if tuned.duel is not None:
        talk.say(f"Compared    {spread(tuned.duel.winner)}; the start {spread(tuned.duel.start)} (unseen pictures)")
    talk.say(f"Verdict     {tuned.verdict}")
    talk.say(f"Winner      {tuned.folder / WINNER}")
    talk.say(f"Page        {tuned.folder / PAGE}")
    talk.next_steps(["inkdigit", "train", str(tuned.folder / WINNER)])
