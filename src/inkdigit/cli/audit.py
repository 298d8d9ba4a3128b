"""`inkdigit audit`: which labels of a data set are likely wrong, and which images it contains twice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inkdigit.cli import talk
from inkdigit.cli.device import Device

if TYPE_CHECKING:
    from inkdigit.training.audit import Audited


def audit(
    source: Annotated[str, typer.Argument(help="SOURCE: a name, a folder, a CSV or an .npz.")],
    recipe: Annotated[
        str, typer.Option(help="A bundled recipe, or the path of a TOML file, for the networks that read the images.")
    ] = "fast",
    folds: Annotated[
        int, typer.Option(help="How many networks; each reads the images that it did not learn from.")
    ] = 5,
    seed: Annotated[int | None, typer.Option(help="Random seed, in place of the recipe's.")] = None,
    out: Annotated[Path | None, typer.Option(help="The directory to write; by default a new one in audits/.")] = None,
    top: Annotated[int, typer.Option(help="How many labels, and how many copies, the page shows.")] = 200,
    device: Device = "auto",
) -> None:
    """Find labels that are likely wrong and images that repeat another, and write a page to look through.

    Example: inkdigit audit mnist --recipe minute
    """
    with talk.interruptible(), talk.training_bar() as bar:
        with talk.requiring("An audit needs"):
            from inkdigit.training.audit import audit as audit_data
        audited = audit_data(
            source, recipe=recipe, folds=folds, seed=seed, out=out, top=top, device=device, log=talk.note, on_tick=bar
        )
    _print(audited)


def _print(audited: Audited) -> None:
    """Print the counts, and where the files are."""
    from inkdigit.measure.wrong_labels import SPLIT_NAMES
    from inkdigit.report.audit import ISSUES, PAGE

    audit = audited.audit
    for part in audit.parts:
        suspected, doubtful = audit.count("label", part.split), audit.count("doubt", part.split)
        talk.say(
            f"{SPLIT_NAMES[part.split].capitalize():<12}{suspected:,} of {part.n:,} labels suspected, "
            f"{doubtful:,} more doubtful ({talk.percent(part.doubts.agreement)} read as labelled)"
        )
    talk.say(
        f"Copies      {len(audit.copies):,}: {audit.contradictions:,} under two labels, "
        f"{audit.leaks:,} in training and test"
    )
    talk.say(f"List        {audited.folder / ISSUES}")
    talk.say(f"Page        {audited.folder / PAGE}")
    talk.note(
        "\nLook through the page in a browser: a suspected label may be right. Then correct the labels in the source."
    )
    talk.next_steps(["head", "-20", str(audited.folder / ISSUES)])
