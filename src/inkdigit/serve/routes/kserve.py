"""KServe's open inference protocol, version 2: the same models for its clients, such as Triton's.

In: uint8 images `[n, 28, 28]`, as numbers in the JSON or as bytes after it (the binary tensor extension). Out: the
answers of `Recognizer.predict` as tensors: `probs`, `score`, `label`, `reason`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from importlib.metadata import version
from itertools import chain
from time import monotonic
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response

from inkdigit.errors import NotFound, UsageError
from inkdigit.model.recognizer import Recognizer
from inkdigit.serve.http.answers import json_response, to_bytes
from inkdigit.serve.http.openapi import KSERVE, REFUSALS
from inkdigit.serve.http.uploads import parse_json, read_body
from inkdigit.serve.service import Service, check_time
from inkdigit.types import SIDE, Gray, Prediction

router = APIRouter(prefix="/v2", tags=KSERVE)

HEADER = "Inference-Header-Content-Length"  # bytes of the JSON, if other bytes follow it
INPUT, DATATYPE = "image", "UINT8"
OUTPUTS = {"probs": "FP32", "score": "FP32", "label": "BYTES", "reason": "BYTES"}
AT_A_TIME = 512  # images between two checks of the time: some 20 ms
VERSION = "1"  # of every model: a service has one version of each
LOWEST = float(np.finfo(np.float32).min)  # the score of an image without ink; JSON has no infinity
KNOWN = f'one input {{"name": "{INPUT}", "datatype": "{DATATYPE}", "shape": [n, {SIDE}, {SIDE}]}}'
REFUSED: dict[int | str, dict[str, Any]] = {status: REFUSALS[status] for status in (400, 401, 404, 408, 413, 503)}
PARAMETERS = {"type": "object"}
SCHEMA = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string"},
        "parameters": PARAMETERS,
        "inputs": {
            "type": "array",
            "minItems": 1,
            "maxItems": 1,
            "items": {
                "type": "object",
                "required": ["name", "datatype", "shape"],
                "properties": {
                    "name": {"const": INPUT},
                    "datatype": {"const": DATATYPE},
                    "shape": {"type": "array", "items": {"type": "integer"}, "minItems": 3, "maxItems": 3},
                    "parameters": PARAMETERS,
                    "data": {"type": "array"},
                },
            },
        },
        "outputs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"enum": list(OUTPUTS)}, "parameters": PARAMETERS},
            },
        },
    },
}
EXAMPLE = {
    "inputs": [{"name": INPUT, "datatype": DATATYPE, "shape": [1, SIDE, SIDE], "data": [0] * SIDE**2}],
    "outputs": [{"name": "label"}, {"name": "reason"}],
}
BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": SCHEMA, "example": EXAMPLE}}}}

Outputs = list[tuple[str, bool]]  # the names of the requested outputs, and whether as bytes


@router.get("", summary="About the server")
async def server() -> Response:
    """The name and version of the server, and the extensions of the protocol that it supports."""
    return json_response({"name": "inkdigit", "version": version("inkdigit"), "extensions": ["binary_tensor_data"]})


@router.get("/models/{name}", summary="The inputs and outputs of a model", responses=REFUSED)
@router.get("/models/{name}/versions/{number}", include_in_schema=False)
async def model(request: Request, name: str, number: str = VERSION) -> Response:
    """The input and output tensors of a model."""
    recognizer = _recognizer(request, name, number)
    shapes = {"probs": [-1, len(recognizer.classes)]}
    return json_response(
        {
            "name": recognizer.name,
            "versions": [VERSION],
            "platform": "onnxruntime_onnx",
            "inputs": [{"name": INPUT, "datatype": DATATYPE, "shape": [-1, SIDE, SIDE]}],
            "outputs": [
                {"name": output, "datatype": kind, "shape": shapes.get(output, [-1])}
                for output, kind in OUTPUTS.items()
            ],
        }
    )


@router.get("/models/{name}/ready", summary="Whether a model can read images", responses=REFUSED)
@router.get("/models/{name}/versions/{number}/ready", include_in_schema=False)
async def model_ready(request: Request, name: str, number: str = VERSION) -> Response:
    """200 if the model is loaded and has passed its self test, else 503."""
    recognizer, is_ready = _recognizer(request, name, number), request.app.state.service.ready
    return json_response({"name": recognizer.name, "ready": is_ready}, 200 if is_ready else 503)


@router.post("/models/{name}/infer", summary="Read images of 28×28 pixels", responses=REFUSED, openapi_extra=BODY)
@router.post("/models/{name}/versions/{number}/infer", include_in_schema=False)
async def infer(request: Request, name: str, number: str = VERSION) -> Response:
    """Read uint8 images `[n, 28, 28]`, in the JSON or after it.

    They are preprocessed like any image. `label` and `reason` are as in `/predict`, or empty. Without ink, `probs` are
    0 and `score` is the lowest float32.
    """
    service: Service = request.app.state.service
    recognizer = _recognizer(request, name, number)
    if request.headers.get("content-encoding", "identity") != "identity":
        raise UsageError("The body is compressed", expected="no Content-Encoding")
    size, body = request.headers.get(HEADER), await read_body(request)
    until = monotonic() + service.settings.time_limit_s
    predictions, response = await service.work(lambda: infer_body(recognizer, body, size, until=until))
    request.state.pictures = len(predictions)
    service.counts.pictures(recognizer.name, predictions)
    return response


def _recognizer(request: Request, name: str, number: str) -> Recognizer:
    if number != VERSION:
        raise NotFound("There is no such version of the model", expected=VERSION, received=repr(number[:80]))
    service: Service = request.app.state.service
    return service.recognizer(name)


def infer_body(
    recognizer: Recognizer, body: bytes, size: str | None, *, until: float
) -> tuple[list[Prediction], Response]:
    """Parse a request, read its images while there is time, and build the response."""
    parsed, data = _split(body, size)
    outputs = _outputs(parsed)
    images = _images(parsed, data)
    predictions: list[Prediction] = []
    for begin in range(0, len(images), AT_A_TIME):
        check_time(until)
        predictions += recognizer.predict(images[begin : begin + AT_A_TIME])
    own_id = {"id": parsed["id"]} if "id" in parsed else {}
    head = {"model_name": recognizer.name, "model_version": VERSION, **own_id}
    return predictions, _response(head, outputs, predictions, classes=len(recognizer.classes))


def _split(body: bytes, size: str | None) -> tuple[dict[str, Any], bytes]:
    """The JSON of a request, and the bytes after it."""
    end = len(body) if size is None else int(size) if size.isascii() and size.isdigit() and len(size) < 20 else -1
    if not 0 <= end <= len(body):
        raise UsageError(f"{HEADER} is not a position in the body", expected=f"0 to {len(body)}", received=size)
    parsed = parse_json(body[:end])
    if not isinstance(parsed, dict) or not isinstance(parsed.get("parameters", {}), dict):
        raise UsageError("The JSON is not an inference request", expected=f"an object with {KNOWN}")
    if not isinstance(parsed.get("id", ""), str):
        raise UsageError("The id of the request is not a text", received=type(parsed["id"]).__name__)
    return parsed, body[end:]


def _images(parsed: dict[str, Any], binary: bytes) -> Gray:
    """The images of a request: uint8 (n, 28, 28), n at least 1."""
    inputs = parsed.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise UsageError("The request does not have the inputs of the model", expected=KNOWN)
    tensor = inputs[0]
    for key, known in (("name", INPUT), ("datatype", DATATYPE)):
        if tensor.get(key) != known:
            raise UsageError(f"The input has another {key}", expected=known, received=_short(tensor.get(key)))
    shape = tensor.get("shape")
    if not isinstance(shape, list) or shape[1:] != [SIDE, SIDE] or type(shape[0]) is not int or shape[0] < 1:
        raise UsageError(
            "The input has another shape", expected=f"[n, {SIDE}, {SIDE}], n at least 1", received=_short(shape)
        )
    data = _data(tensor, binary)
    if len(data) != shape[0] * SIDE**2:
        raise UsageError(
            "The size of the input does not match its shape",
            expected=f"{_short(shape[0])} × {SIDE} × {SIDE} values",
            received=len(data),
        )
    return np.frombuffer(data, np.uint8).reshape(-1, SIDE, SIDE)


def _data(tensor: dict[str, Any], binary: bytes) -> bytes:
    """The values of the input, one byte each."""
    parameters = tensor.get("parameters", {})
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is not None:
        if "data" in tensor or size != len(binary):
            raise UsageError(
                "The bytes after the JSON are not the input",
                expected=f"binary_data_size bytes and no data, from the position in {HEADER}",
                received=f"{len(binary)} bytes for a binary_data_size of {_short(size)}",
            )
        return binary
    data = tensor.get("data")
    if not isinstance(data, list) or binary:
        raise UsageError("The input has no data", expected="data in the JSON, or binary_data_size and bytes after it")
    try:
        for _ in range(2):  # nested like the shape, or flat
            if data and isinstance(data[0], list):
                data = list(chain.from_iterable(data))
        return bytes(data)
    except (TypeError, ValueError) as exc:
        raise UsageError("The data are not UINT8", expected="whole numbers from 0 to 255, flat or [n][28][28]") from exc


def _outputs(parsed: dict[str, Any]) -> Outputs:
    """The outputs that a request names; all by default."""
    as_bytes = parsed.get("parameters", {}).get("binary_data_output") is True
    requested = parsed.get("outputs") or [{"name": name} for name in OUTPUTS]
    outputs: Outputs = []
    for output in requested if isinstance(requested, list) else [None]:
        name = output.get("name") if isinstance(output, dict) else None
        parameters = output.get("parameters", {}) if isinstance(output, dict) else {}
        if not isinstance(name, str) or name not in OUTPUTS or any(name == known for known, _ in outputs):
            raise UsageError(
                "The outputs are not those of the model",
                expected=f"at most one of each: {', '.join(OUTPUTS)}",
                received=_short(name),
            )
        if not isinstance(parameters, dict) or parameters.keys() - {"binary_data"}:
            raise UsageError(f"The parameters of {name!r} are unknown", expected="binary_data or none")
        outputs.append((name, parameters.get("binary_data", as_bytes) is True))
    return outputs


def _response(head: dict[str, Any], outputs: Outputs, predictions: list[Prediction], *, classes: int) -> Response:
    """The outputs: JSON, and after it the bytes of those that are requested as bytes."""
    described, binary = [], []
    for name, as_bytes in outputs:
        values = _values(name, predictions, classes)
        shape = [len(predictions), classes] if name == "probs" else [len(predictions)]
        output: dict[str, Any] = {"name": name, "datatype": OUTPUTS[name], "shape": shape}
        if as_bytes:
            data = _to_bytes(values) if OUTPUTS[name] == "BYTES" else np.array(values, "<f4").tobytes()
            output["parameters"] = {"binary_data_size": len(data)}
            binary.append(data)
        else:
            output["data"] = values
        described.append(output)
    body = {**head, "outputs": described}
    if not binary:
        return json_response(body)
    text = to_bytes(body)
    headers = {HEADER: str(len(text))}
    return Response(b"".join([text, *binary]), headers=headers, media_type="application/octet-stream")


def _values(name: str, predictions: list[Prediction], classes: int) -> list[Any]:
    """The values of an output, flat, as JSON types."""
    if name == "probs":
        blank = [0.0] * classes
        return list(chain.from_iterable(blank if p.probs is None else p.probs.tolist() for p in predictions))
    if name == "score":
        return [LOWEST if p.score is None else p.score for p in predictions]
    return [getattr(p, name) or "" for p in predictions]


def _to_bytes(words: Sequence[str]) -> bytes:
    """Words in the form of the extension: four bytes with the length, then the word."""
    return b"".join(struct.pack("<I", len(data)) + data for data in (word.encode() for word in words))


def _short(value: Any) -> str:
    """A value of the request, short enough for a message."""
    if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(each, dict | list) for each in value)):
        return f"{type(value).__name__} of {len(value)}"  # it may be nested too deeply for JSON
    return json.dumps(value)[:80]
