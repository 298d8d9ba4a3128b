"""Names of classes: what a `classes.txt` may hold, the order of names, and labels as indices into them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkdigit.data.readers.class_names import index_names, read_classes, sorted_names
from inkdigit.errors import MalformedFile


def test_classes_are_the_lines_of_the_file_without_blank_ones(tmp_path):
    assert read_classes(tmp_path) is None
    (tmp_path / "classes.txt").write_text(" b\n\na \n", encoding="utf-8")
    assert read_classes(tmp_path) == ("b", "a")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a", "2 to 256"),
        (b"", "2 to 256"),
        ("\n".join(map(str, range(257))).encode(), "2 to 256"),
        (b"a\nb\na\n", "twice"),
        (b"\xff\xfe\0", "read as text"),
        (b"a\n" + b"9" * 5000, "name that cannot be used"),
        (b"a\n" * 2**20, "larger than"),
    ],
)
def test_a_broken_classes_txt(tmp_path, data, message):
    (tmp_path / "classes.txt").write_bytes(data)
    with pytest.raises(MalformedFile, match=message):
        read_classes(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="pipes are files on POSIX systems alone")
def test_a_classes_txt_that_is_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "classes.txt")
    with pytest.raises(MalformedFile, match="not a regular file"):
        read_classes(tmp_path)


@given(st.sets(st.integers(0, 300), min_size=1))
def test_numbers_are_sorted_as_numbers(numbers):
    assert sorted_names(map(str, numbers)) == tuple(map(str, sorted(numbers)))


def test_names_are_sorted_as_names():
    assert sorted_names({"b", "10", "9", "a"}) == ("10", "9", "a", "b")


def test_labels_are_indices_into_the_classes():
    classes, labels = index_names(["b", "a", "b"], ("a", "b"), Path("list.csv"))
    assert (classes, labels.tolist()) == (("a", "b"), [1, 0, 1])
    with pytest.raises(MalformedFile, match=r"list\.csv, label 2: .*does not list the class 'c'"):
        index_names(["b", "c"], ("a", "b"), Path("list.csv"))
