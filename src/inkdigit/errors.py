"""Every error that Inkdigit raises on purpose, in one tree. An error has the codes of its parent unless it has its own.

    InkdigitError              exit 1  HTTP 500
    ├─ UsageError                  2    400   an unknown recipe key, options that exclude each other
    │   └─ OtherTask                          a model of single digits where whole numbers are read, or the reverse
    ├─ PictureError                3    422   an image that cannot be read
    │   ├─ NotAPicture                  415   the bytes are not an image, or not of a format that we open
    │   └─ PictureTooLarge              413   more pixels, or more bytes, than we decode
    ├─ DataError                   4    500   a data set that cannot be used
    │   ├─ MissingData                        a file that does not exist and cannot be fetched
    │   ├─ ChecksumMismatch                   a file whose bytes are not the published ones
    │   └─ MalformedFile                      a file whose content does not follow its format
    ├─ ModelFileError              5    503   a model file that cannot be used
    │   ├─ NotAModelFile                      not an ONNX file, or one without our card
    │   ├─ UnsupportedFormat                  a card of another format version
    │   └─ SelfTestFailed                     the file does not predict what it did when it was written
    ├─ TrainingError               6    500   training that cannot continue
    │   ├─ Diverged                           the loss is no longer a number
    │   └─ ParityError                        the exported file does not predict what the network does
    ├─ MissingExtra                7    500   an optional library is not installed
    ├─ ServiceError                8    500   the service and its client
    │   ├─ Unauthorized                 401   no token, or a wrong one
    │   ├─ NotCollecting                403   a correction for a service that does not store any
    │   ├─ NotFound                     404   no such page or model
    │   ├─ MethodNotAllowed             405   the page exists, but not for this method
    │   ├─ TooSlow                      408   the request or its answer took too long
    │   ├─ RequestTooLarge              413   more bytes or images than the service accepts
    │   ├─ NotJson                      415   a body of another type where only JSON is accepted
    │   ├─ Unreachable                  502   no answer from the address, or not one of Inkdigit
    │   └─ Busy                         503   more requests than the service can answer now
    ├─ OutputError                 9    507   the result cannot be written
    └─ EngineError                10    500   the processes or machines that share work cannot do it
        ├─ NoCluster                          no cluster at the address, or one of other versions
        └─ WorkersDied                        processes that end again and again before their work is done

A message says what is wrong, then `Expected: …. Received: ….`, then the next step: a sentence, or one that ends with
a command or a path. The tree has three renderings: a traceback in Python, one line and `exit_code` on the command line,
JSON and `http_status` over HTTP.
A library's error is translated where the library is called (`raise NotAPicture(...) from exc`) and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

Answer = TypeVar("Answer")
MAX_TEXT, MAX_RECEIVED = 1_000, 300  # characters of a part of a message, and of what it quotes: it fits on a screen


class InkdigitError(Exception):
    """The root of the tree: `problem`, then the expected and the received value, then the next step."""

    exit_code = 1
    http_status = 500

    def __init__(
        self, problem: str, *, expected: object = None, received: object = None, hint: str | None = None
    ) -> None:
        """Join the parts of the message that are not None."""
        problem = _one_line(problem, MAX_TEXT)
        parts = [problem if problem.endswith((".", "?", "!")) else f"{problem}."]
        if expected is not None:
            parts.append(f"Expected: {_one_line(expected, MAX_TEXT)}.")
        if received is not None:
            parts.append(f"Received: {_one_line(received, MAX_RECEIVED)}.")
        if hint:
            parts.append(_one_line(hint, MAX_TEXT))
        super().__init__(" ".join(parts))
        self.problem = problem

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel between processes as the finished message: the arguments of a leaf differ."""
        return _rebuild, (type(self), str(self), self.__dict__)

    @property
    def kind(self) -> str:
        """The name of the class, for `--json` and HTTP."""
        return type(self).__name__

    def to_json(self) -> dict[str, str]:
        """The error as JSON, the same for `--json` and HTTP."""
        return {"error": str(self), "kind": self.kind}


def _rebuild(kind: type[InkdigitError], message: str, fields: dict[str, Any]) -> InkdigitError:
    exc = kind.__new__(kind, message)
    exc.__dict__.update(fields)
    return exc


class UsageError(InkdigitError):
    """The request itself is wrong: an unknown name, a bad option, options that exclude each other."""

    exit_code = 2
    http_status = 400


class OtherTask(UsageError):
    """A model of single digits where whole numbers are read, or the reverse."""


class PictureError(InkdigitError):
    """An image that cannot be read."""

    exit_code = 3
    http_status = 422


class NotAPicture(PictureError):
    """The bytes are not an image, or not of a format that we open."""

    http_status = 415


class PictureTooLarge(PictureError):
    """More pixels, or more bytes, than we decode."""

    http_status = 413


class DataError(InkdigitError):
    """A data set that cannot be used."""

    exit_code = 4


class MissingData(DataError):
    """A data file that does not exist and cannot be fetched."""


class ChecksumMismatch(DataError):
    """A file whose bytes are not the published ones."""


class MalformedFile(DataError):
    """A file whose content does not follow its format; `where` names the row, byte or cell."""

    def __init__(
        self,
        path: str | Path,
        problem: str,
        *,
        where: str | None = None,
        expected: object = None,
        received: object = None,
        hint: str | None = None,
    ) -> None:
        """Name the file and the place in it before the problem."""
        place = f"{path}, {where}" if where else str(path)
        super().__init__(f"{place}: {problem}", expected=expected, received=received, hint=hint)
        self.path = Path(path)
        self.where = where


