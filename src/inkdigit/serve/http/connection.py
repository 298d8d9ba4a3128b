"""A connection with limits: on slow headers, slow readers, and the rest of a body whose request has failed.

In: the bytes of a connection. Out: the requests that uvicorn parses from them, or the connection is closed. uvicorn
limits the time between two requests. Headers are limited here in size and time, bodies in `guard.py`. The number of
requests that are parsed in advance is limited too: the rest stays as bytes, and nothing more is read until then.

This file depends on undocumented parts of uvicorn: `tests/serve/http/test_connection.py` lists them, and
`pyproject.toml` has the versions that have them.
"""

from __future__ import annotations

from asyncio import TimerHandle, Transport
from typing import Any, Literal

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from inkdigit.errors import InkdigitError, TooSlow, UsageError
from inkdigit.serve import log
from inkdigit.serve.http import headers
from inkdigit.serve.http.answers import to_bytes
from inkdigit.serve.service import Service

HEADER_BYTES = 2**15  # of one request with its first line, four times what browsers send; and between parts of a body
PIECE_BYTES = 2**9  # that are parsed at a time, unless more of a body is expected: 28 of the shortest requests
MAX_WAITING = (
    16  # requests of a connection that are parsed in advance, besides those of the same piece; clients send few
)
OFFER = (b"upgrade", b"http2-settings")  # headers with which a client offers another protocol


class Flow(FlowControl):
    """Flow control that reads nothing while it is held."""

    def __init__(self, transport: Transport) -> None:
        """Start without a hold."""
        super().__init__(transport)
        self._is_held = False

    def hold(self) -> None:
        """Read nothing until it is released."""
        self._is_held = True
        self.pause_reading()

    def release(self) -> None:
        """Leave the decision to uvicorn again."""
        self._is_held = False

    def resume_reading(self) -> None:
        """Continue to read, unless it is held: uvicorn calls this after each response."""
        if not self._is_held:
            super().resume_reading()


