"""CSVs of images: Kaggle's `train.csv` (`label,pixel0…pixel783`) and `test.csv` (without the label), and the other
kinds that `csv_layouts` knows.

In: a path. Out: a `Dataset` of prepared images, or for `test.csv` raw images uint8 (N, 28, 28).
Rows are counted as in Kaggle's `ImageId`: 1 is the first row below the header. Columns are known by their names.
One scan finds every bad cell: they are an error for training, and `data check` lists them.
"""

from __future__ import annotations

import codecs
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from inkdigit.data.readers.arrays import read_arrays
from inkdigit.data.readers.bounded import check_count, reading
from inkdigit.data.readers.class_names import CLASSES_FILE, read_classes
from inkdigit.data.readers.csv_layouts import LABEL, PIXELS, Layout, layout_of
from inkdigit.errors import MalformedFile, MissingExtra
from inkdigit.types import SIDE, Dataset, Gray, Part

CellKind = Literal["missing", "not a whole number", "outside 0–255", "unknown label", "extra cells"]

MAX_BYTES = 2**32  # of a CSV: Kaggle's has 77 million
MAX_HEADER_BYTES = 2**20  # of its first line: Kaggle's has 8 thousand
_SHOWN = 3  # problems that an error names; it counts the others
_USUAL = frozenset(map(str, range(256)))  # the usual texts of a pixel
_MAX_TEXT = 20  # characters of a bad cell that an error quotes


@dataclass(frozen=True, slots=True)
class CellProblem:
    """The bad cells of one kind in one row: the row (from 1), the first such column and its text, and their count."""

    row: int
    column: str
    kind: CellKind
    text: str
    count: int

    def __str__(self) -> str:
        """One clause for a message: `row 7, pixel12: 'abc' is not a whole number (and 2 more in this row)`."""
        problem = {
            "missing": "is missing",
            "not a whole number": f"{self.text!r} is not a whole number",
            "outside 0–255": f"{self.text!r} is outside 0–255",
            "unknown label": f"{self.text!r} is not the number of a class",
            "extra cells": "there are cells after the last column",
        }[self.kind]
        more = f" (and {self.count - 1} more in this row)" if self.count > 1 else ""
        return f"row {self.row}, {self.column}: {problem}{more}"


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """A CSV as read: `cells` uint8 (N, C) with 0 for a bad cell, in the order of `columns`, and the bad cells."""

    cells: NDArray[np.uint8]
    layout: Layout
    problems: list[CellProblem]
    classes: tuple[str, ...]

    @property
    def labels(self) -> range:
        """The labels that there may be."""
        return range(self.layout.first_label, self.layout.first_label + len(self.classes))


def read_header(path: Path) -> tuple[str, ...]:
    """The column names of a CSV, which distinguish the kinds of CSV; those of `csv_layouts` where it knows them.

    Raises:
        MalformedFile: an empty file, or bytes that are not text.
        MissingData: the file cannot be read.
    """
    with reading(path) as file:
        return layout_of(_split_header(file.readline(MAX_HEADER_BYTES), path), path.name).columns


def read_kaggle_csv(
    path: Path, *, name: str | None = None, kind: str = "ink", problems: list[CellProblem] | None = None
) -> Dataset:
    """Read Kaggle's `train.csv` or a like file: one split, 28×28.

    The classes are those of a `classes.txt` beside it, else the ten digits or what `csv_layouts` says.

    Bad cells are an error, unless there is a list `problems` to add them to. Their row becomes a blank image then, with
    an entry in the `faults` of the split.

    Raises:
        MalformedFile: missing or extra columns, no rows, bad cells; the message names the first rows and columns.
        MissingExtra: polars is not installed.
    """
    table = _read_table(path, (LABEL, *PIXELS))
    classes = table.classes
    if problems is None:
        _check_cells(path, table)
    else:
        problems.extend(table.problems)
    images = _pixels(table)
    numbers = table.cells[:, table.layout.columns.index(LABEL)].astype(np.int64)
    numbers = np.maximum(numbers - table.labels.start, 0)  # a bad cell is 0
    faults: dict[int, str] = {}
    for problem in table.problems:
        faults.setdefault(problem.row - 1, str(problem))
    images[list(faults)] = 0
    loaded = read_arrays(images, numbers, kind=kind)
    part = Part(loaded.part.images, numbers, faults=faults)
    glimpses = tuple((k, gray) for k, gray in loaded.glimpses if gray.any()) if faults else loaded.glimpses
    return Dataset(name or path.name, classes, part, None, kind, glimpses, loaded.raw_shapes)


