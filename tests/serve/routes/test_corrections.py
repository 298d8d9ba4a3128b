"""`POST /corrections`: what people say is kept where they agree and the service collects, and nowhere else."""

from __future__ import annotations

import base64
import io
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from inkdigit.data.readers.corrections import delete, export, read_list
from inkdigit.data.sources import open_data
from inkdigit.picture.decode import decode
from inkdigit.synth.drawn import digit

from ..conftest import MakeServer, Served


def encode(label: int, *, seed: int = 0) -> bytes:
    """A drawn digit as a PNG."""
    data = io.BytesIO()
    Image.fromarray(255 - digit(label, rng=np.random.default_rng([seed, label]), size_px=112)).save(data, "PNG")
    return data.getvalue()


SEVEN = encode(7)


def correction(file: bytes = SEVEN, **changes: Any) -> dict[str, Any]:
    """What the page sends."""
    picture = base64.b64encode(file).decode()
    return {"picture": picture, "model": "tiny", "label": "1", "right": "7", "agreed": True, **changes}


@pytest.fixture(scope="module")
def collecting(make_server: MakeServer, tiny_file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The address of a service of two processes that collects, and its file."""
    path = tmp_path_factory.mktemp("kept") / "c.db"
    options = ("--model", tiny_file, "--collect", path, "--workers", 2, "--max-bytes", "100kB")
    return make_server(*options).url, path


@pytest.fixture
def kept(collecting: tuple[str, Path]) -> Path:
    """The file, empty."""
    delete(collecting[1], None, log=print)
    return collecting[1]


@pytest.fixture
def url(collecting: tuple[str, Path]) -> str:
    return f"{collecting[0]}/corrections"


def test_a_correction_is_kept_as_the_door_gets_it(url, kept, tmp_path):
    answer = httpx.post(url, json=correction())
    (one,) = read_list(kept)
    assert (answer.status_code, answer.json()) == (201, {"id": one.id})
    assert (one.model, one.answered, one.right) == ("tiny", "1", "7")
    export(kept, tmp_path / "out")
    assert np.array_equal(decode(tmp_path / "out" / f"{one.id}.png"), decode(SEVEN))


def test_where_and_when_a_photo_was_taken_is_not_kept(url, kept):
    photo, exif = io.BytesIO(), Image.Exif()
    exif[0x010E], exif[0x0112] = "my kitchen", 6  # a description, and that it lies on its side
    Image.open(io.BytesIO(SEVEN)).convert("RGB").save(photo, "JPEG", exif=exif)
    assert b"my kitchen" in photo.getvalue()
    assert httpx.post(url, json=correction(photo.getvalue())).status_code == 201
    assert b"my kitchen" not in b"".join(file.read_bytes() for file in kept.parent.glob(f"{kept.name}*"))
    with closing(sqlite3.connect(kept)) as connection:
        ((picture,),) = connection.execute("SELECT picture FROM corrections").fetchall()
    assert np.array_equal(decode(picture), decode(photo.getvalue()))


def test_no_answer_and_no_digit_can_be_told(url, kept):
    assert httpx.post(url, json=correction(label=None, right="none")).status_code == 201
    (one,) = read_list(kept)
    assert (one.answered, one.right) == (None, "none")


def test_many_at_once_are_all_kept(url, kept):
    pictures = [encode(i % 10, seed=i) for i in range(32)]

    def send(i: int) -> int:
        answer = httpx.post(url, json=correction(pictures[i], right=str(i % 10)), timeout=60)
        assert answer.status_code == 201, answer.text
        return int(answer.json()["id"])

    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(send, range(32)))
    assert sorted(ids) == [one.id for one in read_list(kept)]
    data = open_data(kept).train
    assert dict(zip(map(int, data.files), data.labels.tolist(), strict=True)) == {
        number: i % 10 for i, number in enumerate(ids)
    }


WRONG: list[tuple[object, int, str]] = [
    (correction(agreed=False), 400, "UsageError"),
    (correction(agreed="true"), 400, "UsageError"),
    (correction(agreed=1), 400, "UsageError"),
    (correction(right="eleven"), 400, "UsageError"),
    (correction(right=None), 400, "UsageError"),
    (correction(right=["7"]), 400, "UsageError"),
    (correction(label="eleven"), 400, "UsageError"),
    (correction(label={}), 400, "UsageError"),
    (correction(model=None), 400, "UsageError"),
    (correction(model="../../etc/passwd"), 404, "NotFound"),
    (correction(path="/etc/passwd"), 400, "UsageError"),
    ({"picture": ""}, 400, "UsageError"),
    ([correction()], 400, "UsageError"),
    ("text", 400, "UsageError"),
    (correction(picture="not base64!"), 422, "PictureError"),
    (correction(picture=7), 422, "PictureError"),
    (correction(picture="ü"), 422, "PictureError"),
    (correction(b""), 415, "NotAPicture"),
    (correction(b"no picture"), 415, "NotAPicture"),
    (correction(b"/etc/passwd"), 415, "NotAPicture"),
    (correction(SEVEN[:-400]), 422, "PictureError"),
    (correction(bytes(90_000)), 413, "RequestTooLarge"),
]


def test_what_cannot_be_kept_is_not(url, kept):
    for sent, status, kind in WRONG:
        answer = httpx.post(url, json=sent)
        assert (answer.status_code, answer.json()["kind"]) == (status, kind), str(sent)[-200:]
        assert set(answer.json()) == {"error", "kind"}
        assert read_list(kept) == [], str(sent)[-200:]


def test_what_a_foreign_page_can_send_unasked_is_not_kept(url, kept):
    content = httpx.Request("POST", url, json=correction()).content
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None):
        answer = httpx.post(url, content=content, headers={"Content-Type": kind} if kind else {})
        assert (answer.status_code, answer.json()["kind"]) == (415, "NotJson"), kind
        assert read_list(kept) == [], kind


def test_a_body_that_is_no_json_is_refused(url, kept):
    answer = httpx.post(url, content=b"{", headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["kind"]) == (400, "UsageError")
    assert read_list(kept) == []


def test_a_service_that_does_not_collect_says_so(server):
    answer = httpx.post(f"{server}/corrections", json=correction(model="general"))
    assert (answer.status_code, answer.json()["kind"]) == (403, "NotCollecting")


def test_a_file_that_takes_no_more_is_told_without_naming_it(start_server, tiny_file, tmp_path):
    path = tmp_path / "c.db"
    served: Served = start_server("--model", tiny_file, "--collect", path)
    path.write_bytes(b"somebody wrote over it" * 100)
    answer = httpx.post(f"{served}/corrections", json=correction())
    assert (answer.status_code, answer.json()["kind"]) == (507, "OutputError")
    assert str(tmp_path) not in answer.text
    assert served.stop() == 0
    assert any(str(path) in line for line in served.lines)
