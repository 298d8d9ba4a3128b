"""`inkdigit read`: the numbers in pictures, the cells of grids, and the fields of forms."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inkdigit.cli import talk
from inkdigit.cli.lines import (
    PICTURES_HELP,
    STDIN,
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
from inkdigit.errors import PictureError, UsageError
from inkdigit.runs import check_place

if TYPE_CHECKING:
    from PIL.Image import Image

Columns = tuple[str, ...]
Found = dict[str, Any]  # one line of --json
Answer = Callable[[Path | bytes], Found]  # what reads one file
MAX_SHOWN = 50  # pictures on a sheet
CSV_COLUMNS: Columns = ("file", "text", "confidence", "reason", "error")


def read(
    pictures: Annotated[list[Path], typer.Argument(metavar="PICTURE…", help=PICTURES_HELP)],
    model: Annotated[str, typer.Option(help="The line reader: line, or an .onnx file.")] = "default",
    expect: Annotated[
        str | None, typer.Option(metavar="PATTERN", help=r"A regular expression that each number fits, as \d{5}.")
    ] = None,
    alphabet: Annotated[
        str | None, typer.Option(metavar="CHARACTERS", help="The only characters that there are, as 0-9.,-/")
    ] = None,
    grid: Annotated[
        str | None, typer.Option(metavar="ROWSxCOLUMNS", help="Read the cells of a grid, as 9x9 for a sudoku.")
    ] = None,
    as_written: Annotated[
        bool, typer.Option("--as-written", help="With --grid: leave the rules of a sudoku out.")
    ] = False,
    fields: Annotated[
        Path | None, typer.Option(metavar="FIELDS.toml", help="Read the named boxes of a form, one value each.")
    ] = None,
    show: Annotated[
        Path | None,
        typer.Option(metavar="OUT.png", help="Also draw the pictures, 50 at most, with what was read where."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with a header.")] = False,
    recursive: Recursive = False,
    server: Server = None,
    token: Token = None,
) -> None:
    """Read the numbers in each picture, from top to bottom and left to right.

    Example: inkdigit read amount.png --expect '[0-9.]+'
    """
    if as_json and as_csv:
        raise UsageError("--json and --csv exclude each other", expected="at most one of them")
    _check(model, expect, alphabet, grid, fields, as_csv=as_csv, as_written=as_written)
    if server is not None and (model != "default" or show is not None):
        raise UsageError("--server excludes --model and --show", hint="The server has one reader.")
    sheet, columns = _Sheet(show), CSV_COLUMNS
    with talk.interruptible():
        entries = entries_of(pictures, recursive=recursive)
        if show is not None:
            check_place(show, reads=[file for file, _ in entries])
        if server is not None:
            asked = {"expect": expect, "alphabet": alphabet, "grid": grid, "as_written": as_written}
            answers, columns = _from_server(entries, server, fields, token=token, **asked)
        elif grid is not None:
            answers = _each(entries, _grids(grid, alphabet, sheet, as_written=as_written))
        elif fields is not None:
            answer, columns = _forms(model, fields, sheet)
            answers = _each(entries, answer)
        else:
            answers = _each(entries, _numbers(model, expect, alphabet, sheet))
        failed = _print(answers, columns, as_json=as_json, as_csv=as_csv)
    sheet.write()
    if not recursive:
        say_left_out(pictures)
    if failed:
        raise typer.Exit(PictureError.exit_code)


def _check(
    model: str,
    expect: str | None,
    alphabet: str | None,
    grid: str | None,
    fields: Path | None,
    *,
    as_csv: bool,
    as_written: bool,
) -> None:
    """Raise UsageError for what does not go together."""
    if as_written and grid is None:
        raise UsageError("--as-written is for the cells of a grid", expected="--grid with it")
    if grid is not None and (expect is not None or as_csv or fields is not None):
        raise UsageError("--grid excludes --expect, --fields and --csv")
    if grid is not None and model != "default":
        raise UsageError("The cells of a grid are read by the default model", expected="no --model with --grid")
    if fields is not None and (expect is not None or alphabet is not None):
        raise UsageError(
            "--fields excludes --expect and --alphabet",
            hint="The file may have expect and alphabet for each field.",
        )


def _each(entries: list[Entry], answer: Answer) -> Iterator[Found]:
    """The answer to each picture, or its error."""
    for file, source in entries:
        try:
            if isinstance(source, PictureError):
                raise source
            yield {"file": str(file), **answer(source)}
        except PictureError as exc:
            yield {"file": str(file), **exc.to_json()}


def _from_server(
    entries: list[Entry], server: str, fields: Path | None, *, token: str | None, **asked: Any
) -> tuple[Iterator[Found], Columns]:
    """What a server answers to the pictures, and the columns of its values."""
    from inkdigit.client import ask_readings
    from inkdigit.reading import form_file

    text, columns = None, CSV_COLUMNS
    if fields is not None:
        text = form_file.read_text(fields)
        columns = _columns(form_file.parse(text, where=fields)[1])
    answers = ask_readings(server, [source for _, source in entries], fields=text, token=token, **asked)
    return _about(fields, named(entries, answers)), columns


def _about(fields: Path | None, answers: Iterator[Found]) -> Iterator[Found]:
    """The answers of a server; it does not know which file an error in the fields is about."""
    try:
        yield from answers
    except UsageError as exc:
        if fields is None or not str(exc).startswith("fields:"):
            raise
        raise UsageError(f"{fields}:{str(exc).removeprefix('fields:')}") from exc


def _columns(fields: Iterable[str]) -> Columns:
    """The columns of a form's values."""
    return ("file", *fields, "error")


