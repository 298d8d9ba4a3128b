"""`corrections list`, `export` and `delete`: what was kept, as text and as files, and gone."""

from __future__ import annotations

import io
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image

from inkdigit.data.readers.corrections import add, create

from .conftest import assert_one_error, draw


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Six digits, one of them not answered, and something that is none."""
    images, labels = draw(6)
    for image, label in zip(images, labels, strict=True):
        data = io.BytesIO()
        Image.fromarray(255 - image).save(data, "PNG")
        answered = "7" if label else None
        add(tmp_path / "c.db", picture=data.getvalue(), model="tiny", answered=answered, right=str(label))
    add(tmp_path / "c.db", picture=data.getvalue(), model="tiny", answered="7", right="none")
    return tmp_path / "c.db"


def test_a_list_shows_what_was_answered_and_what_is_right(inkdigit, file):
    output = inkdigit("corrections", "list", file)
    header, *rows = [line.split() for line in output.out.splitlines()]
    assert header == ["id", "time", "model", "answered", "bytes", "right"]
    assert [(row[0], row[2], row[3], row[5]) for row in rows][::6] == [
        ("1", "tiny", "—", "0"),
        ("7", "tiny", "7", "none"),
    ]
    assert (output.code, output.err, len(rows)) == (0, "", 7)


def test_a_list_as_json_is_one_object_a_line(inkdigit, file):
    found = [json.loads(line) for line in inkdigit("corrections", "list", file, "--json").out.splitlines()]
    assert [one["right"] for one in found] == ["0", "1", "2", "0", "1", "2", "none"]
    assert set(found[0]) == {"id", "time", "model", "answered", "right", "bytes"}


def test_what_a_file_says_cannot_spoil_the_table(inkdigit, file):
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE corrections SET model = char(27) || '[2J' || char(10) WHERE id = 1")
        connection.execute("UPDATE corrections SET model = printf('%.5000c', 'm') WHERE id = 2")
        connection.execute("UPDATE corrections SET model = x'ff' WHERE id = 3")
    output = inkdigit("corrections", "list", file)
    _, *rows = [line.split() for line in output.out.splitlines()]
    assert [row[2] for row in rows][:4] == ["\ufffd[2J\ufffd", "m" * 60 + "…", "\ufffd", "tiny"]
    found = [json.loads(line) for line in inkdigit("corrections", "list", file, "--json").out.splitlines()]
    assert [one["model"] for one in found][:3] == ["\x1b[2J\n", "m" * 5000, "\ufffd"]


def test_no_corrections_are_no_error(inkdigit, tmp_path):
    create(tmp_path / "c.db")
    output = inkdigit("corrections", "list", tmp_path / "c.db")
    assert (output.code, output.out) == (0, "")
    assert "no corrections yet" in output.err
    assert inkdigit("corrections", "list", tmp_path / "c.db", "--json") == (0, "", "")


def test_one_correction_is_one_picture(inkdigit, file, tmp_path):
    inkdigit("corrections", "delete", file, *range(2, 7))
    output = inkdigit("corrections", "export", file, "--out", tmp_path / "out")
    assert output.err.startswith("1 image with its label, and 1 without a digit in none/\n")


def test_an_export_is_a_folder_that_data_check_takes(inkdigit, file, tmp_path):
    output = inkdigit("corrections", "export", file, "--out", tmp_path / "out")
    assert (output.code, output.out) == (0, f"{tmp_path / 'out'}\n")
    assert "6 images with their labels, and 1 without a digit in none/" in output.err
    assert f"inkdigit data check {tmp_path / 'out'}" in output.err
    checked = [inkdigit("data", "check", source, "--json") for source in (tmp_path / "out", file)]
    exported, kept = ({**json.loads(one.out), "name": "", "prepare": ""} for one in checked)
    assert exported == kept
    assert exported["train"]["n"] == 6
    assert "1 of 7 corrections are of no class" in checked[1].err


def test_what_is_deleted_is_no_longer_listed(inkdigit, file):
    assert inkdigit("corrections", "delete", file, 2, 7, 2) == (0, f"Deleted 2 corrections from {file}\n", "")
    assert [json.loads(line)["id"] for line in inkdigit("corrections", "list", file, "--json").out.splitlines()] == [
        *(1, 3, 4, 5, 6),
    ]
    assert inkdigit("corrections", "delete", file, "--all").out == f"Deleted 5 corrections from {file}\n"
    assert_one_error(inkdigit("corrections", "delete", file, 1), 2, "no correction 1")


@pytest.mark.parametrize("which", [(), (1, "--all")])
def test_what_to_delete_is_told_in_one_way(inkdigit, file, which):
    assert_one_error(inkdigit("corrections", "delete", file, *which), 2, "either their numbers or --all")
    assert len(inkdigit("corrections", "list", file, "--json").out.splitlines()) == 7


@pytest.mark.parametrize("words", [("list",), ("export", "--out", "out"), ("delete", "--all")])
def test_what_is_no_file_of_corrections_is_one_error(inkdigit, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    command, *options = words
    assert_one_error(inkdigit("corrections", command, "absent.db", *options), 4, "There is no file absent.db")
    Path("other.db").write_bytes(b"no database" * 100)
    assert_one_error(inkdigit("corrections", command, "other.db", *options), 4, "not a file of corrections")
    assert not Path("out").exists()


def test_an_export_overwrites_nothing(inkdigit, file, tmp_path):
    assert_one_error(inkdigit("corrections", "export", file, "--out", tmp_path), 9, "is taken")
