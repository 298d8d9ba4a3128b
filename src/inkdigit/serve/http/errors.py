"""Responses of errors: `{"error", "kind"}` with a status.

In: an error of the tree, or of a library that reads the request. Out: a response.
"""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from inkdigit.errors import Busy, InkdigitError, MethodNotAllowed, NotFound, Unauthorized, UsageError
from inkdigit.serve.http.answers import json_response

HANDLED: tuple[type[Exception], ...] = (InkdigitError, HTTPException, RequestValidationError)  # by `answer_error`


async def answer_error(request: Request, exc: Exception) -> Response:
    """Answer a request whose route raised one of `HANDLED`, and count it."""
    headers = {}
    if isinstance(exc, HTTPException) and exc.status_code == 405:
        headers = {"Allow": ", ".join(sorted((exc.headers or {}).get("Allow", "").split(", ")))}
        exc = MethodNotAllowed("This route does not take this method", expected=headers["Allow"])
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


def error_response(exc: InkdigitError) -> Response:
    """An error of the tree with its status."""
    headers = {}
    if isinstance(exc, Busy):
        headers["Retry-After"] = str(exc.retry_after_s)
    if isinstance(exc, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    return json_response(exc.to_json(), exc.http_status, headers)


def _wrong_field(fault: dict[str, Any]) -> UsageError:
    """What is wrong with a field of a request, as FastAPI reports it."""
    place, *names = map(str, fault["loc"])
    return UsageError(
        f"{'.'.join(names)!r} in the {place} of the request is not valid",
        expected=fault["msg"].removeprefix("Input should be ").partition(", ")[0],
        received=repr(fault["input"])[:80],
    )
