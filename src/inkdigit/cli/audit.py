"""`inkdigit audit`: which labels of a data set are likely wrong, and which pictures are in it twice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inkdigit.cli import talk
from inkdigit.errors import MissingExtra

if TYPE_CHECKING:
    from inkdigit.training.audit import Audited


def audit(
    source: Annotated[str, typer.Argument(help="SOURCE: a name, a folder, a CSV or an .npz.")],
    recipe: Annotated[
        str, typer.Option(help="A bundled recipe, or the path of a TOML file: the networks that read.")
    ] = "fast",
    folds: Annotated[int, typer.Option(help="How many networks; each reads what it has not learnt.")] = 5,
    seed: Annotated[int | None, typer.Option(help="Another seed than the recipe's.")] = None,
    out: Annotated[Path | None, typer.Option(help="The directory to write; else under audits/.")] = None,
    top: Annotated[int, typer.Option(help="How many labels, and how many copies, the page shows.")] = 200,
) -> None:
    """Look for labels that are likely wrong and pictures that are there twice, and write a page to look through.

    Example: inkdigit audit mnist --recipe minute
    """
    with talk.interruptible(), talk.training_bar() as bar:
        try:
            from inkdigit.training.audit import audit as look
        except ModuleNotFoundError as exc:
            raise MissingExtra(f"An audit needs {exc.name}", "train") from exc
        found = look(source, recipe=recipe, folds=folds, seed=seed, out=out, top=top, log=talk.note, on_tick=bar)
    _tell(found)


def _tell(found: Audited) -> None:
    """Print how many were found, and where to look."""
    from inkdigit.measure.doubts import SPLIT_NAMES
    from inkdigit.report.audit import ISSUES, PAGE

    audit = found.audit
    for looked in audit.parts:
        suspected, doubted = audit.count("label", looked.split), audit.count("doubt", looked.split)
        talk.say(
            f"{SPLIT_NAMES[looked.split].capitalize():<12}{suspected:,} of {looked.n:,} labels suspected, "
            f"{doubted:,} more doubtful ({talk.percent(looked.doubts.agreement)} read as labelled)"
        )
    talk.say(
        f"Copies      {len(audit.copies):,}: {audit.contradictions:,} under two labels, "
        f"{audit.leaks:,} in training and test"
    )
    talk.say(f"List        {found.folder / ISSUES}")
    talk.say(f"Page        {found.folder / PAGE}")
    talk.note("\nLook through the page in a browser: a suspicion is no verdict. Then mend the labels where they stand.")
    talk.next_steps(["head", "-20", str(found.folder / ISSUES)])
