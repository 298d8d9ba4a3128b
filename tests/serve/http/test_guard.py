"""What every request passes: token, origins, limits, headers, a number, and a line in the log."""

from __future__ import annotations

import io
import json
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from PIL import Image

from inkdigit.serve.http.guard import Guard
from inkdigit.serve.service import Service
from inkdigit.serve.settings import Settings

from ...conftest import drawn, on_paper
from ..conftest import START_S, MakeServer, Served, post, raw, run_async, wait_until

TOKEN = "a-secret"
ORIGIN = "https://pages.example"
KEPT = 1_000_000  # bytes
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def strict(make_server: MakeServer) -> Served:
    """A service with a token, a friend, and little room."""
    return make_server("--token", TOKEN, "--allow-origin", ORIGIN, "--max-bytes", "1MB", "--time-limit", "60")


def test_without_the_token_nothing_is_answered(strict, seven):
    not_the_token = (None, "Bearer", "Bearer other", f"Basic {TOKEN}", f"bearer {TOKEN}x", "Bearer ä".encode("latin-1"))
    for given in not_the_token:
        headers = {} if given is None else {"Authorization": given}
        for method, path in (("POST", "/predict"), ("GET", "/models"), ("GET", "/metrics"), ("GET", "/nothing")):
            answer = httpx.request(method, f"{strict}{path}", content=seven, headers=headers)
            assert (answer.status_code, answer.json()["kind"]) == (401, "Unauthorized"), (given, path)
            assert answer.headers["www-authenticate"] == "Bearer"


def test_with_the_token_it_is(strict, seven):
    for scheme in ("Bearer", "bearer"):
        answer = httpx.post(f"{strict}/predict", content=seven, headers={"Authorization": f"{scheme} {TOKEN}"})
        assert answer.status_code == 200


def test_what_answers_nothing_is_open(strict):
    health = ("/health/live", "/health/ready", "/v2/health/ready")
    for path in ("/", "/info", *health, "/docs", "/docs/start.js", "/openapi.json"):
        assert httpx.get(f"{strict}{path}").status_code == 200, path


def test_the_documentation_asks_for_the_token(strict, server):
    assert httpx.get(f"{strict}/openapi.json").json()["security"] == [{"token": []}]
    assert "security" not in httpx.get(f"{server}/openapi.json").json()
    assert httpx.get(f"{strict}/info").json()["needs_token"] is True


SAFE = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


def test_every_response_is_safe(server):
    for path in ("/", "/info", "/nothing", "/predict", "/docs", "/web/style.css"):
        headers = httpx.get(f"{server}{path}").headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'"), path
        assert "unsafe" not in policy, path
        assert {name: headers.get(name) for name in SAFE} == SAFE, path
        assert "server" not in headers, path


def test_no_page_elsewhere_may_ask_unless_it_was_allowed(server, strict, seven):
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    for url, origin, status in (
        (server, ORIGIN, 405),
        (strict.url, "https://other.example", 401),
        (strict.url, ORIGIN, 204),
    ):
        preflight = httpx.options(f"{url}/predict", headers={"Origin": origin, **asks})
        assert preflight.status_code == status
        answer = httpx.post(f"{url}/predict", content=seven, headers={"Origin": origin, **HEADERS})
        assert answer.status_code == 200
        for response in (preflight, answer):
            allowed = response.headers.get("access-control-allow-origin")
            assert allowed == (ORIGIN if status == 204 else None)
            assert ("cross-origin-resource-policy" in response.headers) == (allowed is None)
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert "authorization" in preflight.headers["access-control-allow-headers"].lower()


@pytest.mark.parametrize("given", ["abc.DEF-1_2", "a" * 64])
def test_a_request_keeps_its_number(served, given):
    answer = httpx.get(f"{served}/info", headers={"X-Request-ID": given})
    assert answer.headers["x-request-id"] == given
    assert logged(served, given)["route"] == "/info"


