"""The gate that every request passes: who may ask, how much may arrive, and what is told of it afterwards.

In: a request, before the application sees it. Out: the application's answer, or an error of the tree; the headers that
every response carries, a count, and a line in the log. Plain ASGI, since it is on the way of every request.
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

from inkdigit.errors import InkdigitError, RequestTooLarge, TooSlow, Unauthorized, UsageError
from inkdigit.serve import log
from inkdigit.serve.http import headers
from inkdigit.serve.http.answers import json_response
from inkdigit.serve.http.errors import error_response
from inkdigit.serve.service import Service

OPEN = frozenset({"/", "/info", "/docs", "/openapi.json"})  # without a token: nothing is answered there
OPEN_BELOW = ("/web/", "/docs/", "/health/", "/v2/health/")
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
PORT = re.compile(rb":\d*$")
CLIENT_GONE = 499  # as nginx logs it
OURS = {
    "error": "Something went wrong on our side. The log of the service says what, under the request's X-Request-ID.",
    "kind": "InternalError",
}


class Guard:
    """Wraps an application."""

    def __init__(self, app: ASGIApp, *, service: Service) -> None:
        """Guard `app` as the settings of the service say."""
        self._app = app
        self._service = service
        settings = service.settings
        self._token = None if settings.token is None else settings.token.encode()
        self._origins = frozenset(origin.encode() for origin in settings.origins)
        self._names = frozenset(name.encode() for name in settings.names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        asked = dict(scope["headers"])
        given = asked.get(b"x-request-id", b"")
        request_id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(8).encode()
        common = headers.common(asked.get(b"origin"), self._origins)
        body = Body(receive, self._service)
        scope.setdefault("state", {})["task"] = asyncio.current_task()  # cancelled when the client hangs up
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *common, (b"x-request-id", request_id)]
            await send(message)

        try:
            try:
                if preflight := self._preflight(scope, asked):
                    await preflight(scope, body, answer)
                else:
                    self._check(scope, asked)
                    await self._app(scope, body, answer)
            except InkdigitError as exc:
                self._service.counts.refused(exc)
                await error_response(exc)(scope, body, answer)
            except asyncio.CancelledError:
                status = CLIENT_GONE
            except Exception:  # noqa: BLE001 - a bug of ours: the log has it, the client a number to ask with
                log.write("error", level="error", request_id=request_id.decode(), traceback=traceback.format_exc())
                if not status:
                    await json_response(OURS, 500)(scope, body, answer)
        finally:
            body.drop()
            self._tell(scope, request_id, status, perf_counter() - began, body.size)

    def _check(self, scope: Scope, asked: dict[bytes, bytes]) -> None:
        """Refuse what need not be read.

        Raises:
            UsageError: it was meant for another host. A foreign page may have a name of its own point to this machine,
                and would then read what is answered, as if it were its own.
            Unauthorized: the service asks for a token, and this is another or none.
            RequestTooLarge: the body says that it is larger than what is taken.
            Busy: there is no room for another request that has a body.
        """
        if self._names and PORT.sub(b"", asked.get(b"host", b"localhost").lower()) not in self._names:
            raise UsageError(
                "This service answers under the names of this machine alone",
                expected=f"Host: {', '.join(sorted(self._service.settings.names))}",
                hint="Others can ask where it is started with --host.",
            )
        path = scope["path"]
        if self._token is not None and path not in OPEN and not path.startswith(OPEN_BELOW):
            scheme, _, token = asked.get(b"authorization", b"").partition(b" ")
            if scheme.lower() != b"bearer" or not hmac.compare_digest(token.strip(), self._token):
                raise Unauthorized("This service asks for a token", expected="Authorization: Bearer <token>")
        if scope["method"] == "POST":
            length = asked.get(b"content-length", b"0")
            if len(length) > 18 or int(length) > self._service.settings.max_bytes:
                raise too_large(self._service.settings.max_bytes)
            self._service.check_room()

    def _preflight(self, scope: Scope, asked: dict[bytes, bytes]) -> Response | None:
        """The answer to a browser that asks whether a page of an allowed origin may ask."""
        if scope["method"] != "OPTIONS" or b"access-control-request-method" not in asked:
            return None
        if asked.get(b"origin") not in self._origins:
            return None
        return Response(status_code=204, headers={k.decode(): v.decode() for k, v in headers.PREFLIGHT})

    def _tell(self, scope: Scope, request_id: bytes, status: int, seconds: float, size: int) -> None:
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


class Body:
    """A request's body as it streams in: counted, bounded in time, and held against what all bodies may hold."""

    def __init__(self, receive: Receive, service: Service) -> None:
        """Nothing was read."""
        self._receive = receive
        self._service = service
        self._until: float | None = None
        self.size = 0

    async def __call__(self) -> Message:
        """The next piece.

        Raises:
            RequestTooLarge: it was one piece too many.
            TooSlow: it did not arrive in time.
            Busy: there is no room to hold it.
        """
        settings = self._service.settings
        loop = asyncio.get_running_loop()
        if self._until is None:
            self._until = loop.time() + settings.time_limit_s
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError as exc:
            raise TooSlow(f"The request did not arrive within {settings.time_limit_s:g} s") from exc
        if piece := message.get("body"):
            self.size += len(piece)
            self._service.hold(len(piece))
            if self.size > settings.max_bytes:
                raise too_large(settings.max_bytes)
        return message

    def drop(self) -> None:
        """The request is answered: its body is held no more."""
        self._service.hold(-self.size)


def too_large(max_bytes: int) -> RequestTooLarge:
    """The error of a body that is larger than what is taken."""
    return RequestTooLarge("The request is too large", expected=f"at most {max_bytes:,} bytes")
