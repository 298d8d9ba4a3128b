"""The load script measures a real service; the page says what was measured, and what was not."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("uvicorn")

from benchmarks.serving import abuse
from benchmarks.serving import measure as serving
from benchmarks.serving import page as serving_page
from inkdigit.serve.http.guard import OPEN, OPEN_BELOW
from inkdigit.serve.service import BODIES, MAX_PIXELS_TOGETHER
from inkdigit.serve.settings import Settings


@pytest.fixture
def about(about) -> dict:
    return {**about, "seconds": 30.0, "workers": 1}


@pytest.fixture
def steady(about) -> dict:
    speed = {"n": 30_000, "failures": 0, "per_s": 1000.4, "p50_ms": 30.0, "p99_ms": 55.5, "max_ms": 80.0}
    return {**about, **speed, "case": "digit", "connections": 32, "bytes": 258, "rss_most_mb": 140.0}


@pytest.fixture
def crowd(about) -> dict:
    refused = {"refused": 90_000, "refused_without_retry_after": 0, "refused_max_ms": 340.0, "answered_max_ms": 600.0}
    others = {"answered": 30_000, "wrong": 0, "cut_off": 0, "waiting_at_the_end": 256, "unsent": 5}
    rss = {"rss_before_mb": 140.0, "rss_most_mb": 160.0, "rss_after_mb": 150.0}
    rates = {"connections": 256, "bytes": 258, "capacity_per_s": 1000.4, "offered_per_s": 4001.6}
    calm = {"before": {"p99_ms": 55.0}, "after": {"p99_ms": 56.0}, "first_answer_s": 0.012, "alive": True}
    return {**about, "case": "digit overload", "crowd": {**refused, **others}, **rss, **rates, **calm}


@pytest.fixture
def abused(about) -> dict:
    kinds = {"path traversal": {"n": 5000, "statuses": {"400": 2000, "404": 3000}, "wrong": 0}}
    rss = {"before": 140.0, "most": 200.0, "after": 150.0}
    well = {"ready": True, "right": True, "answer_s": 0.004}
    figures = {"n": 5000, "seconds": 60.0, "kinds": kinds, "rss_mb": rss, "tracebacks_logged": 0, "well_after": well}
    return {**about, **figures}


@pytest.fixture
def results(tmp_path):
    def write(*lines: dict, abused: dict | None = None):
        (tmp_path / serving.LEDGER).write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")
        if abused:
            (tmp_path / abuse.RESULTS).write_text(json.dumps(abused), encoding="utf-8")
        return tmp_path

    return write


def page(folder) -> str:
    (text,) = serving_page.files(folder, folder / "serving.md").values()
    return text.decode()


def test_both_pictures_are_read_rightly(default_model):
    answers = default_model.predict([serving.digit(), serving.photo()])
    assert [answer.label for answer in answers] == [str(serving.LABEL)] * 2
    assert serving.PHOTO_SIDES[0] * serving.PHOTO_SIDES[1] == pytest.approx(2e6, rel=0.01)


@pytest.mark.slow
def test_a_smoke_run_asks_a_real_service_and_counts_as_not_measured(tmp_path):
    serving.main(["--smoke", "--only", "digit", "overload", "--results", str(tmp_path)])
    steady, crowd = (json.loads(text) for text in (tmp_path / serving.LEDGER).read_text(encoding="utf-8").splitlines())
    assert (steady["case"], crowd["case"]) == ("digit", "digit overload")
    assert steady["smoke"]
    assert steady["n"] > 10
    assert steady["failures"] == 0
    assert steady["rss_most_mb"] > 30
    assert crowd["alive"]
    assert crowd["crowd"]["wrong"] == crowd["crowd"]["cut_off"] == 0
    assert crowd["first_answer_s"] < 10
    assert serving_page.read_cases(tmp_path) == {}


def test_without_results_the_page_says_so(tmp_path):
    text = page(tmp_path)
    assert text.count("Not measured yet: `python -m benchmarks.serving.") == 2
    assert "| 28×28 PNG, requests/s | ≥ 600 | not measured | – | – |" in text


def test_limits_and_statuses_are_those_of_the_code(tmp_path):
    text = page(tmp_path)
    assert f"| images of a request | {Settings().max_files} | – | 413 |" in text
    assert f"| pixels of the images of a request together | {MAX_PIXELS_TOGETHER:,} | – | 413 |" in text
    assert f"| bytes of all requests together, in each process | 16.78 MB | {BODIES} × `--max-bytes` | 503 |" in text
    assert "| 401 | `Unauthorized` |" in text
    assert "| 503 | `Busy` |" in text
    assert "`NotAModelFile`" not in text  # no service starts with one
    assert "`Unreachable`" not in text  # only the client says it


def test_what_is_open_without_a_token_is_that_of_the_code(tmp_path):
    text = page(tmp_path)
    assert all(f"`{path}`" in text for path in OPEN)
    assert all(f"`{path}…`" in text for path in OPEN_BELOW)


def test_the_latest_measurement_counts(results, steady, crowd, abused):
    text = page(results({**steady, "per_s": 10.0}, steady, crowd, abused=abused))
    assert "| 28×28 PNG, requests/s | ≥ 600 | 1,000.4 | yes | 30,000 |" in text
    assert "| 28×28 PNG, p99 | ≤ 120 ms | 55.5 | yes | 30,000 |" in text
    assert "| four times too many, 28×28 PNG: memory grows by | < 50 MB | 20.0 MB | yes | 1 |" in text
    assert "| four times too many, 28×28 PNG: first answer afterwards | ≤ 1 s | 0.01 s | yes | 1 |" in text
    assert "| malformed requests | ≥ 5,000 | 5,000 | yes |" in text
    assert "| path traversal | 5,000 | 400 ×2,000, 404 ×3,000 | 0 |" in text


def test_how_soon_the_page_answers(results, about):
    took = {"median": 71.4, "p95": 98.6, "min": 50.2, "max": 160.0}
    line = {**about, "case": "page", "n": 100, "right": 99, "answer_ms": took}
    text = page(results(line))
    assert "| ≤ 150 ms | 71 ms [50–160]; 99 ms | yes | 100 |" in text
    assert "| all | 99 | **no** | 100 |" in text
    assert "| ≤ 150 ms | 71 ms [50–160]; 151 ms | **no** |" in page(
        results({**line, "answer_ms": {**took, "p95": 150.6}})
    )


def test_where_none_was_refused_nothing_is_said_of_how_soon(results, crowd):
    none = {**crowd["crowd"], "refused": 0, "refused_max_ms": None}
    text = page(results({**crowd, "crowd": none}))
    assert "slowest 503, all with Retry-After | ≤ 1,000 ms | none was refused | – | 0 |" in text


def test_bars_that_are_not_met_are_told(results, steady, crowd, abused):
    slow = {**steady, "per_s": 599.9, "p99_ms": 120.1, "failures": 1}
    crowd = {**crowd, "rss_most_mb": 191.0, "first_answer_s": 1.1, "crowd": {**crowd["crowd"], "refused_max_ms": 1001}}
    abused["kinds"]["path traversal"] |= {"statuses": {"500": 1, "404": 4998}, "wrong": 1}
    abused |= {"n": 4999, "tracebacks_logged": 1, "well_after": {"ready": True, "right": False, "answer_s": 5}}
    assert page(results(slow, crowd, abused=abused)).count("**no**") == 3 + 3 + 5


def test_a_smoke_run_is_not_on_the_page(results, steady, abused):
    folder = results({**steady, "smoke": True}, abused={**abused, "smoke": True})
    assert page(folder).count("Not measured yet") == 2
