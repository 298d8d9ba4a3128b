"""The submission: Kaggle's form, complete or not at all."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inkdigit.errors import MalformedFile, MissingData, NotAModelFile, OutputError, UsageError
from inkdigit.model.card import Calibration
from inkdigit.model.recognizer import Recognizer, load
from inkdigit.report import submission
from inkdigit.report.submission import check, saw_mnist, submit

from ..conftest import Tiny, template

pytest.importorskip("polars", reason="polars is not installed")

PIXELS = ",".join(f"pixel{i}" for i in range(784))
LABELS = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3]
BEFORE = "ImageId,Label\n1,7\n"


def write_csv(path: Path, images: list[np.ndarray], *, header: str = PIXELS) -> Path:
    rows = [",".join(map(str, image.ravel())) for image in images]
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def test_csv(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "test.csv", [template(label) for label in LABELS])


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The path of an older submission."""
    path = tmp_path / "out" / "submission.csv"
    path.parent.mkdir()
    path.write_text(BEFORE, encoding="utf-8")
    return path


@pytest.fixture
def no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the page and the grid, which take longer than the submission."""
    monkeypatch.setattr(submission, "_show", lambda *_, **__: (None, None))


def assert_untouched(out: Path) -> None:
    assert out.read_text(encoding="utf-8") == BEFORE
    assert [file.name for file in out.parent.iterdir()] == [out.name]


def model_that_saw_mnist(folder: Path) -> Recognizer:
    return load(Tiny(provenance={"saw_mnist": True}).write(folder / "saw.onnx"))


def test_a_submission_has_kaggles_form(tiny, test_csv, out):
    done = submit(tiny, test_csv, out)
    assert Path(done) == done.path == out
    assert [done.model.classes[prediction.best] for prediction in done.predictions] == list(map(str, LABELS))
    assert done.images.shape == (len(LABELS), 28, 28)
    assert str(done.path) in repr(done)
    assert "Prediction(" not in repr(done)  # 28,000 of them, where a notebook shows it
    assert done.page is not None
    assert "tiny" in done.page.read_text(encoding="utf-8")
    assert {file.name for file in out.parent.iterdir()} == {out.name, done.page.name, done.grid.name}
    header, *rows, end = out.read_text(encoding="utf-8").split("\n")
    assert header == "ImageId,Label"
    assert rows == [f"{i},{label}" for i, label in enumerate(LABELS, 1)]
    assert end == ""


@pytest.mark.usefixtures("no_page")
def test_the_model_may_be_named(tiny_file, test_csv, out):
    submit(str(tiny_file), str(test_csv), str(out))
    assert out.read_text(encoding="utf-8").startswith("ImageId,Label\n1,3\n2,1\n")


@pytest.mark.usefixtures("no_page")
def test_without_a_name_it_is_called_submission(tiny, test_csv, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert submit(tiny, test_csv).path == Path("submission.csv")
    assert (tmp_path / "submission.csv").is_file()


@pytest.mark.usefixtures("no_page")
def test_every_row_gets_a_digit_also_where_the_model_would_not_answer(tmp_path, out):
    strict = load(Tiny(calibration=Calibration(accept_score=1e9)).write(tmp_path / "strict.onnx"))
    blank = np.zeros((28, 28), np.uint8)
    submit(strict, write_csv(tmp_path / "a.csv", [template(8), blank, template(2)]), out)
    assert out.read_text(encoding="utf-8") == "ImageId,Label\n1,8\n2,0\n3,2\n"


@pytest.mark.usefixtures("no_page")
def test_labels_are_names_not_places(tmp_path, out):
    model = load(Tiny(classes=("7", "10", "3")).write(tmp_path / "m.onnx"))
    submit(model, write_csv(tmp_path / "a.csv", [template(0), template(1), template(2)]), out)
    assert out.read_text(encoding="utf-8") == "ImageId,Label\n1,7\n2,10\n3,3\n"


@pytest.mark.usefixtures("no_page")
def test_a_model_that_saw_mnist_gets_a_warning(tiny, test_csv, out, tmp_path, log, lines):
    submit(tiny, test_csv, out, log=log)
    assert lines == []
    model = model_that_saw_mnist(tmp_path)
    assert saw_mnist(model)
    assert not saw_mnist(tiny)
    submit(model, test_csv, out, log=log)
    assert len(lines) == 1
    assert lines[0].startswith("Warning:")
    assert "not be honest" in lines[0]


def test_classes_that_are_not_numbers(test_csv, tmp_path, out):
    model = load(Tiny(classes=("1", "trouser", "coat")).write(tmp_path / "m.onnx"))
    with pytest.raises(
        UsageError, match=r"Expected: classes that are whole numbers. Received: trouser, coat"
    ) as caught:
        submit(model, test_csv, out)
    assert caught.value.exit_code == 2
    assert_untouched(out)


def test_a_csv_that_is_not_there(tiny, tmp_path, out):
    with pytest.raises((MalformedFile, MissingData)) as caught:
        submit(tiny, tmp_path / "nothing.csv", out)
    assert caught.value.exit_code == 4
    assert_untouched(out)


BAD = {
    "empty": "",
    "no rows": PIXELS + "\n",
    "labelled": f"label,{PIXELS}\n" + ",".join(["0"] * 785) + "\n",
    "a missing column": PIXELS.replace("pixel7,", "") + "\n" + ",".join(["0"] * 783) + "\n",
    "a short row": f"{PIXELS}\n" + ",".join(["0"] * 700) + "\n",
    "a word": f"{PIXELS}\n" + ",".join(["0"] * 783) + ",ink\n",
    "300": f"{PIXELS}\n" + ",".join(["0"] * 783) + ",300\n",
    "-5": f"{PIXELS}\n" + ",".join(["0"] * 783) + ",-5\n",
    "binary": "\0\1\2" * 500,
}


@pytest.mark.parametrize("name", BAD)
def test_a_csv_that_is_not_kaggles(tiny, tmp_path, out, name):
    (tmp_path / "bad.csv").write_text(BAD[name], encoding="utf-8")
    with pytest.raises(MalformedFile, match=r"bad\.csv") as caught:
        submit(tiny, tmp_path / "bad.csv", out)
    assert caught.value.exit_code == 4
    assert_untouched(out)


def test_a_model_that_is_none(test_csv, tmp_path, out):
    (tmp_path / "bad.onnx").write_bytes(b"none")
    with pytest.raises(NotAModelFile):
        submit(tmp_path / "bad.onnx", test_csv, out)
    with pytest.raises(UsageError, match="There is no model"):
        submit("nothing", test_csv, out)
    assert_untouched(out)


def test_a_place_that_cannot_be_written(tiny, test_csv, tmp_path):
    for place in (tmp_path, tmp_path / "nowhere" / "a.csv", test_csv / "inside.csv"):
        with pytest.raises(OutputError) as caught:
            submit(tiny, test_csv, place)
        assert caught.value.exit_code == 9
    assert sorted(file.name for file in tmp_path.iterdir()) == ["test.csv"]


def test_a_full_disk_leaves_the_older_submission(tiny, test_csv, out, monkeypatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="the disk is full"):
        submit(tiny, test_csv, out)
    assert_untouched(out)


def test_a_submission_that_fails_its_check_is_not_written(tiny_file, test_csv, out):
    class Renamed(Recognizer):
        """A model whose classes are numbers below zero once it has predicted."""

        def predict(self, images):
            predictions = super().predict(images)
            self.card = replace(self.card, classes=tuple(f"-{name}" for name in self.classes))
            return predictions

    with pytest.raises(UsageError, match="not in Kaggle's form"):
        submit(Renamed.load(tiny_file), test_csv, out)
    assert_untouched(out)


@pytest.mark.parametrize(
    "text",
    [
        "ImageId;Label\n1;3\n2;1\n",
        "ImageId,Label\n1,3\n",
        "ImageId,Label\n0,3\n1,1\n",
        "ImageId,Label\n2,3\n1,1\n",
        "ImageId,Label\n1,3\n2,1\n3,1\n",
        "ImageId,Label\n1,3\n2,\n",
        "ImageId,Label\n1,3\n2,1.0\n",
        "ImageId,Label\n1,3\n2,None\n",
        "ImageId,Label\n1,3\n2,-1\n",
        "ImageId,Label\n1,3,4\n2,1,4\n",
        "1,3\n2,1\n",
        "\n",
    ],
)
def test_check_refuses_any_other_form(text):
    with pytest.raises(UsageError, match="ImageId,Label and 2 rows, ids from 1"):
        check(text, rows=2)


def test_check_accepts_the_form():
    check("ImageId,Label\n1,3\n2,10\n", rows=2)


@pytest.mark.parametrize("word", ["a" * 5000, "with\0nul"])
def test_a_name_that_no_file_can_have_is_a_usage_error_everywhere(word):
    from inkdigit.data.sources import open_data
    from inkdigit.errors import UsageError
    from inkdigit.model.recognizer import load
    from inkdigit.training.recipe import Recipe

    for look in (open_data, load, Recipe.load):
        with pytest.raises(UsageError):
            look(word)
