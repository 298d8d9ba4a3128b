"""What a folder stands for: the images in it, by their names."""

from __future__ import annotations

from pathlib import Path

import pytest

from inkdigit.errors import PictureError
from inkdigit.picture.folder import below, expand, matches


def test_a_folder_is_its_images_sorted_without_sub_folders_and_hidden_files(tmp_path):
    for name in ("b.png", "a.JPG", ".hidden.png", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "sub.png").mkdir()
    assert expand(tmp_path) == [tmp_path / "a.JPG", tmp_path / "b.png"]


def test_anything_else_stands_for_itself(tmp_path):
    (tmp_path / "notes.txt").touch()
    for path in (tmp_path / "notes.txt", tmp_path / "none.png", Path("a\0b")):
        assert expand(path) == [path]


def test_a_folder_without_images_or_a_name_too_long_is_an_error(tmp_path):
    with pytest.raises(PictureError, match=r"is a folder without .*Expected: \.bmp, \.gif"):
        expand(tmp_path)
    with pytest.raises(PictureError, match="cannot be opened: File name too long"):
        expand(tmp_path / ("a" * 300))


def test_images_below_a_folder_are_read_only_if_asked_for(tmp_path):
    for name in ("b.png", "sub/a.png", "sub/deep/c.jpg", "sub/notes.txt", ".hidden/d.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    deeper = [tmp_path / "sub" / "a.png", tmp_path / "sub" / "deep" / "c.jpg"]
    assert expand(tmp_path) == [tmp_path / "b.png"]
    assert expand(tmp_path, recursive=True) == [tmp_path / "b.png", *deeper]
    assert list(below(tmp_path)) == deeper
    (tmp_path / "b.png").unlink()
    assert expand(tmp_path, recursive=True) == deeper
    with pytest.raises(PictureError, match="sub-folders have some: use --recursive"):
        expand(tmp_path)


def test_a_pattern_stands_for_the_files_that_fit_it(tmp_path):
    for name in ("b.png", "a.png", "c.jpg", "[1].png", "1.png"):
        (tmp_path / name).touch()
    assert matches(tmp_path / "?.png") == [tmp_path / name for name in ("1.png", "a.png", "b.png")]
    assert matches(tmp_path / "[1].png") == [tmp_path / "[1].png"]  # a file of that name comes first
    assert matches(tmp_path / "none.png") == [tmp_path / "none.png"]
    with pytest.raises(PictureError, match=r"No file fits .*\*\.gif"):
        matches(tmp_path / "*.gif")