def read_kaggle_test(path: Path) -> Gray:
    """Read Kaggle's `test.csv`: raw images uint8 (N, 28, 28), not yet prepared.

    Raises:
        MalformedFile: missing or extra columns (a label among them), no rows, bad cells.
        MissingExtra: polars is not installed.
    """
    table = _read_table(path, PIXELS)
    _check_cells(path, table)
    return _pixels(table)


def _pixels(table: _Table) -> Gray:
    """The pixel columns in the order of their numbers: uint8 (N, 28, 28)."""
    order = [table.layout.columns.index(name) for name in PIXELS]
    inverse = slice(order[0], order[-1] + 1) if order == list(range(order[0], order[0] + len(order))) else order
    images = np.ascontiguousarray(table.cells[:, inverse]).reshape(-1, SIDE, SIDE)
    return np.ascontiguousarray(images.transpose(0, 2, 1)) if table.layout.transposed else images


def _check_cells(path: Path, table: _Table) -> None:
    """Raise one error for all bad cells."""
    problems = table.problems
    if not problems:
        return
    first = problems[0]
    others = len({p.row for p in problems}) - len({p.row for p in problems[:_SHOWN]})
    also = "; ".join(map(str, problems[1:_SHOWN]))
    tail = f" ({also}{f'; and {others} more rows' if others else ''})" if also else ""
    raise MalformedFile(
        path,
        f"{str(first).split(': ', 1)[1]}{tail}",
        where=f"row {first.row}, {first.column}",
        expected=f"whole numbers, pixels 0–255 and labels {table.labels.start}–{table.labels.stop - 1}",
        received=f"bad cells in {len({p.row for p in problems})} rows",
        hint=f"Labels above 9 need a {CLASSES_FILE} beside the file." if first.kind == "unknown label" else None,
    )


def _split_header(line: bytes, path: Path) -> tuple[str, ...]:
    if not line.strip():
        raise MalformedFile(path, "The file or its first line is empty", where="header", expected="the column names")
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise MalformedFile(path, "This is not text", where="header", expected="a CSV in UTF-8") from exc
    if not text.strip().isprintable():
        raise MalformedFile(
            path, "This is not text", where="header", expected="a CSV in UTF-8", received=text[:_MAX_TEXT]
        )
    return tuple(cell.strip().strip('"') for cell in text.split(","))


def _read_table(path: Path, expected: tuple[str, ...]) -> _Table:
    """Read a CSV with the `expected` columns, by our names."""
    with reading(path) as file:
        layout = layout_of(_split_header(file.readline(MAX_HEADER_BYTES), path), path.name)
        columns = layout.columns
        if not layout.has_header:
            file.seek(0)
        body = _read_body(file, path)
    body = body if layout.has_header else body.removeprefix(codecs.BOM_UTF8)
    _check_columns(columns, expected, path)
    if b"\0" in body:
        row = body[: body.index(b"\0")].count(b"\n") + 1
        raise MalformedFile(path, "This is not text", where=f"row {row}", expected="a CSV in UTF-8")
    body = body.rstrip(b"\r\n")
    check_count(path, body.count(b"\n"))
    lines = body.split(b"\n") if body else []
    if not lines:
        raise MalformedFile(path, "There are no rows below the header", where="row 1")
    cells, suspects = _parse(body, columns, path)
    if len(cells) != len(lines):
        raise MalformedFile(path, "The rows cannot be separated", expected=len(lines), received=len(cells))
    rows = set(suspects) | {i for i, line in enumerate(lines) if line.count(b",") >= len(columns)}
    found = cells[:, columns.index(LABEL)] if LABEL in columns else cells[:, :0]
    table = _Table(cells, layout, [], read_classes(path.parent) or layout.classes_of(int(found.max(initial=0))))
    labels = table.labels
    rows |= set(np.flatnonzero((found < labels.start) | (found >= labels.stop)).tolist())
    for i in sorted(rows):
        table.problems.extend(_repair(lines[i], cells[i], columns, i + 1, labels))
    return table


def _read_body(file: BinaryIO, path: Path) -> bytes:
    size = os.fstat(file.fileno()).st_size
    if size > MAX_BYTES:
        expected, hint = f"at most {MAX_BYTES:,} bytes", "Save the images as .npz, which is also faster."
        raise MalformedFile(path, "This CSV is too large", expected=expected, received=f"{size:,}", hint=hint)
    return file.read(size)


