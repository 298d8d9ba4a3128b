"""The client of a running `inkdigit serve`: images in, predictions and readings out.

In: the address of a server, and images. Out: one answer per image, in their order. `ask` gives those of
`predict --json` and needs only the standard library: no image is decoded on this side, and there are no arrays.
`Client` takes and returns what a loaded model does.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

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
    interleave,
    reason_of,
)

if TYPE_CHECKING:
    from inkdigit.picture.decode import Pictures
    from inkdigit.types import Prediction, Reading

AT_A_TIME = 16  # images per request, if the server accepts as many: the answers keep coming, the overhead is small
USUAL_BYTES = 2**20  # of the images of a request, at most: a fraction of a second of upload; a larger image goes alone
FRAME_BYTES = 256  # around each image of a form: an upper limit of its boundary and headers
MAX_ANSWER_BYTES = 2**24  # no service of ours sends more
TIMEOUT_S = 30.0  # three times the time limit of a service with default options
MAX_RETRIES = 5  # of a request to a busy server
MAX_WAIT_S = 10.0  # between two retries, whatever the server requests
PREDICTIONS, READINGS = "predictions", "readings"  # the keys of a response
ANSWER = {
    PREDICTIONS: {"label", "confidence", "score", "reason", "probs", "model"},
    READINGS: {"text", "confidence", "reason", "numbers", "model"},
}
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
Thing = TypeVar("Thing")
Batch = list[tuple[str | None, bytes | PictureError]]  # the name of each file, and its bytes or its error


def ask(
    server: str,
    files: Iterable[Path | bytes | PictureError],
    *,
    token: str | None = None,
    model: str | None = None,
    timeout: float = TIMEOUT_S,
) -> Iterator[Answer]:
    """Answer each file as `predict --json` does: with a prediction, or with `error` and `kind`.

    Several files are sent in one request, and all requests over one connection. A file that cannot be read here, and an
    error among the files, are answers in their places. `timeout` is in seconds, for each wait for the server.

    Raises:
        UsageError: `server` is not an address, or the server does not have the model.
        Unreachable: the server does not answer, or is not Inkdigit.
        Unauthorized: the server requires a token, or another one.
        Busy: the server was too busy, also after several retries.
        TooSlow: a request of one image took longer than the server allows.
    """
    path = "/predict" if model is None else f"/predict?model={quote(model, safe='')}"
    return _ask(_Connection(server, token=token, timeout=timeout), path, PREDICTIONS, files)


def ask_readings(
    server: str,
    files: Iterable[Path | bytes | PictureError],
    *,
    expect: str | None = None,
    alphabet: str | None = None,
    token: str | None = None,
    timeout: float = TIMEOUT_S,
) -> Iterator[Answer]:
    """Answer each file as `read --json` does, with the numbers in it; else as `ask`. The server has one reader."""
    limits = {name: value for name, value in (("expect", expect), ("alphabet", alphabet)) if value is not None}
    path = f"/read?{urlencode(limits)}" if limits else "/read"
    return _ask(_Connection(server, token=token, timeout=timeout), path, READINGS, files)


@dataclass(frozen=True)
class Client:
    """A running `inkdigit serve`, asked as a loaded model is; what it answers and rejects, the server decides.

    `server` is an address as http://HOST:PORT; `model` is one of the models that it has loaded, by default its first
    one; `timeout` is in seconds, for each wait for the server. Nothing is sent before the first question. Raises
    UsageError for what is not an address, or a token that cannot be sent.
    """

    server: str
    token: str | None = field(default=None, repr=False)
    model: str | None = None
    timeout: float = TIMEOUT_S

    def __post_init__(self) -> None:
        """Check address and token."""
        self._connection()

    def predict(self, pictures: Pictures) -> list[Prediction]:
        """Predict the class of each image; `pictures` are what `Recognizer.predict` takes, always a list comes back.

        Files are sent as they are, arrays and PIL images as gray PNG.

        Raises:
            PictureError: an image cannot be read; nothing is predicted then.
            UsageError: the server does not have the model.
            Unreachable, Unauthorized, Busy, TooSlow: as for `inkdigit predict --server`.
        """
        from inkdigit.types import Prediction

        answers = ask(self.server, _files(pictures), token=self.token, model=self.model, timeout=self.timeout)
        made = self._made(Prediction.from_json, answers)
        return [replace(one, classes=self.classes) for one in made]

    def read(self, pictures: Pictures, *, expect: str | None = None, alphabet: str | None = None) -> list[Reading]:
        """Read the numbers of each picture; see `Reader.read`. The server has one reader, whatever `model` is.

        Raises:
            PictureError: a picture cannot be read; nothing is read then.
            UsageError: no number can fit `expect`, or the reader does not know a character of `alphabet`.
            Unreachable, Unauthorized, Busy, TooSlow: as `predict`.
        """
        from inkdigit.types import Reading

        sent = _files(pictures)
        answers = ask_readings(
            self.server, sent, expect=expect, alphabet=alphabet, token=self.token, timeout=self.timeout
        )
        return self._made(Reading.from_json, answers)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of `Prediction.probs`.

        Raises:
            Unreachable, Unauthorized: as `predict`.
        """
        return tuple(classes(self.server, self.model, token=self.token, timeout=self.timeout))

    def _connection(self) -> _Connection:
        return _Connection(self.server, token=self.token, timeout=self.timeout)

    def _made(self, make: Callable[[Answer], Thing], answers: Iterable[Answer]) -> list[Thing]:
        """What the answers say, as objects.

        Raises:
            PictureError: one of them is an error.
            Unreachable: one of them has another form.
        """
        made = []
        for answer in answers:
            if "error" in answer:
                raise KINDS.get(str(answer["kind"]), PictureError)(str(answer["error"]))
            try:
                made.append(make(answer))
            except (KeyError, TypeError, ValueError) as exc:
                raise self._connection().not_inkdigit("an answer has another form") from exc
        return made


