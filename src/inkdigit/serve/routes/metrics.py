"""`GET /metrics`: the counts of the service, for Prometheus.

In: a request without a body. Out: text.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from inkdigit.serve.http.openapi import SERVICE
from inkdigit.serve.service import Service

router = APIRouter()


@router.get("/metrics", tags=SERVICE, summary="Counts for Prometheus", response_class=Response)
async def metrics(request: Request) -> Response:
    """Requests, latency, errors and answers, summed over the worker processes."""
    service: Service = request.app.state.service
    return Response(service.counts.text(), media_type=CONTENT_TYPE_LATEST)
