"""CSVs as people have them: their columns, named or not, say where label and pixels are, and what labels mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inkdigit.data.readers.csv_layouts import PIXELS, layout_of
from inkdigit.data.readers.emnist import MERGED
from inkdigit.data.readers.kaggle_csv import read_kaggle_test
from inkdigit.data.sources import open_data
from inkdigit.errors import MalformedFile, UsageError
from inkdigit.types import DIGITS

from ..conftest import draw

IMAGES, LABELS = draw(5), np.array([3, 1, 4, 1, 5])
PLACED = [f"{row}x{column}" for row in range(1, 29) for column in range(1, 29)]


def write(
    path: Path, header: list[str] | None, *, images: np.ndarray = IMAGES, labels: np.ndarray | None = LABELS
) -> Path:
    rows = images.reshape(len(images), -1).tolist()
    if labels is not None:
        rows = [[label, *row] for label, row in zip(labels.tolist(), rows, strict=True)]
    lines = [*([header] if header else []), *rows]
    path.write_text("\n".join(",".join(map(str, line)) for line in lines) + "\n", encoding="utf-8")
    return path


def numbered(first: int, before: str = "") -> list[str]:
    return [f"{before}{i}" for i in range(first, first + 784)]


HEADERS = {
    "Kaggle": ["label", *PIXELS],
    "Fashion-MNIST": ["label", *numbered(1, "pixel")],
    "MNIST in CSV": ["label", *PLACED],
    "numbers from 0": ["label", *numbered(0)],
    "numbers from 1": ["class", *numbered(1)],
    "the label last in the header, and by name": ["y", *numbered(0, "px_")],
    "columns that are counted": list(map(str, range(785))),
    "none": None,
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_the_same_images_come_back_under_every_header(tmp_path, header):
    data = open_data(write(tmp_path / "mine.csv", header), prepare="plain")
    assert np.array_equal(data.train.images, IMAGES)
    assert (data.train.labels.tolist(), data.classes) == (LABELS.tolist(), DIGITS)


@pytest.mark.parametrize("header", [list(PIXELS), PLACED, numbered(1, "pixel"), None])
def test_a_test_csv_may_have_any_of_them(tmp_path, header):
    assert np.array_equal(read_kaggle_test(write(tmp_path / "test.csv", header, labels=None)), IMAGES)


def test_columns_by_row_and_column_may_be_in_any_order(tmp_path):
    order = np.random.default_rng(0).permutation(784)
    flat = IMAGES.reshape(5, -1)[:, order].reshape(5, 28, 28)
    path = write(tmp_path / "mine.csv", ["label", *(PLACED[i] for i in order)], images=flat)
    assert np.array_equal(open_data(path, prepare="plain").train.images, IMAGES)


def test_letters_without_a_header_are_a_to_z(tmp_path):
    letters = np.array([0, 25, 2, 3, 4])
    data = open_data(write(tmp_path / "A_Z Handwritten Data.csv", None, labels=letters), prepare="plain")
    assert [data.classes[k] for k in data.train.labels] == list("AZCDE")
    made_by_pandas = ["0", *(f"0.{i}" for i in range(1, 785))]  # its first row became a header, and is lost
    data = open_data(write(tmp_path / "again.csv", made_by_pandas, labels=letters), prepare="plain")
    assert [data.classes[k] for k in data.train.labels] == list("AZCDE")
    named = write(tmp_path / "named.csv", HEADERS["Kaggle"], labels=letters)
    with pytest.raises(MalformedFile, match=r"25.*Labels above 9 need a classes\.txt"):
        open_data(named)
    (tmp_path / "classes.txt").write_text("\n".join("abcdefghijklmnopqrstuvwxyz"), encoding="utf-8")
    assert open_data(named).classes == tuple("abcdefghijklmnopqrstuvwxyz")


@pytest.mark.parametrize(
    ("name", "labels", "read"),
    [
        ("emnist-letters-train.csv", [1, 26, 3, 4, 5], "AZCDE"),
        ("emnist-balanced-test.csv", [0, 9, 10, 36, 46], "09Aat"),
        ("emnist-byclass-train.csv", [0, 35, 36, 61, 1], "0Zaz1"),
        ("emnist-mnist-train.csv", [0, 1, 2, 3, 9], "01239"),
        ("EMNIST digits.csv", [0, 1, 2, 3, 9], "01239"),
    ],
)
def test_the_csv_of_emnist_is_turned_and_named(tmp_path, name, labels, read):
    path = write(tmp_path / name, None, images=IMAGES.transpose(0, 2, 1), labels=np.array(labels))
    data = open_data(path, prepare="plain")
    assert np.array_equal(data.train.images, IMAGES)
    assert [data.classes[k] for k in data.train.labels] == list(read)


def test_a_letter_of_emnist_that_there_is_not(tmp_path):
    path = write(tmp_path / "emnist-letters-train.csv", None, labels=np.array([1, 0, 3, 27, 5]))
    with pytest.raises(MalformedFile, match=r"row 2, label: '0' is not the number of a class.*labels 1–26"):
        open_data(path)


def test_what_is_no_table_of_images_keeps_its_names():
    for cells in (("a", "b"), ("1", "2", "3"), ("label", *PIXELS[:-1]), ("label", *PLACED[:-1], "29x1"), ("",)):
        assert layout_of(cells, "mine.csv").columns == cells


def test_a_file_with_too_few_columns_of_numbers_is_an_error(tmp_path):
    (tmp_path / "few.csv").write_text("1,2,3\n4,5,6\n", encoding="utf-8")
    with pytest.raises(MalformedFile, match="785 columns of numbers, the label first"):
        open_data(tmp_path / "few.csv")


def test_the_file_of_keras_has_both_splits(tmp_path):
    arrays = {"x_train": IMAGES, "y_train": LABELS.astype(np.uint8), "x_test": draw(3, seed=1), "y_test": [7, 8, 9]}
    np.savez(tmp_path / "mnist.npz", **arrays)
    data = open_data(tmp_path / "mnist.npz", prepare="plain")
    assert np.array_equal(data.train.images, IMAGES)
    assert data.test is not None
    assert np.array_equal(data.test.images, draw(3, seed=1))
    assert (data.test.labels.tolist(), data.classes) == ([7, 8, 9], DIGITS)
    np.savez(tmp_path / "broken.npz", **{**arrays, "y_test": [7, 8]})
    with pytest.raises(MalformedFile, match="y_test: Not one label for each image"):
        open_data(tmp_path / "broken.npz")
    del arrays["y_test"]
    np.savez(tmp_path / "three.npz", **arrays)
    with pytest.raises(MalformedFile, match="No array 'y_test'"):
        open_data(tmp_path / "three.npz")


def test_the_merged_classes_of_emnist_are_47():
    assert (len(MERGED), len(set(MERGED))) == (47, 47)
    with pytest.raises(UsageError, match="Did you mean emnist-balanced"):
        open_data("emnist-balance")
