"""`POST /read`: what the command line prints, for one picture and for several, and as a model of KServe's protocol."""

from __future__ import annotations

import io

import httpx
import pytest
from PIL import Image

from inkdigit.reading.reader import Reader

from ...reading.conftest import page, write


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
