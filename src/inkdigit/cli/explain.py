"""`inkdigit explain`: which ink of a picture decided, and what the network made of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inkdigit.cli import talk
from inkdigit.cli.predict import Model
from inkdigit.errors import InkdigitError, MissingExtra
from inkdigit.files import write_atomic
from inkdigit.runs import check_place

if TYPE_CHECKING:
    from inkdigit.model.recognizer import Recognizer
    from inkdigit.report.explain import Explained, Insight
    from inkdigit.training.explain import Internals
    from inkdigit.types import Floats, Gray, Prediction

MARKS = ".:+#"  # ink that spoke for the answer, by its share of the strongest
AGAINST = "-"  # ink that spoke against it, by more than a tenth of the strongest
PLACES = (
    ("upper left", "top", "upper right"),
    ("left", "middle", "right"),
    ("lower left", "bottom", "lower right"),
)


def explain(
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", help="The picture to explain.")],
    model: Model = "default",
    out: Annotated[Path | None, typer.Option(metavar="OUT.html", help="Write a page that shows it.")] = None,
) -> None:
    """Show which ink of a picture decided its answer, and what the network made of it.

    Example: inkdigit explain examples/7-pen-on-paper.png --out explained.html
    """
    from inkdigit.model.explain import occlusion
    from inkdigit.model.recognizer import Recognizer, find
    from inkdigit.picture.decode import decode
    from inkdigit.picture.prepare import prepare

    if out is not None:
        check_place(out, reads=[picture, find(model)])
    with talk.interruptible():
        recognizer = Recognizer.load(model)
        gray = decode(picture)
        (answer,) = recognizer.predict([gray])
        seen = prepare(gray, recognizer.prepare)
        inked = answer.best is not None and seen.any()  # plain pictures may be black all over, and are answered
        fall = occlusion(recognizer, seen, class_index=answer.best or 0) if inked else None
        facts = _facts(answer, seen, fall, recognizer)
        talk.say(f"{picture}  {_label(answer)}  {_sureness(answer, recognizer)}")
        for name, value in facts.items():
            talk.say(f"{name:<12}{value}")
        if fall is not None:
            talk.say(_drawn(seen, fall))
        if out is None:
            if fall is not None:
                chosen = [] if model == "default" else ["--model", model]
                talk.next_steps(["inkdigit", "explain", str(picture), *chosen, "--out", "explained.html"])
            return
        from inkdigit.report.explain import Explained

        told = None if fall is None else _insight(recognizer, seen, answer, fall)
        page = Explained(
            name=picture.name,
            given=gray,
            seen=seen,
            answer=_label(answer),
            sureness=_sureness(answer, recognizer),
            facts={**facts, "model": recognizer.name},
            insight=told,
            prepare=recognizer.prepare,
        )
        _write_page(out, page)


def _write_page(out: Path, explained: Explained) -> None:
    """Write the page of a picture, and say what is not on it."""
    from inkdigit.report import explain

    write_atomic(out, explain.page(explained))
    talk.say(f"\nPage        {out}")
    if explained.insight is not None and explained.insight.left_out:
        talk.note(explained.insight.left_out)


def _label(answer: Prediction) -> str:
    from inkdigit.types import NO_ANSWER  # NumPy is behind it, which costs every start of the command line a while

    return NO_ANSWER if answer.label is None else answer.label


def _sureness(answer: Prediction, recognizer: Recognizer) -> str:
    if answer.label is not None:
        return f"{answer.sureness} sure"
    guess = "" if answer.best is None else f" (perhaps {recognizer.classes[answer.best]}, {answer.sureness})"
    return f"{answer.reason}{guess}"


def _facts(answer: Prediction, seen: Gray, fall: Floats | None, recognizer: Recognizer) -> dict[str, str]:
    """What there is to say beside the answer: name → words."""
    runner_up = answer.runner_up(recognizer.classes)
    if runner_up is None:
        return {"decided by": "nothing: there is no ink to explain"}
    if fall is None:
        return {"runner-up": runner_up, "decided by": "no part of it: the picture is black all over"}
    return {"runner-up": runner_up, "decided by": _places(seen, fall, recognizer.classes[answer.best or 0])}


def _places(seen: Gray, fall: Floats, label: str) -> str:
    """The parts of the ink's box that hold most of what speaks for the answer, the strongest first."""
    import numpy as np

    from inkdigit.picture.prepare import ink_box

    box = ink_box(seen)
    weight = (np.maximum(fall, 0) * seen)[box] if box else np.zeros((1, 1))
    total = float(weight.sum())
    if not total:
        return f"no part by itself: none speaks for {label}"
    thirds = [[part.sum() / total for part in np.array_split(row, 3, axis=1)] for row in np.array_split(weight, 3)]
    shares = sorted(
        ((share, PLACES[y][x]) for y, row in enumerate(thirds) for x, share in enumerate(row)), reverse=True
    )
    most = shares[: 1 if shares[0][0] >= 0.5 else 2]
    held = sum(share for share, _ in most)
    return f"the {' and the '.join(place for _, place in most)}: {held * 100:.0f} % of what speaks for {label}"


def _drawn(seen: Gray, fall: Floats) -> str:
    """The ink in characters, two rows of pixels in one line, and what they mean."""
    import numpy as np

    ink = seen.reshape(14, 2, 28)
    total = ink.sum(axis=1)
    values = (fall * seen).reshape(14, 2, 28).sum(axis=1) / np.maximum(total, 1)  # (14, 28): the mean over the ink
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
    kept = lines[full[0] : full[-1] + 1] if full else []
    margin = min((len(line) - len(line.lstrip()) for line in kept if line), default=0)
    return [f"  {line[margin:]}" for line in kept]


def _insight(recognizer: Recognizer, seen: Gray, answer: Prediction, fall: Floats) -> Insight:
    """What the page shows; without PyTorch, or without weights in the file, occlusion alone and a word why."""
    from inkdigit.report.explain import Insight, Look

    best = answer.best or 0
    look = Look(seen, _label(answer), _sureness(answer, recognizer), fall)
    try:
        known = _internals(recognizer, seen, best)
    except InkdigitError as exc:
        left_out = f"Filters, feature maps and gradients are left out. {exc}"
        return Insight((look,), left_out=left_out, prepare=recognizer.prepare)
    if known.gradients is not None:
        look = replace(look, gradients=known.gradients[0])
    return Insight((look,), filters=known.filters, maps=known.maps, left_out=known.left_out, prepare=recognizer.prepare)


def _internals(recognizer: Recognizer, seen: Gray, best: int) -> Internals:
    try:
        from inkdigit.training.explain import internals
    except ModuleNotFoundError as exc:
        if (exc.name or "").startswith("inkdigit"):
            raise  # a bug of ours, no missing library
        raise MissingExtra(f"They need {exc.name}", "train") from exc
    return internals(recognizer, seen[None], [best])