@pytest.mark.parametrize("given", [None, "", "a" * 65, "a b", 'a"b', "a\tb"])
def test_else_it_gets_one(served, given):
    answer = httpx.get(f"{served}/info", headers={} if given is None else {"X-Request-ID": given})
    made = answer.headers["x-request-id"]
    assert made.isalnum()
    assert logged(served, made)["status"] == 200


def logged(served: Served, request_id: str) -> dict:
    """The line of the log about a request."""
    lines = wait_until(
        lambda: [line for line in served.lines if f'"{request_id}"' in line], what=f"log of {request_id}"
    )
    return json.loads(lines[0])


def test_the_log_tells_what_was_asked_and_nothing_of_the_picture(served, seven):
    httpx.post(f"{served}/predict", files=[("file", ("private.png", seven))] * 3, headers={"X-Request-ID": "three"})
    line = logged(served, "three")
    assert {**line, "time": 0, "ms": 0, "bytes": 0} == {
        **{"time": 0, "level": "info", "event": "request", "request_id": "three", "method": "POST"},
        **{"route": "/predict", "status": 200, "ms": 0, "bytes": 0, "pictures": 3},
    }
    assert line["ms"] > 0
    assert line["bytes"] > 3 * len(seven)


def test_what_is_wrong_with_a_form_is_one_line_of_the_log(served):
    form = {"Content-Type": "multipart/form-data; boundary=b", "X-Request-ID": "broken-form"}
    assert httpx.post(f"{served}/predict", content=b"--bb\r\nno form", headers=form).status_code == 400
    assert logged(served, "broken-form")["status"] == 400
    assert [line for line in served.lines if not line.startswith(("{", "Open http"))] == []


def test_too_many_bytes_are_refused_by_their_length_before_they_come(strict):
    answer = raw(
        strict.url,
        b"POST /predict HTTP/1.1\r\nAuthorization: Bearer a-secret\r\nContent-Length: 1000001\r\n\r\n",
    )
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"kind": "RequestTooLarge"' in answer


def test_and_while_they_come(strict):
    pieces = (b"x" * 100_000 for _ in range(11))
    answer = httpx.post(f"{strict}/predict", content=pieces, headers=HEADERS)
    assert (answer.status_code, answer.json()["kind"]) == (413, "RequestTooLarge")


def test_as_many_as_are_allowed_are_taken(strict):
    answer = httpx.post(f"{strict}/predict", content=b"x" * KEPT, headers=HEADERS)
    assert (answer.status_code, answer.json()["kind"]) == (415, "NotAPicture")


def test_a_connection_goes_on_after_a_request_that_was_too_large(strict, seven):
    with httpx.Client(headers=HEADERS) as client:
        assert client.post(f"{strict}/predict", content=b"x" * (KEPT + 1)).status_code == 413
        assert client.post(f"{strict}/predict", content=seven).status_code == 200


def test_too_many_pictures(server, seven):
    url = f"{server}/predict"
    assert httpx.post(url, json={"images": ["AAAA"] * 64}).status_code == 200
    for request in ({"json": {"images": ["AAAA"] * 65}}, {"files": [("file", seven)] * 65}):
        answer = httpx.post(url, **request)
        assert (answer.status_code, answer.json()["kind"]) == (413, "RequestTooLarge")


def test_a_body_that_does_not_come_is_not_waited_for(hurried, seven):
    began = time.monotonic()
    answer = raw(hurried.url, post(seven)[:-100])
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"kind": "TooSlow"' in answer
    assert time.monotonic() - began >= 0.5


def test_an_answer_that_takes_too_long_is_not_waited_for(make_server):
    service = make_server("--time-limit", "0.15")
    file = io.BytesIO()
    Image.fromarray(on_paper(drawn(7, size_px=1000))).save(file, "JPEG", quality=30)
    photos = [("file", file.getvalue())] * 60  # half a second of work, within every other limit
    answer = httpx.post(f"{service}/predict", files=photos, timeout=START_S)
    assert (answer.status_code, answer.json()["kind"]) == (408, "TooSlow")


