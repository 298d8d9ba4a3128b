"""What `/metrics` tells: requests, time, pictures by answer, refusals."""

from __future__ import annotations

import re

import httpx
import numpy as np

from inkdigit.serve.counts import Counts

from .conftest import png


def numbers(text: str) -> dict[str, float]:
    """Every number by its name and labels."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_what_was_asked_is_counted(make_server, seven):
    served = make_server("--max-bytes", "10kB")
    blank = png(np.zeros((28, 28), np.uint8))
    httpx.post(f"{served}/predict", content=seven)
    httpx.post(f"{served}/predict", files=[("file", seven), ("file", blank), ("file", b"no picture")])
    httpx.post(f"{served}/predict", content=b"x" * 20_000)
    httpx.post(f"{served}/predict?model=other", content=seven)
    httpx.get(f"{served}/nothing/of/this")
    answer = httpx.get(f"{served}/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    told = numbers(answer.text)
    assert told['inkdigit_requests_total{route="/predict",status="200"}'] == 2
    assert told['inkdigit_requests_total{route="unmatched",status="404"}'] == 1
    assert told['inkdigit_request_seconds_count{route="/predict"}'] >= 2
    assert told['inkdigit_pictures_total{label="7",model="general"}'] == 2
    assert told['inkdigit_pictures_total{label="refused: no ink",model="general"}'] == 1
    assert told['inkdigit_pictures_total{label="error: NotAPicture",model="general"}'] == 1
    assert told['inkdigit_refused_requests_total{kind="RequestTooLarge"}'] == 1
    assert told['inkdigit_refused_requests_total{kind="NotFound"}'] == 2
    assert told["inkdigit_queue"] == 0


def test_each_application_counts_for_itself():
    one, other = Counts(), Counts()
    one.request("/predict", 200, 0.01)
    assert re.search(r"^inkdigit_requests_total\{.*\} 1\.0$", one.text().decode(), re.MULTILINE)
    other.queue(3)
    other.queue(-1)
    assert "/predict" not in other.text().decode()
    assert "inkdigit_queue 2.0" in other.text().decode()
