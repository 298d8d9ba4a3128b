"""`inkdigit explain`: which ink of an image decided, and what the network made of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inkdigit.cli import talk
from inkdigit.cli.own import Net, build_of
from inkdigit.cli.predict import Model

if TYPE_CHECKING:
    from inkdigit.types import Floats, Gray

MARKS = ".:+#"  # ink that spoke for the answer, by its share of the strongest
AGAINST = "-"  # ink that spoke against it, by more than a tenth of the strongest


def explain(
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", help="The image to explain.")],
    model: Model = "default",
    out: Annotated[Path | None, typer.Option(metavar="OUT.html", help="Write a page that shows it.")] = None,
    net: Net = None,
) -> None:
    """Show which ink of an image decided its answer, and what the network made of it.

    Example: inkdigit explain examples/7-pen-on-paper.png --out explained.html
    """
    from inkdigit.training.explain import explain as explain_picture

    with talk.interruptible():
        explanation = explain_picture(picture, model=model, out=out, net=build_of(net), log=talk.note)
    talk.say(f"{picture}  {explanation.answer}  {explanation.prediction.summary(explanation.classes)}")
    for name, value in explanation.facts.items():
        talk.say(f"{name:<12}{value}")
    if explanation.occlusion is not None:
        talk.say(drawing(explanation.image, explanation.occlusion))
    if out is not None:
        talk.say(f"\nPage        {out}")
    elif explanation.occlusion is not None:
        chosen = [] if model == "default" else ["--model", model]
        talk.next_steps(["inkdigit", "explain", str(picture), *chosen, "--out", "explained.html"])


def drawing(image: Gray, fall: Floats) -> str:
    """The ink in characters, two rows of pixels in one line, and what they mean."""
    import numpy as np

    ink = image.reshape(14, 2, 28)
    total = ink.sum(axis=1)
    values = (fall * image).reshape(14, 2, 28).sum(axis=1) / np.maximum(total, 1)  # (14, 28): the mean over the ink
    inked = ink.max(axis=1) > 64
    strongest = float(np.abs(values[inked]).max(initial=0.0)) or 1.0
    lines = []
    for row, there in zip(values / strongest, inked, strict=True):
        marks = (AGAINST if v < -0.1 else MARKS[min(int(max(v, 0) * len(MARKS)), len(MARKS) - 1)] for v in row)
        lines.append("".join(mark if ink else " " for mark, ink in zip(marks, there, strict=True)).rstrip())
    key = f"{' '.join(MARKS)}  what speaks for the answer, little to much;  {AGAINST}  against it"
    return "\n".join(("", *_without_margin(lines), "", key))


def _without_margin(lines: list[str]) -> list[str]:
    """The lines that are not empty at either end, indented by two."""
    full = [i for i, line in enumerate(lines) if line]
    inside = lines[full[0] : full[-1] + 1] if full else []
    margin = min((len(line) - len(line.lstrip()) for line in inside if line), default=0)
    return [f"  {line[margin:]}" for line in inside]
