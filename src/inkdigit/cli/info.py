"""`inkdigit info`: the card of a model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from inkdigit.cli import talk
from inkdigit.errors import OtherTask

if TYPE_CHECKING:
    from inkdigit.reading.reader import Reader


def info(
    model: Annotated[str, typer.Argument(help="A bundled model, a run or its name, or an .onnx file.")] = "default",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show the card of a model: what it is and how it was made.

    Example: inkdigit info fast
    """
    from dataclasses import asdict

    from inkdigit.model.card import Ink
    from inkdigit.model.facts import facts
    from inkdigit.model.recognizer import Recognizer

    recognizer: Recognizer | Reader
    try:
        recognizer = Recognizer.load(model)
    except OtherTask:
        from inkdigit.reading.reader import Reader

        recognizer = Reader.load(model)
    card = recognizer.card
    if as_json:
        fields = json.loads(card.to_json())
        del fields["self_test"]
        if card.ink is not None or card.prepare == "ink":
            fields["prepare"]["installed_ink"] = asdict(Ink.installed())
        talk.say(json.dumps(fields, indent=1, ensure_ascii=False))
        return
    file = f"{recognizer.path} ({recognizer.path.stat().st_size / 1000:,.0f} kB)"
    for name, value in {"name": card.name, "file": file, **facts(card)}.items():
        talk.say(f"{name:<14}{value}")
