"""The formats of other programs: their names, and the name of a new file."""

from __future__ import annotations

from pathlib import Path

import pytest

from inkdigit.errors import UsageError
from inkdigit.training.convert.export import SUFFIXES, check_format, choose_target


def test_a_format_is_known_and_needs_data_or_not():
    for name in SUFFIXES:
        check_format(name, data=None)
    check_format("onnx-int8", data="mnist")
    with pytest.raises(UsageError, match="Did you mean keras"):
        check_format("kears", data=None)
    with pytest.raises(UsageError, match="--data has no meaning for pt2"):
        check_format("pt2", data="mnist")


def test_a_new_file_is_named_after_the_model(tiny, tiny_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, suffix in SUFFIXES.items():
        assert choose_target(None, name, model=str(tiny_file), recognizer=tiny) == Path(f"tiny{suffix}")


@pytest.mark.parametrize("name", [".keras", "m.keras"])
def test_keras_opens_files_of_its_own_suffix(tiny, tmp_path, name):
    assert choose_target(tmp_path / name, "keras", model="tiny", recognizer=tiny) == tmp_path / name
    with pytest.raises(UsageError, match=r"ends in \.keras"):
        choose_target(tmp_path / "m.h5", "keras", model="tiny", recognizer=tiny)
