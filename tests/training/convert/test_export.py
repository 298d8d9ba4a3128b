"""The formats of other programs: their names, and the name of a new file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from inkdigit.errors import UsageError
from inkdigit.model.recognizer import Recognizer, bundled, load
from inkdigit.training.convert.export import choose_target, left_out
from inkdigit.training.convert.formats import SUFFIXES, check_format
from inkdigit.training.convert.restore import TRAINED_IN, recipe_of
from inkdigit.types import OUTLIERS

from ...conftest import Tiny


def test_a_format_is_known_and_needs_data_or_not():
    for name in SUFFIXES:
        check_format(name, data=None)
    check_format("onnx-int8", data="mnist")
    with pytest.raises(UsageError, match="Did you mean keras"):
        check_format("kears", data=None)
    with pytest.raises(UsageError, match="pt2 needs no data"):
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


def test_what_a_format_leaves_out_is_one_line(tiny, tmp_path):
    with_outliers = Recognizer.load(Tiny(outliers=OUTLIERS).write(tmp_path / "outliers.onnx"))
    assert "Left out: the score." in (left_out(tiny, "keras") or "")
    assert "the outliers (not a digit, more than one digit)" in (left_out(with_outliers, "keras") or "")
    assert [left_out(tiny, name) for name in SUFFIXES if name != "keras"] == [None] * (len(SUFFIXES) - 1)


@pytest.mark.parametrize("name", [name for name, path in bundled().items() if load(name).card.numbers != "float32"])
def test_a_bundled_model_without_float_weights_names_its_training(name):
    with pytest.raises(UsageError, match=f"Train it, which takes {TRAINED_IN[name]}, .* inkdigit train {name}"):
        recipe_of(load(name))
    minutes = TRAINED_IN[name].removesuffix("utes")
    page = (Path(__file__).parents[3] / "docs" / "accuracy.md").read_text(encoding="utf-8")
    assert re.search(rf"^\| `{name}` \|.* {minutes} .*\(1 thread\)", page, re.MULTILINE)
