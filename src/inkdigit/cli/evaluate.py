"""`inkdigit evaluate`: how well a model does on labelled images, as they are or corrupted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from inkdigit.cli import talk
from inkdigit.errors import UsageError
from inkdigit.report import numbers

if TYPE_CHECKING:
    from inkdigit.measure.metrics import Metrics
    from inkdigit.measure.robustness import Robustness, Row
    from inkdigit.types import Split


def evaluate(
    model: Annotated[str, typer.Argument(help="A bundled model, a run or its name, or an .onnx file.")],
    data: Annotated[str, typer.Option(help="SOURCE: a name, a folder, a CSV or an .npz.")] = "mnist",
    split: Annotated[
        str,
        typer.Option(
            help="test or train. In a source without a test split, test is all that the model has not learned from."
        ),
    ] = "test",
    task: Annotated[
        str,
        typer.Option(help="predict: one digit in each image. read: numbers; --data is then a CSV of file and label."),
    ] = "predict",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    corruptions: Annotated[
        bool, typer.Option("--corruptions", help="Corrupt the images with the fifteen kinds of MNIST-C.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="With --corruptions: only this many images, the first ones.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="With --corruptions: also write corruptions.html and .json there."),
    ] = None,
) -> None:
    """Measure a model on labelled images: accuracy with its interval, and each class.

    Example: inkdigit evaluate fast --data mnist
    """
    if split not in ("test", "train"):
        raise UsageError(f"Unknown split {split!r}", expected="test or train")
    if not corruptions and (limit is not None or out is not None):
        raise UsageError(f"{'--limit' if out is None else '--out'} needs --corruptions")
    if task not in ("predict", "read"):
        raise UsageError(f"Unknown task {task!r}", expected="predict or read")
    if task == "read" and corruptions:
        raise UsageError("--corruptions excludes --task read")
    chosen = cast("Split", split)
    with talk.interruptible():
        if task == "read":
            _read(model, data, as_json=as_json)
        elif corruptions:
            _corrupt(model, data, chosen, limit, out, as_json=as_json)
        else:
            _evaluate(model, data, chosen, as_json=as_json)


def _evaluate(model: str, data: str, split: Split, *, as_json: bool) -> None:
    from inkdigit.measure.metrics import evaluate as measure

    metrics = measure(model, data, split=split, log=talk.note)
    if as_json:
        talk.say(json.dumps(metrics.to_json()))
    else:
        _print(metrics)


def _read(model: str, data: str, *, as_json: bool) -> None:
    from inkdigit.measure import reading
    from inkdigit.reading.reader import Reader

    measured = reading.evaluate(Reader.load(model), reading.read_labels(Path(data)))
    if as_json:
        talk.say(json.dumps(measured.to_json()))
        return
    low, high = measured.digits_right_ci95
    talk.say(f"{measured.model} on {data}, {measured.n:,} pictures")
    talk.say(
        f"Digits right   {talk.percent(measured.digits_right)} (95 % interval {100 * low:.2f} to {100 * high:.2f})"
    )
    talk.say(f"All right      {talk.percent(measured.text_right)}")
    talk.say(f"Wrong digits   {talk.percent(measured.character_errors)} of all")
    right = "" if measured.right_of_answered is None else f", {talk.percent(measured.right_of_answered)} of these right"
    talk.say(f"Answered       {talk.percent(measured.answered)}{right}")
    for level, share in measured.coverage.items():
        known = "none" if share is None else talk.percent(share)
        talk.say(f"Coverage       {known} at {100 * float(level):g} % accuracy")


def _corrupt(model: str, data: str, split: Split, limit: int | None, out: Path | None, *, as_json: bool) -> None:
    from inkdigit.measure import robustness
    from inkdigit.report import robustness as robustness_page

    with nullcontext() if out is None else robustness_page.claimed(out):
        with _bar() as progress:
            measured = robustness.evaluate_corruptions(
                model, data, split=split, limit=limit, log=talk.note, progress=progress
            )
        if as_json:
            talk.say(json.dumps(measured.to_json()))
        else:
            _print_corruptions(measured)
        if out is not None:
            talk.note(f"\nPage written to {robustness_page.write(out, measured)}")
    if out is None and not as_json:
        talk.next_steps(["inkdigit", "evaluate", model, "--corruptions", "--data", data, "--out", "corrupted"])


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    """A progress bar over all pairs of kind and level."""
    if not talk.shows_progress():
        yield lambda _done, _all: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("corrupted images", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _print_corruptions(measured: Robustness) -> None:
    from inkdigit.measure.robustness import UNSEEN

    clean = measured.clean
    first = "" if clean.n == measured.total else f"the first {clean.n:,} of "
    talk.say(f"{clean.model} on {clean.data} ({measured.split}), {first}{measured.total:,} images")
    talk.say(f"Not corrupted  {talk.percent(clean.accuracy)}")
    spread = f"standard deviation {numbers.percent(measured.deviation)} over {len(measured.rows)} kinds"
    lowest = f"lowest: {measured.lowest.kind.title}, {talk.percent(measured.lowest.named.accuracy)}"
    talk.say(f"Mean at *      {talk.percent(measured.mean)}  ({spread}; {lowest})")
    if measured.mean_unseen is not None:
        kinds = f"{numbers.plural(len(measured.unseen), 'kind')} without a mark"
        talk.say(f"Mean, unseen   {talk.percent(measured.mean_unseen)}  ({kinds}, see below)")
    talk.say(f"Answered at *  {talk.percent(measured.answered)}\n")
    levels = max(len(row.levels) for row in measured.rows)
    header = ["kind", *(f"level {i + 1} " for i in range(levels)), "answered", "of these right", ""]
    talk.table([header, *(_cells(row, levels) for row in measured.rows)], left=1)
    talk.say("\n* the level of MNIST-C, for which the share answered is given")
    if any(row.in_training for row in measured.rows):
        talk.say("† training did something similar")
    if any(row.undone for row in measured.rows):
        talk.say("‡ the preprocessing undoes it")
    if measured.unseen:
        talk.say(UNSEEN)
    elif any(row.in_training is None for row in measured.rows):
        talk.say("The card does not say what training did to its images.")


def _cells(row: Row, levels: int) -> list[str]:
    """One line of the table of kinds."""
    cells = [
        f"{numbers.percent(metrics.accuracy)}{'*' if i + 1 == row.kind.named else ' '}"
        for i, metrics in enumerate(row.levels)
    ]
    named = row.named
    right = "–" if named.accuracy_answered is None else numbers.percent(named.accuracy_answered)
    answered = numbers.percent(named.answered / named.n)
    marks = f"{'†' if row.in_training else ' '}{'‡' if row.undone else ''}"
    return [row.kind.title, *cells, *[""] * (levels - len(cells)), answered, right, marks]


def _print(metrics: Metrics) -> None:
    talk.say(f"{metrics.model} on {metrics.data} ({metrics.split}), {metrics.n:,} images")
    talk.say(f"Accuracy    {talk.percent(metrics.accuracy)}  ({talk.interval(metrics.accuracy_ci95)})")
    answered = f"Answered    {metrics.answered:,}"
    if metrics.accuracy_answered is not None:
        answered += f", of these right {talk.percent(metrics.accuracy_answered)}"
    talk.say(answered)
    if metrics.nll is not None:
        talk.say(
            f"Confidence  negative log-likelihood {metrics.nll:.4f}, Brier score {metrics.brier:.4f}, "
            f"calibration error {metrics.ece:.4f}"
        )
    if metrics.coverage_at_999 is not None:
        share = talk.percent(metrics.coverage_at_999)
        talk.say(f"Coverage    {share} at 99.9 % accuracy (confidence from {metrics.confidence_at_999:.4f})")
    width = max(5, *(len(name) for name in metrics.classes))
    talk.say(f"\n{'class':>{width}}  precision  recall      F1    images")
    for name, row in metrics.per_class.items():
        talk.say(f"{name:>{width}}  {row.precision:9.4f}  {row.recall:6.4f}  {row.f1:6.4f}  {row.support:8,}")
