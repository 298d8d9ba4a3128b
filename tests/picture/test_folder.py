"""What a folder stands for: the images in it, by their names."""

from __future__ import annotations

from pathlib import Path

import pytest

from inkdigit.errors import PictureError
from inkdigit.picture.folder import expand


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
