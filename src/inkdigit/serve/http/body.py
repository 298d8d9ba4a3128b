"""The body of a request, read in memory, and the pictures in it.

In: a request. Out: names and bytes of pictures. Nothing is written to disk, and no name opens a file.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from inkdigit.errors import PictureError, RequestTooLarge, UsageError
from inkdigit.serve.service import Service

Sent = tuple[str | None, bytes | PictureError]  # the name that the sender gives it, and the picture

OTHER_PARTS = 16  # of a form, beside its pictures
LARGE = 2**16  # bytes of a body: from here on it is taken apart on a thread, so that nobody waits for it
KNOWN = 'a picture, multipart/form-data with one or more "file", or {"images": ["<base64>", …]} as application/json'


async def read_body(request: Request) -> bytes:
    """The whole body; the guard bounds its size and its time.

    Raises:
        UsageError: the connection ended before it.
    """
    try:
        return await request.body()
    except ClientDisconnect as exc:
        raise UsageError("The request was cut short") from exc


async def read_pictures(request: Request, service: Service) -> list[Sent]:
    """The pictures of a request, each with the name that its sender gave it; at least one.

    Raises:
        UsageError: there is no picture, or the body is not what its type says.
        RequestTooLarge: more pictures than the service takes.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    body = await read_body(request)
    most = service.settings.max_files
    if kind == b"application/json":
        sent = await _apart(service, body, lambda: _from_json(body, most))
    elif kind == b"multipart/form-data":
        sent = await _apart(service, body, lambda: _from_form(body, options.get(b"boundary", b""), most))
    else:
        sent = [(None, body)] if body else []
    request.state.pictures = len(sent)
    if not sent:
        raise UsageError("There is no picture in the request", expected=KNOWN)
    return sent


async def _apart(service: Service, body: bytes, parse: Callable[[], list[Sent]]) -> list[Sent]:
    return await service.work(parse) if len(body) >= LARGE else parse()


def _from_json(body: bytes, most: int) -> list[Sent]:
    """The pictures of `{"images": ["<base64>", …]}`."""
    data = parse_json(body)
    images = data.get("images") if isinstance(data, dict) and set(data) == {"images"} else None
    if not isinstance(images, list):
        raise UsageError("The JSON is not what is expected here", expected='{"images": ["<base64>", …]}')
    _check_count(len(images), most)
    return [(None, _entry(image, number)) for number, image in enumerate(images, 1)]


def parse_json(body: bytes) -> Any:
    """What a body of JSON says.

    Raises:
        UsageError: it is no JSON.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise UsageError("The body is no JSON that can be read") from exc


def from_base64(text: Any, what: str = "The picture") -> bytes:
    """The bytes that a text of JSON stands for.

    Raises:
        PictureError: it is no base64, or no text; `what` it should have been.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError) as exc:
        raise PictureError(f"{what} is not base64") from exc


def _entry(image: Any, number: int) -> bytes | PictureError:
    try:
        return from_base64(image, f"Picture {number} of the request")
    except PictureError as exc:
        return exc


def _check_count(count: int, most: int) -> None:
    if count > most:
        raise RequestTooLarge("There are too many pictures in the request", expected=f"at most {most}", received=count)


def _from_form(body: bytes, boundary: bytes, most: int) -> list[Sent]:
    """The parts called `file` of a form, in their order."""
    form = _Form(most)
    try:
        parser = MultipartParser(boundary or b"-", form.callbacks())
        parser.write(body)
    except FormParserError as exc:
        raise UsageError("The body is no form that can be read") from exc
    if not form.ended:
        raise UsageError("The form in the request is cut short")
    return form.files


class _Form:
    """Collects the parts of a form as the parser comes upon them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._parts = 0
        self.files: list[Sent] = []
        self.ended = False

    def callbacks(self) -> Any:
        """What the parser calls."""
        names = ("part_begin", "header_field", "header_value", "header_end", "part_data", "part_end", "end")
        return {f"on_{name}": getattr(self, name) for name in names}

    def part_begin(self) -> None:
        """A part begins: no headers and no data yet."""
        self._parts += 1
        if self._parts > self._most + OTHER_PARTS:
            raise RequestTooLarge("The form in the request has too many parts", expected=f"at most {self._most} files")
        self._headers: dict[bytes, bytes] = {}
        self._field, self._value, self._data = b"", b"", bytearray()

    def header_field(self, data: bytes, start: int, end: int) -> None:
        """A piece of a header's name."""
        self._field += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        """A piece of a header's value."""
        self._value += data[start:end]

    def header_end(self) -> None:
        """A header is complete."""
        self._headers[self._field.lower()] = self._value
        self._field, self._value = b"", b""

    def part_data(self, data: bytes, start: int, end: int) -> None:
        """A piece of the part's content."""
        self._data += data[start:end]

    def part_end(self) -> None:
        """A part is complete: kept if it is called `file`."""
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        if options.get(b"name") != b"file":
            return
        _check_count(len(self.files) + 1, self._most)
        name = options.get(b"filename")
        self.files.append((name.decode(errors="replace") if name else None, bytes(self._data)))

    def end(self) -> None:
        """The form has its end."""
        self.ended = True
