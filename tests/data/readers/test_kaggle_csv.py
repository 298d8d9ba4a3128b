"""Kaggle's CSV files: good ones come back pixel by pixel, bad cells are named by row and column."""

from __future__ import annotations

import csv
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkdigit.data.readers import kaggle_csv
from inkdigit.data.readers.idx_npz import read_idx
from inkdigit.data.readers.kaggle_csv import CellProblem, read_kaggle_csv, read_kaggle_test
from inkdigit.errors import MalformedFile, MissingData, MissingExtra
from inkdigit.types import DIGITS

from ..conftest import HEADER, draw, kaggle_rows, write_rows

IMAGES, LABELS = draw(5), np.array([3, 1, 4, 1, 5])


@pytest.fixture
def rows():
    return kaggle_rows(IMAGES, LABELS)


def raw(path):
    """The images before preprocessing, in the order of their classes."""
    return [gray for _, gray in read_kaggle_csv(path).glimpses]


def test_a_good_file_comes_back(tmp_path, rows):
    path = write_rows(tmp_path / "train.csv", rows)
    data = read_kaggle_csv(path)
    assert (data.name, data.classes, data.test) == ("train.csv", DIGITS, None)
    assert data.train.labels.tolist() == LABELS.tolist()
    assert not data.train.faults
    assert np.array_equal(raw(path), IMAGES[[1, 3, 0, 2, 4]])


def test_columns_are_found_by_name(tmp_path, rows):
    order = np.random.default_rng(0).permutation(785)
    path = write_rows(tmp_path / "a.csv", [[row[i] for i in order] for row in rows], [HEADER[i] for i in order])
    assert np.array_equal(raw(path), IMAGES[[1, 3, 0, 2, 4]])
    test = write_rows(tmp_path / "b.csv", [row[:0:-1] for row in rows], HEADER[:0:-1])
    assert np.array_equal(read_kaggle_test(test), IMAGES)


@pytest.mark.parametrize(
    "spelling", ["crlf", "quoted", "floats", "spaces", "bom", "blank lines at the end", "no newline"]
)
def test_other_spellings_of_the_same_numbers(tmp_path, rows, spelling):
    path = write_rows(tmp_path / "train.csv", rows)
    text = path.read_text(encoding="utf-8")
    if spelling == "quoted":
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, quoting=csv.QUOTE_ALL).writerows([HEADER, *rows])
    elif spelling == "floats":
        write_rows(path, [[float(cell) for cell in row] for row in rows])
    else:
        changed = {
            "crlf": text.replace("\n", "\r\n"),
            "spaces": text.replace(",", ", "),
            "bom": "\ufeff" + text,
            "blank lines at the end": text + "\n\r\n\n",
            "no newline": text.rstrip(),
        }[spelling]
        path.write_bytes(changed.encode())
    data = read_kaggle_csv(path)
    assert data.train.labels.tolist() == LABELS.tolist()
    assert np.array_equal(raw(path), IMAGES[[1, 3, 0, 2, 4]])


BAD_CELLS = [
    ("abc", "'abc' is not a whole number"),
    ("", "is missing"),
    ("NaN", "'NaN' is not a whole number"),
    ("inf", "'inf' is not a whole number"),
    ("12.5", "'12.5' is not a whole number"),
    ("300", "'300' is outside 0–255"),
    ("-5", "'-5' is outside 0–255"),
    ("1e300", "'1e300' is outside 0–255"),
]


@pytest.mark.parametrize(("cell", "message"), BAD_CELLS)
def test_a_bad_pixel_is_named_by_row_and_column(tmp_path, rows, cell, message):
    rows[2][1 + 400] = cell
    path = write_rows(tmp_path / "train.csv", rows)
    with pytest.raises(MalformedFile) as caught:
        read_kaggle_csv(path)
    assert f"{path}, row 3, pixel400: {message}" in str(caught.value)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    ("cell", "message"), [("10", "classes.txt"), ("-1", "is not the number of a class"), ("five", "whole number")]
)
def test_a_bad_label_is_named_by_its_row(tmp_path, rows, cell, message):
    rows[4][0] = cell
    with pytest.raises(MalformedFile, match=f"row 5, label: .*{message}"):
        read_kaggle_csv(write_rows(tmp_path / "train.csv", rows))


