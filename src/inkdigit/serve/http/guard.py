"""The guard around the application: access, limits, headers, and the log of every request.

In: a request, before the application gets it. Out: the response of the application or of an error of the tree, with
the headers of every response; a count, and a line in the log. It is plain ASGI, because every request passes it.
"""

from __future__ import annotations

import asyncio
import hmac
import re
import secrets
import traceback
from time import perf_counter

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inkdigit.errors import InkdigitError, Unauthorized, UsageError
from inkdigit.serve import log
from inkdigit.serve.http import headers
from inkdigit.serve.http.answers import json_response
from inkdigit.serve.http.body import Body, too_large
from inkdigit.serve.http.errors import error_response
from inkdigit.serve.service import Service

OPEN = frozenset({"/", "/info", "/docs", "/openapi.json"})  # without a token: no image is read there
OPEN_BELOW = ("/web/", "/docs/", "/health/", "/v2/health/")
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
PORT = re.compile(rb":\d*$")
CLIENT_GONE = 499  # the status that nginx logs then
INTERNAL_ERROR = {
    "error": "The service has failed. Its log has the reason, under the X-Request-ID of this response.",
    "kind": "InternalError",
}


class Guard:
    """Wraps an application."""

    def __init__(self, app: ASGIApp, *, service: Service) -> None:
        """Guard `app` with the settings of the service."""
        self._app = app
        self._service = service
        settings = service.settings
        self._token = None if settings.token is None else settings.token.encode()
        self._origins = frozenset(origin.encode() for origin in settings.origins)
        self._names = frozenset(name.encode() for name in settings.names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request to the application, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        sent = dict(scope["headers"])
        sent_id = sent.get(b"x-request-id", b"")
        request_id = sent_id if REQUEST_ID.fullmatch(sent_id) else secrets.token_hex(8).encode()
        common = headers.common(sent.get(b"origin"), self._origins)
        body = Body(receive, self._service)
        scope.setdefault("state", {})["task"] = asyncio.current_task()  # cancelled when the client disconnects
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *common, (b"x-request-id", request_id)]
            await send(message)

        try:
            try:
                if preflight := self._preflight(scope, sent):
                    await preflight(scope, body, answer)
                else:
                    self._check(scope, sent)
                    await self._app(scope, body, answer)
            except InkdigitError as exc:
                self._service.counts.refused(exc)
                await error_response(exc)(scope, body, answer)
            except asyncio.CancelledError:
                status = CLIENT_GONE
            except Exception:  # noqa: BLE001 - a bug: the log has the traceback, the client its request id
                log.write("error", level="error", request_id=request_id.decode(), traceback=traceback.format_exc())
                if not status:
                    await json_response(INTERNAL_ERROR, 500)(scope, body, answer)
        finally:
            body.release()
            self._record(scope, request_id, status, perf_counter() - began, body.size)

    def _check(self, scope: Scope, sent: dict[bytes, bytes]) -> None:
        """Fail before the body is read, where the headers are enough to decide.

        Raises:
            UsageError: `Host` is another name. A page of another site could let its own name point to this machine, and
                then read the responses as its own (DNS rebinding).
            Unauthorized: the service requires a token, and the request has none or another one.
            RequestTooLarge: the length of the body is above the limit.
            Busy: the queue is too long for another request with a body.
        """
        if self._names and PORT.sub(b"", sent.get(b"host", b"localhost").lower()) not in self._names:
            raise UsageError(
                "This service only answers under the names of this machine",
                expected=f"Host: {', '.join(sorted(self._service.settings.names))}",
                hint="Start it with --host to make it available to other machines.",
            )
        path = scope["path"]
        if self._token is not None and path not in OPEN and not path.startswith(OPEN_BELOW):
            scheme, _, token = sent.get(b"authorization", b"").partition(b" ")
            if scheme.lower() != b"bearer" or not hmac.compare_digest(token.strip(), self._token):
                raise Unauthorized("This service requires an access token", expected="Authorization: Bearer <token>")
        if scope["method"] == "POST":
            length = sent.get(b"content-length", b"0")
            if len(length) > 18 or int(length) > self._service.settings.max_bytes:
                raise too_large(self._service.settings.max_bytes)
            self._service.check_room()

    def _preflight(self, scope: Scope, sent: dict[bytes, bytes]) -> Response | None:
        """The response to the preflight request of a browser for a page of an allowed origin (CORS)."""
        if scope["method"] != "OPTIONS" or b"access-control-request-method" not in sent:
            return None
        if sent.get(b"origin") not in self._origins:
            return None
        return Response(status_code=204, headers={k.decode(): v.decode() for k, v in headers.PREFLIGHT})

    def _record(self, scope: Scope, request_id: bytes, status: int, seconds: float, size: int) -> None:
        """Count the request, and write its line in the log."""
        route = getattr(scope.get("route"), "path", "unmatched")
        self._service.counts.request(route, status, seconds)
        log.write(
            "request",
            request_id=request_id.decode(),
            method=scope["method"],
            route=route,
            status=status,
            ms=round(1000 * seconds, 2),
            bytes=size,
            pictures=scope.get("state", {}).get("pictures", 0),
        )
