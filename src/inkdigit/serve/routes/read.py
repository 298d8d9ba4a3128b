"""`POST /read`: the numbers in each image of a request.

In: a request with one or more images. Out: JSON, one entry per image as `read --json` prints it.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from inkdigit.errors import PictureError
from inkdigit.serve.http.answers import json_response
from inkdigit.serve.http.openapi import BODY, REFUSALS
from inkdigit.serve.http.uploads import read_pictures
from inkdigit.serve.service import Service

EXAMPLE: dict[str, Any] = {
    "model": "line",
    "readings": [
        {
            "file": "amount.png",
            "text": "1.250",
            "confidence": 0.991234,
            "reason": None,
            "numbers": [
                {
                    "text": "1.250",
                    "confidence": 0.991234,
                    "box": [12, 8, 60, 190],
                    "reason": None,
                    "digits": [{"label": "1", "confidence": 0.99871, "box": [12, 14, 60, 24]}],
                }
            ],
            "model": "line",
        }
    ],
}
PARAMETERS: dict[str, Any] = {
    "parameters": [
        {
            "name": "expect",
            "in": "query",
            "required": False,
            "description": "A regular expression that each number fits.",
            "schema": {"type": "string"},
        },
        {
            "name": "alphabet",
            "in": "query",
            "required": False,
            "description": "The only characters that a number may have.",
            "schema": {"type": "string"},
        },
    ]
}

router = APIRouter()


class Readings(BaseModel):
    """What is written in each image, in their order."""

    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE})

    model: str
    readings: list[dict[str, Any]]


@router.post(
    "/read",
    summary="Read numbers",
    responses={200: {"model": Readings}, **REFUSALS},
    openapi_extra={**PARAMETERS, **BODY},
)
async def read(request: Request) -> Response:
    """Read the numbers in each image, from top to bottom and left to right.

    The body is that of `/predict`. A bad image among several is an entry with `error` and `kind`.
    """
    service: Service = request.app.state.service
    query = request.query_params
    pattern = await service.work(lambda: service.reader.pattern(query.get("expect"), query.get("alphabet")))
    sent = await read_pictures(request, service)
    answers = await service.read([picture for _, picture in sent], pattern)
    if len(answers) == 1 and isinstance(answers[0], PictureError):
        raise answers[0]
    name = service.reader.card.name
    entries = [
        {"file": file, **answer.to_json(), **({} if isinstance(answer, PictureError) else {"model": name})}
        for (file, _), answer in zip(sent, answers, strict=True)
    ]
    return json_response({"model": name, "readings": entries})
