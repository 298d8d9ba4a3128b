"""`inkdigit predict` and `submit`: one answer per image."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inkdigit.cli import talk
from inkdigit.cli.lines import (
    PICTURES_HELP,
    Entry,
    Recursive,
    Server,
    Token,
    csv_line,
    entries_of,
    named,
    percent,
    say_left_out,
    six_places,
)
from inkdigit.cli.outputs import Force, check_new
from inkdigit.errors import PictureError, UsageError

if TYPE_CHECKING:
    from inkdigit.model.recognizer import Recognizer
    from inkdigit.report.submission import Submission
    from inkdigit.types import Gray

Answer = dict[str, Any]  # one line of --json
Classes = Callable[[str], Sequence[str]]  # the name of a model → its classes

CSV_COLUMNS = ("file", "label", "confidence", "reason", "error")

Model = Annotated[str, typer.Option(help="A bundled model, a run or its name, or an .onnx file.")]


def predict(
    pictures: Annotated[list[Path], typer.Argument(metavar="PICTURE…", help=PICTURES_HELP)],
    model: Model = "default",
    recursive: Recursive = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with a header.")] = False,
    accept_all: Annotated[
        bool, typer.Option("--accept-all", help="Accept every image that has ink, digit or not.")
    ] = False,
    min_confidence: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE", help="Reject answers below this confidence, 0 to 1; by default as the model says."
        ),
    ] = None,
    show: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.png", help="Also draw each image, its ink, the input of the network, and the answer."
        ),
    ] = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """Read the digit in each image, with a confidence.

    Example: inkdigit predict examples/7-pen-on-paper.png --show seen.png
    """
    if as_json and as_csv:
        raise UsageError("--json and --csv exclude each other", expected="at most one of them")
    if server is not None and (accept_all or min_confidence is not None or show is not None):
        raise UsageError(
            "--server excludes --accept-all, --min-confidence and --show", hint="The server decides these."
        )
    failed = False
    with talk.interruptible():
        entries = entries_of(pictures, recursive=recursive)
        if server is None:
            answers, classes = _predict_locally(
                entries, model, show, accept_all=accept_all, min_confidence=min_confidence
            )
        else:
            answers, classes = _ask_server(entries, None if model == "default" else model, server, token=token)
        if as_csv:
            talk.say(csv_line(CSV_COLUMNS))
        for answer in answers:
            talk.say(_line(answer, classes, as_json=as_json, as_csv=as_csv))
            failed |= "error" in answer
        if not recursive:
            say_left_out(pictures)
    if failed:
        raise typer.Exit(PictureError.exit_code)


def _predict_locally(
    entries: list[Entry], model: str, show: Path | None, *, accept_all: bool, min_confidence: float | None
) -> tuple[Iterator[Answer], Classes]:
    """Answer the images in this process, and draw a sheet of them for `show`."""
    from inkdigit.model.recognizer import Recognizer

    recognizer = Recognizer.load(model, accept_all=accept_all, min_confidence=min_confidence)
    if show is not None:
        from inkdigit.runs import check_place

        check_place(show, reads=[file for file, _ in entries])
    return _answers(entries, recognizer, show), lambda _: recognizer.classes


def _answers(entries: list[Entry], recognizer: Recognizer, show: Path | None) -> Iterator[Answer]:
    from inkdigit.types import entry

    sources = [source for _, source in entries]
    grays: dict[int, Gray] = {}
    sheet = []
    predictions = recognizer.predict_each(sources if show is None else _decoded(sources, grays))
    for i, ((file, _), answer) in enumerate(zip(entries, predictions, strict=True)):
        if i in grays and not isinstance(answer, PictureError):
            sheet.append((file, grays[i], answer))
        yield entry(str(file), answer, model=recognizer.name, ink=recognizer.ink)
    if show is not None and sheet:
        from inkdigit.files import write_atomic
        from inkdigit.report.sheet import draw

        write_atomic(show, draw(sheet, kind=recognizer.prepare))
        talk.note(f"Drawing written to {show}")


def _ask_server(
    entries: list[Entry], model: str | None, server: str, *, token: str | None
) -> tuple[Iterator[Answer], Classes]:
    """Have the server answer the images. Its model's classes are requested only when they are printed."""
    from inkdigit.client import ask, classes

    predictions = ask(server, [source for _, source in entries], token=token, model=model)
    return named(entries, predictions), cache(lambda name: classes(server, name, token=token))


def _decoded(sources: list[Path | bytes | PictureError], grays: dict[int, Gray]) -> Iterator[Gray | PictureError]:
    """Decode each image and store it in `grays` by its index, so that the sheet shows what was answered."""
    from inkdigit.picture.decode import decode

    for i, source in enumerate(sources):
        if isinstance(source, PictureError):
            yield source
            continue
        try:
            grays[i] = decode(source)
        except PictureError as exc:
            yield exc
        else:
            yield grays[i]


def _line(answer: Answer, classes: Classes, *, as_json: bool, as_csv: bool) -> str:
    """One answer as text, JSON or CSV."""
    if as_json:
        return json.dumps(answer, ensure_ascii=False)
    if as_csv:
        cells = {**answer, "confidence": six_places(answer.get("confidence"))}
        return csv_line(tuple(cells.get(column) for column in CSV_COLUMNS))
    file = answer["file"]
    if "error" in answer:
        return f"{file}  error: {answer['error']}"
    if answer["label"] is None:
        return f"{file}  —  {answer['reason']}{_guess(answer, classes)}"
    return f"{file}  {answer['label']}  {percent(answer['confidence'])}"


def _guess(answer: Answer, classes: Classes) -> str:
    """The most probable class of a rejected image, in brackets."""
    probs = answer["probs"]
    return "" if probs is None else f" (perhaps {classes(answer['model'])[probs.index(max(probs))]})"


def submit(
    test_csv: Annotated[Path, typer.Argument(metavar="TEST.csv", help="Kaggle's test.csv.")],
    model: Model,
    out: Annotated[Path, typer.Option(help="The submission to write.")] = Path("submission.csv"),
    force: Force = False,
) -> None:
    """Answer every row of Kaggle's test.csv: write the submission, and beside it a page and a grid of the answers.

    Example: inkdigit submit test.csv --model runs/my-run --out submission.csv
    """
    from inkdigit.report.submission import submit as answer

    check_new(out, force=force, reads=[test_csv])
    with talk.interruptible():
        say_submission(answer(model, test_csv, out, log=talk.note))


def say_submission(submission: Submission) -> None:
    """Print where a submission is, and what is beside it."""
    talk.say(f"Submission  {submission.path}")
    if submission.page is not None:
        talk.say(f"Answers     {submission.page}")
        talk.say(f"Grid        {submission.grid}")
