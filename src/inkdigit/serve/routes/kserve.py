"""KServe's open inference protocol, version 2: the same models for its clients, such as Triton's.

In: uint8 images `[n, 28, 28]`, or pictures `[n, height, width]` for the line reader, as numbers in the JSON or as bytes
after it (the binary tensor extension). Out: the answers of `Recognizer.predict` as tensors (`probs`, `score`, `label`,
`reason`), or those of the reader (`text`, `confidence`, `reason`).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from importlib.metadata import version
from itertools import chain
from math import prod
from time import monotonic
from typing import Any, Protocol

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response

from inkdigit.errors import NotFound, PictureTooLarge, UsageError
from inkdigit.model.recognizer import Recognizer
from inkdigit.reading.reader import Reader
from inkdigit.serve.http.answers import json_response, to_bytes
from inkdigit.serve.http.openapi import KSERVE, REFUSALS
from inkdigit.serve.http.uploads import parse_json, read_body
from inkdigit.serve.service import MAX_PIXELS, Service, check_time
from inkdigit.types import SIDE, Gray, Prediction, Reading

router = APIRouter(prefix="/v2", tags=KSERVE)

HEADER = "Inference-Header-Content-Length"  # bytes of the JSON, if other bytes follow it
INPUT, DATATYPE = "image", "UINT8"
OUTPUTS = {"probs": "FP32", "score": "FP32", "label": "BYTES", "reason": "BYTES"}
READER_OUTPUTS = {"text": "BYTES", "confidence": "FP32", "reason": "BYTES"}
AT_A_TIME = 512  # images between two checks of the time: some 20 ms
ANY = -1  # height or width
VERSION = "1"  # of every model: a service has one version of each
LOWEST = float(np.finfo(np.float32).min)  # the score of an image without ink; JSON has no infinity
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
                "properties": {"name": {"enum": [*OUTPUTS, *READER_OUTPUTS]}, "parameters": PARAMETERS},
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


class Served(Protocol):
    """A model as the protocol describes it."""

    name: str
    shape: tuple[int, int]  # height and width of an image
    outputs: dict[str, str]  # name → data type
    wide: dict[str, int]  # how many values an output has for each image, if more than one
    at_a_time: int  # images between two checks of the time

    def answer(self, images: Gray) -> Sequence[Any]:
        """The answers to images uint8 (n, h, w)."""

    def values(self, output: str, answers: Sequence[Any]) -> list[Any]:
        """The values of an output, flat, as JSON types."""


class Digits:
    """A model for single digits."""

    shape, outputs, at_a_time = (SIDE, SIDE), OUTPUTS, AT_A_TIME

    def __init__(self, recognizer: Recognizer) -> None:
        """Serve `recognizer`."""
        self.name, self.wide = recognizer.name, {"probs": len(recognizer.classes)}
        self._recognizer = recognizer

    def answer(self, images: Gray) -> list[Prediction]:
        """One prediction for each image."""
        return self._recognizer.predict(images)

    def values(self, output: str, answers: Sequence[Prediction]) -> list[Any]:
        """Probabilities, scores, labels or reasons."""
        if output == "probs":
            blank = [0.0] * self.wide["probs"]
            return list(chain.from_iterable(blank if p.probs is None else p.probs.tolist() for p in answers))
        if output == "score":
            return [LOWEST if p.score is None else p.score for p in answers]
        return [getattr(p, output) or "" for p in answers]


class Lines:
    """The line reader."""

    shape, outputs, at_a_time = (ANY, ANY), READER_OUTPUTS, 1
    wide: dict[str, int] = {}  # noqa: RUF012

    def __init__(self, reader: Reader) -> None:
        """Serve `reader`."""
        self.name, self._reader = reader.card.name, reader

    def answer(self, images: Gray) -> list[Reading]:
        """One reading for each picture."""
        return self._reader.read([*images])

    def values(self, output: str, answers: Sequence[Reading]) -> list[Any]:
        """Texts, confidences or reasons."""
        return [getattr(reading, output) or ("" if output != "confidence" else 0.0) for reading in answers]


@router.get("", summary="About the server")
async def server() -> Response:
    """The name and version of the server, and the extensions of the protocol that it supports."""
    return json_response({"name": "inkdigit", "version": version("inkdigit"), "extensions": ["binary_tensor_data"]})


@router.get("/models/{name}", summary="The inputs and outputs of a model", responses=REFUSED)
@router.get("/models/{name}/versions/{number}", include_in_schema=False)
async def model(request: Request, name: str, number: str = VERSION) -> Response:
    """The input and output tensors of a model."""
    served = _served(request, name, number)
    return json_response(
        {
            "name": served.name,
            "versions": [VERSION],
            "platform": "onnxruntime_onnx",
            "inputs": [{"name": INPUT, "datatype": DATATYPE, "shape": [ANY, *served.shape]}],
            "outputs": [
                {"name": output, "datatype": kind, "shape": _shape(served, output, ANY)}
                for output, kind in served.outputs.items()
            ],
        }
    )


@router.get("/models/{name}/ready", summary="Whether a model can read images", responses=REFUSED)
@router.get("/models/{name}/versions/{number}/ready", include_in_schema=False)
async def model_ready(request: Request, name: str, number: str = VERSION) -> Response:
    """200 if the model is loaded and has passed its self test, else 503."""
    served, is_ready = _served(request, name, number), request.app.state.service.ready
    return json_response({"name": served.name, "ready": is_ready}, 200 if is_ready else 503)


@router.post(
    "/models/{name}/infer",
    summary="Read images of 28×28 pixels, or numbers in pictures",
    responses=REFUSED,
    openapi_extra=BODY,
)
@router.post("/models/{name}/versions/{number}/infer", include_in_schema=False)
async def infer(request: Request, name: str, number: str = VERSION) -> Response:
    """Read uint8 images `[n, 28, 28]`, or pictures `[n, height, width]` with the line reader, in the JSON or after it.

    They are preprocessed like any image. `label` and `reason` are as in `/predict`, or empty. Without ink, `probs` are
    0 and `score` is the lowest float32. `text` and `confidence` are as in `/read`.
    """
    service: Service = request.app.state.service
    served = _served(request, name, number)
    if request.headers.get("content-encoding", "identity") != "identity":
        raise UsageError("The body is compressed", expected="no Content-Encoding")
    size, body = request.headers.get(HEADER), await read_body(request)
    until = monotonic() + service.settings.time_limit_s
    answers, response = await service.work(lambda: infer_body(served, body, size, until=until))
    request.state.pictures = len(answers)
    service.counts.pictures(served.name, answers)
    return response


def _served(request: Request, name: str, number: str) -> Served:
    if number != VERSION:
        raise NotFound("There is no such version of the model", expected=VERSION, received=repr(number[:80]))
    service: Service = request.app.state.service
    if name == service.reader.card.name and name not in service.recognizers:
        return Lines(service.reader)
    return Digits(service.recognizer(name))


def infer_body(served: Served, body: bytes, size: str | None, *, until: float) -> tuple[list[Any], Response]:
    """Parse a request, read its images while there is time, and build the response."""
    parsed, data = _split(body, size)
    outputs = _outputs(parsed, served)
    images = _images(parsed, data, served)
    answers: list[Any] = []
    for begin in range(0, len(images), served.at_a_time):
        check_time(until)
        answers += served.answer(images[begin : begin + served.at_a_time])
    own_id = {"id": parsed["id"]} if "id" in parsed else {}
    head = {"model_name": served.name, "model_version": VERSION, **own_id}
    return answers, _response(head, outputs, answers, served)


def _split(body: bytes, size: str | None) -> tuple[dict[str, Any], bytes]:
    """The JSON of a request, and the bytes after it."""
    end = len(body) if size is None else int(size) if size.isascii() and size.isdigit() and len(size) < 20 else -1
    if not 0 <= end <= len(body):
        raise UsageError(f"{HEADER} is not a position in the body", expected=f"0 to {len(body)}", received=size)
    parsed = parse_json(body[:end])
    if not isinstance(parsed, dict) or not isinstance(parsed.get("parameters", {}), dict):
        raise UsageError("The JSON is not an inference request", expected="an object with inputs")
    if not isinstance(parsed.get("id", ""), str):
        raise UsageError("The id of the request is not a text", received=type(parsed["id"]).__name__)
    return parsed, body[end:]


def _images(parsed: dict[str, Any], binary: bytes, served: Served) -> Gray:
    """The images of a request: uint8 (n, h, w), n at least 1."""
    sides = [letter if side == ANY else str(side) for side, letter in zip(served.shape, "hw", strict=True)]
    known = f"[n, {', '.join(sides)}]"
    inputs = parsed.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise UsageError(
            "The request does not have the inputs of the model",
            expected=f'one input {{"name": "{INPUT}", "datatype": "{DATATYPE}", "shape": {known}}}',
        )
    tensor = inputs[0]
    for key, value in (("name", INPUT), ("datatype", DATATYPE)):
        if tensor.get(key) != value:
            raise UsageError(f"The input has another {key}", expected=value, received=_short(tensor.get(key)))
    shape: Any = tensor.get("shape")
    is_shape = isinstance(shape, list) and len(shape) == 3 and all(type(side) is int and side >= 1 for side in shape)
    if not is_shape or any(side not in (ANY, sent) for side, sent in zip(served.shape, shape[1:], strict=True)):
        raise UsageError("The input has another shape", expected=f"{known}, n at least 1", received=_short(shape))
    if shape[1] * shape[2] > MAX_PIXELS:
        raise PictureTooLarge(
            "A picture has too many pixels", expected=f"{MAX_PIXELS:,} at most", received=_short(shape)
        )
    data = _data(tensor, binary)
    if len(data) != prod(shape):
        raise UsageError(
            "The size of the input does not match its shape",
            expected=f"{' × '.join(map(str, shape))} values",
            received=len(data),
        )
    return np.frombuffer(data, np.uint8).reshape(shape)


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
        raise UsageError(
            "The data are not UINT8", expected="whole numbers from 0 to 255, flat or nested as the shape"
        ) from exc


def _outputs(parsed: dict[str, Any], served: Served) -> Outputs:
    """The outputs that a request names; all by default."""
    as_bytes = parsed.get("parameters", {}).get("binary_data_output") is True
    requested = parsed.get("outputs") or [{"name": name} for name in served.outputs]
    outputs: Outputs = []
    for output in requested if isinstance(requested, list) else [None]:
        name = output.get("name") if isinstance(output, dict) else None
        parameters = output.get("parameters", {}) if isinstance(output, dict) else {}
        if not isinstance(name, str) or name not in served.outputs or any(name == known for known, _ in outputs):
            raise UsageError(
                "The outputs are not those of the model",
                expected=f"at most one of each: {', '.join(served.outputs)}",
                received=_short(name),
            )
        if not isinstance(parameters, dict) or parameters.keys() - {"binary_data"}:
            raise UsageError(f"The parameters of {name!r} are unknown", expected="binary_data or none")
        outputs.append((name, parameters.get("binary_data", as_bytes) is True))
    return outputs


def _response(head: dict[str, Any], outputs: Outputs, answers: Sequence[Any], served: Served) -> Response:
    """The outputs: JSON, and after it the bytes of those that are requested as bytes."""
    described, binary = [], []
    for name, as_bytes in outputs:
        values, kind = served.values(name, answers), served.outputs[name]
        output: dict[str, Any] = {"name": name, "datatype": kind, "shape": _shape(served, name, len(answers))}
        if as_bytes:
            data = _to_bytes(values) if kind == "BYTES" else np.array(values, "<f4").tobytes()
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


def _shape(served: Served, output: str, count: int) -> list[int]:
    """The shape of an output for so many images."""
    return [count, served.wide[output]] if output in served.wide else [count]


def _to_bytes(words: Sequence[str]) -> bytes:
    """Words in the form of the extension: four bytes with the length, then the word."""
    return b"".join(struct.pack("<I", len(data)) + data for data in (word.encode() for word in words))


def _short(value: Any) -> str:
    """A value of the request, short enough for a message."""
    if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(each, dict | list) for each in value)):
        return f"{type(value).__name__} of {len(value)}"  # it may be nested too deeply for JSON
    return json.dumps(value)[:80]
