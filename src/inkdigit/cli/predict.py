"""`inkdigit predict` and `submit`: answers, one a picture."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inkdigit.cli import talk
from inkdigit.errors import MissingExtra, PictureError, UsageError

if TYPE_CHECKING:
    from inkdigit.model.recognizer import Recognizer
    from inkdigit.types import Gray

Entry = tuple[Path, PictureError | None]  # a file, or what is wrong with the folder that was named
Answer = dict[str, Any]  # a line of --json
Classes = Callable[[str], Sequence[str]]  # the name of a model → its classes

CSV_COLUMNS = ("file", "label", "confidence", "reason", "error")

Model = Annotated[str, typer.Option(help="A bundled model, a run directory or an .onnx file.")]


def predict(
    pictures: Annotated[list[Path], typer.Argument(metavar="PICTURE…", help="Pictures, or folders of pictures.")],
    model: Model = "default",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV with a header.")] = False,
    accept_all: Annotated[bool, typer.Option("--accept-all", help="Answer whatever has ink, digit or not.")] = False,
    min_confidence: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Unsure below this confidence, 0 to 1; else as the model says."),
    ] = None,
    show: Annotated[
        Path | None, typer.Option(metavar="OUT.png", help="Draw picture, ink, what the network saw, and answer.")
    ] = None,
    server: Annotated[
        str | None, typer.Option(metavar="URL", help="Have a running `inkdigit serve` answer, with a model of its own.")
    ] = None,
    token: Annotated[
        str | None, typer.Option(envvar="INKDIGIT_TOKEN", help="The token that the server asks for.")
    ] = None,
) -> None:
    """Read the digit in each picture, with its confidence.

    Example: inkdigit predict examples/7-pen-on-paper.png --show seen.png
    """
    if as_json and as_csv:
        raise UsageError("--json and --csv exclude each other", expected="one of them, or neither")
    if server is not None and (accept_all or min_confidence is not None or show is not None):
        raise UsageError("--server excludes --accept-all, --min-confidence and --show", hint="The server decides.")
    failed = False
    with talk.interruptible():
        entries = [entry for picture in pictures for entry in _expand(picture)]
        if server is None:
            answers, classes = _answered_here(
                entries, model, show, accept_all=accept_all, min_confidence=min_confidence
            )
        else:
            answers, classes = _answered_there(entries, None if model == "default" else model, server, token=token)
        if as_csv:
            talk.say(_csv_line(CSV_COLUMNS))
        for answer in answers:
            talk.say(_line(answer, classes, as_json=as_json, as_csv=as_csv))
            failed |= "error" in answer
    if failed:
        raise typer.Exit(PictureError.exit_code)


def _answered_here(
    entries: list[Entry], model: str, show: Path | None, *, accept_all: bool, min_confidence: float | None
) -> tuple[Iterator[Answer], Classes]:
    """Have this process answer the pictures, and draw a sheet of them if it is to."""
    from inkdigit.model.recognizer import Recognizer

    recognizer = Recognizer.load(model, accept_all=accept_all, min_confidence=min_confidence)
    if show is not None:
        from inkdigit.runs import check_place

        check_place(show, reads=[file for file, _ in entries])
    return _answers(entries, recognizer, show), lambda _: recognizer.classes


def _answers(entries: list[Entry], recognizer: Recognizer, show: Path | None) -> Iterator[Answer]:
    from inkdigit.types import entry

    sources = [problem or file for file, problem in entries]
    grays: dict[int, Gray] = {}
    sheet = []
    predictions = recognizer.predict_each(sources if show is None else _decoded(sources, grays))
    for i, ((file, _), answer) in enumerate(zip(entries, predictions, strict=True)):
        if i in grays and not isinstance(answer, PictureError):
            sheet.append((file, grays[i], answer))
        yield entry(str(file), answer, recognizer.name)
    if show is not None and sheet:
        from inkdigit.files import write_atomic
        from inkdigit.picture.sheet import draw

        write_atomic(show, draw(sheet, kind=recognizer.prepare))
        talk.note(f"Drawn into {show}")


def _answered_there(
    entries: list[Entry], model: str | None, server: str, *, token: str | None
) -> tuple[Iterator[Answer], Classes]:
    """Have the server answer the pictures; what its model's classes are, it is asked where that is to be said."""
    from inkdigit.client import ask, classes

    predictions = ask(server, [problem or file for file, problem in entries], token=token, model=model)
    named = ({**answer, "file": str(file)} for (file, _), answer in zip(entries, predictions, strict=True))
    return named, cache(lambda name: classes(server, name, token=token))


