"""Every error that Inkdigit raises on purpose, drawn as one tree.

    InkdigitError                exit  HTTP
    ├─ UsageError                  2    400   an unknown recipe key, options that exclude each other
    ├─ PictureError                3    422   a picture that cannot be read
    │   ├─ NotAPicture                  415   the bytes are no picture, or of a format that we do not open
    │   └─ PictureTooLarge              413   more pixels than we decode
    ├─ DataError                   4    500   a data set that cannot be used
    │   ├─ MissingData                        a file or a download that is not there
    │   ├─ ChecksumMismatch                   a file whose bytes are not the published ones
    │   └─ MalformedFile                      a file whose content is not what its format says
    ├─ ModelFileError              5    503   a model file that cannot answer
    │   ├─ NotAModelFile                      no ONNX, or an ONNX without our card
    │   ├─ UnsupportedFormat                  a card of another format version
    │   └─ SelfTestFailed                     the file answers otherwise than when it was written
    ├─ TrainingError               6    500   training that cannot go on
    │   ├─ Diverged                           the loss is no longer a number
    │   └─ ParityError                        the exported file answers otherwise than the network
    ├─ MissingExtra                7    500   an optional library is not installed
    ├─ ServiceError                8    500   the service and its client
    │   ├─ Unauthorized                 401   no token, or another one
    │   ├─ NotCollecting                403   a correction, and the service keeps none
    │   ├─ NotFound                     404   no such page or model
    │   ├─ MethodNotAllowed             405   the page is there, but not for this
    │   ├─ TooSlow                      408   the request did not come, or the answer was not found, in time
    │   ├─ RequestTooLarge              413   more bytes or pictures than the service takes
    │   ├─ NotJson                      415   a body of another type where only JSON is taken
    │   ├─ Unreachable                  502   nobody answers there, or it is no answer
    │   └─ Busy                         503   more requests than the service can answer now
    └─ OutputError                 9    507   the result cannot be written

A message says what is wrong, then `Expected: …. Received: ….`, then the next step. One tree, three renderings: a
traceback in Python, one line and `exit_code` on the command line, JSON and `http_status` over HTTP.
A library's error is translated where the library is called (`raise NotAPicture(...) from exc`) and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

Answer = TypeVar("Answer")
MAX_WORDS, MAX_RECEIVED = 1_000, 300  # characters of what an error says, and of what it quotes


class InkdigitError(Exception):
    """The root of the tree: `problem`, then what was expected and received, then the next step."""

    exit_code = 1
    http_status = 500

    def __init__(
        self, problem: str, *, expected: object = None, received: object = None, hint: str | None = None
    ) -> None:
        """Join the parts of the message; leave out those that are None."""
        problem = _one_line(problem, MAX_WORDS)
        parts = [problem if problem.endswith((".", "?", "!")) else f"{problem}."]
        if expected is not None:
            parts.append(f"Expected: {_one_line(expected, MAX_WORDS)}.")
        if received is not None:
            parts.append(f"Received: {_one_line(received, MAX_RECEIVED)}.")
        if hint:
            parts.append(_one_line(hint, MAX_WORDS))
        super().__init__(" ".join(parts))
        self.problem = problem

    @property
    def kind(self) -> str:
        """The name of the leaf, as `--json` and HTTP give it."""
        return type(self).__name__

    def to_json(self) -> dict[str, str]:
        """What is told of it, by `--json` and HTTP alike."""
        return {"error": str(self), "kind": self.kind}


class UsageError(InkdigitError):
    """The request itself makes no sense: an unknown name, a bad option, options that exclude each other."""

    exit_code = 2
    http_status = 400


class PictureError(InkdigitError):
    """A picture that cannot be read."""

    exit_code = 3
    http_status = 422


class NotAPicture(PictureError):
    """The bytes are no picture, or a picture of a format that we do not open."""

    http_status = 415


class PictureTooLarge(PictureError):
    """More pixels, or more bytes, than we decode."""

    http_status = 413


class DataError(InkdigitError):
    """A data set that cannot be used."""

    exit_code = 4


class MissingData(DataError):
    """A data file that is not there and could not be fetched."""


class ChecksumMismatch(DataError):
    """A file whose bytes are not the published ones."""


class MalformedFile(DataError):
    """A file whose content is not what its format promises; `where` names the row, byte or cell."""

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
    """A model file that cannot answer."""

    exit_code = 5
    http_status = 503


class NotAModelFile(ModelFileError):
    """No ONNX file, or an ONNX file without Inkdigit's card."""


class UnsupportedFormat(ModelFileError):
    """A card whose format version this release does not read."""


class SelfTestFailed(ModelFileError):
    """The file answers its own self test otherwise than when it was written."""


class TrainingError(InkdigitError):
    """Training that cannot go on."""

    exit_code = 6


class Diverged(TrainingError):
    """The loss is no longer a number."""


class ParityError(TrainingError):
    """The exported file answers otherwise than the network it came from."""


class MissingExtra(InkdigitError):
    """An optional library is not installed."""

    exit_code = 7

    def __init__(self, what: str, extra: str) -> None:
        """Say what needs the extra, and the command that installs it."""
        super().__init__(what, hint=f"Install it with: pip install 'inkdigit[{extra}]'")
        self.extra = extra


class ServiceError(InkdigitError):
    """A request that the service does not answer, or an answer that the client does not get."""

    exit_code = 8


class Unauthorized(ServiceError):
    """The service asks for a token, and the request has none or another one."""

    http_status = 401


class NotCollecting(ServiceError):
    """A correction was sent to a service that keeps none."""

    http_status = 403


class NotFound(ServiceError):
    """The service has no such page, and no such model."""

    http_status = 404


class MethodNotAllowed(ServiceError):
    """There is such a page, but it takes no request of this method."""

    http_status = 405


class TooSlow(ServiceError):
    """The request did not arrive in time, or its answer was not found in time."""

    http_status = 408


class RequestTooLarge(ServiceError):
    """More bytes, or more pictures, than the service takes in one request."""

    http_status = 413


class NotJson(ServiceError):
    """A body of another type where only JSON is taken, so that no foreign page can send it unasked."""

    http_status = 415


class Unreachable(ServiceError):
    """Nobody answers at the address, or what answers is not Inkdigit."""

    http_status = 502


class Busy(ServiceError):
    """The service has more requests than it can answer now; `retry_after_s` says when to come again."""

    http_status = 503
    retry_after_s = 1


class OutputError(InkdigitError):
    """The result cannot be written: disk full, no permission, a name that is taken."""

    exit_code = 9
    http_status = 507


def _one_line(words: object, most: int) -> str:
    """Words that may quote what others wrote, as one line of `most` characters that no terminal takes for orders."""
    text = _without_middle(str(words), most)
    if text.isprintable():
        return text
    return _without_middle("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text), most)


def _without_middle(text: str, most: int) -> str:
    """A long text without what lies in its middle: what is wrong is often said at the end."""
    return text if len(text) <= most else f"{text[: most // 2]}…{text[1 - most // 2 :]}"


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """The next step after a misspelt name: the nearest known one, or None where none is near."""
    import difflib  # for errors alone, not for every start

    near = difflib.get_close_matches(word, list(known), n=1)
    return f"Did you mean {near[0]}?" if near else None


def interleave(answers: Sequence[Answer], errors: Mapping[int, PictureError]) -> Iterator[Answer | PictureError]:
    """The answers in their order, and each error at its index among them."""
    rest = iter(answers)
    for i in range(len(answers) + len(errors)):
        yield errors[i] if i in errors else next(rest)
