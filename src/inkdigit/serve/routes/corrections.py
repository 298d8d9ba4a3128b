"""`POST /corrections`: "that was a 7", kept where the service collects and the person agrees.

In: a picture, what was answered, what is right. Out: the number under which it is kept. Nothing is kept otherwise.
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
from inkdigit.serve.http.body import from_base64, parse_json, read_body
from inkdigit.serve.http.openapi import REFUSALS, SEVEN, Refusal
from inkdigit.serve.service import MAX_PIXELS, Service

FIELDS = ("picture", "model", "label", "right", "agreed")
SCHEMA = {
    "type": "object",
    "required": FIELDS,
    "additionalProperties": False,
    "properties": {
        "picture": {"type": "string", "contentEncoding": "base64", "description": "The file that was answered."},
        "model": {"type": "string", "description": "Which model answered."},
        "label": {"type": ["string", "null"], "description": "What it answered; null where it did not."},
        "right": {"type": "string", "description": f'The class that is right, or "{NONE}" for no digit.'},
        "agreed": {"const": True, "description": "The person agrees that all this is kept."},
    },
}
EXAMPLE = {"picture": SEVEN, "model": DEFAULT, "label": "1", "right": "7", "agreed": True}
BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": SCHEMA, "example": EXAMPLE}}}}
REFUSED: dict[int | str, dict[str, Any]] = {
    **REFUSALS,
    403: {"model": Refusal, "description": "The service keeps no corrections."},
    415: {"model": Refusal, "description": "The body is not sent as JSON, or the picture is of no known format."},
    507: {"model": Refusal, "description": "There is no room for it."},
}

router = APIRouter()


class Kept(BaseModel):
    """A correction is kept."""

    id: int = Field(description="The number by which whoever runs the service can delete it.")


@router.post(
    "/corrections",
    status_code=201,
    summary="Say what is right",
    responses={201: {"model": Kept}, **REFUSED},
    openapi_extra=BODY,
)
async def correct(request: Request) -> Response:
    """Keep a picture with its right label, to learn from it.

    Only a service that was started with `--collect` keeps any (`collects` in `/info`), and only if the person agrees.
    """
    service: Service = request.app.state.service
    path = service.settings.collect
    if path is None:
        raise NotCollecting("This service keeps no corrections")
    kind, _ = parse_options_header(request.headers.get("content-type"))
    if kind != b"application/json":  # which no browser sends to another site, unless that allows it
        raise NotJson("A correction is sent as JSON", expected="Content-Type: application/json")
    body = await read_body(request)
    request.state.pictures = 1
    return json_response({"id": await service.work(lambda: _keep(body, service, path))}, 201)


def _keep(body: bytes, service: Service, path: Path) -> int:
    """Check a correction, its picture last, and keep it."""
    sent = parse_json(body)
    if not isinstance(sent, dict) or set(sent) != set(FIELDS):
        raise UsageError("This is no correction", expected=f"JSON with {', '.join(FIELDS)}")
    if sent["agreed"] is not True:
        raise UsageError("Nothing is kept unless the person agrees", expected="agreed: true")
    if not isinstance(sent["model"], str):
        raise UsageError("A correction names the model that answered", expected="a string")
    recognizer = service.recognizer(sent["model"])
    answered, right, classes = sent["label"], sent["right"], ", ".join(recognizer.classes)
    if answered is not None and answered not in recognizer.classes:
        raise UsageError("The model cannot have answered this label", expected=f"null, or one of {classes}")
    if right not in (*recognizer.classes, NONE):
        raise UsageError("The model has no such class", expected=f"right: one of {classes}, or {NONE}")
    picture = _gray(sent["picture"])
    try:
        return add(path, picture=picture, model=recognizer.name, answered=answered, right=right)
    except (OutputError, DataError) as exc:  # it names the file: that is for the log alone
        log.write("correction", level="error", message=str(exc))
        raise OutputError("The correction could not be kept") from exc


def _gray(encoded: Any) -> bytes:
    """The picture as a gray PNG, as the door gets it: where and when a photo was taken is nobody's business."""
    picture = from_base64(encoded)
    gray = decode(picture, max_pixels=MAX_PIXELS)
    file = BytesIO()
    Image.fromarray(gray).save(file, "PNG")
    return file.getvalue()