def test_classes_txt_allows_labels_above_9(tmp_path, rows):
    rows[0][0] = 11
    (tmp_path / "classes.txt").write_text("\n".join("abcdefghijkl"), encoding="utf-8")
    data = read_kaggle_csv(write_rows(tmp_path / "train.csv", rows))
    assert data.classes == tuple("abcdefghijkl")
    assert data.train.labels[0] == 11


def test_short_long_and_blank_rows(tmp_path, rows):
    rows[0] = rows[0][:700]
    rows[2] = rows[2] + [0, 0]
    rows[3] = []
    path = write_rows(tmp_path / "train.csv", rows)
    with pytest.raises(MalformedFile) as caught:
        read_kaggle_csv(path)
    assert "row 1, pixel699: is missing (and 84 more in this row)" in str(caught.value)
    assert "row 3, column 786: there are cells after the last column" in str(caught.value)
    assert "row 4, label: is missing" in str(caught.value)
    assert "bad cells in 3 rows" in str(caught.value)


def test_many_problems_are_counted(tmp_path, rows):
    for row in rows:
        row[9] = "x"
    with pytest.raises(MalformedFile, match=r"row 1, pixel8.*row 2, pixel8.*row 3, pixel8.*and 2 more rows.*in 5 rows"):
        read_kaggle_csv(write_rows(tmp_path / "train.csv", rows))


def test_problems_can_be_collected_instead(tmp_path, rows):
    rows[1][1] = "300"
    rows[1][2] = ""
    rows[1][3] = ""
    rows[3][0] = "42"
    problems: list[CellProblem] = []
    data = read_kaggle_csv(write_rows(tmp_path / "train.csv", rows), problems=problems)
    assert [(p.row, p.column, p.kind, p.count) for p in problems] == [
        (2, "pixel0", "outside 0–255", 1),
        (2, "pixel1", "missing", 2),
        (4, "label", "unknown label", 1),
    ]
    assert set(data.train.faults) == {1, 3}
    assert data.train.labels.tolist() == [3, 1, 4, 0, 5]
    assert data.train.images.any((1, 2)).tolist() == [True, False, True, False, True]
    assert all(gray.any() for _, gray in data.glimpses)


HEADERS = {
    "no label": (HEADER[1:], "no column 'label'.*test.csv"),
    "a pixel missing": ([name for name in HEADER if name != "pixel13"], "no column 'pixel13'"),
    "many missing": (HEADER[:100], "no column 'pixel99'.*684 more"),
    "one too many": ([*HEADER, "pixel784"], "too many, 'pixel784'"),
    "one twice": ([*HEADER, "pixel3"], "twice"),
    "other names": (["a", "b"], "no column 'label'"),
}


@pytest.mark.parametrize(("header", "message"), HEADERS.values(), ids=HEADERS)
def test_wrong_columns(tmp_path, header, message):
    with pytest.raises(MalformedFile, match=rf"train\.csv, header: .*{message}"):
        read_kaggle_csv(write_rows(tmp_path / "train.csv", [[0] * len(header)], header))


def test_test_csv_must_not_have_labels(tmp_path, rows):
    path = write_rows(tmp_path / "test.csv", rows)
    with pytest.raises(MalformedFile, match=r"too many, 'label'.*784 columns"):
        read_kaggle_test(path)
    rows[2][1] = "x"
    write_rows(path, [row[1:] for row in rows], HEADER[1:])
    with pytest.raises(MalformedFile, match="row 3, pixel0"):
        read_kaggle_test(path)


GOOD_HEADER = ",".join(HEADER).encode() + b"\n"
GARBAGE = np.random.default_rng(0).integers(1, 256, 40_000).astype(np.uint8).tobytes()
NO_CSV = {
    "empty": (b"", "header: The file or its first line is empty"),
    "blank": (b"\n\n", "header: The file or its first line is empty"),
    "no rows": (GOOD_HEADER, "row 1: There are no rows"),
    "blank rows alone": (GOOD_HEADER + b"\n\r\n", "row 1: There are no rows"),
    "binary": (bytes(range(256)) * 20, "header: "),
    "utf-16": (GOOD_HEADER.decode().encode("utf-16"), "header: This is not text"),
    "binary below the header": (GOOD_HEADER + b"1,2\n" + bytes(99), "row 2: This is not text"),
    "garbage below the header": (GOOD_HEADER + GARBAGE, "row 1"),
    "an image": (b"\x89PNG\r\n\x1a\n" + bytes(99), "header: "),
}


