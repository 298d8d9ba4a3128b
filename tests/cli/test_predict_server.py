"""`predict --server` and `read --server`: the same lines as without it, from a service in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inkdigit.client import Client
from inkdigit.errors import Unauthorized, Unreachable, UsageError
from inkdigit.model.card import Calibration
from inkdigit.reading.reader import read

from ..conftest import Tiny, drawn
from ..serve.conftest import Served, make_server
from .conftest import assert_one_error, run

NUMBERS = Path(__file__).parents[2] / "examples" / "numbers"

__all__ = ["make_server"]  # a fixture


@pytest.fixture(scope="module")
def served(make_server, tiny_file: Path) -> Served:
    return make_server("--model", tiny_file, "--token", "sesame")


@pytest.fixture
def server(served, monkeypatch) -> str:
    monkeypatch.setenv("INKDIGIT_TOKEN", "sesame")
    return served.url


@pytest.mark.parametrize("form", [(), ("--json",), ("--csv",)])
def test_a_service_answers_word_for_word_as_the_command_line(inkdigit, tiny_file, picture, server, tmp_path, form):
    (tmp_path / "empty").mkdir()
    words = (picture, tmp_path / "empty", tmp_path / "none.png", picture / "a.PNG", *form)
    here, there = (inkdigit("predict", *words, *where) for where in (("--model", tiny_file), ("--server", server)))
    assert here.code == there.code == 3
    assert here.out == there.out
    assert here.err == there.err
    assert inkdigit("predict", picture / "c.png", "--server", server, *form).code == 0


@pytest.mark.parametrize("form", [(), ("--json",), ("--csv",)])
def test_numbers_are_read_by_a_service_word_for_word_as_here(inkdigit, server, tmp_path, form):
    amount, date = (NUMBERS / name for name in ("amount.png", "date.png"))
    words = (amount, tmp_path / "none.png", date, "--alphabet", "0-9.,", *form)
    here, there = (inkdigit("read", *words, *where) for where in ((), ("--server", server)))
    assert here.code == there.code == 3
    assert here.out == there.out
    assert here.err == there.err
    assert inkdigit("read", date, "--server", server, "--expect", r"\d\d/\d\d/\d{4}", *form).code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("sudoku.jpg", "--grid", "9x9", "--alphabet", "1-9"),
        ("sudoku.jpg", "--grid", "9x9", "--as-written", "--json"),
        ("form.jpg", "--fields", NUMBERS / "form.toml"),
        ("form.jpg", "--fields", NUMBERS / "form.toml", "--csv"),
    ],
    ids=lambda words: " ".join(map(str, words[:2])),
)
def test_grids_and_forms_are_read_by_a_service_word_for_word_as_here(inkdigit, server, words):
    picture, *options = words
    here, there = (inkdigit("read", NUMBERS / picture, *options, *where) for where in ((), ("--server", server)))
    assert here.code == there.code == 0
    assert here.out == there.out


def test_what_a_service_cannot_know_of_a_form_is_an_error(inkdigit, server, tmp_path):
    (tmp_path / "bad.toml").write_text("page = 'wall'\n[a]\nbox = [0, 0, 1, 1]\n", encoding="utf-8")
    (tmp_path / "outside.toml").write_text("[a]\nbox = [0, 0, 2, 2]\n", encoding="utf-8")
    for name, what in (
        ("none.toml", "cannot be read"),
        ("bad.toml", "page is unknown"),
        ("outside.toml", "[a]: the box is not on the page"),
    ):
        words = ("read", NUMBERS / "form.jpg", "--fields", tmp_path / name)
        here, there = (inkdigit(*words, *where) for where in ((), ("--server", server)))
        assert_one_error(there, 2, what)
        assert there.err == here.err


def test_what_a_service_does_not_do_with_numbers_is_one_error(inkdigit, server):
    amount = NUMBERS / "amount.png"
    for words in (("--model", "line"), ("--show", "seen.png")):
        assert_one_error(inkdigit("read", amount, "--server", server, *words), 2, "--server excludes")
    assert_one_error(inkdigit("read", amount, "--server", server, "--expect", "("), 2, "not a regular expression")
    assert_one_error(inkdigit("read", amount, "--server", server, "--token", "wrong"), Unauthorized.exit_code, "token")


def test_large_scans_are_answered_as_here_though_they_are_too_much_for_one_request(
    inkdigit, tiny_file, server, tmp_path
):
    scan = Image.new("L", (4000, 3600), 250)
    scan.paste(10, (1900, 900, 2100, 2700))
    for number in range(5):  # 72 megapixels together
        scan.save(tmp_path / f"{number}.png")
    here, there = (inkdigit("predict", tmp_path, *where) for where in (("--model", tiny_file), ("--server", server)))
    assert (there.code, there.err) == (0, "")
    assert here.out == there.out


def test_what_a_refused_picture_looks_like_is_told_as_here(inkdigit, picture, make_server, tmp_path):
    file = Tiny(calibration=Calibration(accept_score=1e6)).write(tmp_path / "doubtful.onnx")
    url = make_server("--model", file).url
    one = picture / "a.PNG"
    here, there = (inkdigit("predict", one, *where) for where in (("--model", file), ("--server", url)))
    assert here.out == there.out
    assert "unsure (perhaps " in there.out


def test_the_model_is_one_that_the_server_has(inkdigit, picture, server):
    one = picture / "a.PNG"
    assert json.loads(inkdigit("predict", one, "--server", server, "--model", "tiny", "--json").out)["model"] == "tiny"
    assert_one_error(inkdigit("predict", one, "--server", server, "--model", "../fast"), 2, "Expected: tiny")


@pytest.mark.parametrize("form", ["--csv", "--json"])
def test_a_wrong_token_is_one_error_and_no_answer(inkdigit, picture, server, form):
    output = inkdigit("predict", picture, "--server", server, "--token", "wrong", form)
    assert output.code == Unauthorized.exit_code
    assert "requires an access token" in output.err


def test_nobody_there_is_one_error_and_no_answer(inkdigit, picture):
    output = inkdigit("predict", picture, "--server", "http://127.0.0.1:1", "--csv")
    assert_one_error(output, Unreachable.exit_code, "does not answer: Connection refused")


@pytest.mark.parametrize("option", [("--accept-all",), ("--min-confidence", "0.5"), ("--show", "seen.png")])
def test_what_the_server_decides_is_excluded(inkdigit, picture, server, option):
    output = inkdigit("predict", picture, "--server", server, *option)
    assert_one_error(output, 2, "--server excludes")


def test_an_address_that_is_none_is_one_error(inkdigit, picture):
    output = inkdigit("predict", picture, "--server", "localhost:8000")
    assert_one_error(output, 2, "Did you mean http://localhost:8000?")


def test_a_token_for_nobody_changes_nothing(inkdigit, tiny_file, picture, monkeypatch):
    monkeypatch.setenv("INKDIGIT_TOKEN", "sesame")
    assert inkdigit("predict", picture / "a.PNG", "--model", tiny_file).code == 0


@pytest.mark.parametrize("command", ["predict", "read"])
def test_neither_arrays_nor_pictures_nor_networks_are_loaded(picture, server, command):
    """The start of Python and of the command line is all that an answer from a server costs."""
    code = (
        f"import sys\nfrom inkdigit.cli.app import app\n"
        f"app(['{command}', {str(picture / 'a.PNG')!r}, '--server', {server!r}], standalone_mode=False)\n"
        f"assert not sys.modules.keys() & {{'numpy', 'PIL', 'onnxruntime', 'pydantic', 'fastapi'}}"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    assert run(command, picture / "a.PNG", "--server", server).out == done.stdout


def test_an_interruption_while_the_server_is_waited_for_is_one_line(inkdigit, picture, monkeypatch):
    def pressed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("http.client.HTTPConnection.connect", pressed)
    output = inkdigit("predict", picture, "--server", "http://127.0.0.1:1", "--csv")
    assert (output.code, output.out, output.err) == (130, "", "\nInterrupted.\n")


def test_a_client_in_python_answers_as_the_model_itself(served, tiny, picture):
    asked = Client(served.url, token="sesame")
    assert asked.classes == tiny.classes
    files = sorted(picture.glob("[ab].*"))
    here, there = tiny.predict(files), asked.predict(files)
    assert [answer.to_json() for answer in there] == [answer.to_json() for answer in here]
    gray = np.array(Image.open(files[0]).convert("L"))
    assert asked.predict(gray)[0].to_json() == tiny.predict(gray)[0].to_json()
    written = picture.parents[0] / "number.png"
    Image.fromarray(np.hstack([draw_two(), draw_two()])).save(written)
    (here,), (there,) = read(written, alphabet="0-9"), asked.read(written, alphabet="0-9")
    assert there.to_json() == here.to_json()
    with pytest.raises(UsageError, match="has no digit"):
        asked.read(written, alphabet=",")


def draw_two() -> np.ndarray:
    return drawn(2, seed=1, size_px=48)