def _expand(path: Path) -> list[Entry]:
    """A folder stands for the pictures in it; one without any is in error."""
    from inkdigit.picture.folder import expand

    try:
        return [(file, None) for file in expand(path)]
    except PictureError as exc:
        return [(path, exc)]


def _decoded(pictures: list[Path | PictureError], kept: dict[int, Gray]) -> Iterator[Gray | PictureError]:
    """Decode each picture, and keep it under its number: what is drawn is what was answered."""
    from inkdigit.picture.decode import decode

    for i, picture in enumerate(pictures):
        if isinstance(picture, PictureError):
            yield picture
            continue
        try:
            kept[i] = decode(picture)
        except PictureError as exc:
            yield exc
        else:
            yield kept[i]


def _line(answer: Answer, classes: Classes, *, as_json: bool, as_csv: bool) -> str:
    """One answer as text, JSON or CSV."""
    if as_json:
        return json.dumps(answer, ensure_ascii=False)
    if as_csv:
        cells = {**answer, "confidence": _six_places(answer.get("confidence"))}
        return _csv_line(tuple(cells.get(column) for column in CSV_COLUMNS))
    file = answer["file"]
    if "error" in answer:
        return f"{file}  error: {answer['error']}"
    if answer["label"] is None:
        return f"{file}  —  {answer['reason']}{_guess(answer, classes)}"
    return f"{file}  {answer['label']}  {_sureness(answer['confidence'])}"


def _six_places(share: float | None) -> str | None:
    return None if share is None else f"{share:.6f}"


def _guess(answer: Answer, classes: Classes) -> str:
    """The class that a refused picture is likest, in brackets."""
    probs = answer["probs"]
    return "" if probs is None else f" (perhaps {classes(answer['model'])[probs.index(max(probs))]})"


def _sureness(confidence: float) -> str:
    """`Prediction.sureness` of the rounded confidence, of which 1 is no certainty."""
    return f"{min(round(confidence * 1_000_000) // 100, 9_999) / 100:.2f} %"


def _csv_line(cells: tuple[Any, ...]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(["" if cell is None else str(cell) for cell in cells])
    return text.getvalue()


def submit(
    test_csv: Annotated[Path, typer.Argument(metavar="TEST.csv", help="Kaggle's test.csv.")],
    model: Model,
    out: Annotated[Path, typer.Option(help="The submission to write.")] = Path("submission.csv"),
) -> None:
    """Answer every row of Kaggle's test.csv: the submission, and beside it a page and a grid of the answers.

    Example: inkdigit submit test.csv --model runs/my-run --out submission.csv
    """
    with talk.interruptible():
        write_submission(model, test_csv, out)


def write_submission(model: Recognizer | str, test_csv: Path, out: Path) -> None:
    """Write the submission and, where the libraries for it are installed, a page and a grid of answers beside it."""
    from inkdigit.kaggle import answer

    submission = answer(model, test_csv, out, log=talk.note)
    talk.say(f"Submission  {submission.path}")
    if not out.is_file():
        return  # a pipe or a device: nothing lies beside it
    from inkdigit.report import predictions

    recognizer = submission.model
    try:
        page, grid = predictions.write(
            out, submission.images, submission.predictions, classes=recognizer.classes, model=recognizer.name
        )
    except MissingExtra as exc:
        talk.note(f"No page of the answers: {exc}")
        return
    talk.say(f"Answers     {page}")
    talk.say(f"Grid        {grid}")
