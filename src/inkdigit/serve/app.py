"""The application: its routes, and how an error becomes an answer.

In: `Settings`. Out: an ASGI application that uvicorn runs.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.responses import Response

import inkdigit.serve.http.files as files
import inkdigit.serve.routes.corrections as corrections
import inkdigit.serve.routes.explain as explain
import inkdigit.serve.routes.health as health
import inkdigit.serve.routes.kserve as kserve
from inkdigit.data.readers.corrections import create
from inkdigit.errors import InkdigitError, MethodNotAllowed, NotFound, PictureError, UsageError
from inkdigit.model.recognizer import Recognizer
from inkdigit.serve import log
from inkdigit.serve.http.answers import entry, error_response, json_response
from inkdigit.serve.http.body import read_pictures
from inkdigit.serve.http.documented import BODY, MODEL, REFUSALS, SERVICE, Answers, Info, Models
from inkdigit.serve.http.guard import Guard
from inkdigit.serve.service import MAX_PIXELS, MAX_PIXELS_TOGETHER, Service
from inkdigit.serve.settings import Settings

ABOUT = "Reads handwritten digits. Send a picture to `/predict`; the same answers as `inkdigit predict --json`."

router = APIRouter()


def create_app(settings: Settings) -> FastAPI:
    """The application with its models loaded.

    Raises:
        UsageError: no such model.
        ModelFileError: a model that cannot answer.
        OutputError: corrections cannot be kept where they should be.
    """
    service = Service(settings)
    if settings.collect is not None:
        create(settings.collect)

    @asynccontextmanager
    async def living(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        log.write("started", pid=os.getpid(), models=list(service.recognizers))
        yield {"service": service}
        service.close()
        log.write("stopped", pid=os.getpid())

    app = FastAPI(
        title="Inkdigit",
        version=version("inkdigit"),
        description=ABOUT,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=living,
    )
    app.state.service = service
    app.state.models = {"default": service.default, "models": list(map(_card, service.recognizers.values()))}
    app.add_middleware(Guard, service=service)
    for kind in (InkdigitError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _refuse)
    for room in (explain.router, corrections.router):
        app.include_router(room, tags=["Pictures"])
    for room in (router, health.router, kserve.router, files.router):
        app.include_router(room)
    return app


async def _refuse(request: Request, exc: Exception) -> Response:
    """Any error as `{"error", "kind"}` with its status."""
    headers = {}
    if isinstance(exc, HTTPException) and exc.status_code == 405:
        headers = {"Allow": ", ".join(sorted((exc.headers or {}).get("Allow", "").split(", ")))}
        exc = MethodNotAllowed("This takes no such request", expected=headers["Allow"])
    elif isinstance(exc, HTTPException):
        exc = NotFound("There is no such page")
    elif isinstance(exc, RequestValidationError):
        exc = _wrong_field(exc.errors()[0])
    elif not isinstance(exc, InkdigitError):
        raise exc
    request.app.state.service.counts.refused(exc)
    response = error_response(exc)
    response.headers.update(headers)
    return response


def _wrong_field(fault: dict[str, Any]) -> UsageError:
    """What is wrong with a field of a request, as far as FastAPI tells."""
    place, *names = map(str, fault["loc"])
    return UsageError(
        f"{'.'.join(names)!r} in the {place} of the request is not what it should be",
        expected=fault["msg"].removeprefix("Input should be ").partition(", ")[0],
        received=repr(fault["input"])[:80],
    )


@router.post(
    "/predict",
    tags=["Pictures"],
    summary="Read digits",
    responses={200: {"model": Answers}, **REFUSALS},
    openapi_extra={**MODEL, **BODY},
)
async def predict(request: Request) -> Response:
    """Read the digit in each picture.

    The body is one picture as it is, a form with one or more `file`, or JSON with pictures in base64. One bad picture
    among several is an entry with `error` and `kind`; a single one is answered with its status.
    """
    service: Service = request.app.state.service
    recognizer = service.recognizer(request.query_params.get("model"))
    sent = await read_pictures(request, service)
    answers = await service.answer(recognizer, [picture for _, picture in sent])
    if len(answers) == 1 and isinstance(answers[0], PictureError):
        raise answers[0]
    entries = [entry(file, answer, recognizer) for (file, _), answer in zip(sent, answers, strict=True)]
    return json_response({"model": recognizer.name, "predictions": entries})


@router.get("/models", tags=SERVICE, summary="The loaded models", response_model=Models)
async def models(request: Request) -> Response:
    """The loaded models, as their cards tell; each can be named in `?model=`."""
    return json_response(request.app.state.models)


def _card(recognizer: Recognizer) -> dict[str, Any]:
    card = recognizer.card
    return {
        "name": card.name,
        "classes": card.classes,
        "parameters": card.parameters,
        "bytes": recognizer.path.stat().st_size,
        "numbers": card.numbers,
        "figures": card.figures,
        "outliers": card.outliers,
        "trained_on": (card.provenance.get("data") or {}).get("name"),
    }


@router.get("/info", tags=SERVICE, summary="What a client needs to know", response_model=Info)
async def info(request: Request) -> Response:
    """Version, default model, limits, whether corrections are kept and whether a token is asked for."""
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


@router.get("/openapi.json", include_in_schema=False)
async def description(request: Request) -> Response:
    """What this page of documentation is made from."""
    told = request.app.openapi()
    if request.app.state.service.settings.token is not None:
        told["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        told["security"] = [{"token": []}]
    return json_response(told)


@router.get("/metrics", tags=SERVICE, summary="Counts for Prometheus", response_class=Response)
async def metrics(request: Request) -> Response:
    """Requests, latency, refusals and classes, summed over the worker processes."""
    service: Service = request.app.state.service
    return Response(service.counts.text(), media_type=CONTENT_TYPE_LATEST)