def _print(answers: Iterator[Found], columns: Columns, *, as_json: bool, as_csv: bool) -> bool:
    """Print the answers; whether a picture could not be read."""
    failed = False
    if as_csv:
        talk.say(csv_line(columns))
    for found in answers:
        failed |= "error" in found
        talk.say(_line(found, columns, as_json=as_json, as_csv=as_csv))
    return failed


class _Sheet:
    """The drawn pictures of `--show`, `MAX_SHOWN` at most; none without it."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._drawn: list[Image] = []

    def add(self, draw: Callable[[], Image]) -> None:
        """Draw one more, if there is room."""
        if self._path is not None and len(self._drawn) < MAX_SHOWN:
            self._drawn.append(draw())

    def write(self) -> None:
        """Write what is drawn, and say so."""
        if self._path is not None and self._drawn:
            from inkdigit.files import write_atomic
            from inkdigit.report import readings

            write_atomic(self._path, readings.sheet(self._drawn))
            talk.note(f"Drawing written to {self._path}")


def _name(file: Path | bytes) -> Path:
    return file if isinstance(file, Path) else STDIN


def _numbers(model: str, expect: str | None, alphabet: str | None, sheet: _Sheet) -> Answer:
    """What reads one file; it adds to the sheet."""
    from inkdigit.picture.decode import decode_page
    from inkdigit.reading.reader import Reader, in_pixels_of

    reader = Reader.load(model)
    pattern = reader.pattern(expect, alphabet)  # an error in it comes before any picture

    def answer(file: Path | bytes) -> Found:
        gray, size = decode_page(file)
        reading = reader.read_gray(gray, pattern)

        def draw() -> Image:
            from inkdigit.report.readings import picture

            return picture(_name(file), gray, reading)

        sheet.add(draw)
        return {**in_pixels_of(size, reading, gray).to_json(), "model": reader.card.name}

    return answer


def _grids(grid: str, alphabet: str | None, sheet: _Sheet, *, as_written: bool) -> Answer:
    """What reads the cells of one file; it adds to the sheet."""
    from inkdigit.model.recognizer import Recognizer
    from inkdigit.picture.decode import decode_page
    from inkdigit.reading.cells import parse_digits, parse_size, read_grid

    size, recognizer = parse_size(grid), Recognizer.load()
    parse_digits(alphabet)  # an error in it comes before any picture

    def answer(file: Path | bytes) -> Found:
        gray = decode_page(file)[0]
        found = read_grid(gray, *size, model=recognizer, alphabet=alphabet, as_written=as_written)

        def draw() -> Image:
            from inkdigit.report.readings import table

            return table(_name(file), gray, found)

        sheet.add(draw)
        return {**found.to_json(), "model": recognizer.name}

    return answer


def _forms(model: str, path: Path, sheet: _Sheet) -> tuple[Answer, Columns]:
    """What reads the fields of one file, and the columns of its values; it adds to the sheet."""
    from inkdigit.picture.decode import decode_page
    from inkdigit.reading.fields import Form
    from inkdigit.reading.reader import Reader

    form = Form.load(path, Reader.load(model))

    def answer(file: Path | bytes) -> Found:
        page = form.page(decode_page(file)[0])
        readings = form.read_page(page)

        def draw() -> Image:
            from inkdigit.report.readings import form as drawn_form

            places = {field.name: (field.place(page), readings[field.name]) for field in form.fields}
            return drawn_form(_name(file), page, places)

        sheet.add(draw)
        values = {name: reading.to_json() for name, reading in readings.items()}
        return {"fields": values, "model": form.reader.card.name}

    return answer, _columns(field.name for field in form.fields)


def _line(found: Found, columns: Columns, *, as_json: bool, as_csv: bool) -> str:
    """One answer as text, JSON or CSV."""
    if as_json:
        return json.dumps(found, ensure_ascii=False)
    if as_csv:
        values = {name: value["text"] for name, value in found.get("fields", {}).items()}
        cells = {**found, "confidence": six_places(found.get("confidence")), **values}
        return csv_line(cells.get(column) for column in columns)
    file = found["file"]
    if "error" in found:
        return f"{file}  error: {found['error']}"
    if "rows" in found:
        rows = [" ".join("?" if cell is None else cell or "." for cell in row) for row in found["rows"]]
        count = len(found["changed"])
        ruled = f"  the rules of a sudoku changed {count} digit{'' if count == 1 else 's'}" if count else ""
        return "\n".join([file + ruled, *(f"  {row}" for row in rows)])
    if "fields" in found:
        return "\n".join([file, *(f"  {name}  {_said(value)}" for name, value in found["fields"].items())])
    return f"{file}  {_said(found)}"


def _said(found: Found) -> str:
    """One reading as text."""
    if found["reason"]:
        guesses = " ".join(number["text"] for number in found["numbers"] if number["text"])
        return f"—  {found['reason']}" + (f" (perhaps {guesses})" if guesses else "")
    return f"{found['text']}  {percent(found['confidence'])}"
