"""The body of a request, read into memory, and the images in it.

In: a request. Out: names and bytes of images, and the text of the fields of a form. Nothing is written to disk, and no
name opens a file.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from inkdigit.errors import PictureError, RequestTooLarge, UsageError
from inkdigit.serve.service import Service

Sent = tuple[str | None, bytes | PictureError]  # the name in the request, and the image

OTHER_PARTS = 16  # of a form, besides its images: a few fields of a page
LARGE_BYTES = 2**16  # of a body: a larger one is parsed on a thread, because it takes over a millisecond
KNOWN = 'an image, multipart/form-data with one or more "file", or {"images": ["<base64>", …]} as application/json'


@dataclass(frozen=True, slots=True)
class Contents:
    """The images of a request, and the texts beside them, by name."""

    pictures: list[Sent]
    texts: dict[str, str] = field(default_factory=dict)


async def read_body(request: Request) -> bytes:
    """The complete body; the guard limits its size and its time.

    Raises:
        UsageError: the connection ended before the body.
    """
    try:
        return await request.body()
    except ClientDisconnect as exc:
        raise UsageError("The request is incomplete") from exc


async def read_pictures(request: Request, service: Service) -> list[Sent]:
    """The images of a request with their names; at least one. Raises the errors of `read_contents`."""
    return (await read_contents(request, service)).pictures


async def read_contents(request: Request, service: Service, *texts: str) -> Contents:
    """What a request has in its body: at least one image, and those of `texts`, by name, that it has, too.

    Raises:
        UsageError: there is no image, or the body does not have the form of its content type.
        RequestTooLarge: there are more images than the service accepts.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    body = await read_body(request)
    max_files = service.settings.max_files
    if kind == b"application/json":
        contents = await _parse(service, body, lambda: _from_json(body, max_files, texts))
    elif kind == b"multipart/form-data":
        boundary = options.get(b"boundary", b"")
        contents = await _parse(service, body, lambda: _from_form(body, boundary, max_files, texts))
    else:
        contents = Contents([(None, body)] if body else [])
    request.state.pictures = len(contents.pictures)
    if not contents.pictures:
        raise UsageError("There is no image in the request", expected=KNOWN)
    return contents


async def _parse(service: Service, body: bytes, parse: Callable[[], Contents]) -> Contents:
    return await service.work(parse) if len(body) >= LARGE_BYTES else parse()


def _from_json(body: bytes, max_files: int, texts: Collection[str]) -> Contents:
    """What is in `{"images": ["<base64>", …]}`."""
    data = parse_json(body)
    images = data.pop("images", None) if isinstance(data, dict) else None
    if not isinstance(images, list) or data.keys() - {*texts} or not all(isinstance(t, str) for t in data.values()):
        more = "".join(f', "{name}": "…"' for name in texts)
        raise UsageError("The JSON has another form", expected=f'{{"images": ["<base64>", …]{more}}}')
    _check_count(len(images), max_files)
    return Contents([(None, _entry(image, number)) for number, image in enumerate(images, 1)], data)


def parse_json(body: bytes) -> Any:
    """The value of a body of JSON.

    Raises:
        UsageError: it is not JSON.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise UsageError("The body is not valid JSON") from exc


def from_base64(text: Any, what: str = "The image") -> bytes:
    """The bytes of a text in base64; `what` names it in the error.

    Raises:
        PictureError: it is not base64, or not a text.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError) as exc:
        raise PictureError(f"{what} is not base64") from exc


def _entry(image: Any, number: int) -> bytes | PictureError:
    try:
        return from_base64(image, f"Image {number} of the request")
    except PictureError as exc:
        return exc


def _check_count(count: int, max_files: int) -> None:
    if count > max_files:
        raise RequestTooLarge(
            "There are too many images in the request", expected=f"at most {max_files}", received=count
        )


def _from_form(body: bytes, boundary: bytes, max_files: int, texts: Collection[str]) -> Contents:
    """The parts called `file` of a form, in their order, and those that are called as one of `texts`."""
    form = _Form(max_files, texts)
    try:
        parser = MultipartParser(boundary or b"-", form.callbacks())
        parser.write(body)
    except FormParserError as exc:
        raise UsageError("The body is not a valid form") from exc
    if not form.ended:
        raise UsageError("The form in the request is incomplete")
    return form.contents


class _Form:
    """Collects the parts of a form while the parser reads it."""

    def __init__(self, max_files: int, texts: Collection[str]) -> None:
        self._max_files = max_files
        self._texts = {text.encode() for text in texts}
        self._parts = 0
        self.contents = Contents([])
        self.ended = False

    def callbacks(self) -> Any:
        """The methods that the parser calls."""
        names = ("part_begin", "header_field", "header_value", "header_end", "part_data", "part_end", "end")
        return {f"on_{name}": getattr(self, name) for name in names}

    def part_begin(self) -> None:
        """A part begins, without headers and data."""
        self._parts += 1
        if self._parts > self._max_files + OTHER_PARTS:
            expected = f"at most {self._max_files} files"
            raise RequestTooLarge("The form in the request has too many parts", expected=expected)
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
        """A part is complete: it is an image if it is called `file`."""
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        part = options.get(b"name", b"")
        if part in self._texts:
            self._add_text(part.decode())
        if part != b"file":
            return
        _check_count(len(self.contents.pictures) + 1, self._max_files)
        name = options.get(b"filename")
        self.contents.pictures.append((name.decode(errors="replace") if name else None, bytes(self._data)))

    def _add_text(self, name: str) -> None:
        if name in self.contents.texts:
            raise UsageError(f"{name!r} in the request is repeated", expected="it at most once")
        try:
            self.contents.texts[name] = self._data.decode("utf-8-sig")
        except UnicodeDecodeError as exc:
            raise UsageError(f"{name!r} in the request is not UTF-8") from exc

    def end(self) -> None:
        """The form is complete."""
        self.ended = True
