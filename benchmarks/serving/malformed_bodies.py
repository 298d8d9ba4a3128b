"""Malformed requests with right lengths and wrong bodies: pictures, JSON, base64, forms, tensors.

In: a random generator. Out: an `Attack`; `KINDS` holds one function a kind, by the words of the table.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from random import Random

from benchmarks.serving import malformed_pictures as pictures
from benchmarks.serving.malformed import CLOSED, REFUSED, Attack, post, sent
from inkdigit.model.recognizer import DEFAULT
from inkdigit.serve.settings import Settings

JSON = "Content-Type: application/json"
ANSWERED = 200
BOUNDARY = b"5a7c"
FORM = b"Content-Type: multipart/form-data; boundary=" + BOUNDARY
BINARY = "Inference-Header-Content-Length"
DEEP = 100_000  # brackets
TOO_MANY = 9 * 2**20  # bytes: more than a request may have


def broken_pictures(rng: Random) -> Attack:
    """An image file with something wrong in it; many can still be read."""
    route = rng.choice(["/predict", "/predict", "/explain"])
    return sent(post(route, pictures.broken(rng)), ANSWERED, 413, 415, 422)


def picture_bombs(rng: Random) -> Attack:
    """A small file that says that it is large, or becomes large when it is read."""
    return sent(post("/predict", pictures.bomb(rng)), ANSWERED, 413, 415, 422)


def full_pictures(rng: Random) -> Attack:
    """As many pixels as an image may have, in few bytes; once, or so often that it is too much together."""
    file = rng.choice(pictures.full())
    if rng.random() < 0.5:
        return sent(post("/predict", file), ANSWERED)
    body = json.dumps({"images": [_text(pictures.full()[0])] * Settings().max_files}).encode()
    return sent(post("/predict", body, JSON), 413)


def too_large(rng: Random) -> Attack:
    """More bytes than a request may have, announced before or while they come."""
    body = rng.randbytes(1_000) * (TOO_MANY // 1_000)
    if rng.random() < 0.5:
        return sent(post("/predict", body), 413)
    start = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    return sent(start + f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n", 413)


def json_oddities(rng: Random) -> Attack:
    """JSON that is deep, long, doubled, or not quite JSON."""
    good = _text(pictures.intact("PNG"))
    body = rng.choice(
        [
            lambda: "[" * DEEP,
            lambda: "[" * DEEP + "]" * DEEP,
            lambda: '{"images":' * DEEP,
            lambda: '{"images": ' + "[" * DEEP + "]" * DEEP + "}",
            lambda: '{"images": [' + "1" * DEEP + "]}",
            lambda: '{"images": [1e999, NaN, -Infinity]}',
            lambda: '{"images": ["\\ud800"]}',
            lambda: '{"images": "' + good + '"}',
            lambda: '{"images": {"0": "' + good + '"}}',
            lambda: '{"images": []}',
            lambda: '{"images": null}',
            lambda: '{"images": [null, true, {}, [], 5]}',
            lambda: '{"images": ["' + good + '"], "images": []}',
            lambda: '{"images": ["' + good + '"], "more": 1}',
            lambda: '{"images": ["' + good + '",]}',
            lambda: json.dumps({"images": [good] * (Settings().max_files + 1)}),
            lambda: json.dumps({"images": [""] * 10_000}),
            lambda: json.dumps({f"k{i}": i for i in range(10_000)}),
            lambda: "\ufeff" + json.dumps({"images": [good]}),
            lambda: json.dumps({"images": [good]}) + "x",
            lambda: "5",
            lambda: '"',
            lambda: "",
            lambda: "nul",
            lambda: "{'images': []}",
        ]
    )()
    encoding = rng.choice(["utf-8", "utf-8", "utf-8", "utf-16", "utf-32-le"])
    return sent(post(rng.choice(["/predict", "/explain"]), body.encode(encoding), JSON), ANSWERED, *REFUSED)


def base64_junk(rng: Random) -> Attack:
    """Text that is not base64, or base64 of what is not an image, alone and among others."""
    good = _text(pictures.intact("PNG"))
    junk = rng.choice(
        [
            "",
            "=",
            "====",
            "a",
            "ab=c",
            "!" * 40,
            good[:-3],
            good[: rng.randrange(len(good))],
            "data:image/png;base64," + good,
            good.replace("A", "-"),
            "\n".join(good[i : i + 60] for i in range(0, len(good), 60)),
            "é" * 20,
            "\0" * 20,
            _text(rng.randbytes(1_000)),
            _text(b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
            _text(b"%PDF-1.7"),
            _text(b"PK\x03\x04" + bytes(100)),
        ]
    )
    images = rng.choice([[junk], [good, junk], [junk] * 64])
    return sent(post("/predict", json.dumps({"images": images}).encode(), JSON), ANSWERED, 400, 413, 415, 422)


def odd_forms(rng: Random) -> Attack:
    """A form with thousands of parts, without an end, with invalid headers and names."""
    good = pictures.intact("PNG")
    name = rng.choice(
        ["../../etc/passwd", "a\0b.png", "x" * 10_000, "💥.png", "C:\\\\x.png", "", "<script>", '%22; a="']
    )
    kind, body = rng.choice(
        [
            lambda: (FORM, _part(b"x") * 5_000 + _end()),
            lambda: (FORM, _part(b"x", name=b"other") * 5_000 + _end()),
            lambda: (FORM, _part(good) * (Settings().max_files + 1) + _end()),
            lambda: (FORM, _part(good)),
            lambda: (FORM, _part(good)[: rng.randrange(20, 200)]),
            lambda: (FORM, _part(good, header=b"X-Large: " + b"a" * 1_000_000) + _end()),
            lambda: (FORM, _part(good, header=b"X-Many: 1\r\n" * 20_000 + b"X: 1") + _end()),
            lambda: (FORM, _part(good, header=b"no colon") + _end()),
            lambda: (FORM, _part(good, header=b"Content-Transfer-Encoding: base64") + _end()),
            lambda: (FORM, _part(good, filename=name.encode()) + _end()),
            lambda: (FORM, b"--" + BOUNDARY + b"\r\n\r\n" + good + b"\r\n" + _end()),
            lambda: (FORM, _part(_part(good) + _end(), header=FORM) + _end()),
            lambda: (FORM, _end()),
            lambda: (FORM, b""),
            lambda: (FORM, good),
            lambda: (FORM, b"\r\n" * 50_000 + _part(good) + _end()),
            lambda: (FORM + b"x" * 5_000, _part(good) + _end()),
            lambda: (b"Content-Type: multipart/form-data", _part(good) + _end()),
            lambda: (b"Content-Type: multipart/form-data; boundary=", _part(good) + _end()),
            lambda: (b'Content-Type: multipart/form-data; boundary="\xff\0"', _part(good) + _end()),
            lambda: (b"Content-Type: multipart/mixed; boundary=" + BOUNDARY, _part(good) + _end()),
            lambda: (b"Content-Type: application/x-www-form-urlencoded", b"file=" + good),
        ]
    )()
    return sent(post(rng.choice(["/predict", "/explain"]), body, kind), ANSWERED, *REFUSED, CLOSED)


def odd_tensors(rng: Random) -> Attack:
    """KServe v2 requests whose shapes, types, counts and lengths do not agree."""
    n = rng.choice([-1, 0, 1, 2, 10**9, 2**63, 1.5, "1", None, []])
    shape = rng.choice([[n, 28, 28], [n], [], [28, 28], [1, 28, 29], [n, -28, -28], "1,28,28", None, {"0": 1}])
    kind = rng.choice(["UINT8", "UINT8", "FP32", "BYTES", "uint8", "", None, 5])
    data = rng.choice(
        [[0] * 784, [256] * 784, [-1] * 784, [0.5] * 784, ["x"] * 784, [None], [], "AAAA", {}, [[0] * 784]]
    )
    tensor: dict[str, object] = {
        "name": rng.choice(["image", "image", "other", None]),
        "shape": shape,
        "datatype": kind,
    }
    binary = rng.random() < 0.4
    if binary:
        size = rng.choice([0, 784, 783, -1, 10**9, "784", None])
        tensor["parameters"] = {"binary_data_size": size}
    else:
        tensor["data"] = data
    request: object = {
        "inputs": rng.choice([[tensor], [tensor, tensor], tensor, [], None]),
        "id": rng.choice(["a", 5, {}]),
    }
    if rng.random() < 0.3:
        request["outputs"] = rng.choice([[{"name": "nothing"}], [5], {}, "probs"])  # type: ignore[index]
    text = json.dumps(request).encode()
    headers = [JSON]
    if binary:
        headers = [f"{BINARY}: {rng.choice([len(text), len(text) - 1, -1, 10**9, 'x', ''])}"]
        text += bytes(rng.choice([0, 784, 1_000]))
    version = rng.choice(["", "", "/versions/1", "/versions/2", "/versions/x"])
    return sent(post(f"/v2/models/{DEFAULT}{version}/infer", text, *headers), ANSWERED, 404, *REFUSED)


def unwanted_corrections(rng: Random) -> Attack:
    """Corrections without agreement, of unknown classes, to a service that stores none."""
    good = _text(pictures.intact("PNG"))
    correction = {
        "picture": rng.choice([good, good, "", "!", None, 5, good * 50]),
        "model": rng.choice([DEFAULT, "other", "../x", None, {}]),
        "label": rng.choice(["7", None, 7, "x" * 10_000, []]),
        "right": rng.choice(["7", "none", "11", None, {}, "7\0", "' OR 1=1--"]),
        "agreed": rng.choice([True, False, "true", 1, None]),
    }
    body = json.dumps(rng.choice([correction, [correction], {}, None, {**correction, "more": 1}])).encode()
    kind = rng.choice(
        [JSON, JSON, "Content-Type: text/plain", "Content-Type: application/x-www-form-urlencoded", "X: 1"]
    )
    return sent(post("/corrections", body, kind), 403, 404, *REFUSED)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _part(data: bytes, *, name: bytes = b"file", filename: bytes = b"a.png", header: bytes = b"X: 1") -> bytes:
    disposition = b'Content-Disposition: form-data; name="%s"; filename="%s"' % (name, filename)
    return b"--%s\r\n%s\r\n%s\r\n\r\n%s\r\n" % (BOUNDARY, disposition, header, data)


def _end() -> bytes:
    return b"--%s--\r\n" % BOUNDARY


KINDS: dict[str, Callable[[Random], Attack]] = {
    "broken pictures, all formats": broken_pictures,
    "picture bombs": picture_bombs,
    "as many pixels as are taken, in few bytes": full_pictures,
    "more bytes than are taken": too_large,
    "JSON: deep, long, odd": json_oddities,
    "base64 junk": base64_junk,
    "forms: thousands of parts, no end": odd_forms,
    "KServe: tensors that do not fit": odd_tensors,
    "corrections nobody agreed to": unwanted_corrections,
}
