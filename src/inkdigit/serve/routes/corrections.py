"""`POST /corrections`: "that was a 7", stored if the service collects corrections and the user agrees.

In: an image, the answer, the right label. Out: the number of the stored correction. Nothing is stored otherwise.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from PIL import Image
from pydantic import BaseModel, Field
from python_multipart.multipart import parse_options_header
from starlette.responses import Response

from inkdigit.data.readers.corrections import NONE, add
from inkdigit.errors import DataError, NotCollecting, NotJson, OutputError, UsageError
from inkdigit.model.recognizer import DEFAULT
from inkdigit.picture.decode import decode
from inkdigit.serve import log
from inkdigit.serve.http.answers import json_response
from inkdigit.serve.http.openapi import REFUSALS, SEVEN, Refusal
from inkdigit.serve.http.uploads import from_base64, parse_json, read_body
from inkdigit.serve.service import MAX_PIXELS, Service

FIELDS = ("picture", "model", "label", "right", "agreed")
SCHEMA = {
    "type": "object",
    "required": FIELDS,
    "additionalProperties": False,
    "properties": {
        "picture": {"type": "string", "contentEncoding": "base64", "description": "The image file that was read."},
        "model": {"type": "string", "description": "The model that answered."},
        "label": {"type": ["string", "null"], "description": "Its answer; null if it rejected the image."},
        "right": {"type": "string", "description": f'The right class, or "{NONE}" for no digit.'},
        "agreed": {"const": True, "description": "The user agrees that all this is stored."},
    },
}
EXAMPLE = {"picture": SEVEN, "model": DEFAULT, "label": "1", "right": "7", "agreed": True}
BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": SCHEMA, "example": EXAMPLE}}}}
REFUSED: dict[int | str, dict[str, Any]] = {
    **REFUSALS,
    403: {"model": Refusal, "description": "The service stores no corrections."},
    415: {"model": Refusal, "description": "The body is not sent as JSON, or the image has an unknown format."},
    507: {"model": Refusal, "description": "The disk is full."},
}

router = APIRouter()


class Kept(BaseModel):
    """A correction was stored."""

    id: int = Field(description="The number with which the operator of the service can delete it.")


@router.post(
    "/corrections",
    status_code=201,
    summary="Correct an answer",
    responses={201: {"model": Kept}, **REFUSED},
    openapi_extra=BODY,
)
async def correct(request: Request) -> Response:
    """Store an image with its right label, to learn from it.

    Only a service with `--collect` stores corrections (`collects` in `/info`), and only if the user agrees.
    """
    service: Service = request.app.state.service
    path = service.settings.collect
    if path is None:
        raise NotCollecting("This service stores no corrections")
    kind, _ = parse_options_header(request.headers.get("content-type"))
    if kind != b"application/json":  # a browser sends it to another site only if that allows it
        raise NotJson("A correction must be sent as JSON", expected="Content-Type: application/json")
    body = await read_body(request)
    request.state.pictures = 1
    return json_response({"id": await service.work(lambda: _store(body, service, path))}, 201)


def _store(body: bytes, service: Service, path: Path) -> int:
    """Check a correction, its image last, and store it."""
    sent = parse_json(body)
    if not isinstance(sent, dict) or set(sent) != set(FIELDS):
        raise UsageError("This is not a correction", expected=f"JSON with {', '.join(FIELDS)}")
    if sent["agreed"] is not True:
        raise UsageError("Nothing is stored unless the user agrees", expected="agreed: true")
    if not isinstance(sent["model"], str):
        raise UsageError("A correction must name the model that answered", expected="a string")
    recognizer = service.recognizer(sent["model"])
    answered, right, classes = sent["label"], sent["right"], ", ".join(recognizer.classes)
    if answered is not None and answered not in recognizer.classes:
        raise UsageError("The model cannot have given this answer", expected=f"null, or one of {classes}")
    if right not in (*recognizer.classes, NONE):
        raise UsageError("The model has no such class", expected=f"right: one of {classes}, or {NONE}")
    picture = _gray(sent["picture"])
    try:
        return add(path, picture=picture, model=recognizer.name, answered=answered, right=right)
    except (OutputError, DataError) as exc:  # its message names the file, which only the log may show
        log.write("correction", level="error", message=str(exc))
        raise OutputError("The correction could not be stored") from exc


def _gray(encoded: Any) -> bytes:
    """The image before preprocessing, as a gray PNG: without the place, time and camera of a photo."""
    picture = from_base64(encoded)
    gray = decode(picture, max_pixels=MAX_PIXELS)
    file = BytesIO()
    Image.fromarray(gray).save(file, "PNG")
    return file.getvalue()
