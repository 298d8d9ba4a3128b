"""The application: loaded models, the guard, and a router from each file of `routes/`.

In: `Settings`. Out: an ASGI application that uvicorn runs.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import Depends, FastAPI

from inkdigit.data.readers.corrections import create
from inkdigit.serve import log
from inkdigit.serve.http.errors import HANDLED, answer_error
from inkdigit.serve.http.guard import Guard
from inkdigit.serve.http.query import check_query
from inkdigit.serve.routes import corrections, docs, explain, health, info, kserve, metrics, models, page, predict, read
from inkdigit.serve.service import Service
from inkdigit.serve.settings import Settings

ABOUT = "Reads handwritten digits. Send an image to `/predict`: the answers are those of `inkdigit predict --json`."
IMAGES = (predict, read, explain, corrections)  # the routes that read images, in the order of the documentation
OTHERS = (models, info, metrics, health, kserve, docs, page)


def create_app(settings: Settings) -> FastAPI:
    """The application with its models loaded.

    Raises:
        UsageError: there is no such model.
        ModelFileError: a model cannot answer.
        OutputError: the file of corrections cannot be written.
    """
    service = Service(settings)
    if settings.collect is not None:
        create(settings.collect)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
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
        lifespan=lifespan,
    )
    app.state.service = service
    app.state.models = models.describe(service)
    app.add_middleware(Guard, service=service)
    for kind in HANDLED:
        app.add_exception_handler(kind, answer_error)
    for route in IMAGES:
        app.include_router(route.router, tags=["Images"], dependencies=[Depends(check_query)])
    for route in OTHERS:
        app.include_router(route.router)
    return app