def _check_columns(columns: tuple[str, ...], names: tuple[str, ...], path: Path) -> None:
    """Check that the columns are those of these names, in any order."""
    expected = f"{len(names)} columns, {', '.join(names[:2])} … {names[-1]}"
    received = f"{len(columns)} columns, {', '.join(columns[:2])} … {columns[-1]}"[:120]
    existing = set(columns)
    if missing := [name for name in names if name not in existing]:
        hint = "Kaggle's test.csv has no labels: it is for submissions." if missing == [LABEL] else None
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        problem = f"There is no column {missing[0]!r}{more}"
        raise MalformedFile(path, problem, where="header", expected=expected, received=received, hint=hint)
    if len(columns) > len(names):
        extra = [name for name in columns if name not in set(names)]
        problem = f"There is a column too many, {extra[0]!r}" if extra else "A column is listed twice"
        raise MalformedFile(path, problem, where="header", expected=expected, received=received)


def _parse(body: bytes, columns: tuple[str, ...], path: Path) -> tuple[NDArray[np.uint8], list[int]]:
    """Every cell as uint8 (N, C), 0 where it is not one, and the rows with such a cell.

    Quotes have no meaning here, and short rows are filled up, so that every line of the file is one row of the result.
    """
    try:
        import polars as pl
    except ImportError as exc:
        raise MissingExtra("Reading a CSV needs polars", "report") from exc
    header = ",".join(f"c{i}" for i in range(len(columns)))
    try:
        frame = pl.read_csv(
            b"\n".join((header.encode(), body)),
            schema={f"c{i}": pl.UInt8 for i in range(len(columns))},
            ignore_errors=True,  # a cell that is not a uint8 becomes null, and is read again in `_repair`
            truncate_ragged_lines=True,
            quote_char=None,
        )
    except pl.exceptions.PolarsError as exc:
        raise MalformedFile(path, f"This is not a CSV of numbers ({str(exc).splitlines()[0]})") from exc
    suspects = frame.select(pl.any_horizontal(pl.all().is_null())).to_series().arg_true()
    cells = frame.fill_null(0).to_numpy()
    return cells if cells.flags.writeable else cells.copy(), suspects.to_list()


def _repair(
    line: bytes, cells: NDArray[np.uint8], columns: tuple[str, ...], row: int, labels: range
) -> list[CellProblem]:
    """Read one suspect row again, cell by cell, and correct in `cells` (C,) those that are numbers (`5.0`, `"5"`).

    Returns one problem for each kind of bad cell.
    """
    if _repair_numbers(line, cells, columns, labels):
        return []
    texts = line.decode("utf-8", "replace").split(",")
    bad: dict[CellKind, list[int]] = {}
    for i, (name, text) in enumerate(zip(columns, texts, strict=False)):
        if text in _USUAL and name != LABEL:
            continue  # nearly all cells: they were read correctly
        kind, cells[i] = _judge(_bare(text), labels if name == LABEL else None)
        if kind:
            bad.setdefault(kind, []).append(i)
    if len(texts) < len(columns):
        bad.setdefault("missing", []).extend(range(len(texts), len(columns)))
    problems = [
        CellProblem(row, columns[at[0]], kind, _bare("".join(texts[at[0] : at[0] + 1]))[:_MAX_TEXT], len(at))
        for kind, at in bad.items()
    ]
    if len(texts) > len(columns):
        problems.append(CellProblem(row, f"column {len(columns) + 1}", "extra cells", "", len(texts) - len(columns)))
    return problems


def _bare(text: str) -> str:
    return text.strip().strip('"').strip()


def _repair_numbers(line: bytes, cells: NDArray[np.uint8], columns: tuple[str, ...], labels: range) -> bool:
    """The same for a row of good numbers that are written like `5.0`: a file of them takes seconds this way."""
    if line.count(b",") != len(columns) - 1:
        return False
    try:
        values = np.array(line.split(b","), np.float64)
    except ValueError:
        return False
    highest = np.array([labels.stop - 1 if name == LABEL else 255 for name in columns])
    lowest = np.array([labels.start if name == LABEL else 0 for name in columns])
    if values.shape != highest.shape:
        return False
    if not ((values >= lowest) & (values <= highest) & (values == np.floor(values))).all():
        return False
    cells[:] = values
    return True


def _judge(text: str, labels: range | None) -> tuple[CellKind | None, int]:
    """The problem of a cell, if it has one, and its value; `labels` are those that there may be, if it is one."""
    if not text:
        return "missing", 0
    try:
        value = float(text)
    except ValueError:
        return "not a whole number", 0
    if "_" in text:  # Python reads 2_5 as 25, other programs do not
        return "not a whole number", 0
    if not value.is_integer():  # NaN and infinity are not, either
        return "not a whole number", 0
    if labels is not None:
        return (None, int(value)) if int(value) in labels else ("unknown label", labels.start)
    return (None, int(value)) if 0 <= value <= 255 else ("outside 0–255", 0)
