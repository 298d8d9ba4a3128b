"""What `/metrics` tells: requests, time, pictures by answer, refusals."""

from __future__ import annotations

import re

import httpx
import numpy as np

from inkdigit.serve.counts import Counts

from .conftest import png, wait_until


def numbers(text: str) -> dict[str, float]:
    """Every number by its name and labels."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def _quiet(server: str) -> dict[str, float] | None:
    """The numbers, when no call of an earlier test is at work."""
    now = numbers(httpx.get(f"{server}/metrics").text)
    return None if now["inkdigit_queue"] else now


def test_what_was_asked_is_counted(server, seven):
    before = wait_until(lambda: _quiet(server), what="an empty queue")
    blank = png(np.zeros((28, 28), np.uint8))
    httpx.post(f"{server}/predict", content=seven)
    httpx.post(f"{server}/predict", files=[("file", seven), ("file", blank), ("file", b"no picture")])
    httpx.post(f"{server}/predict", content=bytes(2**23 + 1))
    httpx.post(f"{server}/predict?model=other", content=seven)
    httpx.get(f"{server}/nothing/of/this")
    answer = httpx.get(f"{server}/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    after = numbers(answer.text)
    more = {name: value - before.get(name, 0) for name, value in after.items() if value != before.get(name, 0)}
    assert more.pop('inkdigit_request_seconds_sum{route="/predict"}') > 0
    assert {name: value for name, value in more.items() if not name.startswith("inkdigit_request_seconds")} == {
        'inkdigit_requests_total{route="/metrics",status="200"}': 1,
        'inkdigit_requests_total{route="/predict",status="200"}': 2,
        'inkdigit_requests_total{route="/predict",status="404"}': 1,
        'inkdigit_requests_total{route="unmatched",status="404"}': 1,
        'inkdigit_requests_total{route="unmatched",status="413"}': 1,  # refused before a route was looked for
        'inkdigit_pictures_total{label="7",model="general"}': 2,
        'inkdigit_pictures_total{label="refused: no ink",model="general"}': 1,
        'inkdigit_pictures_total{label="error: NotAPicture",model="general"}': 1,
        'inkdigit_refused_requests_total{kind="RequestTooLarge"}': 1,
        'inkdigit_refused_requests_total{kind="NotFound"}': 2,
    }
    assert more['inkdigit_request_seconds_count{route="/predict"}'] == 3
    assert after["inkdigit_queue"] == 0


def test_each_application_counts_for_itself():
    one, other = Counts(), Counts()
    one.request("/predict", 200, 0.01)
    assert re.search(r"^inkdigit_requests_total\{.*\} 1\.0$", one.text().decode(), re.MULTILINE)
    other.queue(3)
    other.queue(-1)
    assert "/predict" not in other.text().decode()
    assert "inkdigit_queue 2.0" in other.text().decode()
