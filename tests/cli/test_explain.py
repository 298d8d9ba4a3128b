"""`explain`: which ink decided, in a terminal and on a page; with and without PyTorch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inkdigit.cli.explain import AGAINST, MARKS, drawing
from inkdigit.errors import pip_install
from inkdigit.model.explain import Explanation
from inkdigit.types import Prediction

from ..conftest import Tiny
from .conftest import assert_one_error, environment, run


@pytest.fixture
def one(picture: Path) -> Path:
    return picture / "b.png"  # a drawn 0, black on white


@pytest.fixture
def blank(picture: Path) -> Path:
    return picture / "c.png"


def test_the_terminal_says_what_decided_and_draws_it(inkdigit, model, one):
    output = inkdigit("explain", one, "--model", model)
    assert output.code == 0
    first, second, third, *lines = output.out.splitlines()
    assert first.startswith(f"{one}  ")
    assert first.endswith(" % sure")
    assert second.startswith("runner-up   ")
    assert third.startswith("decided by  the ")
    assert "% of what speaks for" in third
    *ink, _, key = lines
    assert 9 <= sum(bool(line.strip()) for line in ink) <= 11  # 20 px in rows of two
    assert max(map(len, ink)) <= 2 + 20
    assert set("".join(ink)) <= set(MARKS + AGAINST + " ")
    assert key.startswith(". : + #")
    assert "--out explained.html" in output.err


def test_the_page_shows_it_all(inkdigit, model, one, tmp_path):
    out = tmp_path / "page.html"
    output = inkdigit("explain", one, "--model", model, "--out", out)
    assert (output.code, output.err) == (0, "")
    assert output.out.splitlines()[-1] == f"Page        {out}"
    html = out.read_text(encoding="utf-8")
    for alt in ("by occlusion", "by integrated gradients", "first convolution", "Feature maps of block2_conv1"):
        assert alt in html
    assert "Left out" not in html


def test_a_picture_without_ink_is_a_clear_answer(inkdigit, model, blank, tmp_path):
    output = inkdigit("explain", blank, "--model", model, "--out", tmp_path / "page.html")
    assert (output.code, output.err) == (0, "")
    assert output.out.startswith(f"{blank}  —  no ink\n")
    assert "there is no ink to explain" in output.out
    assert "There is no ink to explain" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert inkdigit("explain", blank, "--model", model).err == ""


def test_a_plain_picture_of_nothing_is_no_crash(inkdigit, blank, tmp_path):
    black = tmp_path / "black.png"
    Image.new("L", (28, 28)).save(black)
    plain = Tiny(kind="plain").write(tmp_path / "plain.onnx")
    output = inkdigit("explain", black, "--model", plain)
    assert output.code == 0
    assert "decided by  no part of it: the image is black all over" in output.out
    assert "runner-up   " in output.out
    assert "ink" not in output.out.removeprefix(str(black))
    assert inkdigit("explain", black, "--model", plain, "--out", tmp_path / "page.html").code == 0
    assert "The image is black all over" in (tmp_path / "page.html").read_text(encoding="utf-8")
    output = inkdigit("explain", blank, "--model", plain, "--out", tmp_path / "page.html")
    assert output.code == 0
    assert "Which part decided" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_without_captum_only_gradients_are_left_out(inkdigit, model, one, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    output = inkdigit("explain", one, "--model", model, "--out", tmp_path / "page.html")
    assert output.code == 0
    assert "Gradients need captum" in output.err
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "first convolution" in html
    assert "Feature maps of block2_conv1" in html
    assert "by integrated gradients" not in html


def test_without_torch_the_page_says_what_is_left_out(inkdigit, model, one, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("inkdigit.training.internals")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    output = inkdigit("explain", one, "--model", model, "--out", tmp_path / "page.html")
    assert output.code == 0
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "They need torch" in html
    assert "by occlusion" in html
    assert "by integrated gradients" not in html
    assert pip_install("train") in output.err


def test_a_file_without_weights_is_explained_by_occlusion_alone(inkdigit, tiny_file, one, tmp_path):
    output = inkdigit("explain", one, "--model", tiny_file, "--out", tmp_path / "page.html")
    assert output.code == 0
    assert "its card has no recipe" in output.err
    assert "by occlusion" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_without_a_page_torch_is_not_loaded(one):
    code = f"import sys\nsys.argv = ['inkdigit', 'explain', {str(one)!r}]\nfrom inkdigit.cli.app import main\n"
    code += "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
    code += "print('loaded', {'torch', 'matplotlib', 'captum', 'jinja2'} & set(sys.modules))"
    script = one.parent / "run.py"
    script.write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script], env=environment(), capture_output=True, encoding="utf-8", check=False
    )
    assert done.stdout.splitlines()[-1] == "loaded set()", done.stderr


@pytest.mark.parametrize("out", ["missing/page.html", ".", "notes.txt/page.html"])
def test_a_place_that_cannot_be_written_is_told_before_the_work(inkdigit, one, tmp_path, out):
    (tmp_path / "broken.onnx").write_bytes(b"an error as soon as it is loaded")
    output = inkdigit("explain", one, "--model", tmp_path / "broken.onnx", "--out", one.parent / out)
    assert_one_error(output, 9, "cannot be written")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not bind this user")
def test_a_folder_without_permission_is_told_before_the_work(inkdigit, one, tmp_path):
    tmp_path.chmod(0o500)
    output = inkdigit("explain", one, "--out", tmp_path / "page.html")
    tmp_path.chmod(0o700)
    assert_one_error(output, 9, "no permission")


def test_the_picture_is_never_overwritten(inkdigit, one):
    before = one.read_bytes()
    assert_one_error(inkdigit("explain", one, "--out", one), 9, "is a file that is read")
    assert one.read_bytes() == before


def test_neither_the_model_nor_its_run_is_overwritten(inkdigit, one, model, tiny_file):
    assert_one_error(inkdigit("explain", one, "--model", tiny_file, "--out", tiny_file), 9, "is a file that is read")
    report = model / "report.html"
    assert_one_error(inkdigit("explain", one, "--model", model, "--out", report), 9, "belongs to a run")


@pytest.mark.parametrize(("name", "text"), [("d.png", "not an image"), ("nope.png", "no file"), ("", "directory")])
def test_what_is_no_picture_is_one_error(inkdigit, model, picture, name, text):
    assert_one_error(inkdigit("explain", picture / name, "--model", model), 3, text)


def test_without_jinja_the_page_is_refused(inkdigit, model, one, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    output = inkdigit("explain", one, "--model", model, "--out", tmp_path / "page.html")
    assert output.code == 7
    assert "Writing a page needs Jinja" in output.err
    assert not (tmp_path / "page.html").exists()


def test_an_answer_that_is_withheld_is_explained_as_a_guess(inkdigit, one, tmp_path):
    from inkdigit.model.card import Calibration

    strict = Tiny(calibration=Calibration(accept_score=99.0)).write(tmp_path / "strict.onnx")
    output = inkdigit("explain", one, "--model", strict)
    assert output.code == 0
    assert "—  unsure (perhaps " in output.out
    assert "decided by  the " in output.out


def explained(fall: np.ndarray, columns: slice) -> Explanation:
    image = np.zeros((28, 28), np.uint8)
    image[4:24, columns] = 255
    return Explanation(image, Prediction("7", 0.9, np.ones(1, np.float32)), ("7",), fall)


def test_the_places_name_where_it_is():
    fall = np.zeros((28, 28), np.float32)
    fall[4:9, 18:24] = 1
    assert explained(fall, slice(4, 24)).decided_by == "the upper right: 100 % of what speaks for 7"
    fall[18:24, 4:9] = fall[12:14, 12:14] = 1
    both = "the upper right and the lower left: 94 % of what speaks for 7"
    assert explained(fall, slice(4, 24)).decided_by == both
    assert explained(-fall, slice(4, 24)).decided_by == "no part of it alone: none speaks for 7"


def test_the_drawing_marks_ink_against_the_answer():
    fall = np.full((28, 28), -1, np.float32)
    fall[:14] = 1
    *ink, _, _ = drawing(explained(fall, slice(10, 14)).image, fall).splitlines()
    assert ink == ["", *["  ####"] * 5, *["  ----"] * 5]


def test_a_command_of_its_own_gives_the_same(inkdigit, model, one):
    words = ("explain", one, "--model", model)
    assert run(*words).out == inkdigit(*words).out
