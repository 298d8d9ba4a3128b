"""Drawn digits as files: the same every time, and read as what they are."""

from __future__ import annotations

import pytest

from inkdigit.errors import OutputError
from inkdigit.model.recognizer import load
from inkdigit.synth.samples import write_digits


def test_ten_digits_are_written_and_read(tmp_path):
    write_digits(tmp_path / "new" / "digits")
    files = sorted((tmp_path / "new" / "digits").iterdir())
    assert [file.name for file in files] == [f"{label}.png" for label in range(10)]
    assert [prediction.label for prediction in load().predict(files)] == [file.stem for file in files]
    before = [file.read_bytes() for file in files]
    write_digits(tmp_path / "new" / "digits")
    assert [file.read_bytes() for file in files] == before


def test_a_folder_that_cannot_be_made_is_one_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        write_digits(tmp_path / "file" / "digits")
