"""KServe's open inference protocol, version 2: the same models for clients that speak it, such as Triton's.

In: uint8 pictures `[n, 28, 28]`, as numbers in the JSON or as bytes behind it (the binary tensor extension). Out: the
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
from inkdigit.serve.http.body import parse_json, read_body
from inkdigit.serve.http.openapi import KSERVE, REFUSALS
from inkdigit.serve.service import Service, check_time
from inkdigit.types import SIDE, Gray, Prediction

router = APIRouter(prefix="/v2", tags=KSERVE)

HEADER = "Inference-Header-Content-Length"  # bytes of the JSON, where other bytes follow it
INPUT, DATATYPE = "image", "UINT8"
OUTPUTS = {"probs": "FP32", "score": "FP32", "label": "BYTES", "reason": "BYTES"}
AT_A_TIME = 512  # pictures, between two looks at the clock
VERSION = "1"  # of any model: a service has one of each
LOWEST = float(np.finfo(np.float32).min)  # the score of a picture without ink; JSON knows no infinity
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

Parts = list[tuple[str, bool]]  # the outputs that are asked for, and whether as bytes


@router.get("", summary="What the server is")
async def server() -> Response:
    """The name and version of the server, and the extensions of the protocol that it knows."""
    return json_response({"name": "inkdigit", "version": version("inkdigit"), "extensions": ["binary_tensor_data"]})


@router.get("/models/{name}", summary="What a model takes and gives", responses=REFUSED)
@router.get("/models/{name}/versions/{number}", include_in_schema=False)
async def model(request: Request, name: str, number: str = VERSION) -> Response:
    """The tensors that a model takes and gives."""
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


@router.get("/models/{name}/ready", summary="Whether a model answers pictures", responses=REFUSED)
@router.get("/models/{name}/versions/{number}/ready", include_in_schema=False)
async def model_ready(request: Request, name: str, number: str = VERSION) -> Response:
    """The model is loaded and has passed its self test, or 503."""
    recognizer, is_ready = _recognizer(request, name, number), request.app.state.service.ready
    return json_response({"name": recognizer.name, "ready": is_ready}, 200 if is_ready else 503)


@router.post("/models/{name}/infer", summary="Answer pictures of 28×28", responses=REFUSED, openapi_extra=BODY)
@router.post("/models/{name}/versions/{number}/infer", include_in_schema=False)
async def infer(request: Request, name: str, number: str = VERSION) -> Response:
    """Answer uint8 pictures `[n, 28, 28]`, in the JSON or behind it.

    They pass the same preparation as any picture. `label` and `reason` are as in `/predict`, empty where there is none;
    without ink `probs` are 0 and `score` is the lowest float32.
    """
    service: Service = request.app.state.service
    recognizer = _recognizer(request, name, number)
    if request.headers.get("content-encoding", "identity") != "identity":
        raise UsageError("The body is compressed", expected="none of Content-Encoding")
    size, body = request.headers.get(HEADER), await read_body(request)
    until = monotonic() + service.settings.time_limit_s
    predictions, response = await service.work(lambda: _infer(recognizer, body, size, until=until))
    request.state.pictures = len(predictions)
    service.counts.pictures(recognizer.name, predictions)
    return response


def _recognizer(request: Request, name: str, number: str) -> Recognizer:
    if number != VERSION:
        raise NotFound("There is no such version of the model", expected=VERSION, received=repr(number[:80]))
    service: Service = request.app.state.service
    return service.recognizer(name)


def _infer(recognizer: Recognizer, body: bytes, size: str | None, *, until: float) -> tuple[list[Prediction], Response]:
    """Read a request, answer it if there is time, and write the response; all of it may take a while."""
    asked, behind = _split(body, size)
    parts = _parts(asked)
    images = _images(asked, behind)
    predictions: list[Prediction] = []
    for begin in range(0, len(images), AT_A_TIME):
        check_time(until)
        predictions += recognizer.predict(images[begin : begin + AT_A_TIME])
    names = {"id": asked["id"]} if "id" in asked else {}
    about = {"model_name": recognizer.name, "model_version": VERSION, **names}
    return predictions, _response(about, parts, predictions, classes=len(recognizer.classes))


def _split(body: bytes, size: str | None) -> tuple[dict[str, Any], bytes]:
    """The JSON of a request, and the bytes behind it."""
    end = len(body) if size is None else int(size) if size.isascii() and size.isdigit() and len(size) < 20 else -1
    if not 0 <= end <= len(body):
        raise UsageError(f"{HEADER} is no place in the body", expected=f"0 to {len(body)}", received=size)
    asked = parse_json(body[:end])
    if not isinstance(asked, dict) or not isinstance(asked.get("parameters", {}), dict):
        raise UsageError("The JSON is no inference request", expected=f"an object with {KNOWN}")
    if not isinstance(asked.get("id", ""), str):
        raise UsageError("The id of the request is no text", received=type(asked["id"]).__name__)
    return asked, body[end:]


def _images(asked: dict[str, Any], behind: bytes) -> Gray:
    """The pictures of a request: uint8 (n, 28, 28), n at least 1."""
    inputs = asked.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise UsageError("The request has not the inputs of the model", expected=KNOWN)
    tensor = inputs[0]
    for key, known in (("name", INPUT), ("datatype", DATATYPE)):
        if tensor.get(key) != known:
            raise UsageError(f"The input has another {key}", expected=known, received=_short(tensor.get(key)))
    shape = tensor.get("shape")
    if not isinstance(shape, list) or shape[1:] != [SIDE, SIDE] or type(shape[0]) is not int or shape[0] < 1:
        raise UsageError(
            "The input has another shape", expected=f"[n, {SIDE}, {SIDE}], n at least 1", received=_short(shape)
        )
    data = _data(tensor, behind)
    if len(data) != shape[0] * SIDE**2:
        raise UsageError(
            "The input has another size than its shape",
            expected=f"{_short(shape[0])} × {SIDE} × {SIDE} values",
            received=len(data),
        )
    return np.frombuffer(data, np.uint8).reshape(-1, SIDE, SIDE)


def _data(tensor: dict[str, Any], behind: bytes) -> bytes:
    """The values of the input, one a byte."""
    parameters = tensor.get("parameters", {})
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is not None:
        if "data" in tensor or size != len(behind):
            raise UsageError(
                "The bytes behind the JSON are not the input",
                expected=f"binary_data_size bytes and no data; {HEADER} says where they begin",
                received=f"{len(behind)} bytes for a binary_data_size of {_short(size)}",
            )
        return behind
    data = tensor.get("data")
    if not isinstance(data, list) or behind:
        raise UsageError("The input has no data", expected="data in the JSON, or binary_data_size and bytes behind it")
    try:
        for _ in range(2):  # nested as the shape is, or flat
            if data and isinstance(data[0], list):
                data = list(chain.from_iterable(data))
        return bytes(data)
    except (TypeError, ValueError) as exc:
        raise UsageError("The data are no UINT8", expected="whole numbers from 0 to 255, flat or [n][28][28]") from exc


def _parts(asked: dict[str, Any]) -> Parts:
    """The outputs that a request asks for: all of them, where it names none."""
    as_bytes = asked.get("parameters", {}).get("binary_data_output") is True
    outputs = asked.get("outputs") or [{"name": name} for name in OUTPUTS]
    parts: Parts = []
    for output in outputs if isinstance(outputs, list) else [None]:
        name = output.get("name") if isinstance(output, dict) else None
        parameters = output.get("parameters", {}) if isinstance(output, dict) else {}
        if not isinstance(name, str) or name not in OUTPUTS or any(name == known for known, _ in parts):
            raise UsageError(
                "The outputs are not those of the model",
                expected=f"each once, of {', '.join(OUTPUTS)}",
                received=_short(name),
            )
        if not isinstance(parameters, dict) or parameters.keys() - {"binary_data"}:
            raise UsageError(f"These parameters of {name!r} are not known here", expected="binary_data or none")
        parts.append((name, parameters.get("binary_data", as_bytes) is True))
    return parts


def _response(about: dict[str, Any], parts: Parts, predictions: list[Prediction], *, classes: int) -> Response:
    """The outputs: JSON, and behind it the bytes of those that are asked for as bytes."""
    outputs, behind = [], []
    for name, as_bytes in parts:
        values = _values(name, predictions, classes)
        shape = [len(predictions), classes] if name == "probs" else [len(predictions)]
        output: dict[str, Any] = {"name": name, "datatype": OUTPUTS[name], "shape": shape}
        if as_bytes:
            data = _to_bytes(values) if OUTPUTS[name] == "BYTES" else np.array(values, "<f4").tobytes()
            output["parameters"] = {"binary_data_size": len(data)}
            behind.append(data)
        else:
            output["data"] = values
        outputs.append(output)
    head = {**about, "outputs": outputs}
    if not behind:
        return json_response(head)
    text = to_bytes(head)
    headers = {HEADER: str(len(text))}
    return Response(b"".join([text, *behind]), headers=headers, media_type="application/octet-stream")


def _values(name: str, predictions: list[Prediction], classes: int) -> list[Any]:
    """The values of an output, flat, as JSON has them."""
    if name == "probs":
        blank = [0.0] * classes
        return list(chain.from_iterable(blank if p.probs is None else p.probs.tolist() for p in predictions))
    if name == "score":
        return [LOWEST if p.score is None else p.score for p in predictions]
    return [getattr(p, name) or "" for p in predictions]


def _to_bytes(words: Sequence[str]) -> bytes:
    """Words as the extension has them: four bytes that say how long each is, then the word."""
    return b"".join(struct.pack("<I", len(data)) + data for data in (word.encode() for word in words))


def _short(value: Any) -> str:
    """What somebody sent, short enough to be told."""
    if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(each, dict | list) for each in value)):
        return f"{type(value).__name__} of {len(value)}"  # it may be nested too deeply to be written
    return json.dumps(value)[:80]
