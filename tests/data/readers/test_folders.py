"""Images as files: classes from sub-folders or a list, and one bad image that does not stop the others."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inkdigit.data.readers import arrays, bounded, folders
from inkdigit.data.readers.folders import read_image_folder, read_labels_csv
from inkdigit.errors import DataError, MalformedFile, MissingData, UsageError
from inkdigit.picture.batch import AT_A_TIME, read_each
from inkdigit.picture.prepare import prepare
from inkdigit.types import DIGITS

from ..conftest import draw, write_picture

A, B, C, D = draw(4)


@pytest.fixture
def folder(tmp_path):
    """Two classes, 2 and 10, with three images."""
    write_picture(tmp_path / "10" / "b.PNG", A)
    write_picture(tmp_path / "10" / "a.png", B)
    write_picture(tmp_path / "2" / "c.bmp", C)
    (tmp_path / "2" / "notes.txt").write_text("no image", encoding="utf-8")
    write_picture(tmp_path / "2" / ".hidden.png", D)
    (tmp_path / ".git").mkdir()
    (tmp_path / "__MACOSX").mkdir()
    return tmp_path


def test_sub_folders_are_classes(folder):
    data = read_image_folder(folder)
    assert data.classes == ("2", "10")
    assert data.train.files == ("10/a.png", "10/b.PNG", "2/c.bmp") or data.train.files == (
        "2/c.bmp",
        "10/a.png",
        "10/b.PNG",
    )
    assert [data.classes[k] for k in data.train.labels] == [file.split("/")[0] for file in data.train.files]
    assert data.train.images.any((1, 2)).all()
    assert data.test is None
    assert data.name == folder.name


@pytest.mark.skipif(os.name != "posix", reason="such names exist on POSIX systems alone")
def test_a_class_whose_name_is_not_a_line_of_text_is_an_error(folder):
    write_picture(folder / "a\nb" / "1.png", D)
    with pytest.raises(UsageError, match=r"not a line of text.*'a\\nb'"):
        read_image_folder(folder)


def test_glimpses_are_the_raw_images(folder):
    write_picture(folder / "2" / "photo.png", np.full((600, 300), 255, np.uint8))
    glimpses = read_image_folder(folder).glimpses
    assert [k for k, _ in glimpses] == [0, 0, 1, 1]
    assert np.array_equal(glimpses[0][1], C)
    assert glimpses[1][1].shape == (200, 100)  # thinned out


def test_no_more_than_five_glimpses_of_a_class(folder):
    for i in range(7):
        write_picture(folder / "2" / f"{i}.png", A)
    assert sum(k == 0 for k, _ in read_image_folder(folder).glimpses) == 5


def test_train_and_test_are_parts(tmp_path):
    write_picture(tmp_path / "train" / "x" / "1.png", A)
    write_picture(tmp_path / "train" / "y" / "1.png", B)
    write_picture(tmp_path / "test" / "y" / "2.png", C)
    data = read_image_folder(tmp_path)
    assert data.classes == ("x", "y")
    assert data.train.labels.tolist() == [0, 1]
    assert data.test.labels.tolist() == [1]
    assert data.test.files == ("test/y/2.png",)


def test_train_and_test_may_be_lists(tmp_path):
    for part, gray in (("train", A), ("test", B)):
        write_picture(tmp_path / part / "1.png", gray)
        (tmp_path / part / "labels.csv").write_text("file,label\n1.png,7\n", encoding="utf-8")
    data = read_image_folder(tmp_path)
    assert data.classes == DIGITS
    assert data.test.labels.tolist() == [7]


def test_train_and_test_may_be_classes(tmp_path):
    write_picture(tmp_path / "train" / "1.png", A)
    write_picture(tmp_path / "test" / "1.png", B)
    data = read_image_folder(tmp_path)
    assert data.classes == ("test", "train")
    assert len(data.train) == 2


def test_one_bad_image_does_not_stop_the_others(folder):
    (folder / "2" / "d.png").write_bytes(b"no image")
    data = read_image_folder(folder)
    (bad,) = data.train.faults
    assert data.train.files[bad] == "2/d.png"
    assert "d.png" in data.train.faults[bad]
    assert not data.train.images[bad].any()
    assert len(data.train) == 4


def test_images_that_are_prepared_together_keep_their_order(tmp_path):
    grays = [*draw(AT_A_TIME), np.kron(A, np.ones((5, 5), np.uint8)), 255 - B, np.roll(C, 3, 1)]
    for i, gray in enumerate(grays):
        write_picture(tmp_path / "ab"[i % 2] / f"{i:02}.png", gray)
    for i in (2, 5):
        (tmp_path / "ab"[i % 2] / f"{i:02}.png").write_bytes(b"no image")
    part = read_image_folder(tmp_path).train
    order = [int(Path(file).stem) for file in part.files]
    assert order == [*range(0, len(grays), 2), *range(1, len(grays), 2)]
    assert sorted(part.faults) == [order.index(2), order.index(5)]
    expected = [np.zeros((28, 28), np.uint8) if i in (2, 5) else prepare(grays[i]) for i in order]
    assert np.array_equal(part.images, np.stack(expected))


def test_nothing_but_bad_images_is_an_error(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(b"")
    with pytest.raises(DataError, match="None of the 2 images") as caught:
        read_image_folder(tmp_path)
    assert caught.value.exit_code == 4


def test_a_folder_without_images(tmp_path):
    with pytest.raises(MissingData, match="There are no images"):
        read_image_folder(tmp_path)
    (tmp_path / "5").mkdir()
    with pytest.raises(MissingData, match="There are no images"):
        read_image_folder(tmp_path)


def test_classes_txt_rules_over_sub_folders(folder):
    (folder / "classes.txt").write_text("10\n2\n", encoding="utf-8")
    data = read_image_folder(folder)
    assert [data.classes[k] for k in data.train.labels] == [file.split("/")[0] for file in data.train.files]
    assert data.classes == ("10", "2")
    (folder / "classes.txt").write_text("2\n3\n", encoding="utf-8")
    with pytest.raises(MalformedFile, match="does not list the class '10'"):
        read_image_folder(folder)


@pytest.fixture
def listed(folder):
    (folder / "labels.csv").write_text("label,source,file\n7,me,2/c.bmp\n3,you,10/a.png\n\n", encoding="utf-8")
    return folder / "labels.csv"


def test_a_list_names_files_and_labels(listed):
    data = read_labels_csv(listed)
    assert data.classes == DIGITS
    assert data.train.labels.tolist() == [7, 3]
    assert data.train.files == ("2/c.bmp", "10/a.png")
    assert data.name == listed.parent.name


def test_a_list_may_name_other_classes(listed):
    listed.write_text("file,label\n2/c.bmp, cat\n10/a.png,dog \n", encoding="utf-8")
    assert read_labels_csv(listed).classes == ("cat", "dog")
    (listed.parent / "classes.txt").write_text("dog\ncat\nbird\n", encoding="utf-8")
    data = read_labels_csv(listed)
    assert data.classes == ("dog", "cat", "bird")
    assert data.train.labels.tolist() == [1, 0]


def test_a_list_may_name_a_file_that_is_not_there(listed):
    listed.write_text("file,label\n2/c.bmp,1\nabsent.png,2\n", encoding="utf-8")
    assert set(read_labels_csv(listed).train.faults) == {1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "header.*an empty file"),
        ("file,name\na.png,1\n", "header.*file,name"),
        ("file,label\n", "row 1: There are no rows"),
        ("file,label\na.png,1\nb.png\n", "row 2: 1 row"),
        ("file,label\n,1\na.png,1\nb.png,\n", "row 1: 2 rows.*1, 3"),
    ],
)
def test_a_broken_list(listed, text, message):
    listed.write_text(text, encoding="utf-8")
    with pytest.raises(MalformedFile, match=rf"labels\.csv, {message}"):
        read_labels_csv(listed)


def test_a_list_that_is_not_a_text(listed):
    listed.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(MalformedFile, match="not a CSV text"):
        read_labels_csv(listed)


def test_a_list_names_files_anywhere(listed, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    write_picture(elsewhere / "d.png", D)
    relative = os.path.relpath(elsewhere, listed.parent)
    listed.write_text(f"file,label\n{elsewhere}/d.png,1\n{relative}/d.png,2\n2/../2/c.bmp,3\n", encoding="utf-8")
    data = read_labels_csv(listed)
    assert data.train.faults == {}
    assert np.array_equal(data.train.images, np.stack([prepare(gray) for gray in (D, D, C)]))
    assert data.train.files == (f"{elsewhere}/d.png", f"{relative}/d.png", "2/../2/c.bmp")


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices are files on POSIX systems alone")
def test_what_is_not_a_file_is_a_fault(listed):
    os.mkfifo(listed.parent / "10" / "pipe.png")
    (listed.parent / "10" / "zero.png").symlink_to("/dev/zero")
    (listed.parent / "10" / "folder.png").mkdir()
    listed.write_text(
        "file,label\n/dev/zero,0\n10/pipe.png,1\n.,2\n2/c.bmp,3\n10/zero.png,4\n10/a\0.png,5\n", encoding="utf-8"
    )
    part = read_labels_csv(listed).train
    assert sorted(part.faults) == [0, 1, 2, 4, 5]
    assert all("not a regular file" in part.faults[i] for i in (0, 1, 2, 4))
    listed.unlink()
    part = read_image_folder(listed.parent).train
    assert sorted(part.files[i] for i in part.faults) == ["10/folder.png", "10/pipe.png", "10/zero.png"]


def test_a_file_that_is_listed_often_is_read_once(listed, monkeypatch):
    read: list[object] = []
    monkeypatch.setattr(arrays, "read_each", lambda paths, kind: read_each(map(recorded(read), paths), kind))
    listed.write_text("file,label\n" + "2/c.bmp,1\n" * 500 + "absent.png,2\n" * 500 + "10/a.png,1\n", encoding="utf-8")
    part = read_labels_csv(listed).train
    assert len(read) == 3
    assert sorted(part.faults) == list(range(500, 1000))
    assert np.array_equal(part.images[[0, 499, 1000]], np.stack([prepare(gray) for gray in (C, C, B)]))


def recorded(seen: list[object]) -> Callable[[object], object]:
    def keep(one: object) -> object:
        seen.append(one)
        return one

    return keep


def test_a_list_has_a_bound(listed, monkeypatch):
    monkeypatch.setattr(folders, "MAX_LIST_ROWS", 3)
    listed.write_text("file,label\n" + "2/c.bmp,1\n" * 4, encoding="utf-8")
    with pytest.raises(MalformedFile, match=r"too many rows.*at most 3"):
        read_labels_csv(listed)
    os.truncate(listed, folders.MAX_LIST_BYTES + 1)  # zeros that take no space
    with pytest.raises(MalformedFile, match="larger than 67,108,864 bytes"):
        read_labels_csv(listed)


def test_a_list_does_not_repeat_one_file_for_ever(listed, monkeypatch):
    monkeypatch.setattr(bounded, "MIN_LIMIT_BYTES", 784_000)
    listed.write_text("file,label\n" + "2/c.bmp,1\n" * 1_100, encoding="utf-8")
    with pytest.raises(MalformedFile, match=r"more images.*at most 1,000.*Received: 1,099"):
        read_labels_csv(listed)


CELLS = st.text(st.characters(codec="utf-8"), max_size=5) | st.sampled_from(
    ["2/c.bmp", "10/a.png", "", ".", "/dev/zero", "\0", '"', "9" * 5000, "x" * 200_000, "," * 50]
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(CELLS, max_size=4), max_size=6), st.sampled_from([",", '","', "\r"]))
def test_any_list_is_a_data_set_or_one_error(listed, rows, between):
    text = "\n".join(["file,label", "2/c.bmp,7", *map(between.join, rows)])
    listed.write_bytes(text.encode())
    with suppress(DataError, UsageError):
        read_labels_csv(listed)
