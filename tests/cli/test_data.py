"""`data get` and `data check`: what is in a source, in words and as JSON, and what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from inkdigit.data import mirrors
from inkdigit.errors import MissingData

from .conftest import assert_one_error, draw, write_kaggle


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_kaggle(tmp_path / "train.csv", *draw(12))


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """Row 2 lacks a cell's content, row 3 holds text, row 4 holds 300, row 5 holds −5."""
    path = write_kaggle(tmp_path / "bad.csv", *draw(12))
    header, *rows = path.read_text(encoding="utf-8").splitlines()
    for row, text in ((1, ""), (2, "abc"), (3, "300"), (4, "-5")):
        cells = rows[row].split(",")
        rows[row] = ",".join([*cells[:7], text, *cells[8:]])
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_a_good_source_is_counted(inkdigit, good):
    output = inkdigit("data", "check", good)
    assert (output.code, output.err) == (0, "")
    first, *_ = output.out.splitlines()
    assert first == "train.csv: 10 classes"
    assert "(12, 28, 28) uint8" in output.out
    assert "no image of 3, 4" in output.out


def test_a_spotless_source_is_called_so(inkdigit, tmp_path):
    from PIL import Image

    for i, (image, label) in enumerate(zip(*draw(9), strict=True)):
        (tmp_path / "p" / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "p" / str(label) / f"{i}.png")
    output = inkdigit("data", "check", tmp_path / "p")
    assert output.out.rstrip().endswith("No problems.")


def test_bad_cells_are_counted_with_their_rows_and_are_no_error(inkdigit, bad):
    output = inkdigit("data", "check", bad)
    assert output.code == 0
    assert "Look at: " in output.out
    found = json.loads(inkdigit("data", "check", bad, "--json").out)["train"]
    cells = found["bad_cells"]
    assert (cells["missing"], cells["not_numbers"], cells["outside"]) == (1, 1, 2)
    assert cells["first_rows"] == [2, 3, 4, 5]
    assert (found["n"], found["unreadable"]) == (12, 4)


def test_json_is_one_strict_object(inkdigit, good):
    output = inkdigit("data", "check", good, "--json")
    (line,) = output.out.splitlines()
    found = json.loads(line, parse_constant=lambda name: pytest.fail(f"not strict JSON: {name}"))
    assert (found["name"], found["test"], found["shared"]) == ("train.csv", None, None)


def test_both_parts_and_what_they_share_are_shown(inkdigit, tmp_path):
    from PIL import Image

    images, labels = draw(6)
    for part, chosen in (("train", range(6)), ("test", range(4, 6))):
        for i in chosen:
            folder = tmp_path / "both" / part / str(labels[i])
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(images[i]).save(folder / f"{i}.png")
    found = json.loads(inkdigit("data", "check", tmp_path / "both", "--json").out)
    assert (found["train"]["n"], found["test"]["n"], found["shared"]) == (6, 2, 2)
    assert "in both splits" in inkdigit("data", "check", tmp_path / "both").out


@pytest.mark.parametrize(
    ("content", "name", "code"),
    [
        (b"", "d.csv", 4),
        (b"label,pixel0\n", "d.csv", 4),
        (b"a,b\n1,2\n", "d.csv", 4),
        (b"\x00\x01\xff", "d.csv", 4),
        (b"PK\x03\x04", "d.npz", 4),
        (b"", "d.npz", 4),
        (b"x", "d.txt", 2),
    ],
)
def test_a_source_that_cannot_be_read_is_one_error(inkdigit, tmp_path, content, name, code):
    (tmp_path / name).write_bytes(content)
    assert_one_error(inkdigit("data", "check", tmp_path / name), code, name)


def test_an_unknown_source_is_refused_with_the_nearest_name(inkdigit):
    assert_one_error(inkdigit("data", "check", "minst"), 2, "Did you mean mnist?")
    assert_one_error(inkdigit("data", "get", "minst"), 2, "minst")


@pytest.fixture
def fetching(monkeypatch):
    """Fetch nothing from the network: a folder, or an error."""

    def prepare(result: str | BaseException) -> None:
        def fetch(name, *, to, log):
            if isinstance(result, BaseException):
                raise result
            log(f"fetching {name}")
            return to / result

        monkeypatch.setattr(mirrors, "fetch", fetch)

    return prepare


def test_a_fetched_set_says_where_it_is_and_what_may_come_next(inkdigit, tmp_path, fetching):
    fetching("mnist")
    output = inkdigit("data", "get", "mnist", "--to", tmp_path)
    assert (output.code, output.out) == (0, f"{tmp_path / 'mnist'}\n")
    assert output.err.startswith("fetching mnist\n")
    assert f"inkdigit data check {tmp_path / 'mnist'}" in output.err


@pytest.mark.parametrize("name", ["usps", "emnist-letters"])
def test_a_set_that_no_path_opens_is_named_after_it_was_put_elsewhere(inkdigit, tmp_path, fetching, name):
    fetching("")
    output = inkdigit("data", "get", name, "--to", tmp_path)
    assert f"env INKDIGIT_DATA={tmp_path} inkdigit train fast --data {name}" in output.err


def test_a_set_that_cannot_be_fetched_is_one_error(inkdigit, fetching):
    fetching(MissingData("mnist could not be fetched", hint="Put train-images-idx3-ubyte.gz into data/mnist."))
    assert_one_error(inkdigit("data", "get", "mnist"), 4, "Put train-images-idx3-ubyte.gz into")


def test_ctrl_c_while_fetching_is_one_line(inkdigit, fetching):
    fetching(KeyboardInterrupt())
    output = inkdigit("data", "get", "mnist")
    assert (output.code, output.out, output.err.strip()) == (130, "", "Interrupted.")


def test_strict_ends_with_1_where_something_is_wrong(inkdigit, source, tmp_path):
    images, labels = draw(30)
    np.savez(tmp_path / "twice.npz", X=np.concatenate([images, images]), y=np.concatenate([labels, labels]))
    for name in (source, tmp_path / "twice.npz"):
        plain, strict = inkdigit("data", "check", name), inkdigit("data", "check", name, "--strict")
        assert (plain.code, strict.out) == (0, plain.out)
        assert strict.code == ("Look at:" in plain.out)
        assert inkdigit("data", "check", name, "--strict", "--json").code == strict.code
    assert inkdigit("data", "check", tmp_path / "twice.npz", "--strict").code == 1