@pytest.mark.parametrize(("data", "message"), NO_CSV.values(), ids=NO_CSV)
def test_what_is_not_a_csv(tmp_path, data, message):
    (tmp_path / "train.csv").write_bytes(data)
    with pytest.raises(MalformedFile, match=rf"train\.csv, {message}"):
        read_kaggle_csv(tmp_path / "train.csv")


def test_a_folder_or_nothing_is_missing_data(tmp_path):
    for path in (tmp_path, tmp_path / "absent.csv"):
        with pytest.raises(MissingData, match="Cannot read"):
            read_kaggle_csv(path)


def test_without_polars_the_error_says_how_to_get_it(tmp_path, rows, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "polars", None)
    with pytest.raises(MissingExtra, match="needs polars") as caught:
        read_kaggle_csv(write_rows(tmp_path / "train.csv", rows))
    assert caught.value.exit_code == 7


BAD_CELLS = st.sampled_from(
    ["", "256", "-1", "nan", "1e400", "9" * 999, "７", '"', "\0", "\r", "5.0", "1_0", "\ud7ff", "\ufeff"]
)
CHANGES = st.lists(
    st.tuples(st.floats(0, 1), BAD_CELLS | st.text(max_size=3) | st.sampled_from(["\n", ","])), max_size=8
)


@settings(max_examples=40, deadline=None)
@given(CHANGES, st.booleans())
def test_any_csv_is_a_data_set_or_one_error(changes, collected):
    text = ",".join(HEADER) + "\n" + "\n".join(",".join(map(str, row)) for row in kaggle_rows(IMAGES, LABELS))
    cells = text.split(",")
    for place, change in changes:
        cells[int(place * (len(cells) - 1))] = change
    with tempfile.TemporaryDirectory() as folder, suppress(MalformedFile):
        (Path(folder) / "a.csv").write_bytes(",".join(cells).encode("utf-8", "surrogatepass"))
        problems: list[CellProblem] | None = [] if collected else None
        data = read_kaggle_csv(Path(folder) / "a.csv", problems=problems)
        assert bool(problems) == bool(data.train.faults)


@pytest.mark.parametrize("line", ["", ",", "1", "x", "," * 783, "\r"])
def test_thousands_of_bad_rows_take_no_minute(tmp_path, line):
    path = tmp_path / "a.csv"
    path.write_text(",".join(HEADER) + "\n" + f"{line}\n" * 1_000 + "1" + ",0" * 784, newline="", encoding="utf-8")
    problems: list[CellProblem] = []
    begin = time.process_time()
    data = read_kaggle_csv(path, problems=problems)
    assert time.process_time() - begin < 2
    assert len(data.train.faults) == 1_000


def test_blank_rows_are_not_taken_by_the_million(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(",".join(HEADER) + "\n" + "\n" * 90_000 + "1", encoding="utf-8")
    with pytest.raises(MalformedFile, match=r"more images.*Received: 90,000"):
        read_kaggle_csv(path)
    os.truncate(path, kaggle_csv.MAX_BYTES + 1)  # zeros that take no space
    with pytest.raises(MalformedFile, match="too large"):
        read_kaggle_csv(path)


def test_42000_rows_take_seconds(mnist, tmp_path):
    images = read_idx(mnist / "train-images-idx3-ubyte.gz")[:42_000].reshape(42_000, -1)
    labels = read_idx(mnist / "train-labels-idx1-ubyte.gz")[:42_000]
    texts = np.array([str(i).encode() for i in range(256)], object)
    body = b"\n".join(b",".join(texts[row]) for row in np.column_stack((labels, images)))
    (tmp_path / "train.csv").write_bytes(GOOD_HEADER + body)
    begin = time.process_time()
    data = read_kaggle_csv(tmp_path / "train.csv")
    assert time.process_time() - begin < 16  # of all threads; usually one or two
    assert data.train.labels.tolist() == labels.tolist()
    assert (data.train.images.reshape(42_000, -1) != images).any(1).sum() <= 2
