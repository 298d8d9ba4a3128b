"""Health: whether the process answers, and whether it can read images. KServe has the same routes under `/v2`.

In: a request without a body. Out: JSON and its status.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from inkdigit.serve.http.answers import json_response
from inkdigit.serve.http.openapi import KSERVE, SERVICE

LIVE, READY = "Whether the process answers", "Whether it can read images"

router = APIRouter()


@router.head("/health/live", include_in_schema=False)
@router.get("/health/live", tags=SERVICE, summary=LIVE)
@router.head("/v2/health/live", include_in_schema=False)
@router.get("/v2/health/live", tags=KSERVE, summary=LIVE)
async def live() -> Response:
    """200 while the process answers."""
    return json_response({"live": True})


@router.head("/health/ready", include_in_schema=False)
@router.get("/health/ready", tags=SERVICE, summary=READY)
@router.head("/v2/health/ready", include_in_schema=False)
@router.get("/v2/health/ready", tags=KSERVE, summary=READY)
async def ready(request: Request) -> Response:
    """200 if every model has passed its self test, else 503."""
    is_ready = request.app.state.service.ready
    return json_response({"ready": is_ready}, 200 if is_ready else 503)
