"""One connection to a running `inkdigit serve`, for several requests.

In: the address of a server, and bytes of images. Out: what it answers, as JSON; an error of the tree where it fails. It
needs only the standard library.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import quote, urlsplit

from inkdigit.errors import (
    Busy,
    InkdigitError,
    NotAPicture,
    PictureError,
    PictureTooLarge,
    RequestTooLarge,
    TooSlow,
    Unauthorized,
    Unreachable,
    UsageError,
    reason_of,
)

AT_A_TIME = 16  # images per request, if the server accepts as many: the answers keep coming, the overhead is small
MAX_ANSWER_BYTES = 2**24  # no service of ours sends more
MAX_RETRIES = 5  # of a request to a busy server
MAX_WAIT_S = 10.0  # between two retries, whatever the server requests
KINDS = {leaf.__name__: leaf for leaf in (PictureError, NotAPicture, PictureTooLarge)}
ERRORS: dict[int, type[InkdigitError]] = {
    400: UsageError,
    401: Unauthorized,
    404: UsageError,  # there is no such model: the same error as for a local one
    408: TooSlow,
    413: RequestTooLarge,
    503: Busy,
}

Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of each image: the path, where the answers are in the response, and what each of them has."""

    path: str
    key: str
    keys: frozenset[str]
    texts: Mapping[str, str] = field(default_factory=dict)  # that are sent with the images, by name


