"""`inkdigit explain`: which ink of an image decided, and what the network made of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inkdigit.cli import talk
from inkdigit.cli.own import Net, build_of
from inkdigit.cli.predict import Model
from inkdigit.errors import InkdigitError
from inkdigit.files import write_atomic
from inkdigit.runs import check_place

if TYPE_CHECKING:
    from inkdigit.model.explain import Explanation
    from inkdigit.model.recognizer import Recognizer
    from inkdigit.report.explain import Explained, Insight
    from inkdigit.types import Floats, Gray

MARKS = ".:+#"  # ink that spoke for the answer, by its share of the strongest
AGAINST = "-"  # ink that spoke against it, by more than a tenth of the strongest
NEEDS_TRAINING = "Filters, feature maps and gradients are left out."


def explain(
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", help="The image to explain.")],
    model: Model = "default",
    out: Annotated[Path | None, typer.Option(metavar="OUT.html", help="Write a page that shows it.")] = None,
    net: Net = None,
) -> None:
    """Show which ink of an image decided its answer, and what the network made of it.

    Example: inkdigit explain examples/7-pen-on-paper.png --out explained.html
    """
    from inkdigit.model import explain as occlusion
    from inkdigit.model.recognizer import Recognizer, find
    from inkdigit.picture.decode import decode

    if out is not None:
        check_place(out, reads=[picture, find(model)])
    with talk.interruptible():
        recognizer, given = Recognizer.load(model), decode(picture)
        explanation = occlusion.explain(recognizer, given)
        facts = _facts(explanation)
        talk.say(f"{picture}  {explanation.answer}  {explanation.prediction.summary(explanation.classes)}")
        for name, value in facts.items():
            talk.say(f"{name:<12}{value}")
        if explanation.occlusion is not None:
            talk.say(drawing(explanation.image, explanation.occlusion))
        if out is None:
            if explanation.occlusion is not None:
                chosen = [] if model == "default" else ["--model", model]
                talk.next_steps(["inkdigit", "explain", str(picture), *chosen, "--out", "explained.html"])
            return
        from inkdigit.report.explain import Explained

        explanation, insight = _insight(recognizer, explanation, net)
        facts = {**facts, "model": recognizer.name}
        _write_page(out, Explained(picture.name, given, explanation, facts, insight, recognizer.prepare))


def _write_page(out: Path, explained: Explained) -> None:
    """Write the page of an image, and say what is not on it."""
    from inkdigit.report.explain import page

    write_atomic(out, page(explained))
    talk.say(f"\nPage        {out}")
    if explained.insight is not None and explained.insight.left_out:
        talk.note(explained.insight.left_out)


def _facts(explanation: Explanation) -> dict[str, str]:
    """What there is to say beside the answer: name → words."""
    runner_up = explanation.prediction.runner_up(explanation.classes)
    if runner_up is None:
        return {"decided by": "nothing: there is no ink to explain"}
    if explanation.occlusion is None:
        return {"runner-up": runner_up, "decided by": "no part of it: the image is black all over"}
    return {"runner-up": runner_up, "decided by": places(explanation)}


def places(explanation: Explanation) -> str:
    """The regions of the ink's box that hold most of what speaks for the answer, the largest share first."""
    regions = explanation.regions()
    if not regions:
        return f"no part of it alone: none speaks for {explanation.class_name}"
    largest = regions[: 1 if regions[0][1] >= 0.5 else 2]
    names, share = " and the ".join(name for name, _ in largest), sum(share for _, share in largest)
    return f"the {names}: {share * 100:.0f} % of what speaks for {explanation.class_name}"


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


def _insight(recognizer: Recognizer, explanation: Explanation, net: str | None) -> tuple[Explanation, Insight | None]:
    """What the page shows; without PyTorch, or without weights in the file, occlusion and a sentence why."""
    from inkdigit.report.explain import Example, Insight

    if explanation.occlusion is None:
        return explanation, None
    try:
        with talk.requiring("They need"):
            from inkdigit.training.explain import explain_weights
        (explanation,), internals = explain_weights(recognizer, [explanation], net=build_of(net))
    except InkdigitError as exc:
        left_out = f"{NEEDS_TRAINING} {exc}"
        return explanation, Insight((Example(explanation),), left_out=left_out, prepare=recognizer.prepare)
    insight = Insight(
        (Example(explanation),),
        filters=internals.filters,
        maps=internals.maps,
        left_out=internals.left_out,
        prepare=recognizer.prepare,
    )
    return explanation, insight