class ModelFileError(InkdigitError):
    """A model file that cannot be used."""

    exit_code = 5
    http_status = 503


class NotAModelFile(ModelFileError):
    """Not an ONNX file, or one without Inkdigit's card."""


class UnsupportedFormat(ModelFileError):
    """A card whose format version this release does not read."""


class SelfTestFailed(ModelFileError):
    """The file does not predict in its self test what it did when it was written."""


class TrainingError(InkdigitError):
    """Training that cannot continue."""

    exit_code = 6


class Diverged(TrainingError):
    """The loss is no longer a number."""


class ParityError(TrainingError):
    """The exported file does not predict what its network does."""


def pip_install(extra: str = "") -> str:
    """The command that installs this package with an extra from where it came: a folder, a file, git, or pip's index.

    `direct_url.json` (PEP 610) says where that was.
    """
    import json
    from importlib.metadata import PackageNotFoundError, distribution
    from urllib.request import url2pathname

    wanted = f"inkdigit[{extra}]" if extra else "inkdigit"
    try:
        origin = json.loads(distribution("inkdigit").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        origin = {}
    url = origin.get("url", "")
    path = Path(url2pathname(url.removeprefix("file://")))
    if url.startswith("file://") and path.exists():
        editable = "-e " if origin.get("dir_info", {}).get("editable") else ""
        return f"pip install {editable}'{path}{wanted.removeprefix('inkdigit')}'"
    if git := origin.get("vcs_info", {}).get("vcs"):
        return f"pip install '{wanted} @ {git}+{url}'"
    return f"pip install '{wanted}'"


class MissingExtra(InkdigitError):
    """An optional library is not installed."""

    exit_code = 7

    def __init__(self, what: str, extra: str) -> None:
        """Name what needs the extra, and the command that installs it."""
        super().__init__(what, hint=f"Install it with: {pip_install(extra)}")
        self.extra = extra


class ServiceError(InkdigitError):
    """A request that the service does not answer, or an answer that the client does not get."""

    exit_code = 8


class Unauthorized(ServiceError):
    """The service requires a token, and the request has none or a wrong one."""

    http_status = 401


class NotCollecting(ServiceError):
    """A correction was sent to a service that does not store any."""

    http_status = 403


class NotFound(ServiceError):
    """The service has no such page, or no such model."""

    http_status = 404


class MethodNotAllowed(ServiceError):
    """The page exists, but does not accept requests of this method."""

    http_status = 405


class TooSlow(ServiceError):
    """The request or its answer took too long."""

    http_status = 408


class RequestTooLarge(ServiceError):
    """More bytes, or more images, than the service accepts in one request."""

    http_status = 413


class NotJson(ServiceError):
    """A body of another type where only JSON is accepted, so that a page of another site cannot send it."""

    http_status = 415


class Unreachable(ServiceError):
    """No answer from the address, or not one of Inkdigit."""

    http_status = 502


class Busy(ServiceError):
    """The service has more requests than it can answer now; `retry_after_s` is the time to wait."""

    http_status = 503
    retry_after_s = 1  # most requests are answered in milliseconds


class OutputError(InkdigitError):
    """The result cannot be written: the disk is full, no permission, a name that is taken."""

    exit_code = 9
    http_status = 507


class EngineError(InkdigitError):
    """The processes or machines that share work cannot do it."""

    exit_code = 10


class NoCluster(EngineError):
    """There is no cluster at the address, or one of other versions."""


class WorkersDied(EngineError):
    """Processes that end again and again before their work is done."""


def _one_line(text: object, length: int) -> str:
    """A text, which may quote any input, as one line of at most `length` characters, without control characters."""
    line = _without_middle(str(text), length)
    if line.isprintable():
        return line
    return _without_middle("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line), length)


def _without_middle(text: str, length: int) -> str:
    """A long text without its middle: the cause of an error is often named at the end."""
    return text if len(text) <= length else f"{text[: length // 2]}…{text[1 - length // 2 :]}"


def first_line(exc: BaseException) -> str:
    """The first line of what an error of a library says; its name if it says nothing."""
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0]


def reason_of(exc: BaseException) -> str:
    """Why something failed: of an error of the system without its number and the path that the caller knows."""
    return getattr(exc, "strerror", None) or str(exc)


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """The next step after a misspelt name: the nearest known one, or None if none is near."""
    import difflib  # only errors need it, not every start

    near = difflib.get_close_matches(word, list(known), n=1)
    return f"Did you mean {near[0]}?" if near else None


@contextmanager
def requiring(phrase: str, extra: str = "train") -> Iterator[None]:
    """Name the extra that installs a missing library; `phrase` begins the message, as in "Training needs".

    Raises:
        MissingExtra: the block imports a library that is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] == "inkdigit":
            raise  # a bug of ours, not a missing library
        raise MissingExtra(f"{phrase} {exc.name}", extra) from exc


def interleave(answers: Sequence[Answer], errors: Mapping[int, PictureError]) -> Iterator[Answer | PictureError]:
    """The answers in their order, and each error at its index among them."""
    rest = iter(answers)
    for i in range(len(answers) + len(errors)):
        yield errors[i] if i in errors else next(rest)
