"""`inkdigit evaluate`: how well a model does on labelled pictures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, cast

import typer

from inkdigit.cli import talk
from inkdigit.errors import UsageError

if TYPE_CHECKING:
    from inkdigit.types import Metrics, Split


def evaluate(
    model: Annotated[str, typer.Argument(help="A bundled model, a run directory or an .onnx file.")],
    data: Annotated[str, typer.Option(help="SOURCE: a name, a folder, a CSV or an .npz.")] = "mnist",
    split: Annotated[str, typer.Option(help="test or train; a source of one part is evaluated whole.")] = "test",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure a model on labelled pictures: accuracy with its interval, and each class.

    Example: inkdigit evaluate fast --data mnist
    """
    if split not in ("test", "train"):
        raise UsageError(f"Unknown split {split!r}", expected="test or train")
    from inkdigit.report.metrics import evaluate as measure

    with talk.interruptible():
        metrics = measure(model, data, split=cast("Split", split), log=talk.note)
    if as_json:
        talk.say(json.dumps(metrics.to_json()))
    else:
        _print(metrics)


def _print(metrics: Metrics) -> None:
    talk.say(f"{metrics.model} on {metrics.data} ({metrics.split}), {metrics.n:,} pictures")
    talk.say(f"Accuracy    {talk.percent(metrics.accuracy)}  ({talk.interval(metrics.accuracy_ci95)})")
    answered = f"Answered    {metrics.answered:,}"
    if metrics.accuracy_answered is not None:
        answered += f", of these right {talk.percent(metrics.accuracy_answered)}"
    talk.say(answered)
    if metrics.nll is not None:
        talk.say(f"Confidence  negative log-likelihood {metrics.nll:.4f}, calibration error {metrics.ece:.4f}")
    width = max(5, *(len(name) for name in metrics.classes))
    talk.say(f"\n{'class':>{width}}  precision  recall      F1  pictures")
    for name, row in metrics.per_class.items():
        talk.say(f"{name:>{width}}  {row.precision:9.4f}  {row.recall:6.4f}  {row.f1:6.4f}  {row.support:8,}")