def _files(pictures: Pictures) -> list[Path | bytes | PictureError]:
    """What is sent of each image: its file, or a gray PNG of what is in memory."""
    from PIL import Image

    from inkdigit.picture.decode import decode, split_pictures

    def sent(picture: Any) -> Path | bytes:
        if isinstance(picture, str | Path):
            return Path(picture)
        if isinstance(picture, bytes | bytearray | memoryview):
            return bytes(picture)
        png = BytesIO()
        Image.fromarray(decode(picture)).save(png, "PNG")
        return png.getvalue()

    return [sent(picture) for picture in split_pictures(pictures)]


def classes(server: str, model: str | None, *, token: str | None = None, timeout: float = TIMEOUT_S) -> list[str]:
    """The names of the classes of a model that the server has loaded, in the order of an answer's `probs`.

    None is the model that answers by default.

    Raises:
        InkdigitError: as `ask`.
    """
    with _Connection(server, token=token, timeout=timeout) as connection:
        models = connection.get("/models")
        try:
            name = models["default"] if model is None else model
            (entry,) = [entry for entry in models["models"] if entry["name"] == name]
            return [str(name) for name in entry["classes"]]
        except (KeyError, TypeError, ValueError) as exc:
            raise connection.not_inkdigit("/models does not list the classes of the model") from exc


def _ask(
    connection: _Connection, path: str, key: str, files: Iterable[Path | bytes | PictureError]
) -> Iterator[Answer]:
    """The answers of a path to files; `key` is what they are called."""
    with connection:  # now, not with the first answer
        max_bytes, max_files = connection.limits()
    return _answers(connection, path, key, _batches(files, max_bytes, min(max_files, AT_A_TIME)))


def _answers(connection: _Connection, path: str, key: str, batches: Iterator[Batch]) -> Iterator[Answer]:
    with connection:
        for batch in batches:
            pictures = [data for _, data in batch if isinstance(data, bytes)]
            errors = {i: data for i, (_, data) in enumerate(batch) if isinstance(data, PictureError)}
            answers = connection.answers(path, key, pictures) if pictures else []
            for (name, _), answer in zip(batch, interleave(answers, errors), strict=True):
                yield _entry(name, answer)


