"""`POST /explain`: the answer to one picture, what the network saw of it, and which ink decided.

In: a request with one picture. Out: JSON. The page asks here while somebody draws, so the picture passes the door once.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from inkdigit.errors import PictureError, UsageError
from inkdigit.model.explain import occlusion
from inkdigit.model.recognizer import Recognizer
from inkdigit.picture.decode import decode
from inkdigit.picture.prepare import prepare
from inkdigit.serve.http.answers import json_response
from inkdigit.serve.http.body import read_pictures
from inkdigit.serve.http.openapi import BODY, MODEL, REFUSALS, Entry
from inkdigit.serve.service import MAX_PIXELS, Service
from inkdigit.types import Gray, Prediction, entry

router = APIRouter()


class Explanation(BaseModel):
    """The answer to one picture, and where it comes from."""

    model: str
    prediction: Entry
    seen: list[list[int]] | None = Field(description="The picture after preparation, 28×28, ink 255 on 0.")
    saliency: list[list[float]] | None = Field(description="28×28: above 0 the ink spoke for the class, below against.")
    saliency_for: str | None = Field(description="Which class that is: the most probable one.")
    classes: list[str] = Field(description="In the order of `probs`.")


@router.post(
    "/explain",
    summary="Read one digit, and show what decided",
    responses={200: {"model": Explanation}, **REFUSALS},
    openapi_extra={**MODEL, **BODY},
)
async def explain(request: Request, saliency: bool = True) -> Response:
    """Read the digit in one picture, and show what the network saw and which ink decided.

    The body is that of `/predict`, with one picture. `seen` is the 28×28 picture after preparation, ink 255 on 0;
    `saliency` is how much the evidence for `saliency_for`, the most probable class, falls where ink is hidden. Both are
    null where there is no ink. `?saliency=false`, as the page asks while the pen moves, leaves the second out, which is
    half of the work; such a picture is not counted in `/metrics`.
    """
    service: Service = request.app.state.service
    recognizer = service.recognizer(request.query_params.get("model"))
    sent = await read_pictures(request, service)
    if len(sent) != 1:
        raise UsageError("Only one picture at a time is explained", expected="one picture", received=len(sent))
    file, picture = sent[0]
    answer, told = await service.work(lambda: _explained(recognizer, file, picture, saliency=saliency))
    if saliency:  # else the pen may still move: what is half drawn is no picture that was refused
        service.counts.pictures(recognizer.name, [answer])
    if isinstance(answer, PictureError):
        raise answer
    return json_response(told)


def _explained(
    recognizer: Recognizer, file: str | None, picture: bytes | PictureError, *, saliency: bool
) -> tuple[Prediction | PictureError, dict[str, Any]]:
    """The answer, or what is wrong with the picture; and what is told of an answer."""
    try:
        seen = _seen(recognizer, picture)
    except PictureError as exc:
        return exc, {}
    (answer,) = recognizer.predict([seen])  # the same as of the picture itself: what has passed the door is unchanged
    inked = bool(seen.any())  # a plain picture may be black all over, and is answered
    decided = _saliency(recognizer, seen, answer) if saliency and inked else None
    told = {
        "model": recognizer.name,
        "prediction": entry(file, answer, recognizer.name),
        "seen": seen.tolist() if inked else None,
        "saliency": decided,
        "saliency_for": None if decided is None else recognizer.classes[answer.best or 0],
        "classes": list(recognizer.classes),
    }
    return answer, told


def _seen(recognizer: Recognizer, picture: bytes | PictureError) -> Gray:
    if isinstance(picture, PictureError):
        raise picture
    return prepare(decode(picture, max_pixels=MAX_PIXELS), recognizer.prepare)


def _saliency(recognizer: Recognizer, seen: Gray, answer: Prediction) -> list[list[float]]:
    falls = occlusion(recognizer, seen, class_index=answer.best or 0)
    return [[round(fall, 3) for fall in row] for row in falls.tolist()]
