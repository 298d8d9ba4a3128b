"""`POST /read`: the numbers in each image of a request, the cells of a grid, or the fields of a form.

In: a request with one or more images. Out: JSON, one entry per image as `read --json` prints it.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from inkdigit.errors import PictureError
from inkdigit.serve.asked import Asked
from inkdigit.serve.http.answers import json_response
from inkdigit.serve.http.openapi import BODY, REFUSALS
from inkdigit.serve.http.uploads import read_contents
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
        {"name": name, "in": "query", "required": False, "description": about, "schema": {"type": "string"}}
        for name, about in {
            "expect": "A regular expression that each number fits.",
            "alphabet": "The only characters that a number may have; with `grid`, the only digits.",
            "grid": "Read the cells of a grid of so many rows and columns, as `9x9`.",
        }.items()
    ]
}
FIELDS: dict[str, Any] = {
    "type": "string",
    "description": "The fields of a form, in TOML, as `read --fields` takes them.",
}


def _with_fields() -> dict[str, Any]:
    """The body of `/predict`, and beside the images the fields of a form."""
    body = deepcopy(BODY)
    for kind in ("multipart/form-data", "application/json"):
        body["requestBody"]["content"][kind]["schema"]["properties"]["fields"] = FIELDS
    return body


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
    openapi_extra={**PARAMETERS, **_with_fields()},
)
async def read(
    request: Request,
    as_written: Annotated[bool, Query(description="With a grid: leave the rules of a sudoku out.")] = False,
) -> Response:
    """Read the numbers in each image, from top to bottom and left to right.

    The body is that of `/predict`. A bad image among several is an entry with `error` and `kind`. With `?grid=9x9` an
    entry is what `read --grid --json` prints: `rows`, `confidences`, `sudoku` and `changed`. With the text `fields`
    beside the images, in multipart/form-data or in JSON, it is what `read --fields --json` prints: `fields`, with the
    reading of each.
    """
    service: Service = request.app.state.service
    contents = await read_contents(request, service, "fields")
    parameters = {name: request.query_params.get(name) for name in ("expect", "alphabet", "grid")}
    asked = await service.work(
        lambda: Asked.of(service.reader, service.cell_model, **parameters, as_written=as_written, **contents.texts)
    )
    answers = await service.read([picture for _, picture in contents.pictures], asked)
    if len(answers) == 1 and isinstance(answers[0], PictureError):
        raise answers[0]
    entries = [
        {"file": file, **(answer.to_json() if isinstance(answer, PictureError) else {**answer, "model": asked.model})}
        for (file, _), answer in zip(contents.pictures, answers, strict=True)
    ]
    return json_response({"model": asked.model, "readings": entries})
