"""`POST /predict`: the digit in each image of a request.

In: a request with one or more images. Out: JSON, one entry per image as `predict --json` prints it.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from inkdigit.errors import PictureError
from inkdigit.serve.http.answers import json_response
from inkdigit.serve.http.openapi import BODY, MODEL, REFUSALS, Entry
from inkdigit.serve.http.uploads import read_pictures
from inkdigit.serve.service import Service
from inkdigit.types import entry

EXAMPLE: dict[str, Any] = {
    "model": "general",
    "predictions": [
        {
            "file": "seven.png",
            "label": "7",
            "confidence": 0.99998,
            "score": 13.503168,
            "reason": None,
            "probs": [0.0, 1e-06, 3e-06, 2e-06, 1e-06, 0.0, 0.0, 0.99998, 0.0, 1.3e-05],
            "model": "general",
            "ink": 2,
        },
        {
            "file": "notes.txt",
            "error": "the bytes: not an image that can be opened. Expected: PNG, JPEG, BMP, GIF, TIFF or WebP.",
            "kind": "NotAPicture",
        },
    ],
}

router = APIRouter()


class Answers(BaseModel):
    """The answers of one model, in the order of the images."""

    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE})

    model: str
    predictions: list[Entry]


@router.post(
    "/predict",
    summary="Read digits",
    responses={200: {"model": Answers}, **REFUSALS},
    openapi_extra={**MODEL, **BODY},
)
async def predict(request: Request) -> Response:
    """Read the digit in each image.

    The body is one image file, a form with one or more `file`, or JSON with images in base64. A bad image among several
    is an entry with `error` and `kind`; a single bad image is a response with the status of its error.
    """
    service: Service = request.app.state.service
    recognizer = service.recognizer(request.query_params.get("model"))
    sent = await read_pictures(request, service)
    answers = await service.answer(recognizer, [picture for _, picture in sent])
    if len(answers) == 1 and isinstance(answers[0], PictureError):
        raise answers[0]
    entries = [
        entry(file, answer, model=recognizer.name, ink=recognizer.ink)
        for (file, _), answer in zip(sent, answers, strict=True)
    ]
    return json_response({"model": recognizer.name, "predictions": entries})
