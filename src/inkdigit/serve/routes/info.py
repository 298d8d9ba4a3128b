"""`GET /info`: version, default model and limits, for a client before it sends images.

In: a request without a body. Out: JSON.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from inkdigit.serve.http.answers import json_response
from inkdigit.serve.http.openapi import SERVICE
from inkdigit.serve.service import MAX_PIXELS, MAX_PIXELS_TOGETHER, Service

router = APIRouter()


class Limits(BaseModel):
    """The limits of a request."""

    max_bytes: int
    max_files: int
    max_pixels: int = Field(description="Of one image.")
    max_pixels_together: int = Field(description="Of all images of a request.")
    time_limit_s: float


class Info(BaseModel):
    """What a client needs to know."""

    version: str
    model: str = Field(description="The model that answers by default.")
    limits: Limits
    collects: bool = Field(description="Whether corrections are stored.")
    needs_token: bool = Field(description="Whether answers need `Authorization: Bearer …`.")


@router.get("/info", tags=SERVICE, summary="What a client needs to know", response_model=Info)
async def info(request: Request) -> Response:
    """Version, default model, limits, whether corrections are stored, and whether a token is required."""
    service: Service = request.app.state.service
    settings = service.settings
    limits = {
        "max_bytes": settings.max_bytes,
        "max_files": settings.max_files,
        "max_pixels": MAX_PIXELS,
        "max_pixels_together": MAX_PIXELS_TOGETHER,
        "time_limit_s": settings.time_limit_s,
    }
    return json_response(
        {
            "version": request.app.version,
            "model": service.default,
            "limits": limits,
            "collects": settings.collect is not None,
            "needs_token": settings.token is not None,
        }
    )
