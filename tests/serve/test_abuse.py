"""Malformed requests to a running service: refused as they should be, and it answers as before."""

from __future__ import annotations

import json

import httpx
import pytest

from benchmarks.serving import abuse
from benchmarks.serving import measure as serving
from benchmarks.serving.malformed import CLOSED, END, SILENT, Attack, head, sent

from .conftest import START_S, Served, run_async

OF_EACH = 16
KINDS = [kind for kind in abuse.KINDS if kind not in abuse.FEW]
MAX_REQUEST_S = 0.25  # of processor time: sixteen bombs take 0.3 together, sixteen long pipelines 0.5
NO_END = frozenset({"lengths that lie", "broken chunks", "cut off in the middle"})  # the service gives up waiting


@pytest.fixture(scope="module")
def patient(make_server):
    """A service that no busy machine keeps from an answer."""
    return make_server("--time-limit", "60")


@pytest.fixture(autouse=True)
def answers_rightly_afterwards(patient, hurried):
    """Whatever was sent, the next one is answered, and no bug was logged."""
    yield
    answer = httpx.post(f"{patient}/predict", content=serving.digit(), timeout=START_S)
    assert answer.json()["predictions"][0]["label"] == str(serving.LABEL)
    assert httpx.get(f"{hurried}/health/ready", timeout=START_S).status_code == 200
    assert [line for line in (*patient.lines, *hurried.lines) if "Traceback" in line] == []


def ask(service: Served, attack: Attack) -> list[int]:
    """The statuses that are answered to one attack."""
    answer = run_async(abuse.send(address(service), attack, patience_s=START_S))
    return [SILENT] if answer is None else [int(status) for status in abuse.STATUS.findall(answer)]


def address(service: Served) -> str:
    return service.url.removeprefix("http://")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_answered_as_it_should_be(patient, hurried, kind):
    service = hurried if kind in NO_END else patient
    made = abuse.attacks(OF_EACH, seed=1, kinds=[kind])
    before_s = service.processor_s()
    tally = run_async(abuse.assault(address(service), made, patience_s=START_S))[kind]
    assert tally.wrong == []
    assert tally.statuses.total() == OF_EACH
    assert service.processor_s() - before_s < OF_EACH * MAX_REQUEST_S


def test_a_body_that_comes_too_slowly_is_given_up(hurried):
    start = head("POST", "/predict", "Content-Length: 100") + END
    slow = Attack((start, *[step for _ in range(20) for step in (b"x", 0.2)]), frozenset({408}))
    assert ask(hurried, slow) == [408]


def test_more_bytes_than_are_taken_are_not_waited_for(patient):
    large = head("POST", "/predict", "Content-Length: 99999999") + END
    assert ask(patient, sent(large, 413)) == [413]
    pieces = [f"{2**20:x}\r\n".encode() + bytes(2**20) + b"\r\n"] * 9
    chunked = Attack((head("POST", "/predict", "Transfer-Encoding: chunked") + END, *pieces), frozenset({413}))
    assert ask(patient, chunked) == [413]


def test_a_request_in_the_body_of_another_is_not_answered(patient):
    hidden = head("GET", "/models") + END
    lengths = ("Content-Length: 5", "Transfer-Encoding: chunked")
    assert ask(patient, sent(head("POST", "/predict", *lengths) + END + b"0\r\n\r\n" + hidden, 400)) == [400]


def test_an_answer_says_nothing_of_this_machine(patient):
    for path in ("/web/..%2f..%2fetc%2fpasswd", "/v2/models/..%2fgeneral", "/predict?model=/etc/passwd"):
        answer = httpx.post(f"{patient}{path}", content=serving.digit(), timeout=START_S)
        assert answer.status_code in (404, 405)
        assert set(json.loads(answer.content)) == {"error", "kind"}
        assert not abuse.LEAKS.search(answer.content)


def test_what_is_not_right_is_noticed():
    attack = sent(b"GET / HTTP/1.1\r\n\r\n", 404)
    wrong = {
        b"HTTP/1.1 500 x\r\n\r\n": 1,
        b"HTTP/1.1 200 x\r\n\r\n": 1,
        b"HTTP/1.1 404 x\r\n\r\nHTTP/1.1 404 x\r\n\r\n": 1,
        b'HTTP/1.1 404 x\r\n\r\n  File "/srv/app.py", line 1': 1,
        b"": 1,
        None: 1,
        b"HTTP/1.1 404 x\r\n\r\n": 0,
        b"HTTP/1.1 503 x\r\n\r\n": 0,
    }
    for answer, count in wrong.items():
        tally = abuse.Tally()
        abuse.judge(attack, answer, tally)
        assert len(tally.wrong) == count, answer
    assert abuse.WORDS == {CLOSED: "closed", SILENT: "no answer"}


def test_the_same_seed_makes_the_same_requests():
    made = abuse.attacks(100, seed=3, kinds=KINDS)
    assert made == abuse.attacks(100, seed=3, kinds=KINDS)
    assert made != abuse.attacks(100, seed=4, kinds=KINDS)
    assert {kind for kind, _ in made} == set(KINDS)
