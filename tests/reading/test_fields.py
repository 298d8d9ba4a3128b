"""The fields of a form: values by name, from a scan and from a photo, and what is wrong with a file of fields."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from inkdigit.errors import UsageError
from inkdigit.page.quad import UNIT, homography
from inkdigit.reading.fields import Form

from .conftest import page, write

SHAPE = 600, 900  # of the page
FIELDS = """
[amount]
box = [0.5, 0.1, 0.95, 0.3]
expect = '\\d{4}'

["customer number"]
box = [0.05, 0.6, 0.6, 0.85]
alphabet = "0-9"

[nothing]
box = [0.7, 0.5, 0.95, 0.9]
"""


@pytest.fixture
def sheet():
    sheet = page(SHAPE)
    write(sheet, "8305", 90, 500, height=60)
    write(sheet, "20417", 400, 90, height=60, seed=1)
    return sheet


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "fields.toml"
    path.write_text(FIELDS, encoding="utf-8")
    return path


def test_each_field_has_its_value(reader, path, sheet):
    values = Form.load(path, reader).read(sheet)
    assert [*values] == ["amount", "customer number", "nothing"]
    assert [value.text for value in values.values()] == ["8305", "20417", ""]
    assert values["nothing"].reason == "no ink"
    top, left, bottom, right = values["amount"].numbers[0].box
    assert 0.1 * SHAPE[0] <= top < bottom <= 0.3 * SHAPE[0]
    assert 0.5 * SHAPE[1] <= left < right <= 0.95 * SHAPE[1]


def test_the_page_is_found_on_a_desk(reader, path, sheet):
    photo = _on_desk(sheet)
    values = Form.load(path, reader).read(photo)
    assert [value.text for value in values.values()] == ["8305", "20417", ""]
    path.write_text('page = "scan"\n' + FIELDS, encoding="utf-8")
    assert [value.text for value in Form.load(path, reader).read(photo).values()] != ["8305", "20417", ""]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "does not describe a form"),
        ("[a", "cannot be read"),
        ("a = 3", r"\[a\] is not a field"),
        ("page = 'wall'", "page is unknown"),
        ("[a]", "the box is not on the page"),
        ("[a]\nbox = [0, 0, 1]", "the box is not on the page"),
        ("[a]\nbox = [0.5, 0.1, 0.4, 0.2]", "the box is not on the page"),
        ("[a]\nbox = [0.5, 0.1, 1.4, 0.2]", "the box is not on the page"),
        ("[a]\nbox = [0, 0, 1, nan]", "the box is not on the page"),
        ("[a]\nbox = [0, 0, 1, true]", "the box is not on the page"),
        ("[a]\nboxx = [0, 0, 1, 1]", "Did you mean box"),
        ("[file]\nbox = [0, 0, 1, 1]", "this name is taken"),
        ("[a]\nbox = [0, 0, 1, 1]\nexpect = 5", "are texts"),
        ("[a]\nbox = [0, 0, 1, 1]\nexpect = '['", r"\[a\].*not a regular expression"),
    ],
)
def test_a_bad_file_of_fields_is_one_error(reader, tmp_path, text, problem):
    path = tmp_path / "fields.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=problem):
        Form.load(path, reader)


def test_the_patterns_of_all_fields_have_a_limit_together(reader):
    hard = "(?:[0-9]?[0-9.,/-]?){240}"  # has 115,000 pairs of characters
    table = "\n".join(f"[f{i}]\nbox = [0, 0, 1, 1]\nexpect = '{hard}'" for i in range(3))
    assert len(Form.parse(table, reader, where="here").fields) == 3
    with pytest.raises(UsageError, match="here: the patterns of the fields are too large"):
        Form.parse("\n".join(table.replace("[f", f"[f{k}") for k in range(3)), reader, where="here")


def test_a_missing_file_of_fields_is_one_error(reader, tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        Form.load(tmp_path / "none.toml", reader)


def _on_desk(sheet: np.ndarray) -> np.ndarray:
    """The sheet on a dark desk, a little from the side."""
    size = 1300, 1000
    corners = np.array([[300, 330], [1130, 260], [1230, 860], [240, 900]], np.float64)
    matrix = homography(corners, UNIT * sheet.shape[::-1])
    data = (matrix / matrix[2, 2]).ravel()[:8].tolist()
    seen = Image.fromarray(sheet).transform(
        size, Image.Transform.PERSPECTIVE, data, resample=Image.Resampling.BILINEAR, fillcolor=70
    )
    return np.asarray(seen)


def test_a_file_that_is_not_there_is_named_once(tmp_path, reader):
    with pytest.raises(UsageError) as caught:
        Form.load(tmp_path / "nothing.toml", reader)
    assert "Errno" not in str(caught.value)
    assert str(caught.value).count("nothing.toml") == 1
