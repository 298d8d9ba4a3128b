"""KServe's protocol, version 2: Triton's own client against a running service, and the responses to bad requests."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from inkdigit.errors import NotFound, TooSlow, UsageError
from inkdigit.model.recognizer import Recognizer
from inkdigit.serve.routes import kserve
from inkdigit.types import SIDE, Gray

from ...conftest import drawn

triton = pytest.importorskip("tritonclient.http")
from tritonclient.utils import InferenceServerException  # noqa: E402

OUTPUTS = ["probs", "score", "label", "reason"]


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer.load()


@pytest.fixture(scope="module")
def client(server: str) -> Iterator[Any]:
    with triton.InferenceServerClient(server.removeprefix("http://")) as client:
        yield client


@pytest.fixture(scope="module")
def images() -> Gray:
    """Three digits, a blank, and noise: uint8 (5, 28, 28)."""
    digits = [drawn(label, seed=1, size_px=28) for label in (7, 3, 0)]
    noise = np.random.default_rng(0).integers(0, 256, (28, 28))
    return np.stack([*digits, np.zeros((28, 28)), noise]).astype(np.uint8)


def inputs(images: Gray, *, binary: bool) -> Any:
    tensor = triton.InferInput("image", images.shape, "UINT8")
    return [tensor.set_data_from_numpy(images, binary_data=binary)]


def output(name: str, *, binary: bool) -> Any:
    return triton.InferRequestedOutput(name, binary_data=binary)


def words(array: np.ndarray) -> list[str]:
    return [each.decode() if isinstance(each, bytes) else each for each in array.tolist()]


def test_the_server_says_what_it_is_and_that_it_is_ready(client, server):
    assert client.is_server_live()
    assert client.is_server_ready()
    result = client.get_server_metadata()
    assert result["name"] == "inkdigit"
    assert result["extensions"] == ["binary_tensor_data"]
    assert httpx.get(f"{server}/v2/health/live").json() == {"live": True}
    assert httpx.get(f"{server}/v2/health/ready").json() == {"ready": True}


@pytest.mark.parametrize("number", ["", "1"])
def test_a_model_says_what_it_takes_and_gives(client, recognizer, number):
    assert client.is_model_ready(recognizer.name, number)
    result = client.get_model_metadata(recognizer.name, number)
    assert result["name"] == recognizer.name
    assert result["versions"] == ["1"]
    assert result["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [-1, 28, 28]}]
    assert [(o["name"], o["datatype"], o["shape"]) for o in result["outputs"]] == [
        ("probs", "FP32", [-1, 10]),
        ("score", "FP32", [-1]),
        ("label", "BYTES", [-1]),
        ("reason", "BYTES", [-1]),
    ]


@pytest.mark.parametrize("in_binary", [True, False])
@pytest.mark.parametrize("out_binary", [True, False])
def test_triton_s_client_gets_the_answers_of_python_bit_for_bit(client, recognizer, images, in_binary, out_binary):
    outputs = [output(name, binary=out_binary) for name in OUTPUTS]
    result = client.infer(recognizer.name, inputs(images, binary=in_binary), outputs=outputs, request_id="eleven")
    assert result.get_response()["id"] == "eleven"
    assert result.get_response()["model_name"] == recognizer.name
    expected = recognizer.predict(images)
    assert words(result.as_numpy("label")) == [p.label or "" for p in expected]
    assert words(result.as_numpy("reason")) == [p.reason or "" for p in expected]
    probs, score = result.as_numpy("probs"), result.as_numpy("score")
    assert (probs.dtype, probs.shape, score.shape) == (np.float32, (5, 10), (5,))
    for i, answer in enumerate(expected):
        blank = answer.probs is None
        assert np.array_equal(probs[i], np.zeros(10) if blank else answer.probs)
        assert score[i] == (np.finfo(np.float32).min if blank else np.float32(answer.score))
    assert expected[3].reason == "no ink"


def test_the_answers_are_those_of_predict(client, recognizer, images):
    result = client.infer(recognizer.name, inputs(images, binary=True))  # no outputs named: all, as bytes
    assert [output["name"] for output in result.get_response()["outputs"]] == OUTPUTS
    assert all("binary_data_size" in output["parameters"] for output in result.get_response()["outputs"])
    assert words(result.as_numpy("label"))[:3] == ["7", "3", "0"]


def test_some_outputs_as_bytes_and_some_in_the_json_in_the_order_they_are_asked_for(client, recognizer, images):
    outputs = [output("label", binary=False), output("probs", binary=True), output("reason", binary=True)]
    result = client.infer(recognizer.name, inputs(images[:2], binary=True), outputs=outputs, model_version="1")
    assert [output["name"] for output in result.get_response()["outputs"]] == ["label", "probs", "reason"]
    assert result.get_output("label")["data"] == ["7", "3"]
    assert result.as_numpy("probs").argmax(1).tolist() == [7, 3]
    assert result.as_numpy("score") is None


def test_a_thousand_pictures_in_one_request(client, recognizer, images):
    many = np.tile(images[:1], (1000, 1, 1))
    labels = client.infer(recognizer.name, inputs(many, binary=True), outputs=[output("label", binary=True)])
    assert set(words(labels.as_numpy("label"))) == {"7"}


def test_many_requests_at_once_over_one_client(server, recognizer, images):
    with triton.InferenceServerClient(server.removeprefix("http://"), concurrency=8) as client:
        requests = [client.async_infer(recognizer.name, inputs(images[i % 3][None], binary=True)) for i in range(24)]
        answers = [each.get_result().as_numpy("label") for each in requests]
    assert [words(answer) for answer in answers] == [[label] for label in "730" * 8]


def tensor(**changes: object) -> dict[str, object]:
    """An input of one blank picture, with some of it changed; None leaves a part out."""
    whole = {"name": "image", "datatype": "UINT8", "shape": [1, 28, 28], "data": [0] * 784} | changes
    return {key: value for key, value in whole.items() if value is not None}


def post(server: str, model: str, body: object, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(f"{server}/v2/models/{model}/infer", content=content, headers=names)


def test_numbers_may_be_nested_as_their_shape_is(server, recognizer, images):
    flat, nested = (
        post(server, recognizer.name, {"inputs": [tensor(shape=[5, 28, 28], data=data)]})
        for data in (images.ravel().tolist(), images.tolist())
    )
    assert flat.status_code == nested.status_code == 200
    assert flat.json() == nested.json()
    assert flat.headers["content-type"] == "application/json"
    assert "id" not in flat.json()
    assert flat.json()["outputs"][2]["data"][:4] == ["7", "3", "0", ""]


@pytest.mark.parametrize("name", ["none", "default", "..%2Ffast", "fast.onnx", "%00"])
def test_a_model_that_is_not_loaded_is_not_found(server, name):
    for answer in (
        httpx.get(f"{server}/v2/models/{name}"),
        httpx.get(f"{server}/v2/models/{name}/ready"),
        post(server, name, {"inputs": [tensor()]}),
    ):
        assert answer.status_code == 404
        assert answer.json()["kind"] == NotFound.__name__


def test_another_version_is_not_found(client, recognizer, images):
    assert not client.is_model_ready(recognizer.name, "2")
    with pytest.raises(InferenceServerException, match="no such version") as caught:
        client.infer(recognizer.name, inputs(images, binary=True), model_version="2")
    assert caught.value.status() == "404"


BEHIND = {"parameters": {"binary_data_size": 784}, "data": None}


BAD_REQUESTS: list[tuple[object, str]] = [
    (b"", "not valid JSON"),
    (b"{", "not valid JSON"),
    (b"\xff\xfe", "not valid JSON"),
    (b"[" * 100_000, "not valid JSON"),
    ([], "not an inference request"),
    ({"inputs": [tensor()], "parameters": 3}, "not an inference request"),
    ({"inputs": [tensor()], "id": 3}, "id of the request is not a text"),
    ({}, "does not have the inputs of the model"),
    ({"inputs": []}, "does not have the inputs of the model"),
    ({"inputs": [tensor(), tensor()]}, "does not have the inputs of the model"),
    ({"inputs": ["image"]}, "does not have the inputs of the model"),
    ({"inputs": [tensor(name="picture")]}, 'Expected: image. Received: "picture"'),
    ({"inputs": [tensor(name=[[[]]])]}, "another name"),
    ({"inputs": [tensor(datatype="FP32")]}, 'Expected: UINT8. Received: "FP32"'),
    ({"inputs": [tensor(shape=None)]}, "another shape"),
    ({"inputs": [tensor(shape=[784])]}, "Received: [784]"),
    ({"inputs": [tensor(shape=[1, 28, 28, 1])]}, "another shape"),
    ({"inputs": [tensor(shape=[0, 28, 28], data=[])]}, "n at least 1"),
    ({"inputs": [tensor(shape=[-1, 28, 28])]}, "n at least 1"),
    ({"inputs": [tensor(shape=[True, 28, 28])]}, "another shape"),
    ({"inputs": [tensor(shape=["1", 28, 28])]}, "another shape"),
    ({"inputs": [tensor(shape=[10**18, 28, 28])]}, "1000000000000000000 × 28 × 28 values. Received: 784"),
    ({"inputs": [tensor(shape=[2, 28, 28])]}, "Received: 784"),
    ({"inputs": [tensor(data=[0] * 783)]}, "Received: 783"),
    ({"inputs": [tensor(data=None)]}, "no data"),
    ({"inputs": [tensor(data="0")]}, "no data"),
    ({"inputs": [tensor(data=[256] * 784)]}, "not UINT8"),
    ({"inputs": [tensor(data=[-1] * 784)]}, "not UINT8"),
    ({"inputs": [tensor(data=[0.5] * 784)]}, "not UINT8"),
    ({"inputs": [tensor(data=["7"] * 784)]}, "not UINT8"),
    ({"inputs": [tensor(data=[[0] * 784, 0])]}, "not UINT8"),
    ({"inputs": [tensor(data=[[[[0] * 784]]])]}, "not UINT8"),
    ({"inputs": [tensor(**BEHIND)]}, "not the input"),
    ({"inputs": [tensor(parameters={"binary_data_size": 0})]}, "not the input"),
    ({"inputs": [tensor(parameters={"shared_memory_region": "mine"}, data=None)]}, "no data"),
    ({"inputs": [tensor()], "outputs": "label"}, "not those of the model"),
    ({"inputs": [tensor()], "outputs": [{}]}, "not those of the model"),
    ({"inputs": [tensor()], "outputs": [{"name": "logits"}]}, "probs, score, label, reason"),
    ({"inputs": [tensor()], "outputs": [{"name": "label"}] * 2}, "not those of the model"),
    ({"inputs": [tensor()], "outputs": [{"name": "probs", "parameters": {"classification": 3}}]}, "are unknown"),
]


def test_a_bad_request_is_told_what_is_wrong(server, recognizer):
    for body, text in BAD_REQUESTS:
        answer = post(server, recognizer.name, body)
        assert (answer.status_code, answer.json()["kind"]) == (400, UsageError.__name__), str(body)[:300]
        assert text in answer.json()["error"], str(body)[:300]


# What the header says of where the bytes begin, how many bytes there are, and what is wrong.
MISPLACED: list[tuple[str | None, int, str]] = [
    ("-1", 784, "not a position in the body"),
    ("99999", 784, "not a position in the body"),
    ("9" * 5000, 784, "not a position in the body"),
    ("ten", 784, "not a position in the body"),
    ("0", 784, "not valid JSON"),
    (None, 784, "not valid JSON"),  # the bytes are read as JSON too
    ("right", 783, "not the input"),
    ("right", 785, "not the input"),
    ("right", 0, "not the input"),
]


def test_bytes_that_are_not_where_they_should_be(server, recognizer):
    head = json.dumps({"inputs": [tensor(**BEHIND)]}).encode()
    for size, behind, text in MISPLACED:
        headers = {} if size is None else {kserve.HEADER: str(len(head)) if size == "right" else size}
        answer = post(server, recognizer.name, head + bytes(behind), **headers)
        assert answer.status_code == 400, (size, behind, answer.text)
        assert text in answer.json()["error"], (size, behind)


def test_a_compressed_body_is_refused(client, recognizer, images):
    with pytest.raises(InferenceServerException, match="compressed") as caught:
        client.infer(recognizer.name, inputs(images, binary=True), request_compression_algorithm="gzip")
    assert caught.value.status() == "400"


def test_pictures_are_counted_as_those_of_predict(server, recognizer):
    def count() -> float:
        lines = httpx.get(f"{server}/metrics").text.splitlines()
        name = f'inkdigit_pictures_total{{label="refused: no ink",model="{recognizer.name}"}} '
        return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))

    before = count()
    post(server, recognizer.name, {"inputs": [tensor(shape=[2, 28, 28], data=[0] * 2 * 784)]})
    assert count() == before + 2


def test_the_example_of_the_documentation_is_answered(server, recognizer):
    result = httpx.get(f"{server}/openapi.json").json()["paths"]["/v2/models/{name}/infer"]["post"]
    example = result["requestBody"]["content"]["application/json"]["example"]
    assert post(server, recognizer.name, example).json()["outputs"][1]["data"] == ["no ink"]
    assert {"400", "401", "404", "408", "413", "503"} <= result["responses"].keys()


def test_more_than_can_be_answered_in_time_is_given_up():
    class Slow:
        """A recognizer that takes a tenth of a second whatever it is asked."""

        asked, name, classes = 0, "slow", ()

        def predict(self, images: Gray) -> list[Any]:
            self.asked += len(images)
            time.sleep(0.1)
            return [None] * len(images)

    many = np.zeros((5000, SIDE, SIDE), np.uint8)
    tensor = {"name": "image", "datatype": "UINT8", "shape": many.shape, "parameters": {"binary_data_size": many.size}}
    head = json.dumps({"inputs": [tensor]}).encode()
    slow = Slow()
    with pytest.raises(TooSlow):
        kserve.infer_body(kserve.Digits(slow), head + many.tobytes(), str(len(head)), until=time.monotonic() + 0.05)
    assert slow.asked <= 1000
