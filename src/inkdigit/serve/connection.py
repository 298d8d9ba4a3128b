"""A connection that waits neither for ever nor for everything: slow headers, slow readers, the rest of a refused body.

In: the bytes of a connection. Out: what uvicorn makes of them, or the connection is closed. uvicorn bounds the time
between two requests; what a request may hold while it arrives is bounded here, and its body in `guard.py`.
"""

from __future__ import annotations

from asyncio import TimerHandle, Transport
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from inkdigit.errors import InkdigitError, TooSlow, UsageError
from inkdigit.serve import headers, log
from inkdigit.serve.answers import to_bytes
from inkdigit.serve.service import Service

HEADER_BYTES = 2**15  # of one request, its first line included
OFFER = (b"upgrade", b"http2-settings")  # the headers by which a client offers to speak another protocol


class Connection(HttpToolsProtocol):
    """One connection of a client; the time limit is for headers too, and for the rest of a body answered already."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Nothing has arrived."""
        super().__init__(*args, **kwargs)
        self._service: Service = self.app_state["service"]
        self._clock: TimerHandle | None = None
        self._reader_clock: TimerHandle | None = None
        self._in_headers = False
        self._header_bytes = 0
        self._has_offer = False  # of another protocol: the request is read once more without it
        self._cycles: list[RequestResponseCycle] = []  # not answered yet, in their order

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more, and nobody waits for an answer: work that has not begun is dropped."""
        self._stop_clock()
        self._stop_reader_clock()
        super().connection_lost(exc)
        for cycle in self._cycles:
            if not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
                if task := cycle.scope["state"].get("task"):
                    task.cancel()

    def data_received(self, data: bytes) -> None:
        """Feed the parser; whoever sends without ever completing a request has a clock running."""
        self._unset_keepalive_if_required()
        self._feed(data)
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
        self._has_offer = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        if self._has_offer:
            return
        self._in_headers = False
        self._stop_clock()
        super().on_headers_complete()
        self._cycles = [cycle for cycle in self._cycles if not cycle.response_complete]
        self._cycles.append(self.cycle)

    def on_message_complete(self) -> None:
        """A request is complete."""
        if not self._has_offer:
            super().on_message_complete()

    def pause_writing(self) -> None:
        """The client does not read as fast as it is answered: let it, as long as it reads at all."""
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        """The client has read."""
        super().resume_writing()
        self._stop_reader_clock()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(UsageError(msg))

    def _feed(self, data: bytes) -> None:
        """Have the parser read on. A request that offers another protocol is read as HTTP/1.1, as if it did not."""
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as exc:  # the parser takes nothing after such headers for a body
            version = self.parser.get_http_version().encode()
            lines = [self.parser.get_method() + b" " + self.url + b" HTTP/" + version]
            lines += [name + b": " + value for name, value in self.headers if name not in OFFER]
            self.parser = HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
            self._feed(b"\r\n".join([*lines, b"", data[exc.args[0] :]]))
        except HttpParserError:
            self.send_400_response("This is no HTTP request")

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

    def _watch_reader(self, unread: int | None = None) -> None:
        """End the connection if nothing was read of what was `unread`; else look again after the time limit."""
        now = self.transport.get_write_buffer_size()
        if unread is not None and now >= unread:
            self.transport.abort()
        else:
            self._reader_clock = self.loop.call_later(self._service.settings.time_limit_s, self._watch_reader, now)

    def _stop_reader_clock(self) -> None:
        if self._reader_clock is not None:
            self._reader_clock.cancel()
            self._reader_clock = None

    def _refuse(self, exc: InkdigitError) -> None:
        """Answer for the application, which never sees this request, and close."""
        body = to_bytes(exc.to_json())
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