def _entry(name: str | None, answer: Answer | PictureError) -> Answer:
    """An answer under the name of its file, which the server does not know."""
    if isinstance(answer, PictureError):
        return {"file": name, **answer.to_json()}
    if "error" in answer:
        problem = str(answer["error"])
        if name is not None and problem.startswith("the bytes:"):
            problem = f"{name}:{problem.removeprefix('the bytes:')}"
        return {"file": name, "error": problem, "kind": answer["kind"]}
    return {**answer, "file": name}


def _batches(files: Iterable[Path | bytes | PictureError], max_bytes: int, max_files: int) -> Iterator[Batch]:
    """Read the files, and group those that are sent in one request."""
    batch: Batch = []
    batch_bytes = 0
    for file in files:
        data = _read(file, max(max_bytes - 2 * FRAME_BYTES, 0)) if isinstance(file, Path) else file
        size = FRAME_BYTES + len(data) if isinstance(data, bytes) else 0
        if batch and (len(batch) == max_files or batch_bytes + size > min(USUAL_BYTES, max_bytes)):
            yield batch
            batch, batch_bytes = [], 0
        batch.append((str(file) if isinstance(file, Path) else None, data))
        batch_bytes += size
    if batch:
        yield batch


def _read(path: Path, max_bytes: int) -> bytes | PictureError:
    """The bytes of a file, or the error that `picture.decode` would raise: importing that takes too long."""
    try:
        if path.is_dir():
            return NotAPicture(f"{path} is a directory", expected="an image file")
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except FileNotFoundError:
        return PictureError(f"There is no file {path}")
    except OSError as exc:
        return PictureError(f"{path} cannot be opened: {reason_of(exc)}")
    except ValueError as exc:  # a NUL in the name
        return PictureError(f"{str(path)!r} is not a file name ({exc})")
    if len(data) > max_bytes:
        return PictureTooLarge(f"{path} is too large for the server", expected=f"at most {max_bytes:,} bytes")
    return data


class _Connection:
    """A connection to a server for several requests; when the server closes it, the next request opens it again."""

    def __init__(self, server: str, *, token: str | None, timeout: float) -> None:
        """Parse the address; nothing is sent yet."""
        self._server, self._timeout = server, timeout
        self._headers = {"Accept": "application/json", **_authorization(token)}
        self._http, self._prefix = _parse(server, timeout)
        self._images_per_request = AT_A_TIME

    def __enter__(self) -> _Connection:
        return self

    def __exit__(self, *_: object) -> None:
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

    def answers(self, path: str, key: str, pictures: list[bytes]) -> list[Answer]:
        """One answer per image; where a request is too large or too slow, all later ones have half as many images."""
        answers: list[Answer] = []
        while batch := pictures[len(answers) :][: self._images_per_request]:
            try:
                answers += self._answer(path, key, batch)
            except (RequestTooLarge, TooSlow):  # how many pixels they have is not known on this side
                if len(batch) == 1:
                    raise
                self._images_per_request = len(batch) // 2
        return answers

    def _answer(self, path: str, key: str, pictures: list[bytes]) -> list[Answer]:
        """One answer per image, all of them in one request."""
        boundary = secrets.token_hex(16)
        body = b"".join(
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{number}"\r\n\r\n'.encode()
            + picture
            + b"\r\n"
            for number, picture in enumerate(pictures, 1)
        )
        kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        status, data = self._request("POST", path, body + f"--{boundary}--\r\n".encode(), kind)
        if len(pictures) == 1 and isinstance(data, dict) and data.get("kind") in KINDS:
            return [data]  # the response to a single bad image is its error
        if status != 200:
            raise self._error(status, data)
        answers = data.get(key) if isinstance(data, dict) else None
        if not isinstance(answers, list) or len(answers) != len(pictures):
            raise self.not_inkdigit(f"its {key} have another form")
        if not all(_is_answer(answer, ANSWER[key]) for answer in answers):
            raise self.not_inkdigit(f"its {key} have another form")
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


def _is_answer(entry: Any, keys: set[str]) -> bool:
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
