"""`POST /read`: what the command line prints, for one picture and for several, and as a model of KServe's protocol."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import httpx
import pytest
from PIL import Image

from inkdigit.reading.cells import read_grid
from inkdigit.reading.fields import read_form
from inkdigit.reading.reader import Reader

from ...reading.conftest import page, write

NUMBERS = Path(__file__).parents[3] / "examples" / "numbers"


@pytest.fixture(scope="module")
def png() -> bytes:
    sheet = page((120, 400))
    write(sheet, "20417", 40, 60)
    file = io.BytesIO()
    Image.fromarray(sheet).save(file, "PNG")
    return file.getvalue()


def test_the_answer_is_that_of_the_reader(server, png):
    answer = httpx.post(f"{server}/read", files={"file": ("a.png", png)}).json()
    reader = Reader.load()
    assert answer["model"] == "line"
    (entry,) = answer["readings"]
    assert entry == {"file": "a.png", **reader.read(png)[0].to_json(), "model": "line"}


def test_a_bad_picture_among_several_is_an_entry(server, png):
    sent = [("file", ("a.png", b"nothing")), ("file", ("b.png", png))]
    bad, good = httpx.post(f"{server}/read", files=sent).json()["readings"]
    assert bad["kind"] == "NotAPicture"
    assert good["text"] == "20417"
    assert httpx.post(f"{server}/read", files={"file": ("a.png", b"nothing")}).status_code == 415


def test_a_pattern_is_obeyed_and_a_bad_one_is_an_error(server, png):
    def ask(**params):
        return httpx.post(f"{server}/read", params=params, files={"file": ("a.png", png)})

    assert ask(expect=r"\d{5}").json()["readings"][0]["text"] == "20417"
    assert ask(expect="[").status_code == 400
    assert ask(alphabet="A").status_code == 400


def test_the_cells_of_a_grid_are_those_of_read_grid(server, png):
    sudoku = NUMBERS / "sudoku.jpg"

    def ask(picture: bytes, **params):
        return httpx.post(f"{server}/read", params=params, content=picture, timeout=30)

    answer = ask(sudoku.read_bytes(), grid="9x9", alphabet="1-9").json()
    (entry,) = answer["readings"]
    assert entry == {
        "file": None,
        **read_grid(sudoku, 9, 9, alphabet="1-9").to_json(),
        "model": answer["model"],
    }
    assert answer["model"] == "general"
    plain = ask(sudoku.read_bytes(), grid="9x9", as_written="true").json()["readings"][0]
    assert not plain["sudoku"]
    assert plain["rows"] == read_grid(sudoku, 9, 9, as_written=True).rows
    assert ask(png, grid="9x9").json()["kind"] == "PictureError"  # there is no grid
    for wrong in ({"grid": "9"}, {"grid": "9x9", "expect": "1"}, {"grid": "9x9", "alphabet": "a"}, {"as_written": 1}):
        assert ask(png, **wrong).status_code == 400, wrong


def test_the_fields_of_a_form_are_those_of_read_form(server):
    picture, fields = NUMBERS / "form.jpg", (NUMBERS / "form.toml").read_text(encoding="utf-8")
    expected = {name: reading.to_json() for name, reading in read_form(picture, NUMBERS / "form.toml").items()}
    assert any(value["text"] for value in expected.values())

    def ask(fields: str, **params):
        files = [("file", ("form.jpg", picture.read_bytes())), ("fields", (None, fields.encode()))]
        return httpx.post(f"{server}/read", params=params, files=files, timeout=30)

    assert ask(fields).json()["readings"] == [{"file": "form.jpg", "fields": expected, "model": "line"}]
    body = {"images": [base64.b64encode(picture.read_bytes()).decode()], "fields": fields}
    assert httpx.post(f"{server}/read", json=body, timeout=30).json()["readings"][0]["fields"] == expected
    for wrong in ("", "= 1", "[a]\nbox = [0, 0, 2, 2]"):
        assert ask(wrong).status_code == 400, wrong
    image = ("file", ("form.jpg", picture.read_bytes()))
    for odd in ([("fields", (None, fields))] * 2, [("fields", (None, "['größe']".encode("latin-1")))]):
        answer = httpx.post(f"{server}/read", files=[*odd, image])
        assert answer.status_code == 400
        assert "'fields' in the request is" in answer.json()["error"]
    assert ask(fields, grid="9x9").status_code == ask(fields, alphabet="0-9").status_code == 400
    assert httpx.post(f"{server}/read", json={**body, "fields": 1}).status_code == 400
    assert httpx.post(f"{server}/predict", json=body).status_code == 400


def test_the_reader_is_a_model_of_the_protocol(server):
    sheet = page((120, 400))
    write(sheet, "20417", 40, 60)
    about = httpx.get(f"{server}/v2/models/line").json()
    assert about["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [-1, -1, -1]}]
    assert [output["name"] for output in about["outputs"]] == ["text", "confidence", "reason"]
    tensor = {"name": "image", "datatype": "UINT8", "shape": [1, 120, 400], "data": sheet.ravel().tolist()}
    answer = httpx.post(f"{server}/v2/models/line/infer", json={"inputs": [tensor]}).json()
    assert [(output["name"], output["shape"]) for output in answer["outputs"]] == [
        ("text", [1]),
        ("confidence", [1]),
        ("reason", [1]),
    ]
    assert answer["outputs"][0]["data"] == ["20417"]
    for shape in ([1, 120], [1, 0, 9], [1, 99_999, 99_999]):
        wrong = httpx.post(f"{server}/v2/models/line/infer", json={"inputs": [{**tensor, "shape": shape}]})
        assert wrong.status_code in (400, 413)
