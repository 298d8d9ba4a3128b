"""A connection that waits neither for ever nor for everything: slow or endless headers, and the rest of a refused body.

In: the bytes of a connection. Out: what uvicorn makes of them, or the connection is closed. uvicorn bounds the time
between two requests; what a request may hold while it arrives is bounded here, and its body in `guard.py`.
"""

from __future__ import annotations

from asyncio import TimerHandle, Transport
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from inkdigit.errors import InkdigitError, TooSlow, UsageError
from inkdigit.serve import headers, log
from inkdigit.serve.answers import error_fields, to_bytes
from inkdigit.serve.service import Service

HEADER_BYTES = 2**15  # of one request, its first line included


class Connection(HttpToolsProtocol):
    """One connection of a client; the time limit is for headers too, and for the rest of a body answered already."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Nothing has arrived."""
        super().__init__(*args, **kwargs)
        self._service: Service = self.app_state["service"]
        self._clock: TimerHandle | None = None
        self._in_headers = False
        self._header_bytes = 0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more, and nobody waits for an answer: work that has not begun is dropped."""
        self._stop_clock()
        super().connection_lost(exc)
        if self.cycle is not None and not self.cycle.response_complete:
            task = self.cycle.scope["state"].get("task")
            if task is not None:
                task.cancel()

    def data_received(self, data: bytes) -> None:
        """Feed the parser; whoever sends without ever completing a request has a clock running."""
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_headers:
            self._header_bytes += len(data)
            if self._header_bytes > HEADER_BYTES:
                self._refuse(UsageError("The headers are too large", expected=f"at most {HEADER_BYTES:,} bytes"))
                return
        if self._clock is None and (self.cycle is None or self.cycle.response_complete):
            self._start_clock()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._in_headers, self._header_bytes = True, 0

    def on_headers_complete(self) -> None:
        """The application is called."""
        self._in_headers = False
        self._stop_clock()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(UsageError(msg))

    def _start_clock(self) -> None:
        self._clock = self.loop.call_later(self._service.settings.time_limit_s, self._time_is_over)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _time_is_over(self) -> None:
        if self.transport.is_closing():
            return
        if self._in_headers:
            limit_s = self._service.settings.time_limit_s
            self._refuse(TooSlow(f"The request did not arrive within {limit_s:g} s"))
        else:
            self.transport.close()

    def _refuse(self, exc: InkdigitError) -> None:
        """Answer for the application, which never sees this request, and close."""
        body = to_bytes(error_fields(exc))
        lines = [
            f"HTTP/1.1 {exc.http_status} {'Request Timeout' if exc.http_status == 408 else 'Bad Request'}".encode(),
            *(b"%s: %s" % line for line in headers.OWN_SITE),
            b"content-type: application/json",
            b"content-length: %d" % len(body),
            b"connection: close",
        ]
        self.transport.write(b"\r\n".join([*lines, b"", body]))
        self.transport.close()
        self._service.counts.refused(exc)
        log.write("refused", level="warning", status=exc.http_status, kind=exc.kind)
