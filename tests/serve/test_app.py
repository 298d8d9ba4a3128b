"""The routes of a running service: what they answer, and that it is what the command line answers."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from inkdigit.errors import MethodNotAllowed, NotAPicture, NotCollecting, NotFound, RequestTooLarge
from inkdigit.model.recognizer import DEFAULT

from .conftest import Served

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.png"))
KEYS = ["file", "label", "confidence", "score", "reason", "probs", "model", "ink"]


def ask(server: str, **kwargs: object) -> httpx.Response:
    return httpx.post(f"{server}/predict", timeout=60, **kwargs)  # type: ignore[arg-type]


def encoded(*pictures: bytes) -> dict[str, list[str]]:
    return {"images": [base64.b64encode(picture).decode() for picture in pictures]}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, seven: bytes) -> list[Path]:
    """The examples, and files that cannot be read."""
    folder = tmp_path_factory.mktemp("files")
    bad = {
        "text.png": b"no picture",
        "cut.png": seven[:150],
        "empty.png": b"",
        "bits.png": b"\x89PNG\r\n\x1a\n" + b"\0" * 90,
    }
    for name, data in bad.items():
        (folder / name).write_bytes(data)
    return [*EXAMPLES, *sorted(folder.iterdir())]


@pytest.fixture(scope="module")
def printed(files: list[Path]) -> dict[Path, dict]:
    """What `predict --json` prints of each file."""
    command = [sys.executable, "-m", "inkdigit", "predict", "--json", *map(str, files)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    return dict(zip(files, map(json.loads, done.stdout.splitlines()), strict=True))


def unnamed(entry: dict, file: Path) -> dict:
    """An entry without the name of the file, which alone may differ."""
    error = {"error": entry["error"].replace(str(file), "the bytes")} if "error" in entry else {}
    return {**entry, **error, "file": None}


def test_one_answer_a_request_is_that_of_the_command_line(server, printed):
    for file, entry in printed.items():
        data = file.read_bytes()
        answer = ask(server, content=data) if data else ask(server, files={"file": ("", data)})
        expected = unnamed(entry, file)
        if "error" in expected:
            assert answer.status_code in (415, 422)
            assert answer.json() == {"error": expected["error"], "kind": expected["kind"]}
        else:
            assert answer.status_code == 200
            assert answer.json() == {"model": DEFAULT, "predictions": [expected]}
            assert list(answer.json()["predictions"][0]) == KEYS


def test_a_form_gives_an_entry_a_file_under_its_name(server, files, printed):
    answer = ask(server, files=[("file", (file.name, file.read_bytes())) for file in files])
    assert answer.status_code == 200
    expected = [{**unnamed(entry, file), "file": file.name} for file, entry in printed.items()]
    assert answer.json() == {"model": DEFAULT, "predictions": expected}


def test_json_gives_an_entry_a_picture(server, files, printed):
    answer = ask(server, json=encoded(*(file.read_bytes() for file in files)))
    assert answer.status_code == 200
    assert answer.json()["predictions"] == [unnamed(entry, file) for file, entry in printed.items()]


def test_what_is_no_base64_is_an_entry_among_others_and_an_error_alone(server, seven):
    several = ask(server, json={"images": [*encoded(seven)["images"], "no base64!", None, 7]})
    assert several.status_code == 200
    first, *others = several.json()["predictions"]
    assert first["label"] == "7"
    assert {entry["kind"] for entry in others} == {"PictureError"}
    alone = ask(server, json={"images": ["no base64!"]})
    assert (alone.status_code, alone.json()["kind"]) == (422, "PictureError")


WITHOUT_A_PICTURE: list[dict[str, Any]] = [
    {"content": b""},
    {"content": b"", "headers": {"Content-Type": "application/json"}},
    {"content": b"{", "headers": {"Content-Type": "application/json"}},
    {"content": b"[" * 100_000, "headers": {"Content-Type": "application/json"}},
    {"content": b"\xff\xfe{}", "headers": {"Content-Type": "application/json; charset=utf-8"}},
    {"json": {}},
    {"json": {"images": []}},
    {"json": {"images": "abc"}},
    {"json": {"images": [], "more": 1}},
    {"json": ["abc"]},
    {"content": b"abc", "headers": {"Content-Type": "multipart/form-data"}},
    {"content": b"--b\r\n\r\nabc", "headers": {"Content-Type": "multipart/form-data; boundary=b"}},
    {"content": b"--b--\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=b"}},
    {"content": b"x", "headers": {"Content-Type": f"multipart/form-data; boundary={'b' * 500}"}},
    {"files": {"other": b"abc"}},
]


def test_a_request_without_a_picture_makes_no_sense(server):
    for request in WITHOUT_A_PICTURE:
        answer = ask(server, **request)
        assert (answer.status_code, answer.json()["kind"]) == (400, "UsageError"), str(request)[:100]


def test_a_model_is_named_in_the_query_and_never_looked_for(make_server, tiny_file, seven):
    served = make_server("--model", "default", "--model", tiny_file)
    for name in (DEFAULT, "tiny"):
        answer = ask(served.url, content=seven, params={"model": name})
        assert answer.json()["model"] == answer.json()["predictions"][0]["model"] == name
    assert ask(served.url, content=seven).json()["model"] == DEFAULT
    for name in (str(tiny_file), "../tiny", "", "fast", "x" * 5000):
        answer = ask(served.url, content=seven, params={"model": name})
        assert (answer.status_code, answer.json()["kind"]) == (404, "NotFound")
    data = httpx.get(f"{served.url}/models").json()
    assert data["default"] == DEFAULT
    assert [model["name"] for model in data["models"]] == [DEFAULT, "tiny"]
    assert data["models"][1]["classes"] == list("0123456789")
    assert data["models"][1]["bytes"] == tiny_file.stat().st_size


@pytest.mark.parametrize(
    ("method", "path", "sent", "error"),
    [
        ("GET", "/nothing", b"", NotFound),
        ("GET", "/predict", b"", MethodNotAllowed),
        ("POST", "/predict", b"x" * (2**23 + 1), RequestTooLarge),
        ("POST", "/predict", b"no picture", NotAPicture),
        ("POST", "/corrections", b"{}", NotCollecting),
    ],
)
def test_an_error_has_its_status_and_its_name(server, method, path, sent, error):
    answer = httpx.request(method, f"{server}{path}", content=sent)
    assert (answer.status_code, answer.json()["kind"]) == (error.http_status, error.__name__)
    assert set(answer.json()) == {"error", "kind"}


def test_info_tells_what_a_client_needs(server):
    data = httpx.get(f"{server}/info").json()
    assert data["model"] == DEFAULT
    assert data["limits"] == {
        "max_bytes": 2**23,
        "max_files": 64,
        "max_pixels": 16_000_000,
        "max_pixels_together": 64_000_000,
        "time_limit_s": 10.0,
    }
    assert (data["collects"], data["needs_token"]) == (False, False)


def test_health(server):
    for state in ("live", "ready"):
        answer = httpx.get(f"{server}/health/{state}")
        assert (answer.status_code, answer.json()) == (200, {state: True})


def test_what_is_not_there(server):
    for path in ("/nothing", "/predict/", "/web/../app.py", "/web/%2e%2e/app.py", "/web/", "/docs/x", "/%00"):
        answer = httpx.get(f"{server}{path}")
        assert (answer.status_code, answer.json()["kind"]) == (404, "NotFound"), path


def test_a_wrong_method_is_told_the_right_one(server):
    allowed = {"/predict": "POST", "/info": "GET", "/": "GET, HEAD"}
    for method, path in (("GET", "/predict"), ("POST", "/info"), ("DELETE", "/"), ("OPTIONS", "/predict")):
        answer = httpx.request(method, f"{server}{path}")
        assert (answer.status_code, answer.json()["kind"]) == (405, "MethodNotAllowed"), (method, path)
        assert answer.headers["allow"] == allowed[path]


def test_the_head_of_a_page_and_of_health(server):
    for path in ("/", "/docs", "/web/app.js", "/health/live", "/health/ready", "/v2/health/ready"):
        head, whole = httpx.head(f"{server}{path}"), httpx.get(f"{server}{path}")
        assert (head.status_code, head.content) == (200, b""), path
        assert head.headers["content-length"] == str(len(whole.content)), path


def test_a_field_that_is_wrong_is_named(server, seven):
    answer = httpx.post(f"{server}/explain?saliency=perhaps", content=seven)
    assert (answer.status_code, answer.json()["kind"]) == (400, "UsageError")
    assert "'saliency' in the query" in answer.json()["error"]
    assert "Expected: a valid boolean" in answer.json()["error"]
    assert "'perhaps'" in answer.json()["error"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("/predict?modle=tiny", "'modle' in the query of the request is unknown. Expected: model. Did you mean model?"),
        ("/predict?model=tiny&top=3", "'top' in the query of the request is unknown. Expected: model."),
        ("/read?expected=1", "'expected' in the query of the request is unknown. Expected: expect, alphabet, grid, "),
        ("/explain?salience=false", "Expected: model, saliency. Did you mean saliency?"),
        ("/corrections?model=tiny", "'model' in the query of the request is unknown. Expected: no parameters."),
        ("/explain?=1", "'' in the query of the request is unknown."),
        ("/read?alphabet=0-9&alphabet=0-4", "'alphabet' in the query of the request is repeated."),
    ],
)
def test_a_parameter_that_the_route_does_not_know_is_named(server, seven, asked, said):
    answer = httpx.post(f"{server}{asked}", content=seven)
    assert (answer.status_code, answer.json()["kind"]) == (400, "UsageError")
    assert said in answer.json()["error"]


def test_parameters_that_a_route_knows_and_those_of_monitoring_are_taken(server, seven):
    for path in ("/predict?model=general", "/explain?model=general&saliency=false", "/read?expect=[0-9]&alphabet=0-9"):
        assert httpx.post(f"{server}{path}", content=seven).status_code == 200, path
    for path in (
        "/health/ready?from=balancer",
        "/metrics?name[]=x",
        "/v2/models/general?x=1",
        "/?utm_source=x",
        "/info?1",
    ):
        assert httpx.get(f"{server}{path}").status_code == 200, path


def test_a_form_of_countless_parts_is_not_read_to_its_end(server):
    body = b"--b\r\na:\r\n\r\n\r\n" * 400_000 + b"--b--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = ask(server, content=body, headers=headers)
    assert (answer.status_code, answer.json()["kind"]) == (413, "RequestTooLarge")


def test_the_example_of_the_documentation_answers(server):
    data = httpx.get(f"{server}/openapi.json").json()
    body = data["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["example"]
    assert ask(server, json=body).json()["predictions"][0]["label"] == "7"


def test_every_route_is_documented(server):
    data = httpx.get(f"{server}/openapi.json").json()
    assert {"/predict", "/models", "/info", "/health/live", "/health/ready", "/metrics"} <= set(data["paths"])
    for path, methods in data["paths"].items():
        for operation in methods.values():
            assert operation["summary"], path


def test_the_documentation_needs_no_other_host(server):
    page = httpx.get(f"{server}/docs").text
    for file in ("docs/swagger-ui-bundle.js", "docs/swagger-ui.css", "docs/favicon-32x32.png", "docs/start.js"):
        assert f'"{file}"' in page
        answer = httpx.get(f"{server}/{file}")
        assert answer.status_code == 200
        assert len(answer.content) > 100
    assert "://" not in page


def test_no_error_shows_a_traceback_or_a_path(served: Served, files):
    answers = [ask(served.url, content=file.read_bytes()) for file in files]
    answers += [httpx.get(f"{served.url}/{path}") for path in ("nothing", "predict", "web/x")]
    for answer in answers:
        assert "Traceback" not in answer.text
        assert str(Path(__file__).parents[2]) not in answer.text
        assert "site-packages" not in answer.text
    assert not [line for line in served.lines if "Traceback" in line]
