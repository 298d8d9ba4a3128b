"""Asking a running `inkdigit serve`: files in, the answers of `predict --json` out.

In: the address of a server, and files. Out: one answer a file, in their order. The standard library is enough for it:
on this side no picture is decoded, and no array is needed.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable, Iterator
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
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
    interleave,
)

AT_A_TIME = 16  # pictures a request, where the server takes as many
USUAL_BYTES = 2**20  # what the pictures of a request come to at most; a larger one travels alone
FRAME_BYTES = 256  # at least what a form has around each picture
MOST_BYTES = 2**24  # of an answer: whatever sends more is no Inkdigit
TIMEOUT_S = 30.0
WAITS = 5  # how often a busy server is asked again
LONGEST_WAIT_S = 10.0
ANSWER = {"label", "confidence", "score", "reason", "probs", "model"}
KINDS = {leaf.__name__ for leaf in (PictureError, NotAPicture, PictureTooLarge)}
ERRORS: dict[int, type[InkdigitError]] = {
    400: UsageError,
    401: Unauthorized,
    404: UsageError,  # there is no such model: as for one that is looked for here
    408: TooSlow,
    413: RequestTooLarge,
    503: Busy,
}

Answer = dict[str, Any]
Batch = list[tuple[str | None, bytes | PictureError]]  # names, and what was read


def ask(
    server: str,
    files: Iterable[Path | PictureError],
    *,
    token: str | None = None,
    model: str | None = None,
    timeout: float = TIMEOUT_S,
) -> Iterator[Answer]:
    """Answer each file with what `predict --json` says of it: a prediction, or `error` and `kind`.

    A few travel together, over one connection. A file that cannot be read here, and an error among the files, come
    out in their place. `timeout` is in seconds, for each time that the server is waited for.

    Raises:
        UsageError: the address is none, or the server does not have the model.
        Unreachable: nobody answers there, or what answers is no Inkdigit.
        Unauthorized: the server asks for a token, or for another one.
        Busy: it had no room for us, however often it was asked.
        TooSlow: a request of one picture took longer than it allows.
    """
    with _Connection(server, token=token, timeout=timeout) as connection:  # at once, not with the first answer
        most_bytes, most_files = connection.limits()
    path = "/predict" if model is None else f"/predict?model={quote(model, safe='')}"
    return _answers(connection, path, _batches(files, most_bytes, min(most_files, AT_A_TIME)))


def classes(server: str, model: str, *, token: str | None = None, timeout: float = TIMEOUT_S) -> list[str]:
    """The names of the classes of a model that the server has loaded, in the order of an answer's `probs`.

    Raises:
        InkdigitError: as `ask`.
    """
    with _Connection(server, token=token, timeout=timeout) as connection:
        told = connection.get("/models")
        try:
            (entry,) = [entry for entry in told["models"] if entry["name"] == model]
            return [str(name) for name in entry["classes"]]
        except (KeyError, TypeError, ValueError) as exc:
            raise connection.no_answer("it does not say which classes its model has") from exc


def _answers(connection: _Connection, path: str, batches: Iterator[Batch]) -> Iterator[Answer]:
    with connection:
        for batch in batches:
            pictures = [data for _, data in batch if isinstance(data, bytes)]
            errors = {i: data for i, (_, data) in enumerate(batch) if isinstance(data, PictureError)}
            answers = connection.predict(path, pictures) if pictures else []
            for (name, _), answer in zip(batch, interleave(answers, errors), strict=True):
                yield _entry(name, answer)


def _entry(name: str | None, answer: Answer | PictureError) -> Answer:
    """An answer under the name of its file; the server was sent bytes without it."""
    if isinstance(answer, PictureError):
        return {"file": name, **answer.to_json()}
    if "error" in answer:
        problem = str(answer["error"])
        own = f"{name}:{problem.removeprefix('the bytes:')}" if problem.startswith("the bytes:") else problem
        return {"file": name, "error": own, "kind": answer["kind"]}
    return {**answer, "file": name}


def _batches(files: Iterable[Path | PictureError], most_bytes: int, most_files: int) -> Iterator[Batch]:
    """Read the files, and put those together that travel together."""
    batch: Batch = []
    together = 0
    for file in files:
        data = _read(file, max(most_bytes - 2 * FRAME_BYTES, 0)) if isinstance(file, Path) else file
        size = FRAME_BYTES + len(data) if isinstance(data, bytes) else 0
        if batch and (len(batch) == most_files or together + size > min(USUAL_BYTES, most_bytes)):
            yield batch
            batch, together = [], 0
        batch.append((str(file) if isinstance(file, Path) else None, data))
        together += size
    if batch:
        yield batch


def _read(path: Path, most_bytes: int) -> bytes | PictureError:
    """The bytes of a file, or what is wrong with it in the words of `picture.decode`, which takes long to load."""
    try:
        if path.is_dir():
            return NotAPicture(f"{path} is a directory", expected="a picture file")
        with path.open("rb") as file:
            data = file.read(most_bytes + 1)
    except FileNotFoundError:
        return PictureError(f"There is no file {path}")
    except OSError as exc:
        return PictureError(f"{path} cannot be opened: {exc.strerror or exc}")
    except ValueError as exc:  # a NUL in the name
        return PictureError(f"{str(path)!r} is no file name ({exc})")
    if len(data) > most_bytes:
        return PictureTooLarge(f"{path} is too large for the server", expected=f"at most {most_bytes:,} bytes")
    return data


class _Connection:
    """A connection to a server, kept from request to request; one that is closed opens again when it is used."""

    def __init__(self, server: str, *, token: str | None, timeout: float) -> None:
        """Take the address apart; nothing is sent yet."""
        self._server, self._timeout = server, timeout
        self._headers = {"Accept": "application/json", **_authorization(token)}
        self._http, self._prefix = _parse(server, timeout)
        self._together = AT_A_TIME

    def __enter__(self) -> _Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def limits(self) -> tuple[int, int]:
        """How many bytes and how many pictures the server takes in a request."""
        told = self.get("/info")
        try:
            return int(told["limits"]["max_bytes"]), int(told["limits"]["max_files"])
        except (KeyError, TypeError, ValueError) as exc:
            raise self.no_answer("it does not say what it takes in a request") from exc

    def get(self, path: str) -> Any:
        """What a page of JSON says."""
        status, told = self._ask("GET", path, None, {})
        if status != 200:
            raise self._error(status, told)
        return told

    def predict(self, path: str, pictures: list[bytes]) -> list[Answer]:
        """One answer a picture; where those of a request are too much together, half as many travel from then on."""
        answers: list[Answer] = []
        while some := pictures[len(answers) :][: self._together]:
            try:
                answers += self._predict(path, some)
            except (RequestTooLarge, TooSlow):  # how many pixels they have is not known on this side
                if len(some) == 1:
                    raise
                self._together = len(some) // 2
        return answers

    def _predict(self, path: str, pictures: list[bytes]) -> list[Answer]:
        """One answer a picture, all of them in one request."""
        boundary = secrets.token_hex(16)
        body = b"".join(
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{number}"\r\n\r\n'.encode()
            + picture
            + b"\r\n"
            for number, picture in enumerate(pictures, 1)
        )
        kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        status, told = self._ask("POST", path, body + f"--{boundary}--\r\n".encode(), kind)
        if len(pictures) == 1 and isinstance(told, dict) and told.get("kind") in KINDS:
            return [told]  # a single bad picture has the status of its error
        if status != 200:
            raise self._error(status, told)
        answers = told.get("predictions") if isinstance(told, dict) else None
        if not isinstance(answers, list) or len(answers) != len(pictures) or not all(map(_is_answer, answers)):
            raise self.no_answer("its predictions are none")
        return answers

    def no_answer(self, why: str) -> Unreachable:
        """The error of a server that answers something else than Inkdigit does."""
        return Unreachable(f"{self._server} does not answer as Inkdigit does: {why}", hint="Is it `inkdigit serve`?")

    def _error(self, status: int, told: Any) -> InkdigitError:
        problem = told.get("error") if isinstance(told, dict) else None
        if not isinstance(problem, str) or "kind" not in told:
            return self.no_answer(f"status {status}")
        leaf = ERRORS.get(status)
        return leaf(problem) if leaf else Unreachable(f"{self._server} failed (status {status}): {problem}")

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, Any]:
        """The status and the JSON of an answer; a server that is busy is asked again when it says so."""
        for waits_left in reversed(range(WAITS + 1)):
            status, retry_after, data = self._exchange(method, path, body, headers)
            if status != Busy.http_status or not waits_left:
                break
            time.sleep(_seconds(retry_after))
        try:
            return status, json.loads(data)
        except (ValueError, RecursionError) as exc:
            raise self.no_answer(f"status {status}, and no JSON") from exc

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, str | None, bytes]:
        """One request and its answer: status, Retry-After, body."""
        for is_last in (False, True):
            try:
                self._http.request(method, self._prefix + path, body, {**self._headers, **headers})
                with self._http.getresponse() as response:
                    return response.status, response.getheader("Retry-After"), response.read(MOST_BYTES)
            except TimeoutError as exc:
                raise Unreachable(f"{self._server} did not answer within {self._timeout:g} s") from exc
            except OSError as exc:
                self._http.close()
                # A connection that was kept may have been closed meanwhile: then a new one is tried.
                if is_last or not isinstance(exc, ConnectionError) or isinstance(exc, ConnectionRefusedError):
                    why = exc.strerror or str(exc)
                    raise Unreachable(
                        f"{self._server} does not answer: {why}", hint="Start one with: inkdigit serve"
                    ) from exc
            except HTTPException as exc:
                raise self.no_answer("what it sends is no HTTP") from exc
        raise AssertionError("the second try returns or raises")


def _is_answer(told: Any) -> bool:
    """Whether an entry of `predictions` is an answer or an error, as far as it is looked at here."""
    if not isinstance(told, dict):
        return False
    if told.keys() >= {"error", "kind"}:
        return True
    confidence, probs = told.get("confidence"), told.get("probs")
    return told.keys() >= ANSWER and isinstance(confidence, float | int | None) and isinstance(probs, list | None)


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
    """The connection, not opened yet, and what its paths begin with."""
    expected = "http://HOST:PORT or https://HOST:PORT"
    try:
        parts = urlsplit(server)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            hint = None if "://" in server else f"Did you mean http://{server}?"
            raise UsageError("This is no address of a server", expected=expected, received=server, hint=hint)
        connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        http = connect(parts.hostname.encode("idna").decode(), parts.port, timeout=timeout)
    except (ValueError, HTTPException) as exc:  # a port that is no number, a name that is none
        raise UsageError("This is no address of a server", expected=expected, received=server) from exc
    return http, quote(parts.path.rstrip("/"), safe="/%")


def _seconds(retry_after: str | None) -> float:
    """How long to wait, of a Retry-After in seconds; a second where it says nothing of the kind."""
    try:
        return min(max(int(retry_after or 1), 0), LONGEST_WAIT_S)
    except ValueError:
        return 1.0