class Connection:
    """A connection to a server for several requests; when the server closes it, the next request opens it again."""

    def __init__(self, server: str, *, token: str | None, timeout: float) -> None:
        """Parse the address; nothing is sent yet."""
        self._server, self._timeout = server, timeout
        self._headers = {"Accept": "application/json", **_authorization(token)}
        self._http, self._prefix = _parse(server, timeout)
        self._images_per_request = AT_A_TIME

    def __enter__(self) -> Connection:
        """Itself; its first request opens it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self._http.close()

    def limits(self) -> tuple[int, int]:
        """How many bytes and how many images the server accepts in a request."""
        info = self.get("/info")
        try:
            return int(info["limits"]["max_bytes"]), int(info["limits"]["max_files"])
        except (KeyError, TypeError, ValueError) as exc:
            raise self.not_inkdigit("/info does not list its limits") from exc

    def get(self, path: str) -> Any:
        """The JSON at a path."""
        status, data = self._request("GET", path, None, {})
        if status != 200:
            raise self._error(status, data)
        return data

    def answers(self, question: Question, pictures: list[bytes]) -> list[Answer]:
        """One answer per image; where a request is too large or too slow, all later ones have half as many images."""
        answers: list[Answer] = []
        while batch := pictures[len(answers) :][: self._images_per_request]:
            try:
                answers += self._answer(question, batch)
            except (RequestTooLarge, TooSlow):  # how many pixels they have is not known on this side
                if len(batch) == 1:
                    raise
                self._images_per_request = len(batch) // 2
        return answers

    def _answer(self, question: Question, pictures: list[bytes]) -> list[Answer]:
        """One answer per image, all of them in one request."""
        boundary = secrets.token_hex(16)
        texts = [(f'name="{name}"', text.encode()) for name, text in question.texts.items()]
        files = [(f'name="file"; filename="{number}"', picture) for number, picture in enumerate(pictures, 1)]
        body = b"".join(
            f"--{boundary}\r\nContent-Disposition: form-data; {name}\r\n\r\n".encode() + data + b"\r\n"
            for name, data in [*texts, *files]
        )
        kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        status, data = self._request("POST", question.path, body + f"--{boundary}--\r\n".encode(), kind)
        if len(pictures) == 1 and isinstance(data, dict) and data.get("kind") in KINDS:
            return [data]  # the response to a single bad image is its error
        if status != 200:
            raise self._error(status, data)
        answers = data.get(question.key) if isinstance(data, dict) else None
        if not isinstance(answers, list) or len(answers) != len(pictures):
            raise self.not_inkdigit(f"its {question.key} have another form")
        if not all(_is_answer(answer, question.keys) for answer in answers):
            raise self.not_inkdigit(f"its {question.key} have another form")
        return answers

    def not_inkdigit(self, why: str) -> Unreachable:
        """The error of a server whose responses are not those of Inkdigit."""
        return Unreachable(f"{self._server} does not answer as Inkdigit does: {why}", hint="Is it `inkdigit serve`?")

    def _error(self, status: int, data: Any) -> InkdigitError:
        problem = data.get("error") if isinstance(data, dict) else None
        if not isinstance(problem, str) or "kind" not in data:
            return self.not_inkdigit(f"status {status}")
        leaf = ERRORS.get(status)
        return leaf(problem) if leaf else Unreachable(f"{self._server} failed (status {status}): {problem}")

    def _request(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, Any]:
        """The status and the JSON of a response; a request to a busy server is repeated after its `Retry-After`."""
        for retries_left in reversed(range(MAX_RETRIES + 1)):
            status, retry_after, data = self._exchange(method, path, body, headers)
            if status != Busy.http_status or not retries_left:
                break
            time.sleep(_seconds(retry_after))
        try:
            return status, json.loads(data)
        except (ValueError, RecursionError) as exc:
            raise self.not_inkdigit(f"status {status}, and not JSON") from exc

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, str | None, bytes]:
        """One request and its response: status, Retry-After, body."""
        for is_last in (False, True):
            try:
                self._http.request(method, self._prefix + path, body, {**self._headers, **headers})
                with self._http.getresponse() as response:
                    return response.status, response.getheader("Retry-After"), response.read(MAX_ANSWER_BYTES)
            except TimeoutError as exc:
                raise Unreachable(f"{self._server} did not answer within {self._timeout:g} s") from exc
            except OSError as exc:
                self._http.close()
                # The server may have closed a connection that was open: then a new one is tried.
                if is_last or not isinstance(exc, ConnectionError) or isinstance(exc, ConnectionRefusedError):
                    why = reason_of(exc)
                    raise Unreachable(
                        f"{self._server} does not answer: {why}", hint="Start one with: inkdigit serve"
                    ) from exc
            except HTTPException as exc:
                raise self.not_inkdigit("its response is not HTTP") from exc
        raise AssertionError("the second try returns or raises")


def _is_answer(entry: Any, keys: frozenset[str]) -> bool:
    """Whether an entry of a response is an answer with `keys` or an error, as far as this side uses it."""
    if not isinstance(entry, dict):
        return False
    if entry.keys() >= {"error", "kind"}:
        return True
    confidence, probs = entry.get("confidence"), entry.get("probs")
    return entry.keys() >= keys and isinstance(confidence, float | int | None) and isinstance(probs, list | None)


def check_token(token: str | None) -> str | None:
    """A token that can be sent in a header; an empty one, as a variable of the environment may hold, is None.

    Raises:
        UsageError: it cannot be sent.
    """
    if token and not all("!" <= letter <= "~" for letter in token):
        raise UsageError("This token cannot be sent", expected="printable ASCII without spaces")
    return token or None


def _authorization(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if check_token(token) else {}


def _parse(server: str, timeout: float) -> tuple[HTTPConnection, str]:
    """The connection, not opened yet, and the first part of its paths."""
    expected = "http://HOST:PORT or https://HOST:PORT"
    try:
        parts = urlsplit(server)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            hint = None if "://" in server else f"Did you mean http://{server}?"
            raise UsageError("This is not the address of a server", expected=expected, received=server, hint=hint)
        connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        http = connect(parts.hostname.encode("idna").decode(), parts.port, timeout=timeout)
    except (ValueError, HTTPException) as exc:  # a port that is not a number, a name that is not one
        raise UsageError("This is not the address of a server", expected=expected, received=server) from exc
    return http, quote(parts.path.rstrip("/"), safe="/%")


def _seconds(retry_after: str | None) -> float:
    """How long to wait: the seconds of a Retry-After; one second where it has another form."""
    try:
        return min(max(int(retry_after or 1), 0), MAX_WAIT_S)
    except ValueError:
        return 1.0