def test_too_many_pixels_are_refused_by_the_header(server):
    for format_, options, status in (("PNG", {}, 413), ("JPEG", {"progressive": True}, 413), ("JPEG", {}, 200)):
        file = io.BytesIO()
        Image.new("L", (4100, 4000), 255).save(file, format_, **options)
        answer = httpx.post(f"{server}/predict", content=file.getvalue(), timeout=60)
        assert answer.status_code == status, format_
        if status == 413:
            assert answer.json()["kind"] == "PictureTooLarge"


def test_nor_may_several_have_too_many_together(server, vast):
    answer = httpx.post(f"{server}/predict", files=[("file", vast)] * 5, timeout=60)
    assert (answer.status_code, answer.json()["kind"]) == (413, "RequestTooLarge")
    assert "75,000,000" in answer.json()["error"]


def test_what_cannot_be_answered_soon_is_refused_at_once(make_server, vast, seven):
    served = make_server("--queue", "1", "--time-limit", "60")
    form = b"".join(b"--b\r\ncontent-disposition: form-data; name=file\r\n\r\n" + vast + b"\r\n" for _ in range(4))
    request = post(form + b"--b--\r\n", "Content-Type: multipart/form-data; boundary=b")

    def ask(_: int) -> tuple[int, float, bytes]:
        began = time.monotonic()
        answer = raw(served.url, request, wait_s=120)
        return int(answer[9:12]), time.monotonic() - began, answer

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, range(12)))
    refused = [answer for answer in answers if answer[0] == 503]
    assert {answer[0] for answer in answers} == {200, 503}
    soonest_s = min(seconds for status, seconds, _ in answers if status == 200)
    for _, seconds, answer in refused:
        assert seconds < soonest_s
        assert b"\r\nretry-after: 1\r\n" in answer
        assert b'"kind": "Busy"' in answer
    assert httpx.post(f"{served}/predict", content=seven, timeout=60).status_code == 200


def test_under_a_foreign_name_nothing_is_answered(server):
    for host in ("evil.example", "evil.example:80", "0.0.0.0", "localhost.evil.example", "::1", ""):
        for path in ("/", "/info", "/predict", "/health/live"):
            answer = httpx.get(f"{server}{path}", headers={"Host": host})
            assert (answer.status_code, answer.json()["kind"]) == (400, "UsageError"), (host, path)
            assert "Host: 127.0.0.1, [::1], localhost" in answer.json()["error"]


def test_under_the_names_of_this_machine_it_is(server):
    for host in ("localhost", "LOCALHOST:1", "127.0.0.1:99", "[::1]", "[::1]:8000"):
        assert httpx.get(f"{server}/info", headers={"Host": host}).status_code == 200, host


def test_who_is_meant_to_be_reached_is_known_by_any_name(make_server):
    served = make_server("--host", "0.0.0.0")
    assert httpx.get(f"{served}/info", headers={"Host": "digits.example"}).status_code == 200


def test_a_bug_is_a_500_with_the_traceback_in_the_log_alone(tiny_file, capsys):
    async def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    async def ask(service: Service) -> httpx.Response:
        transport = httpx.ASGITransport(Guard(broken, service=service))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get("/info", headers={"X-Request-ID": "broken"})

    service = Service(Settings(models=(str(tiny_file),)))
    answer = run_async(ask(service))
    service.close()
    assert (answer.status_code, answer.json()["kind"]) == (500, "InternalError")
    assert answer.headers["x-request-id"] == "broken"
    assert "ZeroDivision" not in answer.text
    error, request = map(json.loads, capsys.readouterr().err.splitlines())
    assert (error["event"], error["request_id"]) == ("error", "broken")
    assert error["traceback"].endswith("ZeroDivisionError: a bug\n")
    assert (request["event"], request["status"]) == ("request", 500)
