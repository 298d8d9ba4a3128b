"""`inkdigit predict` and `submit`: answers, one a picture."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inkdigit.cli import talk
from inkdigit.errors import MissingExtra, PictureError, UsageError

if TYPE_CHECKING:
    from inkdigit.model.recognizer import Recognizer
    from inkdigit.types import Gray, Prediction

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
) -> None:
    """Read the digit in each picture, with its confidence.

    Example: inkdigit predict examples/7-pen-on-paper.png --show seen.png
    """
    if as_json and as_csv:
        raise UsageError("--json and --csv exclude each other", expected="one of them, or neither")
    from inkdigit.model.recognizer import Recognizer

    recognizer = Recognizer.load(model, accept_all=accept_all, min_confidence=min_confidence)
    entries = [entry for picture in pictures for entry in _expand(picture)]
    if show is not None:
        from inkdigit.runs import check_place

        check_place(show, reads=[file for file, _ in entries])
    if as_csv:
        talk.say(_csv_line(CSV_COLUMNS))
    files = [file for file, _ in entries]
    sources = [problem or file for file, problem in entries]
    failed, sheet = False, []
    grays: dict[int, Gray] = {}
    with talk.interruptible():
        answers = recognizer.predict_each(sources if show is None else _decoded(sources, grays))
        for i, (file, answer) in enumerate(zip(files, answers, strict=True)):
            talk.say(_line(file, answer, recognizer, as_json=as_json, as_csv=as_csv))
            if isinstance(answer, PictureError):
                failed = True
            elif i in grays:
                sheet.append((file, grays[i], answer))
    if show is not None and sheet:
        from inkdigit.picture.show import draw
        from inkdigit.runs import write_aside

        write_aside(show, draw(sheet, kind=recognizer.prepare))
        talk.note(f"Drawn into {show}")
    if failed:
        raise typer.Exit(PictureError.exit_code)


def _expand(picture: Path) -> list[tuple[Path, PictureError | None]]:
    """A folder stands for the pictures in it: sorted, not recursive, known suffixes; without any it is in error."""
    from inkdigit.picture.decode import PICTURE_SUFFIXES, is_picture_name

    try:
        if not picture.is_dir():
            return [(picture, None)]
        files = sorted(file for file in picture.iterdir() if is_picture_name(file) and file.is_file())
    except OSError as exc:
        return [(picture, PictureError(f"{picture} cannot be opened: {exc.strerror}"))]
    if not files:
        expected = ", ".join(sorted(PICTURE_SUFFIXES))
        return [(picture, PictureError(f"{picture} is a folder without pictures", expected=expected))]
    return [(file, None) for file in files]


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


def _line(file: Path, answer: Prediction | PictureError, recognizer: Recognizer, *, as_json: bool, as_csv: bool) -> str:
    """One answer as text, JSON or CSV."""
    if isinstance(answer, PictureError):
        if as_json:
            return json.dumps({"file": str(file), "error": str(answer), "kind": answer.kind}, ensure_ascii=False)
        return _csv_line((file, None, None, None, answer)) if as_csv else f"{file}  error: {answer}"
    if as_json:
        return json.dumps({"file": str(file), **answer.to_json(), "model": recognizer.name}, ensure_ascii=False)
    if as_csv:
        confidence = None if answer.confidence is None else f"{answer.confidence:.6f}"
        return _csv_line((file, answer.label, confidence, answer.reason, None))
    if answer.label is None:
        guess = "" if answer.best is None else f" (perhaps {recognizer.classes[answer.best]})"
        return f"{file}  —  {answer.reason}{guess}"
    return f"{file}  {answer.label}  {answer.sureness}"


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
    from inkdigit.report import answers

    recognizer = submission.model
    try:
        page, grid = answers.write(
            out, submission.images, submission.predictions, classes=recognizer.classes, model=recognizer.name
        )
    except MissingExtra as exc:
        talk.note(f"No page of the answers: {exc}")
        return
    talk.say(f"Answers     {page}")
    talk.say(f"Grid        {grid}")
