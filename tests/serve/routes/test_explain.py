"""`POST /explain`: the answer of `/predict`, with what the network saw and which ink decided."""

from __future__ import annotations

import io
import re
from collections import Counter
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from inkdigit.model.explain import occlusion
from inkdigit.model.recognizer import load
from inkdigit.picture.decode import decode
from inkdigit.picture.prepare import prepare

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*.png"))
SEVEN = next(path for path in EXAMPLES if path.name.startswith("7-"))


def blank() -> bytes:
    data = io.BytesIO()
    Image.new("L", (100, 100), 255).save(data, "PNG")
    return data.getvalue()


def ask(server: str, data: bytes, **query: str) -> httpx.Response:
    return httpx.post(f"{server}/explain", content=data, params=query, timeout=60)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_answer_is_that_of_predict(server, path):
    data = ask(server, path.read_bytes(), saliency="false").json()
    predicted = httpx.post(f"{server}/predict", content=path.read_bytes(), timeout=60).json()
    assert data["prediction"] == predicted["predictions"][0]
    assert data["model"] == predicted["model"]


def test_it_shows_what_the_network_saw_and_what_decided(server):
    data = ask(server, SEVEN.read_bytes()).json()
    recognizer = load()
    seen = prepare(decode(SEVEN), recognizer.prepare)
    assert np.array_equal(data["seen"], seen)
    assert data["classes"] == list(recognizer.classes)
    assert data["saliency_for"] == "7"
    assert np.allclose(data["saliency"], occlusion(recognizer, seen, class_index=7), atol=2e-3)


def test_what_decided_may_be_left_out(server):
    data = ask(server, SEVEN.read_bytes(), saliency="false").json()
    assert data["seen"] is not None
    assert data["saliency"] is data["saliency_for"] is None


def test_bare_paper_has_nothing_to_show(server):
    data = ask(server, blank()).json()
    assert data["prediction"]["reason"] == "no ink"
    assert data["seen"] is data["saliency"] is data["saliency_for"] is None


def test_a_form_and_json_are_taken_as_by_predict(server):
    form = httpx.post(f"{server}/explain", files={"file": ("seven.png", SEVEN.read_bytes())}, timeout=60).json()
    assert form["prediction"]["file"] == "seven.png"
    assert form["prediction"]["label"] == "7"


@pytest.mark.parametrize(
    ("request_", "status", "kind"),
    [
        ({"content": b"no picture"}, 415, "NotAPicture"),
        ({"content": b""}, 400, "UsageError"),
        ({"json": {"images": ["", ""]}}, 400, "UsageError"),
        ({"json": {"images": ["?"]}}, 422, "PictureError"),
        ({"content": blank(), "params": {"model": "none"}}, 404, "NotFound"),
        ({"content": blank(), "params": {"saliency": "perhaps"}}, 400, "UsageError"),
    ],
)
def test_what_cannot_be_explained_is_told(server, request_, status, kind):
    answer = httpx.post(f"{server}/explain", timeout=60, **request_)
    assert (answer.status_code, answer.json()["kind"]) == (status, kind)


def counted(server: str) -> Counter[str]:
    """How many pictures were counted so far, by what was answered."""
    lines = re.findall(r'^inkdigit_pictures_total{label="(.*)",.*} (.*)$', httpx.get(f"{server}/metrics").text, re.M)
    return Counter({label: int(float(number)) for label, number in lines})


def test_pictures_are_counted_but_not_while_the_pen_moves(server):
    before = counted(server)
    for data in (SEVEN.read_bytes(), blank(), b"no picture"):
        ask(server, data)
        ask(server, data, saliency="false")
    httpx.post(f"{server}/explain", json={"images": ["?"]}, timeout=60)
    assert counted(server) - before == {
        "7": 1,
        "refused: no ink": 1,
        "error: NotAPicture": 1,
        "error: PictureError": 1,
    }
