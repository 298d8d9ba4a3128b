"""What a check finds: each kind of trouble planted, counted and named."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pytest

from inkdigit.data.checks import check, check_dataset, shared_images
from inkdigit.data.readers.arrays import open_arrays
from inkdigit.data.sources import open_data
from inkdigit.errors import MalformedFile

from .conftest import draw, kaggle_rows, make_dataset, make_part, write_picture, write_rows


def with_images(part, images):
    return replace(part, images=images)


def test_a_spotless_set_has_no_findings():
    checked = check_dataset(make_dataset(make_part(list(range(10))), make_part(list(range(10)), seed=1)))
    assert checked.findings() == []
    assert (checked.train.n, checked.train.shape, checked.train.dtype) == (10, (10, 28, 28), "uint8")
    assert (checked.train.lowest, checked.train.highest) == (0, 255)
    assert (checked.shared, checked.shared_pairs) == (0, ())
    assert checked.train.per_class == dict.fromkeys("0123456789", 1)
    assert json.loads(json.dumps(checked.to_json()))["train"]["n"] == 10


def test_planted_trouble_is_found():
    part = make_part([*range(9), 0, 1], writers=[1] * 5 + [2] * 6, faults={5: "broken"})
    images = part.images.copy()
    images[3] = images[4] = 0  # blank, and so duplicates under different labels
    images[9] = images[0]  # the same label
    images[10] = images[6]  # another label
    images[5] = 0  # unreadable: neither blank nor duplicate
    checked = check_dataset(make_dataset(with_images(part, images)))
    train = checked.train
    assert (train.blank, train.first_blank) == (2, (3, 4))
    assert (train.unreadable, train.first_unreadable) == (1, ("5: broken",))
    assert train.duplicates == 3
    assert set(train.duplicate_groups) == {(3, 4), (0, 9), (6, 10)}
    assert set(train.conflicting_groups) == {(3, 4), (6, 10)}
    assert train.per_class["5"] == 0
    assert train.writers == 2
    assert (checked.test, checked.shared) == (None, None)
    text = "\n".join(checked.findings())
    for message in ("1 unreadable image: 5: broken", "2 images without ink, such as 3, 4", "3 repeated images"):
        assert f"training split: {message}" in text
    assert "under different labels: (3, 4), (6, 10)" in text
    assert "no image of 5, 9" in text


def test_leaks_between_the_parts_are_counted():
    train, test = make_part(list(range(10))), make_part(list(range(10)), seed=1)
    images = test.images.copy()
    images[7], images[2] = train.images[1], train.images[9]
    images[4] = 0
    train = with_images(train, np.concatenate((train.images[:8], np.zeros((1, 28, 28), np.uint8), train.images[9:])))
    test = with_images(test, images)
    assert shared_images(train, test) == [(9, 2), (1, 7)]
    checked = check_dataset(make_dataset(train, test))
    assert checked.shared == 2
    assert "2 test images in the training split too: (9, 2), (1, 7)" in checked.findings()


def test_bad_cells_of_a_csv_are_reported_not_raised(tmp_path, log):
    rows = kaggle_rows(draw(6), np.arange(6))
    rows[0][5], rows[0][6], rows[1][7], rows[3][8] = "", "x", "256", "-1"
    rows[4][0] = "12"
    path = write_rows(tmp_path / "train.csv", rows)
    with pytest.raises(MalformedFile):
        open_data(path)
    checked = check(path, log=log)
    cells = checked.train.bad_cells
    assert (cells.missing, cells.not_numbers, cells.outside, cells.unknown_labels) == (1, 1, 2, 1)
    assert (cells.rows, cells.first_rows) == (4, (1, 2, 4, 5))
    assert cells.first[0] == "row 1, pixel4: is missing"
    assert (checked.train.n, checked.train.unreadable, checked.train.blank) == (6, 4, 0)
    assert "training split: 4 rows with bad cells: row 1, pixel4: is missing" in checked.findings()[0]


def test_the_size_in_the_source_is_that_of_the_files(tmp_path, log):
    for name in "ab":
        wide = np.full((480, 640), 255, np.uint8)
        wide[100:300, 300:340] = 0
        write_picture(tmp_path / name / "1.png", wide)
    assert check(tmp_path, log=log).sizes == "640 × 480"  # width × height, as cameras say it
    arrays = open_arrays([wide, wide], [0, 1])
    assert check_dataset(arrays).sizes == "640 × 480"


def test_a_folder_of_photos_tells_what_came_in(tmp_path, log):
    write_picture(tmp_path / "a" / "1.png", draw(1, side=40)[0])
    write_picture(tmp_path / "b" / "1.png", draw(1, side=20)[0])
    (tmp_path / "b" / "2.png").write_bytes(b"")
    checked = check(tmp_path, log=log)
    assert checked.raw_shapes == ((20, 20), (40, 40))
    assert checked.sizes == "20 × 20, 40 × 40"
    assert checked.train.first_unreadable[0].startswith("b/2.png: ")


def test_the_real_mnist_is_clean_and_checked_in_a_second(mnist):
    data = open_data(mnist)
    begin = time.process_time()
    checked = check_dataset(data)
    assert time.process_time() - begin < 3  # usually a fifth of a second
    assert checked.findings() == []
    assert (checked.train.n, checked.test.n, checked.shared) == (60_000, 10_000, 0)
    assert checked.train.per_class["5"] == 5421