class Connection(HttpToolsProtocol):
    """A connection of a client. The time limit also holds for headers and for the rest of a body after its response."""

    flow: Flow

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Nothing has arrived yet."""
        super().__init__(*args, **kwargs)
        self._service: Service = self.app_state["service"]
        self._clock: TimerHandle | None = None
        self._reader_clock: TimerHandle | None = None
        self._unread = b""  # bytes that have arrived, and are parsed when fewer requests wait
        self._part: Literal["headers", "body"] | None = None  # the part of a request that is being read
        self._body_left = 0  # bytes, if the length is known
        self._progressed = False  # whether a part or some of a body began in the piece that is being parsed
        self._overhead_bytes = 0  # headers, chunk extensions, trailers since the last progress
        self._has_offer = False  # of another protocol: the request is parsed again without the offer
        self._cycles: list[RequestResponseCycle] = []  # requests without a complete response, in their order
        self._error: InkdigitError | None = None  # ends the connection after the responses to earlier requests

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self.flow = Flow(transport)
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all clocks, and cancel the requests: calls that still wait are dropped."""
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
        """Parse what has arrived. After its response, the rest of a body is read one packet per turn of the loop."""
        self._unread += data
        self._read_on()
        if self._part == "body" and self.cycle.response_complete and not self._is_over():
            self.flow.hold()
            self.loop.call_soon(self._resume)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._part, self._progressed = "headers", True

    def on_headers_complete(self) -> None:
        """The application is called."""
        self._has_offer = self.parser.should_upgrade()
        if self._has_offer:
            return
        self._stop_clock()
        super().on_headers_complete()
        self._part, self._progressed = "body", True
        self._body_left = int(dict(self.headers).get(b"content-length", b"0"))  # the parser has checked it
        self._cycles = [cycle for cycle in self._cycles if not cycle.response_complete]
        self._cycles.append(self.cycle)

    def on_body(self, body: bytes) -> None:
        """Some of the body has arrived."""
        self._progressed = True
        self._body_left -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is complete."""
        if not self._has_offer:
            self._part, self._progressed, self._body_left = None, True, 0
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """A response is complete: another request may be parsed."""
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self._error is not None:
            self._end(self._error)
        elif self._unread:
            self._read_on()
            self.flow.resume_reading()

    def pause_writing(self) -> None:
        """The client reads slower than the responses are written: wait for it, as long as it reads at all."""
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        """The client has read."""
        super().resume_writing()
        self._stop_reader_clock()

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are not HTTP."""
        self._fail(UsageError(msg))

    def _read_on(self) -> None:
        """Parse what has arrived, a piece at a time, until enough requests wait for their response."""
        self._unset_keepalive_if_required()
        rest = memoryview(self._unread)
        while rest and len(self.pipeline) < MAX_WAITING and not self._is_over():
            size = max(PIECE_BYTES, self._body_left)
            self._read_piece(bytes(rest[:size]))
            rest = rest[size:]
        if self._is_over():
            self._unread = b""
            return
        self._unread = bytes(rest)
        if rest:
            self.flow.hold()
        else:
            self.flow.release()
        if self._clock is None and (self.cycle is None or self.cycle.response_complete):
            self._start_clock()  # for a client that sends without ever completing a request

    def _resume(self) -> None:
        """Read the next packet."""
        if not self._is_over():
            self.flow.release()
            self.flow.resume_reading()

    def _is_over(self) -> bool:
        """Whether nothing more is read from this connection."""
        return self._error is not None or self.transport.is_closing()

    def _read_piece(self, piece: bytes) -> None:
        """Parse a piece. Headers, and the framing of a body, are limited in size."""
        self._progressed = False
        self._feed(piece)
        self._overhead_bytes = min(len(piece), PIECE_BYTES) if self._progressed else self._overhead_bytes + len(piece)
        if self._overhead_bytes > HEADER_BYTES and not self._is_over():
            what = "chunk extensions or trailers" if self._part == "body" else "headers"
            self._fail(UsageError(f"The {what} are too large", expected=f"at most {HEADER_BYTES:,} bytes"))

    def _feed(self, data: bytes) -> None:
        """Give a piece to the parser."""
        while data:
            try:
                self.parser.feed_data(data)
                return
            except HttpParserUpgrade as exc:  # after such headers the parser expects no body
                if self.parser.get_method() == b"CONNECT":
                    self._fail(UsageError("This service is not a proxy", expected="a request for one of its pages"))
                    return
                data = self._head_without_offer() + data[exc.args[0] :]
                self.parser = HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
            except HttpParserError:
                self.send_400_response("This is not an HTTP request")
                return

    def _head_without_offer(self) -> bytes:
        """The head of the latest request without its offer of another protocol."""
        version = self.parser.get_http_version().encode()
        lines = [self.parser.get_method() + b" " + self.url + b" HTTP/" + version]
        lines += [name + b": " + value for name, value in self.headers if name not in OFFER]
        return b"\r\n".join([*lines, b"", b""])

    def _start_clock(self) -> None:
        self._clock = self.loop.call_later(self._service.settings.time_limit_s, self._time_is_over)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _time_is_over(self) -> None:
        if self.transport.is_closing():
            return
        if self._part == "headers":
            limit_s = self._service.settings.time_limit_s
            self._fail(TooSlow(f"The request did not arrive within {limit_s:g} s"))
        else:
            self.transport.close()

    def _watch_reader(self, unread: int | None = None) -> None:
        """Abort the connection if the client has read none of `unread` bytes; else check again after the limit."""
        now = self.transport.get_write_buffer_size()
        if unread is not None and now >= unread:
            self.transport.abort()
        else:
            self._reader_clock = self.loop.call_later(self._service.settings.time_limit_s, self._watch_reader, now)

    def _stop_reader_clock(self) -> None:
        if self._reader_clock is not None:
            self._reader_clock.cancel()
            self._reader_clock = None

    def _fail(self, exc: InkdigitError) -> None:
        """Read nothing more, and end the connection with this error, after the responses to earlier requests."""
        self._error, self._unread = exc, b""
        self.flow.hold()
        self._end(exc)

    def _end(self, exc: InkdigitError) -> None:
        """If it is the turn of this request, answer in place of the application, which never gets it all, and close."""
        own = self.cycle if self._part == "body" else None
        if any(cycle is not own and not cycle.response_complete for cycle in self._cycles):
            return
        if own is None or not own.response_started:  # else a second response would follow
            if own is not None:
                own.disconnected = True
            body = to_bytes(exc.to_json())
            lines = [
                f"HTTP/1.1 {exc.http_status} {'Request Timeout' if exc.http_status == 408 else 'Bad Request'}".encode(),
                *(b"%s: %s" % line for line in headers.OWN_SITE),
                b"content-type: application/json",
                b"content-length: %d" % len(body),
                b"connection: close",
            ]
            self.transport.write(b"\r\n".join([*lines, b"", body]))
            self._service.counts.refused(exc)
            log.write("refused", level="warning", status=exc.http_status, kind=exc.kind)
        self.transport.close()
