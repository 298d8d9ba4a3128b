"""`POST /explain`: the answer to one image, the input of the network, and which ink decided.

In: a request with one image. Out: JSON. The web page calls this while a user draws, so the image is prepared once.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from inkdigit.errors import PictureError, UsageError
from inkdigit.model import explain as occlusion
from inkdigit.model.recognizer import Recognizer
from inkdigit.picture.decode import decode
from inkdigit.serve.http.answers import json_response
from inkdigit.serve.http.openapi import BODY, MODEL, REFUSALS, Entry
from inkdigit.serve.http.uploads import read_pictures
from inkdigit.serve.service import MAX_PIXELS, Service
from inkdigit.types import entry

router = APIRouter()


class Explanation(BaseModel):
    """The answer to one image, and its reasons."""

    model: str
    prediction: Entry
    seen: list[list[int]] | None = Field(description="The image after preprocessing, 28×28, ink 255 on 0.")
    saliency: list[list[float]] | None = Field(description="28×28: ink speaks for the class above 0, against it below.")
    saliency_for: str | None = Field(description="That class: the most probable one.")
    classes: list[str] = Field(description="The names of the classes, in the order of `probs`.")


@router.post(
    "/explain",
    summary="Read one digit, and explain the answer",
    responses={200: {"model": Explanation}, **REFUSALS},
    openapi_extra={**MODEL, **BODY},
)
async def explain(
    request: Request,
    saliency: Annotated[bool, Query(description="`false` omits it, which is half of the work.")] = True,
) -> Response:
    """Read the digit in one image, and return the input of the network and which ink decided.

    The body is that of `/predict`, with one image. `seen` is the 28×28 image after preprocessing, ink 255 on 0.
    `saliency` is how much the evidence for `saliency_for`, the most probable class, falls where ink is hidden. Both are
    null if there is no ink. With `?saliency=false`, as the web page asks while the pen moves, the image is not counted
    in `/metrics`.
    """
    service: Service = request.app.state.service
    recognizer = service.recognizer(request.query_params.get("model"))
    sent = await read_pictures(request, service)
    if len(sent) != 1:
        raise UsageError("There is more than one image in the request", expected="one image", received=len(sent))
    file, picture = sent[0]
    explanation = await service.work(lambda: _explain(recognizer, picture, saliency=saliency))
    answer = explanation if isinstance(explanation, PictureError) else explanation.prediction
    if saliency:  # else the pen may still move: what is half drawn is not an image that was rejected
        service.counts.pictures(recognizer.name, [answer])
    if isinstance(explanation, PictureError):
        raise explanation
    return json_response(_to_json(file, explanation, recognizer))


def _explain(
    recognizer: Recognizer, picture: bytes | PictureError, *, saliency: bool
) -> occlusion.Explanation | PictureError:
    """The explanation, or what is wrong with the image."""
    if isinstance(picture, PictureError):
        return picture
    try:
        gray = decode(picture, max_pixels=MAX_PIXELS)
    except PictureError as exc:
        return exc
    return occlusion.explain(recognizer, gray, occluded=saliency)


def _to_json(file: str | None, explanation: occlusion.Explanation, recognizer: Recognizer) -> dict[str, Any]:
    falls = explanation.occlusion
    return {
        "model": recognizer.name,
        "prediction": entry(file, explanation.prediction, model=recognizer.name, ink=recognizer.ink),
        "seen": explanation.image.tolist() if explanation.image.any() else None,
        "saliency": None if falls is None else [[round(fall, 3) for fall in row] for row in falls.tolist()],
        "saliency_for": None if falls is None else explanation.class_name,
        "classes": list(recognizer.classes),
    }
